"""What several tests of the pipeline take."""

from __future__ import annotations

from pathlib import Path

import pytest
import samples


@pytest.fixture(scope="session")
def preset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A preset of small blocks, so that a small file has many."""
    path = tmp_path_factory.mktemp("preset") / "small.toml"
    path.write_text(samples.SMALL_BLOCKS)
    return path
