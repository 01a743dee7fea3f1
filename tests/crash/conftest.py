"""What the tests of writing take."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import samples
from nursery import Nursery


@pytest.fixture(scope="session")
def preset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A preset of small blocks."""
    path = tmp_path_factory.mktemp("preset") / "small.toml"
    path.write_text(samples.SMALL_BLOCKS)
    return path


@pytest.fixture(scope="session")
def nurseries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Nursery, Nursery]]:
    """Two, for two processes at once."""
    folder = tmp_path_factory.mktemp("nurseries")
    with Nursery(folder / "errors of one") as one, Nursery(folder / "errors of two") as two:
        yield one, two


@pytest.fixture(autouse=True)
def small_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small tasks, so that a small file is written in many pieces."""
    monkeypatch.setattr("pennyweight.pipeline.blocks.TASK_BYTES", 4096)
