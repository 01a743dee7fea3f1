"""The `bench` command's measurement: what is measured of a large file, and that nothing wrong is reported as fast."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, save_file

from pennyweight import api, bench
from pennyweight.errors import InputError, PennyweightError
from pennyweight.pipeline.files import Reader

TENSORS = {f"t{i}": np.full(1000, i, dtype=np.float32) for i in range(4)}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    save_file(TENSORS, path)
    return path


def test_small_file_is_measured_whole(model: Path) -> None:
    with Reader(model) as reader:
        assert bench.sample(reader) == model.read_bytes()


def test_sample_is_the_first_tensors_that_fit(model: Path) -> None:
    with Reader(model) as reader:
        tensors = load(bench.sample(reader, limit=9000))
    assert sorted(tensors) == ["t0", "t1"]
    assert all(np.array_equal(tensors[name], TENSORS[name]) for name in tensors)


def test_sample_of_an_opaque_file_is_its_beginning() -> None:
    with Reader(io.BytesIO(bytes(range(256)) * 8)) as reader:
        assert bench.sample(reader, limit=100) == bytes(range(100))


def test_a_row_that_gives_back_something_else_fails(monkeypatch: pytest.MonkeyPatch, model: Path) -> None:
    monkeypatch.setattr(api, "restore", lambda src, dst, **options: dst.write(b"something else"))
    with pytest.raises(PennyweightError, match="differs"):
        bench.bench(model)


def test_nothing_to_measure(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    for path in (tmp_path, tmp_path / "empty", tmp_path / "nowhere"):
        with pytest.raises(InputError, match=path.name):
            bench.bench(path)
