"""What several tests of the pipeline take."""

from __future__ import annotations

from pathlib import Path

import pytest
import samples
import wrecks


@pytest.fixture(scope="session")
def preset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A preset of small blocks, so that a small file has many."""
    path = tmp_path_factory.mktemp("preset") / "small.toml"
    path.write_text(samples.SMALL_BLOCKS)
    return path


@pytest.fixture
def small_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many batches in a small file."""
    monkeypatch.setattr("pennyweight.pipeline.blocks.TASK_BYTES", 4096)


@pytest.fixture(scope="session")
def container(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Of wrecks.DATA, in many batches. Tests of other containers have their own."""
    preset = tmp_path_factory.mktemp("preset") / "small.toml"
    preset.write_text(samples.SMALL_BLOCKS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pennyweight.pipeline.blocks.TASK_BYTES", 4096)
        return samples.packed(wrecks.DATA, preset=preset)
