"""salvage: the file of tensors as others read it, whole folders, and targets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors
import spec_encoder
from salvaged import salvage
from samples import packed
from wrecks import DATA, TENSORS, damaged

import pennyweight
from pennyweight.errors import InputError
from pennyweight.testing.gguf import gguf_file, quantised_cells
from pennyweight.types import DType

pytestmark = pytest.mark.usefixtures("small_tasks")


def test_all_dtypes_can_be_read_by_the_library(container: bytes, tmp_path: Path) -> None:
    tensors = [
        (dtype.label, dtype.label, (8, 3), bytes(range(3 * dtype.bits))) for dtype in DType if dtype.weights == 1
    ]
    tensors += [("__metadata__", "U8", (3,), b"abc"), ("__metadata__.0", "U8", (1,), b"d"), ("lost", "U8", (1,), b"x")]
    segments = [spec_encoder.tensor(name, dtype, shape, raw) for name, dtype, shape, raw in tensors]
    raws = [raw for *_, raw in tensors]
    segments[-1]["xxh3_128"] = "0" * 32
    frame = spec_encoder.store(b"".join(raws))
    (tmp_path / "x.pwt").write_bytes(
        spec_encoder.Container([frame], spec_encoder.describe(segments, raws, 524_288)).pack()
    )
    report = pennyweight.salvage(tmp_path / "x.pwt", tmp_path / "out")
    read = dict(safetensors.deserialize((tmp_path / "out/x.salvaged.safetensors").read_bytes()))
    names = {tensor.name: tensor.saved_as for tensor in report.files[0].tensors}
    assert names["__metadata__"] == "__metadata__.1"
    for name, dtype, shape, raw in tensors[:-1]:
        given = read.pop(str(names[name]))
        assert (given["dtype"], tuple(given["shape"]), bytes(given["data"])) == (dtype, shape, raw)
    assert not read


def test_quantised_tensors_come_as_bytes_with_their_dtype(tmp_path: Path) -> None:
    cells = quantised_cells(DType.Q4_K, 4)
    data = gguf_file({"q": (DType.Q4_K, (4, 256), cells), "f": (DType.F32, (2,), b"12345678")})
    (tmp_path / "m.gguf.pwt").write_bytes(damaged(packed(data), lambda made: made.extend(b"x")))
    whole = pennyweight.salvage(tmp_path / "m.gguf.pwt", tmp_path / "out")
    assert (tmp_path / "out" / "m.gguf").read_bytes() == data
    assert whole.ok
    segments = [spec_encoder.tensor("q", "Q4_K", [4, 256], cells), {"n_bytes": 5}]
    lie = spec_encoder.describe(segments, [cells, b"12345"], 524_288) | {"gaps_xxh3_128": "0" * 32}
    found = salvage(spec_encoder.Container([spec_encoder.store(cells + b"12345")], lie).pack())
    assert found.tensors == {"q": cells}
    (tmp_path / "y.pwt").write_bytes(spec_encoder.Container([spec_encoder.store(cells + b"12345")], lie).pack())
    pennyweight.salvage(tmp_path / "y.pwt", tmp_path / "y")
    with safetensors.safe_open(tmp_path / "y/y.salvaged.safetensors", "np") as file:
        assert json.loads(file.metadata()["quantised"]) == {"q": {"dtype": "Q4_K", "shape": [4, 256]}}
        assert file.get_tensor("q").tobytes() == cells


@pytest.fixture
def folder(container: bytes, tmp_path: Path) -> Path:
    """One whole, one that is cut, one of which nothing is left, and one that is none."""
    source = tmp_path / "model"
    (source / "deep").mkdir(parents=True)
    (source / "a.safetensors.pwt").write_bytes(container)
    (source / "deep" / "b.safetensors.pwt").write_bytes(container[: len(container) // 2])
    (source / "c.safetensors.pwt").write_bytes(bytes(1_000))
    (source / "config.json").write_text("{}")
    return source


def test_a_folder(folder: Path) -> None:
    done: list[int] = []
    report = pennyweight.salvage(folder, folder.parent / "out", threads=2, progress=done.append)
    out = folder.parent / "out"
    assert {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()} == {
        "a.safetensors",
        "deep/b.safetensors.salvaged.safetensors",
        "deep/b.safetensors.salvage.json",
        "config.json",
    }
    assert (out / "a.safetensors").read_bytes() == DATA
    assert [file.whole for file in report.files] == [True, False]
    assert [problem.file for problem in report.problems] == [str(folder / "c.safetensors.pwt")]
    assert not report.ok
    assert report.n_tensors == 2 * len(TENSORS)
    assert report.n_saved == sum(file.n_saved for file in report.files)
    assert sum(done) > 2 * len(DATA)
    listed: dict[str, Any] = json.loads((out / "deep/b.safetensors.salvage.json").read_text())
    assert listed.pop("schema") == "pennyweight.salvaged/1"
    assert listed == report.files[1].model_dump(mode="json")


def test_targets(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = folder / "a.safetensors.pwt"
    target = folder.parent / "out"
    target.mkdir()
    (target / "old").write_text("x")
    with pytest.raises(InputError, match="exists already"):
        pennyweight.salvage(source, target)
    assert [path.name for path in target.iterdir()] == ["old"]
    pennyweight.salvage(source, target, force=True)
    assert [path.name for path in target.iterdir()] == ["a.safetensors"]
    with pytest.raises(InputError, match="holds the source"):
        pennyweight.salvage(source, folder, force=True)
    with pytest.raises(InputError, match="No such file"):
        pennyweight.salvage(folder / "missing", folder.parent / "new")
    assert not (folder.parent / "new").exists()
    monkeypatch.setattr("pennyweight.pipeline.salvage.check_space", _no_room)
    with pytest.raises(InputError, match="no room"):
        pennyweight.salvage(source, folder.parent / "new")
    assert not (folder.parent / "new").exists()


def _no_room(path: Path, n_bytes: int) -> None:
    raise InputError(f"{path}: no room for {n_bytes}")
