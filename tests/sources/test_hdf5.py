"""HDF5 and .keras: the data sets that libhdf5 tells of, and what becomes of a process that dies, hangs or lies."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import samples

import pennyweight
from pennyweight.pipeline.files import Reader
from pennyweight.pipeline.sources import SourceMap, TensorRange, find_source, hdf5, hdf5_walk
from pennyweight.testing.hdf5 import HDF5Data, hdf5_file
from pennyweight.testing.torch import zip_file
from pennyweight.types import DType

RAW = np.random.default_rng(0).standard_normal(16).astype("<f4").tobytes()
KINDS = [DType.F16, DType.F32, DType.F64, *(DType[f"{sign}{bits}"] for sign in "IU" for bits in (8, 16, 32, 64))]
EVERYTHING = hdf5_file(
    [
        *(HDF5Data(f"all.{kind.label}", kind, (512 // kind.bits,), RAW) for kind in KINDS),
        HDF5Data("chunks", DType.F32, (3, 4), RAW, (2, 2)),
        HDF5Data("filtered", DType.F32, (4, 4), RAW, (4, 4), filters=True),
    ]
)
SIMPLE = hdf5_file([HDF5Data("w", DType.F32, (4, 4), RAW)])


def map_of(data: bytes, folder: Path) -> SourceMap:
    """That of a file of these bytes, which has a name."""
    path = folder / "file"
    path.write_bytes(data)
    with Reader(path) as file:
        found = find_source(file)
    assert sum(segment.n_bytes for segment in found.segments) == len(data)
    return found


def tensors_in(data: bytes, folder: Path) -> dict[str, tuple[DType, tuple[int, ...], bytes]]:
    found, at = {}, 0
    for segment in map_of(data, folder).segments:
        if isinstance(segment, TensorRange):
            found[segment.name] = segment.dtype, segment.shape, data[at : at + segment.n_bytes]
        at += segment.n_bytes
    return found


def restored(path: Path) -> bytes:
    pennyweight.compress(path, path.with_suffix(".pwt"), force=True)
    pennyweight.restore(path.with_suffix(".pwt"), path.with_suffix(".again"), force=True)
    return path.with_suffix(".again").read_bytes()


def test_data_sets_and_chunks(tmp_path: Path) -> None:
    expected = {f"all.{kind.label}": (kind, (512 // kind.bits,), RAW) for kind in KINDS}
    for i, place in enumerate(("0,0", "0,2", "2,0", "2,2")):
        expected[f"chunks[{place}]"] = DType.F32, (2, 2), RAW[16 * i : 16 * i + 16]
    assert tensors_in(EVERYTHING, tmp_path) == expected
    assert restored(tmp_path / "file") == EVERYTHING


def test_h5py_reads_the_restored_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(EVERYTHING)
    with h5py.File(io.BytesIO(restored(tmp_path / "file"))) as file:
        assert len(file) == len(KINDS) + 2
        assert all(file[f"all.{kind.label}"][()].tobytes() == RAW for kind in KINDS)
        chunks = np.frombuffer(RAW, "<f4").reshape(2, 2, 2, 2).swapaxes(1, 2).reshape(4, 4)
        assert np.array_equal(file["chunks"][()], chunks[:3])


def test_what_h5py_writes_is_found(tmp_path: Path) -> None:
    values = np.random.default_rng(1).standard_normal((30, 20)).astype("<f4")
    path = tmp_path / "written.h5"
    with h5py.File(path, "w") as file:
        file["model_weights/dense/kernel:0"] = values
        file.create_dataset("chunked", data=values, chunks=(30, 10))
        file.create_dataset("deflated", data=values, compression="gzip")
        file["again"] = file["model_weights/dense/kernel:0"]
        file["soft"] = h5py.SoftLink("/chunked")
        file["elsewhere"] = h5py.ExternalLink("other.h5", "/x")
        file["text"], file["big_endian"] = "text", values.astype(">f4")
        file["complex"], file["empty"] = values.astype("<c8"), h5py.Empty("<f4")
        file["nothing"] = np.zeros((0, 3), "<f4")
    found = tensors_in(path.read_bytes(), tmp_path)
    assert set(found) - {"again", "model_weights/dense/kernel:0"} == {"chunked[0,0]", "chunked[0,10]"}
    assert len(found) == 3, "once, by one of its names"
    assert found["chunked[0,10]"] == (DType.F32, (30, 10), values[:, 10:].tobytes())
    assert (DType.F32, (30, 20), values.tobytes()) in found.values()
    assert restored(path) == path.read_bytes()


def keras(method: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", SIMPLE)
    return file.getvalue()


def test_the_weights_of_a_keras_file(tmp_path: Path) -> None:
    data = keras(zipfile.ZIP_STORED)
    assert map_of(data, tmp_path).name == "keras"
    assert tensors_in(data, tmp_path) == {"w": (DType.F32, (4, 4), RAW)}
    assert restored(tmp_path / "file") == data


@pytest.mark.parametrize(
    "data", [keras(zipfile.ZIP_DEFLATED), zip_file({"model.weights.h5": b"text"}), zip_file({"other.h5": SIMPLE})]
)
def test_other_zips_are_none(tmp_path: Path, data: bytes) -> None:
    assert map_of(data, tmp_path).name == "opaque"


def test_a_file_object_without_a_descriptor_is_unknown_bytes() -> None:
    assert find_source(Reader(io.BytesIO(SIMPLE))).name == "opaque"
    assert samples.packed(SIMPLE)


def test_without_h5py_the_file_is_unknown_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert map_of(SIMPLE, tmp_path).name == "opaque"


def test_h5py_is_not_imported_here(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(SIMPLE)
    code = "import sys, pennyweight; pennyweight.compress(sys.argv[1]); print('h5py' in sys.modules)"
    command = [sys.executable, "-c", code, str(tmp_path / "file")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"
    assert pennyweight.inspect(tmp_path / "file.pwt").files[0].source == "hdf5"


DAMAGED = {
    "cut_in_the_superblock": SIMPLE[:60],
    "cut_in_the_middle": SIMPLE[: len(SIMPLE) // 2],
    "root_behind_the_file": SIMPLE[:64] + b"\xff" * 8 + SIMPLE[72:],
    "data_behind_the_file": SIMPLE.replace(bytes((3, 1, 96, 0)), bytes((3, 1, 96, 255))),
    "a_tree_that_is_its_own_child": SIMPLE.replace(b"SNOD", b"TREE"),
    "signature_and_noise": SIMPLE[:8] + np.random.default_rng(2).bytes(2000),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_comes_back(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(DAMAGED[name])
    assert restored(tmp_path / "file") == DAMAGED[name]
    assert pennyweight.inspect(tmp_path / "file.pwt").files[0].source == "opaque"


def test_flips_have_maps(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    for at in random.integers(8, len(SIMPLE), 4).tolist():
        map_of(SIMPLE[:at] + bytes((SIMPLE[at] ^ 0x15,)) + SIMPLE[at + 1 :], tmp_path)


def saying(monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    """Let the process say something else."""
    text = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    monkeypatch.setattr(hdf5, "_ask", lambda *_: text)


LIES: dict[str, Any] = {
    "behind_the_file": [["w", "F32", [4, 4], len(SIMPLE) - 63, 64]],
    "far_behind_the_file": [["w", "F32", [4, 4], 2**70, 64]],
    "before_the_file": [["w", "F32", [4, 4], -1, 64]],
    "overlap": [["a", "F32", [4, 4], 96, 64], ["b", "F32", [4, 4], 100, 64]],
    "one_name": [["a", "F32", [4, 4], 96, 64], ["a", "F32", [4, 4], 160, 64]],
    "bytes_that_do_not_fit": [["w", "F32", [4, 5], 96, 64]],
    "negative_dimensions": [["w", "F32", [-4, -4], 96, 64]],
    "unknown_dtype": [["w", "F33", [4, 4], 96, 64]],
    "dtype_is_a_list": [["w", ["F32"], [4, 4], 96, 64]],
    "name_is_a_number": [[1, "F32", [4, 4], 96, 64]],
    "lone_surrogate": [["\ud800", "F32", [4, 4], 96, 64]],
    "floats": [["w", "F32", [4, 4], 96.0, 64]],
    "bools": [["w", "F32", [4, 4], 96, True]],
    "too_few": [["w", "F32", [4, 4], 96]],
    "shape_is_a_number": [["w", "F32", 16, 96, 64]],
    "rank_65": [["w", "F32", [16] + [1] * 64, 96, 64]],
    "an_object": {"w": 1},
    "a_number": 3,
    "nothing": [],
    "no_json": b"{w",
    "no_text": b"\xff\xfe",
    "deep": b"[" * 100_000,
}


@pytest.mark.parametrize("name", LIES)
def test_what_cannot_be_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    saying(monkeypatch, LIES[name])
    assert map_of(SIMPLE, tmp_path).name == "opaque"


def test_what_can_be_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saying(monkeypatch, [["w", "F32", [4, 4], 96, 64]])
    assert tensors_in(SIMPLE, tmp_path) == {"w": (DType.F32, (4, 4), RAW)}


WALKS = {
    "dies": "import os; os.abort()",
    "exits": "raise SystemExit(3)",
    "hangs": "import time; time.sleep(60)",
    "says_nothing": "",
    "says_half": "print('[[')",
}


@pytest.mark.parametrize("name", WALKS)
def test_a_process_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    walk = tmp_path / "walk.py"
    walk.write_text(WALKS[name])
    monkeypatch.setattr(hdf5, "_WALK", walk)
    monkeypatch.setattr(hdf5, "SECONDS", 1)
    assert map_of(SIMPLE, tmp_path).name == "opaque"


@pytest.mark.parametrize("greed", ["bytearray(6 << 30)", "open(sys.argv[1], 'wb').write(bytes(2 << 20))"])
def test_the_process_is_bound(tmp_path: Path, greed: str) -> None:
    code = f"import runpy, sys; runpy.run_path({hdf5_walk.__file__!r})['_bound'](1 << 20); {greed}; print('done')"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "x")], capture_output=True, text=True)
    assert (done.returncode != 0, done.stdout) == (True, "")
