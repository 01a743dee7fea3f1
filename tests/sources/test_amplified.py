"""A few bytes that ask for much, again and again: each file was once minutes, or gigabytes."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest
from fuzz.bounds import bounded_memory, bounded_time
from readings import comes_back, map_of, tensors_in

from pennyweight.pipeline.container import limits
from pennyweight.testing.onnx import field, onnx_graph, onnx_model
from pennyweight.testing.tflite import TFLiteTensor, tflite_model
from pennyweight.testing.torch import (
    TorchStorage,
    TorchTensor,
    torch_dcp,
    torch_legacy,
    torch_pickle,
    torch_tar,
    torch_zip,
    zip_file,
)
from pennyweight.types import DType

LONG = "n" * 500
STORAGES = {str(i): TorchStorage("FloatStorage", 4, bytes(16)) for i in range(3)}
VALUE = {LONG: [TorchTensor(key, (4,)) for key in STORAGES]}
ONE = {LONG: TorchTensor("0", (4,))}, {"0": STORAGES["0"]}
TENSOR = field(1, 16) + field(2, 3) + field(9, bytes(16))
NODE = field(2, LONG) + field(5, field(5, TENSOR)) * 3

FILES = {
    "torch-zip": torch_zip(VALUE, STORAGES),
    "torch-legacy": torch_legacy(VALUE, STORAGES),
    "torch-tar": torch_tar(VALUE, STORAGES),
    "torch-dcp": torch_dcp([ONE] * 3),
    "onnx": onnx_model(onnx_graph([], [NODE])),
    "tflite": tflite_model([[TFLiteTensor(LONG, DType.I8, (4,), i) for i in (1, 2, 3)]], [b"", *[bytes(4)] * 3]),
}


@pytest.mark.parametrize("name", FILES)
def test_longer_than_an_index_they_are_not_believed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = FILES[name]
    assert map_of(data).name == name
    assert len(tensors_in(data)) == 3
    monkeypatch.setattr(limits, "MAX_INDEX_BYTES", 1400)
    assert map_of(data).name == "opaque"
    monkeypatch.undo()
    assert comes_back(data)


def test_long_keys_of_storages_are_not_used_for_names() -> None:
    key = "9" * 65
    data = torch_zip([TorchTensor(key, (2,), 1), TorchTensor("0", (4,))], {key: STORAGES["0"], "0": STORAGES["0"]})
    assert list(tensors_in(data)) == ["1"]
    assert comes_back(data)


def many_globals(n: int) -> bytes:
    """A long string, and that many names that are made of it twice."""
    text = b"k" * n
    pickle = b"\x80\4X" + struct.pack("<I", n) + text + b"q\0(" + b"h\0h\0\x93" * n + b"t."
    return zip_file({"archive/data.pkl": pickle})


def one_storage_many_times(n: int) -> bytes:
    """A storage of nothing that n tensors look at, and that stands in the file as many times."""
    storages = {"0": TorchStorage("FloatStorage", 4, b"")}
    file = torch_legacy([TorchTensor("0", (0,))] * n, storages)
    keys = torch_pickle(["0"], {}, legacy=True)
    assert file.endswith(keys + bytes(8))
    return file.removesuffix(keys + bytes(8)) + b"\x80\2](X\1\0\0\x000q\0" + b"h\0" * (n - 1) + b"e." + bytes(8 * n)


def long_lists_of_fields(n: int) -> bytes:
    """A flatbuffer of n tables, each with a list of 32,765 fields of its own, which overlap."""
    head = b"\x18\0\0\0TFL3" + struct.pack("<7H2x", 14, 24, 0, 0, 0, 0, 4) + struct.pack("<iII", 16, 4, n)
    tables = struct.pack(f"<{n}I", *[4 * n] * n)
    lists = struct.pack(f"<{n}i", *(4 * i - 4 * n - 2 * i for i in range(n)))
    return head + tables + lists + struct.pack("<H", 65_534) * n + bytes(1 << 16)


def many_packed_dims(n: int) -> bytes:
    return onnx_model(onnx_graph([field(1, b"\1" * n) + field(2, 2) + field(9, b"a")]))


@pytest.mark.parametrize(
    ("make", "n"),
    [
        (many_globals, 60_000),
        (one_storage_many_times, 12_000),
        (long_lists_of_fields, 30_000),
        (many_packed_dims, 80 << 20),
    ],
)
def test_it_is_not_given(make: Callable[[int], bytes], n: int) -> None:
    data = make(n)
    with bounded_memory(), bounded_time():
        assert map_of(data).name == "opaque"
