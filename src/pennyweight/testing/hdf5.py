"""Small HDF5 files, made without libhdf5: superblock 0, one group, data sets contiguous or in chunks."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from pennyweight.types import DType

_NONE: Final = 0xFFFFFFFFFFFFFFFF
_GROUP_LEAF, _GROUP_NODE, _CHUNK_NODE = 16, 16, 32
"""Half of what nodes have room for; the last is libhdf5's own."""

_FLOATS: Final = {DType.F16: (15, 10, 5), DType.F32: (31, 23, 8), DType.F64: (63, 52, 11)}
"""Place of the sign, bits of mantissa and exponent."""


class HDF5Data(NamedTuple):
    """A data set of at least one dimension. chunk: its shape, or None for one piece; filters: told, not applied."""

    name: str
    dtype: DType
    shape: tuple[int, ...]
    raw: bytes
    chunk: tuple[int, ...] | None = None
    filters: bool = False


def hdf5_file(data: Sequence[HDF5Data]) -> bytes:
    """At most 32 data sets in the root group; those in chunks have their chunks' bytes back to back."""
    out = bytearray(96)
    heap = b"\0" * 8 + b"".join(_padded(one.name.encode() + b"\0") for one in data)
    names: list[tuple[str, int, int]] = []
    at = 8
    for one in data:
        names.append((one.name, at, _data(out, one)))
        at += len(_padded(one.name.encode() + b"\0"))
    names.sort()
    entries = b"".join(struct.pack("<QQII16x", name, header, 0, 0) for _, name, header in names)
    symbols = _put(out, struct.pack("<4sBxH", b"SNOD", 1, len(names)) + entries.ljust(40 * 2 * _GROUP_LEAF, b"\0"))
    segment = _put(out, heap)
    heap_at = _put(out, struct.pack("<4sB3xQQQ", b"HEAP", 0, len(heap), 1, segment))
    last = names[-1][1] if names else 0
    tree = _put(out, _tree(0, [(struct.pack("<Q", 0), symbols)], struct.pack("<Q", last), _GROUP_NODE))
    root = _put(out, _header([(0x11, struct.pack("<QQ", tree, heap_at))]))
    head = struct.pack("<8s5B", b"\x89HDF\r\n\x1a\n", 0, 0, 0, 0, 0) + bytes((8, 8, 0))
    head += struct.pack("<HHIQQQQ", _GROUP_LEAF, _GROUP_NODE, 0, 0, _NONE, len(out), _NONE)
    out[:96] = head + struct.pack("<QQIIQQ", 0, root, 1, 0, tree, heap_at)
    return bytes(out)


def _data(out: bytearray, one: HDF5Data) -> int:
    """Where its header is."""
    messages = [
        (0x01, struct.pack("<BBB5x", 1, len(one.shape), 0) + struct.pack(f"<{len(one.shape)}Q", *one.shape)),
        (0x03, _datatype(one.dtype)),
        (0x05, bytes((2, 2, 2, 0))),  # fill values: late, if set, none
    ]
    if one.chunk is None:
        layout = struct.pack("<BBQQ", 3, 1, _put(out, one.raw), len(one.raw))
    else:
        tree = _put(out, _chunks(out, one, one.chunk))
        sizes = struct.pack(f"<{len(one.chunk) + 1}I", *one.chunk, one.dtype.bits // 8)
        layout = struct.pack("<BBBQ", 3, 2, len(one.chunk) + 1, tree) + sizes
    if one.filters:  # Fletcher's checksums
        messages.append((0x0B, struct.pack("<BB6xHHHH", 1, 1, 3, 0, 0, 0)))
    return _put(out, _header([*messages, (0x08, layout)]))


def _chunks(out: bytearray, one: HDF5Data, chunk: tuple[int, ...]) -> bytes:
    """The tree of the chunks of a data set, row by row."""
    counts = [-(-dim // size) for dim, size in zip(one.shape, chunk, strict=True)]
    n_bytes = one.dtype.n_bytes(chunk)
    assert n_bytes is not None
    children = []
    for number in range(len(one.raw) // n_bytes):
        place, rest = [], number
        for count, size in zip(reversed(counts), reversed(chunk), strict=True):
            place.append(rest % count * size)
            rest //= count
        key = struct.pack(f"<II{len(chunk) + 1}Q", n_bytes, 0, *reversed(place), 0)
        children.append((key, _put(out, one.raw[number * n_bytes : (number + 1) * n_bytes])))
    ends = (count * size for count, size in zip(counts, chunk, strict=True))
    last = struct.pack(f"<II{len(chunk) + 1}Q", n_bytes, 0, *ends, one.dtype.bits // 8)
    return _tree(1, children, last, _CHUNK_NODE)


def _tree(kind: int, children: Sequence[tuple[bytes, int]], last_key: bytes, half: int) -> bytes:
    """A leaf, as long as one with 2 * half children."""
    node = struct.pack("<4sBBHQQ", b"TREE", kind, 0, len(children), _NONE, _NONE)
    node += b"".join(key + struct.pack("<Q", child) for key, child in children) + last_key
    return node.ljust(24 + (2 * half + 1) * len(last_key) + 2 * half * 8, b"\0")


def _datatype(dtype: DType) -> bytes:
    n_bytes = dtype.bits // 8
    if dtype not in _FLOATS:
        signed = 0x08 if dtype.label.startswith("I") else 0
        return struct.pack("<BBBBIHH", 0x10, signed, 0, 0, n_bytes, 0, dtype.bits)
    sign, mantissa, exponent = _FLOATS[dtype]
    kind = struct.pack("<BBBBIHH", 0x11, 0x20, sign, 0, n_bytes, 0, dtype.bits)
    return kind + struct.pack("<BBBBI", mantissa, exponent, 0, mantissa, (1 << exponent - 1) - 1)


def _header(messages: Sequence[tuple[int, bytes]]) -> bytes:
    """An object header of version 1."""
    made = b"".join(struct.pack("<HHB3x", kind, len(_padded(body)), 0) + _padded(body) for kind, body in messages)
    return struct.pack("<BxHII4x", 1, len(messages), 1, len(made)) + made


def _put(out: bytearray, piece: bytes) -> int:
    """Where it is, at a multiple of 8."""
    at = len(out)
    out += _padded(piece)
    return at


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 8)
