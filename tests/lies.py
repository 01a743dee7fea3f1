"""Frames that break one rule each, with all lengths around the lie put right; for test_hostile_frames.py.

A lie is (name, frame, data): data has the size of the block, and is what a decoder that misses the rule would give as
far as there is such a thing. A fourth entry is the side frames of its file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from honest import BF16, EXPONENT, FLOAT_HEADER, HONEST, SIGN_MANTISSA, TEXT, chain, long_varint
from lies_of_cells import ggml_lies, piecewise_lies
from lies_of_coders import huffman_lies, rans_lies, zstd_lies
from lies_of_predictor import predictor_lies
from lies_of_scales import scales_lies
from lies_of_splits import bitpack_lies, float_lies, group_lies, palette_lies, split_lies, transpose_lies
from spec_nodes import BYTEPLANE, FLOATFIELDS, ZSTD, byteplane, node, store, varint


class Lie(NamedTuple):
    name: str
    frame: bytes
    data: bytes
    side: tuple[bytes, ...] = ()


def node_lies() -> Iterator[tuple[Any, ...]]:
    for name, honest in HONEST.items():
        frame, data, side = honest
        body = frame[2 + frame[1] :]
        yield f"{name}: empty frame", b"", data, side
        yield f"{name}: last byte cut off", frame[:-1], data, side
        yield f"{name}: trailing byte", frame + b"\0", data, side
        yield f"{name}: block one byte larger", frame, data + b"\0", side
        if not name.startswith("huffman"):  # where the last code is all zeros it passes for filling
            yield f"{name}: block one byte smaller", frame, data[:-1], side
        yield f"{name}: stage id in two bytes", long_varint(frame[0]) + frame[1:], data, side
        yield f"{name}: header length in two bytes", frame[:1] + long_varint(frame[1]) + frame[2:], data, side
        yield f"{name}: header one byte longer", frame[:1] + varint(frame[1] + 1) + frame[2:], data, side
        if frame[1] and name != "rans":  # whose last byte then is the id of a stage that nobody knows: too new
            yield f"{name}: header one byte shorter", frame[:1] + varint(frame[1] - 1) + frame[2:], data, side
        if name != "constant":
            padded = frame[:1] + varint(frame[1] + 1) + frame[2 : 2 + frame[1]] + b"\0" + body
            yield f"{name}: a byte after the fields of the header", padded, data, side
        yield f"{name}: header of 2^62 bytes", frame[:1] + varint(1 << 62) + frame[2:], data, side
        yield f"{name}: header of 2^63 bytes", frame[:1] + varint(1 << 63) + frame[2:], data, side
        yield f"{name}: header of 2^64 - 1 bytes", frame[:1] + varint((1 << 64) - 1) + frame[2:], data, side
        yield f"{name}: header length without an end", frame[:1] + b"\xff" * 40, data, side
    yield "nine levels", *chain(9)
    yield "thousand levels", *chain(1_000)
    header, planes = byteplane(TEXT, 4)
    nodes = [store(plane) for plane in planes]
    yield "one part less", node(BYTEPLANE, header, nodes[:3]), TEXT
    head = bytes([BYTEPLANE, 1]) + header
    n = len(nodes[0])
    for length in (0, n - 1, n + 1, (1 << 63) - 1):
        frame = head + varint(length) + nodes[0] + node(0, b"", nodes[1:])[2:]
        yield f"length of a part {length}, not {n}", frame, TEXT
    frame = head + long_varint(n) + nodes[0] + node(0, b"", nodes[1:])[2:]
    yield "length of a part in too many bytes", frame, TEXT


def unknown_stages() -> Iterator[tuple[str, bytes, bytes]]:
    """Not corrupt, but too new."""
    for stage in (99, 127, 128, 1 << 40):
        yield f"stage {stage}", varint(stage) + b"\0" + TEXT, TEXT
    yield "stage 99 of a part", node(ZSTD, varint(9), [node(99, b"", tail=b"123456789")]), TEXT
    patches = node(99)
    parts = [*map(store, (EXPONENT, SIGN_MANTISSA)), patches]
    yield "stage 99 of patches", node(FLOATFIELDS, FLOAT_HEADER, parts), BF16


SECTIONS: tuple[Callable[[], Iterator[tuple[Any, ...]]], ...] = (
    node_lies, split_lies, float_lies, bitpack_lies, palette_lies, transpose_lies, group_lies, rans_lies, huffman_lies,
    zstd_lies, scales_lies, predictor_lies, ggml_lies, piecewise_lies,
)  # fmt: skip
LIES = [Lie(*lie) for section in SECTIONS for lie in section()]
