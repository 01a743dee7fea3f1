"""Lies in `scales` and in its side frames; part of lies.py."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import spec_decoder
import spec_scaled
from honest import (
    COLUMNS,
    ESCAPES,
    GEOMETRY,
    KEY_BASE,
    KEY_ROWS,
    KEYS,
    ROWS,
    SCALES_HEADER,
    SCALES_SIDE,
    TABLES,
    WORDS,
    any_tables,
    long_varint,
)  # fmt: skip
from spec_nodes import SCALES, interleaved, stored
from spec_scaled import Geometry

Lie = tuple[str, bytes, bytes, tuple[bytes, ...]]
DATA = KEYS.tobytes()
N_WORDS = len(WORDS) // 2 - 64


def frame(
    at: Geometry = GEOMETRY, base: int = KEY_BASE, escapes: bytes = ESCAPES, words: bytes = WORDS, **said: int
) -> bytes:
    """`said`: what the header says of the parts where that is a lie."""
    n_escape_bytes, n_words = said.get("n_escape_bytes", len(escapes)), said.get("n_words", len(words) // 2 - 64)
    return stored(SCALES, spec_scaled.header_of(at, base, n_escape_bytes, n_words), ROWS, escapes, words)


def scales_lies() -> Iterator[Lie]:
    for lies in (geometry_lies, side_lies, part_lies, key_lies):
        yield from lies()


def geometry_lies() -> Iterator[Lie]:
    def lie(what: str, **wrong: Any) -> Lie:
        return what, frame(GEOMETRY._replace(**wrong)), DATA, SCALES_SIDE

    for m in (0, 2, 4, 5, 60, 255):
        yield lie(f"m {m}", m=m)
    for first in (1 << 48, (1 << 48) - 700, (1 << 48) - 1, 1 << 62, (1 << 63) - 1):
        yield lie(f"first {first}", first=first)
    for d in (0, 1, 101, 1 << 40, (1 << 40) + 1, 1 << 62):
        yield lie(f"d {d}", d=d)
    for shared in (0, 1, 101, 1 << 62):
        yield lie(f"S {shared}", shared=shared)
    for g in (0, 1, 101, 1 << 62):
        yield lie(f"g {g}", g=g)
    for base in (24_576, 1 << 15, 1 << 16, (1 << 62) + KEY_BASE):
        yield f"base {base}", frame(base=base), DATA, SCALES_SIDE
    yield (
        "a header number in too many bytes",
        stored(SCALES, SCALES_HEADER[:1] + long_varint(GEOMETRY.first) + SCALES_HEADER[2:], ROWS, ESCAPES, WORDS),
        DATA,
        SCALES_SIDE,
    )
    at = Geometry(3, 0, 1, 1, 1, 0, None)
    tables = (spec_scaled.tables_frame(TABLES),)
    for what, wrong in {
        "d and S and g of 0": at._replace(d=0, shared=0, g=0),
        "S above d": at._replace(shared=2),
    }.items():
        yield what, stored(SCALES, spec_scaled.header_of(wrong, 0, 0, 0), b"\0", b"", bytes(128)), bytes(2), tables
    yield (
        "g above d",
        stored(SCALES, spec_scaled.header_of(at._replace(g=2), 0, 0, 0), b"\0", b"", bytes(128)),
        bytes(2),
        tables,
    )
    empty = np.full(32, 1 << 16, "<u4").tobytes()
    yield "no keys", stored(SCALES, spec_scaled.header_of(at, 0, 0, 0), b"", b"", empty), b"", tables
    yield "no keys, a row", stored(SCALES, spec_scaled.header_of(at, 0, 0, 0), b"\0", b"", empty), b"", tables
    yield "an odd number of bytes", frame(), DATA + b"\0", SCALES_SIDE


def side_lies() -> Iterator[Lie]:
    columns, tables = SCALES_SIDE
    for number in (2, 3, 1 << 32, 1 << 62, (1 << 63) - 2):
        yield f"tables in side frame {number}", frame(GEOMETRY._replace(tables=number)), DATA, SCALES_SIDE
        yield f"columns in side frame {number}", frame(GEOMETRY._replace(columns=number)), DATA, SCALES_SIDE
    yield "no side frames", frame(), DATA, ()
    yield "side frames exchanged", frame(), DATA, (tables, columns)
    yield "tables for columns", frame(GEOMETRY._replace(columns=1, d=20_000, columns_at=100)), DATA, SCALES_SIDE
    yield "columns for tables", frame(GEOMETRY._replace(tables=0)), DATA, SCALES_SIDE
    yield "columns one byte short", frame(), DATA, (columns[: 3 + len(COLUMNS) - 1], tables)
    for at in (9, 18, 19, 1 << 40, 1 << 62, (1 << 63) - 10, (1 << 63) - 1):
        yield f"columns from byte {at} on", frame(GEOMETRY._replace(columns_at=at)), DATA, SCALES_SIDE
    yield "no columns where they begin", frame(GEOMETRY._replace(columns_at=2)), DATA, (columns[:11], tables)
    for what, wrong in {
        "one byte short": tables[:-1], "one byte long": tables + b"\0", "seven": tables[:-256],
        "nine": tables + tables[:256],
        "of another m": spec_scaled.tables_frame(any_tables(2)),
    }.items():  # fmt: skip
        yield f"tables {what}", frame(), DATA, (columns, wrong)
    for phase in (0, 7):  # 7 may be a phase that no key has
        for what, f in {
            "16383": [99, *TABLES[0][1:]], "16385": [101, *TABLES[0][1:]], "16384 for one": [16_384, *[0] * 127],
            "0": [0] * 128, "16384 modulo 2^16": [16_384] * 5 + [0] * 123, "32768": [16_383, 16_383, 2, *[0] * 125],
        }.items():  # fmt: skip
            lying = [*TABLES]
            lying[phase] = f
            yield f"table {phase} adds up to {what}", frame(), DATA, (columns, spec_scaled.tables_frame(lying))


def part_lies() -> Iterator[Lie]:
    def lie(what: str, made: bytes) -> Lie:
        return what, made, DATA, SCALES_SIDE

    yield lie("a row too few", stored(SCALES, SCALES_HEADER, ROWS[:-1], ESCAPES, WORDS))
    yield lie("a row too many", stored(SCALES, SCALES_HEADER, ROWS + b"\0", ESCAPES, WORDS))
    yield lie("no rows", stored(SCALES, SCALES_HEADER, b"", ESCAPES, WORDS))
    for n in (0, len(ESCAPES) - 1, len(ESCAPES) + 1, 4 * 700 + 5, 1 << 62, (1 << 63) - 1):
        yield lie(f"{n} escape bytes, escapes as before", frame(n_escape_bytes=n))
    yield lie("an escape byte left over", frame(escapes=ESCAPES + b"\0"))
    yield lie("many escape bytes left over", frame(escapes=ESCAPES + bytes(100)))
    yield lie("more escape bytes than there may be", frame(escapes=ESCAPES + bytes(2_805 - len(ESCAPES))))
    yield lie("last escape byte missing", frame(escapes=ESCAPES[:-1]))
    yield lie("no escapes", frame(escapes=b""))
    yield lie("an escape without an end", frame(escapes=b"\xff" * len(ESCAPES)))
    for n in (0, N_WORDS - 1, N_WORDS + 1, 701, 1 << 62, (1 << 63) - 64):
        yield lie(f"{n} words, words as before", frame(n_words=n))
    yield lie("a word left over", frame(words=WORDS + b"\0\0"))
    yield lie("a word left over at the front", frame(words=WORDS[:128] + b"\1\1" + WORDS[128:]))
    yield lie("more words than keys", frame(words=WORDS + bytes(2 * (701 - N_WORDS))))
    yield lie("last word missing", frame(words=WORDS[:-2]))
    yield lie("all words missing", frame(words=WORDS[:128]))
    yield lie("half a word too much", frame(words=WORDS + b"\0"))
    for lane in (0, 8, 31):
        for state in (0, 1, 0xFFFF):
            words = WORDS[: 4 * lane] + struct.pack("<I", state) + WORDS[4 * lane + 4 :]
            yield lie(f"lane {lane} starts at {state}", frame(words=words))
    made = spec_scaled.symbols(KEYS, GEOMETRY, KEY_BASE, KEY_ROWS, COLUMNS)
    for start in ((1 << 16) + 1, (1 << 32) - 1, 1 << 20):
        yield lie(f"final states {start}", frame(words=interleaved(made.symbol, TABLES, made.phase, 14, start)))


def key_lies() -> Iterator[Lie]:
    """One key, m = 3, no columns: what its distance leads to."""
    at, side = Geometry(3, 0, 1, 1, 1, 0, None), (spec_scaled.tables_frame(TABLES),)

    def lie(what: str, base: int, symbol: int, nibbles: Sequence[int]) -> Lie:
        words = interleaved(np.array([symbol]), TABLES, np.array([base % 8]), 14)
        escapes = bytes(low | high << 4 for low, high in zip(nibbles[::2], nibbles[1::2], strict=True))
        header = spec_scaled.header_of(at, base, len(escapes), len(words) // 2 - 64)
        return what, stored(SCALES, header, b"\0", escapes, words), bytes(2), side

    yield lie("an exponent below 0 by a distance", 8 * 20, 0, [10, 0])
    yield lie("an exponent far below 0", 8 * 20, 0, [15, 15, 15, 0])
    yield lie("an exponent below 0 as it is", 8 * 5, 1 << 3, [])
    yield lie("an exponent below 0, distance 0", 0, 0, [0, 0])
    yield lie("a nibble left over that is not 0", 8 * 20, 0, [3, 1])
    yield lie("an escape of a symbol inside", 8 * 20, 3 << 3, [0, 0])
    yield lie("an escape of 15 and no more", 8 * 40, 0, [15, 15])
    many = Geometry(3, 0, 64, 64, 64, 0, None)  # enough keys for so long an escape
    symbols = np.array([15 << 3, *[8 << 3] * 63])
    for distance in (5_116, 5_117):
        escapes = spec_scaled.escape_bytes([distance])
        words = interleaved(symbols, TABLES, np.full(64, 0), 14)
        made = stored(
            SCALES,
            spec_scaled.header_of(many, 24_568, len(escapes), len(words) // 2 - 64),
            b"\0",
            escapes,
            words,
        )
        if distance == 5_117:
            yield "a key of 2^16", made, bytes(128), side
        else:
            spec_decoder.decode_frame(made, 128, side)
