"""Lies in `ggml` and `piecewise`; part of lies.py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import spec_nodes as spec
from honest import HONEST, PIECE_TABLES, PIECES, long_varint
from spec_cells import TYPES, split
from spec_nodes import CONSTANT, GGML, PIECEWISE, node, store, stored, varint

DATA = HONEST["ggml of Q4_1"].data
HEADER, PARTS = split(DATA, 3)
N_LEFT = len(PARTS[6])
VALUES, SCALES, MINS, SUB_SCALES, SUB_MINS, FIRST, QUANTS, LOW = range(8)


def frame(header: bytes = HEADER, parts: Sequence[bytes] = PARTS) -> bytes:
    return stored(GGML, header, *parts)


def with_part(number: int, part: bytes, header: bytes = HEADER, parts: Sequence[bytes] = PARTS) -> bytes:
    return frame(header, [*parts[:number], part, *parts[number + 1 :]])


def set_byte(part: bytes, at: int, value: int) -> bytes:
    return part[:at] + bytes([value]) + part[at + 1 :]


def ggml_lies() -> Iterator[tuple[str, bytes, bytes]]:
    left = varint(N_LEFT)
    for type_id in (0, 1, 4, 5, 9, 15, 40, 255):
        yield f"ggml of type {type_id}", frame(bytes([type_id, 0, 0]) + left), DATA
    yield "ggml of another type", frame(bytes([2, 0, 0]) + left), DATA
    yield "a center beside mins", frame(b"\3\1\0" + left), DATA
    yield "center in too many bytes", frame(b"\3" + long_varint(0) + b"\0" + left), DATA
    for n in (N_LEFT - 1, N_LEFT + 1, 0, 129, 1 << 40, (1 << 63) - 1):
        yield f"{n} quants, not {N_LEFT}", frame(b"\3\0\0" + varint(n)), DATA
    yield "a quant too few, parts to suit", with_part(QUANTS, PARTS[QUANTS][:-1], b"\3\0\0" + varint(N_LEFT - 1)), DATA
    yield (
        "a quant too many, parts to suit",
        with_part(QUANTS, PARTS[QUANTS] + b"\1", b"\3\0\0" + varint(N_LEFT + 1)),
        DATA,
    )
    yield "an odd number of bytes", frame(), DATA[:-1]
    yield "a cell less", frame(), DATA[:-20]
    yield "no cells", stored(GGML, b"\3\0\0\0", *[b""] * 8), b""
    for quant in (16, 255):
        yield f"a quant of {quant}", with_part(QUANTS, set_byte(PARTS[QUANTS], 9, quant)), DATA
    for first in (33, 63, 64, 255):
        yield f"a first extreme of {first}", with_part(FIRST, set_byte(PARTS[FIRST], 5, first)), DATA
    both = PARTS[FIRST][:4] + PARTS[FIRST][:4]
    n_left = varint(128 - 4 - sum(at < 32 for at in both[:4]))
    yield "two extremes at one place", with_part(FIRST, both, b"\3\0\0" + n_left), DATA
    yield "no extreme where there was one", with_part(FIRST, bytes([32] * 8)), DATA
    for number, name in enumerate(("values", "scales", "mins", "sub-scales", "sub-mins", "first", "quants", "low")):
        part = PARTS[number]
        yield f"{name} one byte long", with_part(number, part + b"\0"), DATA
        if part:
            yield f"{name} one byte short", with_part(number, part[:-1]), DATA
    yield "a part missing", frame(parts=PARTS[:7]), DATA
    yield "quants that claim too much", claiming(1 << 30), DATA
    yield from listed_lies()
    yield from other_types()


def claiming(n: int) -> bytes:
    parts = [store(part) for part in PARTS]
    parts[QUANTS] = node(CONSTANT, b"\1")
    return node(GGML, b"\3\0\0" + varint(n), parts)


def listed_lies() -> Iterator[tuple[str, bytes, bytes]]:
    data = HONEST["ggml of listed scales"].data
    header, parts = split(
        data, 2, 5_000, sorted({int.from_bytes(data[at : at + 2], "little") for at in range(0, 72, 18)})
    )
    assert header[3] == 3
    left = header[4:]
    for k in (0, 2, 4, 4_097, 1 << 40):
        yield f"{k} listed scales, not 3", frame(header[:3] + varint(k) + left, parts), data
    many = bytes([1, 0]) * 4_097
    yield "4,097 listed scales, part to suit", with_part(VALUES, many, header[:3] + varint(4_097) + left, parts), data
    values = parts[VALUES]
    yield "a listed scale twice", with_part(VALUES, values[:2] + bytes(2) + values[4:], header, parts), data
    yield "listed scales beyond 2^16", with_part(VALUES, values[:4] + b"\xff\xff", header, parts), data
    scales = parts[SCALES]
    yield (
        "a place beyond the list",
        with_part(SCALES, (3 << 11).to_bytes(2, "little") + scales[2:], header, parts),
        data,
    )
    yield "a place between two", with_part(SCALES, set_byte(scales, 0, 1), header, parts), data
    yield "a center of 2^17", frame(b"\2" + varint(1 << 17) + header[3:], parts), data


def other_types() -> Iterator[tuple[str, bytes, bytes]]:
    data = HONEST["ggml of Q8_0"].data
    header, parts = split(data, 8, 5_000)
    for number, value in ((QUANTS, 32), (LOW, 8), (FIRST, 65), (FIRST, 96)):
        yield (
            f"Q8_0 with {value} in part {number}",
            with_part(number, set_byte(parts[number], 0, value), header, parts),
            data,
        )
    data = bytes(TYPES[39].cell_bytes * 3)
    header, parts = split(data, 39)
    yield "MXFP4 with a scale of two bytes", with_part(SCALES, set_byte(parts[SCALES], 1, 1), header, parts), data


def piecewise_lies() -> Iterator[tuple[Any, ...]]:
    header, (part,) = spec.piecewise(PIECES, [4, 1, 3], PIECE_TABLES)
    words = varint(len(part) // 2 - 64)
    tables = b"".join(spec.rans_header(f, 0)[2:] for f in PIECE_TABLES)
    assert header == b"\4" + words + b"\3\4\1" + tables

    def lie(pieces: bytes, payload: bytes = part, frequencies: bytes = tables, a: int = 4, n: bytes = words) -> bytes:
        return stored(PIECEWISE, bytes([a]) + n + pieces + frequencies, payload)

    for a in (0, 3, 5, 6, 8, 255):
        yield f"piecewise over 2^{a} symbols", lie(b"\3\4\1", a=a), PIECES
    for what, pieces in {
        "no pieces": b"\0",
        "1,025 pieces": varint(1_025) + b"\1" * 1_024,
        "2^40 pieces": varint(1 << 40),
        "pieces cut off": b"\3\4",
        "an empty piece": b"\3\0\1",
        "nothing for the last piece": b"\3\4\4",
        "more groups than there are": b"\3\4\5",
        "far more groups than there are": b"\3\4" + varint(1 << 62),
        "groups that add up modulo 2^64": b"\3" + varint((1 << 63) - 1) + varint((1 << 63) - 1),
        "groups in too many bytes": b"\3" + long_varint(4) + b"\1",
        "a group in the piece before": b"\3\5\1",
        "one piece": b"\1",
    }.items():
        yield f"piecewise: {what}", lie(pieces), PIECES
    for n in (len(part) // 2 - 65, len(part) // 2 - 63, len(PIECES) + 1, 1 << 62):
        yield f"piecewise: {n} words", lie(b"\3\4\1", n=varint(n)), PIECES
    yield "piecewise: frequencies cut off", lie(b"\3\4\1", frequencies=tables[:-1]), PIECES
    yield "piecewise: frequencies that go on", lie(b"\3\4\1", frequencies=tables + b"\0"), PIECES
    yield (
        "piecewise: a bit left over",
        lie(b"\3\4\1", frequencies=set_byte(tables, len(tables) - 1, tables[-1] | 128)),
        PIECES,
    )
    uneven = [PIECE_TABLES[0], [4_094, 1] + [0] * 14, PIECE_TABLES[2]]
    short = b"".join(spec.rans_header(f, 0)[2:] for f in uneven)
    yield "piecewise: frequencies of 4095", lie(b"\3\4\1", frequencies=short), PIECES
    yield "piecewise: a word short", lie(b"\3\4\1", part[:-2], n=varint(len(part) // 2 - 65)), PIECES
    yield "piecewise: a word more", lie(b"\3\4\1", part + b"\0\0", n=varint(len(part) // 2 - 63)), PIECES
    yield "piecewise: a state below 2^16", lie(b"\3\4\1", b"\xff\xff\0\0" + part[4:]), PIECES
    started = spec.piecewise(PIECES, [4, 1, 3], PIECE_TABLES, start=(1 << 16) + 1)
    yield "piecewise: states that do not end at 2^16", stored(PIECEWISE, started[0], *started[1]), PIECES
    yield (
        "piecewise of nothing",
        stored(PIECEWISE, b"\4\0\1" + spec.rans_header(PIECE_TABLES[0], 0)[2:], part[:128]),
        b"",
    )
