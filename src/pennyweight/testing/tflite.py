"""Small TFLite models, made without the package: tables of a flatbuffer, each before what it points to."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from pennyweight.types import DType

_TYPES: Final = {
    DType.F32: 0,
    DType.F16: 1,
    DType.I32: 2,
    DType.U8: 3,
    DType.I64: 4,
    DType.BOOL: 6,
    DType.I16: 7,
    DType.C64: 8,
    DType.I8: 9,
    DType.F64: 10,
    DType.U64: 12,
    DType.U32: 15,
    DType.U16: 16,
    DType.BF16: 18,
}

_Child = Callable[[bytearray], int]
"""Writes what a field points to, at the end, and returns where that is."""


class TFLiteTensor(NamedTuple):
    """dtype: or the number of a type that has no name here, such as 17 for INT4. buffer: its number."""

    name: str
    dtype: DType | int
    shape: tuple[int, ...]
    buffer: int


def tflite_model(
    subgraphs: Sequence[Iterable[TFLiteTensor]], buffers: Sequence[bytes], *, behind: Sequence[bytes] = ()
) -> bytes:
    """The file: a Model with such subgraphs, whose tensors have their values in the buffers.

    Args:
        behind: more buffers, whose bytes lie behind the flatbuffer, as those of models above 2 GB do.
    """
    out = bytearray(b"\0\0\0\0TFL3")
    places: list[int] = []  # of offset and size in the tables of the buffers that lie behind
    graphs = [_subgraph(tensors) for tensors in subgraphs]
    tables = [*map(_buffer, buffers), *(_buffer_behind(raw, places) for raw in behind)]
    fields: dict[int, bytes | _Child] = {0: struct.pack("<I", 3), 2: _vector_of(graphs), 4: _vector_of(tables)}
    struct.pack_into("<I", out, 0, _table(fields)(out))
    for place, raw in zip(places, behind, strict=True):
        _align(out, 16)
        struct.pack_into("<Q", out, place, len(out))
        out += raw
    return bytes(out)


def _subgraph(tensors: Iterable[TFLiteTensor]) -> _Child:
    return _table({0: _vector_of([_tensor(tensor) for tensor in tensors])})


def _tensor(tensor: TFLiteTensor) -> _Child:
    kind = _TYPES[tensor.dtype] if isinstance(tensor.dtype, DType) else tensor.dtype
    shape = struct.pack(f"<{len(tensor.shape)}i", *tensor.shape)
    fields: dict[int, bytes | _Child] = {0: _vector(shape, 4), 3: _vector(tensor.name.encode() + b"\0", 1, -1)}
    if kind:
        fields[1] = bytes((kind,))
    if tensor.buffer:
        fields[2] = struct.pack("<I", tensor.buffer)
    return _table(fields)


def _buffer(raw: bytes) -> _Child:
    return _table({0: _vector(raw, 1)} if raw else {})


def _buffer_behind(raw: bytes, places: list[int]) -> _Child:
    def write(out: bytearray) -> int:
        table = _table({1: bytes(8), 2: struct.pack("<Q", len(raw))})(out)
        places.append(table + 8)
        return table

    return write


def _table(fields: Mapping[int, bytes | _Child]) -> _Child:
    """Fields are numbers of 1, 4 or 8 bytes, or point to something; each has eight."""

    def write(out: bytearray) -> int:
        n = max(fields, default=-1) + 1
        order = {number: 8 * (1 + i) for i, number in enumerate(sorted(fields))}
        _align(out, 8)
        n_list = 4 + 2 * n
        out.extend(bytes(-n_list % 8))
        out.extend(struct.pack(f"<{2 + n}H", n_list, 8 * (1 + len(fields)), *(order.get(i, 0) for i in range(n))))
        table = len(out)
        out.extend(struct.pack("<i4x", n_list) + bytes(8 * len(fields)))
        for number, value in fields.items():
            at = table + order[number]
            data = value if isinstance(value, bytes) else struct.pack("<I", value(out) - at)
            out[at : at + len(data)] = data
        return table

    return write


def _vector(data: bytes, element_bytes: int, more: int = 0) -> _Child:
    """Its elements lie at a multiple of 16. more: elements counted besides those, such as -1 for a text's last NUL."""

    def write(out: bytearray) -> int:
        out.extend(bytes((12 - len(out)) % 16))
        out.extend(struct.pack("<I", len(data) // element_bytes + more) + data)
        return len(out) - len(data) - 4

    return write


def _vector_of(tables: Sequence[_Child]) -> _Child:
    def write(out: bytearray) -> int:
        vector = _vector(bytes(4 * len(tables)), 4)(out)
        for i, table in enumerate(tables):
            at = vector + 4 + 4 * i
            struct.pack_into("<I", out, at, table(out) - at)
        return vector

    return write


def _align(out: bytearray, n: int) -> None:
    out.extend(bytes(-len(out) % n))
