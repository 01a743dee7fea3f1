"""Lies in `linear_predictor` and in its side frames; part of lies.py."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Any

import spec_decoder
import spec_predicted as spec
from honest_predicted import (
    AT,
    BASE,
    CODED,
    ESCAPES,
    HEADER,
    KEYS,
    PLACE,
    ROWS,
    SIDE,
    TABLES,
    UNUSED,
    USED,
    WORDS,
    any_table,
    framed,
    one_key,
    plain,
    rows_for,
    some_keys,
    some_predictor,
)  # fmt: skip
from spec_nodes import PREDICTOR, stored, varint
from spec_predicted import Place
from spec_scaled import Geometry

Lie = tuple[str, bytes, bytes, tuple[bytes, ...]]
DATA = KEYS.tobytes()
N_WORDS, ROW_BYTES = len(WORDS) // 2 - 64, bytes(ROWS)
COLUMNS_FRAME, TABLES_FRAME, RESIDUALS_FRAME, FIRST, SECOND = SIDE
HUGE = 1 << 32, 1 << 62, (1 << 63) - 2


def frame(
    at: Geometry = AT,
    base: int = BASE,
    place: Place | None = PLACE,
    escapes: bytes = ESCAPES,
    words: bytes = WORDS,
    **said: int,
) -> bytes:
    """`said`: what the header says of the parts where that is a lie."""
    n_escape_bytes, n_words = said.get("n_escape_bytes", len(escapes)), said.get("n_words", len(words) // 2 - 64)
    return stored(PREDICTOR, spec.header_of(at, base, place, n_escape_bytes, n_words), ROW_BYTES, escapes, words)


def predictor_lies() -> Iterator[Lie]:
    for lies in (header_lies, suited_lies, side_lies, triangle_lies, table_lies, part_lies, key_lies):
        for name, *lie in lies():
            yield f"predictor: {name}", *lie


def header_lies() -> Iterator[Lie]:
    def lie(what: str, **wrong: Any) -> Lie:
        return what, frame(AT._replace(**wrong)), DATA, SIDE

    for first in ((1 << 48) - 400, (1 << 48) - 1, 1 << 48, 1 << 62, (1 << 63) - 1):
        yield lie(f"first {first}", first=first)
    for d in (0, 1, 11, 13, 24, 65_537, 1 << 40, 1 << 62):
        yield lie(f"d {d}", d=d)
    for shared in (0, 1, 13, 1 << 62):
        yield lie(f"S {shared}", shared=shared)
    for g in (0, 1, 13, 1 << 62):
        yield lie(f"g {g}", g=g)
    yield lie("d and S and g of 0", d=0, shared=0, g=0)
    for base in (24_576, 1 << 15, 1 << 16, (1 << 62) + BASE):
        yield f"base {base}", frame(base=base), DATA, SIDE
    for w in (0, 1, 5, 8, 24, 1_025, *HUGE):
        yield f"w {w}", frame(place=PLACE._replace(w=w)), DATA, SIDE
    for n in (0, 3, 4, *HUGE):
        yield f"{n} triangles of two", frame(place=PLACE._replace(n_triangles=n)), DATA, SIDE
    numbers = [AT.first, AT.d, AT.shared, AT.g, BASE, AT.tables, 1 + (AT.columns or 0), AT.columns_at]
    numbers += [1 + PLACE.number, *PLACE[1:], len(ESCAPES), N_WORDS]
    assert b"".join(map(varint, numbers)) == HEADER
    for i, number in enumerate(numbers):
        short = varint(number)
        longer = short[:-1] + bytes([short[-1] | 0x80, 0])
        header = b"".join(longer if i == k else varint(other) for k, other in enumerate(numbers))
        yield f"header number {i} in too many bytes", stored(PREDICTOR, header, ROW_BYTES, ESCAPES, WORDS), DATA, SIDE
    yield "a predictor without its numbers", frame(place=None), DATA, SIDE
    yield "no keys", frame(), b"", SIDE
    yield "an odd number of bytes", frame(), DATA + b"\0", SIDE


def suited_lies() -> Iterator[Lie]:
    """Headers that break one rule, with everything else to suit: a decoder without the rule decodes them."""
    keys = some_keys(64)

    def suited(what: str, at: Geometry, **predictor: int) -> Lie:
        fitted = some_predictor(d=at.d, **predictor) if predictor else None
        return what, *framed(keys, at, BASE, rows_for(at, 64), None, fitted)

    yield suited("first + n of 2^48", plain(8, (1 << 48) - 64))
    yield suited("d of 65,537", plain(65_537))
    yield suited("S above d", plain(8)._replace(shared=9))
    yield suited("g above d", plain(8)._replace(g=9))
    yield "base of 24,576", *framed(some_keys(64, 3_070, 3_075), plain(8), 24_576, [0] * 8)
    yield suited("bands of one key", plain(8), w=1, n_triangles=1)
    yield suited("bands of 1,025 keys", plain(1_025), w=1_025, n_triangles=1)
    yield suited("a row of bands and a bit", plain(8), w=3, n_triangles=1)
    yield suited("a band longer than a row", plain(8), w=16, n_triangles=1)
    yield suited("more triangles than bands", plain(8), w=4, n_triangles=3)
    header = spec.header_of(plain(1), 0, None, 0, 0)
    for rows in (b"", b"\0"):
        empty = stored(PREDICTOR, header, rows, b"", struct.pack("<32I", *[1 << 16] * 32))
        yield f"no keys, {len(rows)} rows", empty, b"", (TABLES_FRAME,)


def side_lies() -> Iterator[Lie]:
    for number in (5, 6, *HUGE):
        yield f"tables in side frame {number}", frame(AT._replace(tables=number)), DATA, SIDE
        yield f"columns in side frame {number}", frame(AT._replace(columns=number)), DATA, SIDE
        for what in ("number", "residuals"):
            lying = PLACE._replace(**{what: number})
            yield f"{what} of the predictor {number}", frame(place=lying), DATA, SIDE
    yield "the last triangle beyond the side frames", frame(place=PLACE._replace(number=4)), DATA, SIDE
    yield "the last triangle missing", frame(), DATA, SIDE[:-1]
    yield "no side frames", frame(), DATA, ()
    yield "tables for columns", frame(AT._replace(columns=1, columns_at=24_574)), DATA, SIDE
    yield "columns for tables", frame(AT._replace(tables=0)), DATA, SIDE
    yield "tables for triangles", frame(place=PLACE._replace(number=1)), DATA, SIDE
    for at in (9, 11, 1 << 40, 1 << 62, (1 << 63) - 3, (1 << 63) - 1):
        yield f"columns from byte {at} on", frame(AT._replace(columns_at=at)), DATA, SIDE
    yield "columns one byte short", frame(), DATA, (COLUMNS_FRAME[:5], *SIDE[1:])
    for at in (7, 17, 18, 19, 1 << 40, 1 << 62, (1 << 63) - 12, (1 << 63) - 1):
        yield f"residual scales from byte {at} on", frame(place=PLACE._replace(residuals_at=at)), DATA, SIDE
    short = (*SIDE[:2], RESIDUALS_FRAME[:16], *SIDE[3:])
    yield "residual scales one byte short", frame(), DATA, short


def triangle_lies() -> Iterator[Lie]:
    for number, triangle in enumerate((FIRST, SECOND)):
        wrongs = {"empty but for a byte": b"\0", "one byte short": triangle[:-1], "one byte long": triangle + b"\0"}
        wrongs |= {"without biases": triangle[8:], "of another w": triangle[:6] + triangle[8:11], "twice": triangle * 2}
        for what, wrong in wrongs.items():
            lying = [*SIDE]
            lying[3 + number] = wrong
            yield f"triangle {number} {what}", frame(), DATA, tuple(lying)
    at, fitted = plain(8), some_predictor(4, 2, 8)
    made, data, side = framed(some_keys(4), at, BASE, [0], None, fitted)  # no key of the second band
    spec_decoder.decode_frame(made, len(data), side)
    yield "an unused triangle missing", made, data, side[:-1]
    yield "an unused triangle one byte short", made, data, (*side[:-1], side[-1][:-1])
    yield "an unused triangle one byte long", made, data, (*side[:-1], side[-1] + b"\0")


def table_lies() -> Iterator[Lie]:
    def lie(what: str, tables: bytes) -> Lie:
        return f"tables {what}", frame(), DATA, (COLUMNS_FRAME, tables, *SIDE[2:])

    yield lie("one byte short", TABLES_FRAME[:-1])
    yield lie("one byte long", TABLES_FRAME + b"\0")
    yield lie("of 95 contexts", TABLES_FRAME[:-256])
    yield lie("of 97 contexts", TABLES_FRAME + TABLES_FRAME[:256])
    yield lie("all 0", bytes(24_576))

    def with_table(context: int, f: Sequence[int]) -> bytes:
        return spec.tables_frame([*TABLES[:context], f, *TABLES[context + 1 :]])

    for context in (USED[0], USED[-1]):
        yield lie(f"without context {context}, which is used", with_table(context, [0] * 128))
    for context in (USED[1], UNUSED[0], UNUSED[-1]):
        honest = any_table(context)
        for what, f in {
            "1": [1] + [0] * 127, "16383": [honest[0] - 1, *honest[1:]], "16385": [honest[0] + 1, *honest[1:]],
            "16384 for one": [16_384, *[0] * 127], "16384 modulo 2^16": [16_384] * 5 + [0] * 123,
            "2^16": [16_384] * 4 + [0] * 124, "32768": [16_383, 16_383, 2, *[0] * 125],
        }.items():  # fmt: skip
            yield lie(f"of {what} in context {context}", with_table(context, f))


def part_lies() -> Iterator[Lie]:
    def lie(what: str, made: bytes) -> Lie:
        return what, made, DATA, SIDE

    yield lie("a row too few", stored(PREDICTOR, HEADER, ROW_BYTES[:-1], ESCAPES, WORDS))
    yield lie("a row too many", stored(PREDICTOR, HEADER, ROW_BYTES + b"\0", ESCAPES, WORDS))
    yield lie("no rows", stored(PREDICTOR, HEADER, b"", ESCAPES, WORDS))
    for n in (0, len(ESCAPES) - 1, len(ESCAPES) + 1, 4 * 400 + 5, 1 << 62, (1 << 63) - 1):
        yield lie(f"{n} escape bytes, escapes as before", frame(n_escape_bytes=n))
    yield lie("an escape byte left over", frame(escapes=ESCAPES + b"\0"))
    yield lie("many escape bytes left over", frame(escapes=ESCAPES + bytes(100)))
    yield lie("more escape bytes than there may be", frame(escapes=ESCAPES + bytes(1_605 - len(ESCAPES))))
    yield lie("last escape byte missing", frame(escapes=ESCAPES[:-1]))
    yield lie("no escapes", frame(escapes=b""))
    yield lie("an escape without an end", frame(escapes=b"\xff" * len(ESCAPES)))
    for n in (0, N_WORDS - 1, N_WORDS + 1, 401, 1 << 62, (1 << 63) - 64):
        yield lie(f"{n} words, words as before", frame(n_words=n))
    yield lie("a word left over", frame(words=WORDS + b"\0\0"))
    yield lie("a word left over at the front", frame(words=WORDS[:128] + b"\1\1" + WORDS[128:]))
    yield lie("more words than keys", frame(words=WORDS + bytes(2 * (401 - N_WORDS))))
    yield lie("last word missing", frame(words=WORDS[:-2]))
    yield lie("all words missing", frame(words=WORDS[:128]))
    yield lie("half a word too much", frame(words=WORDS + b"\0"))
    for lane in (0, 8, 31):
        for state in (0, 1, 0xFFFF):
            yield lie(f"lane {lane} starts at {state}", frame(words=with_state(WORDS, lane, state)))
    for start in ((1 << 16) + 1, (1 << 32) - 1, 1 << 20):
        words = spec.words_of(CODED.lanes, CODED.contexts, CODED.symbols, TABLES, start)
        yield lie(f"final states {start}", frame(words=words))
    f = struct.pack("<128H", *any_table(0))  # a state that is the slot of rank 1: with a word of 0 it leads to 2^16
    words = struct.pack("<I", spec.slot_of(f, 9 << 2, 1)) + struct.pack("<I", 1 << 16) * 31 + b"\0\0"
    header, side = spec.header_of(plain(1), 8 * 20, None, 0, 1), (spec.tables_frame([any_table(0)] * 96),)
    data = (18 << 2).to_bytes(2, "little")
    yield "a state below 2^16 that ends well", stored(PREDICTOR, header, b"\0", b"", words), data, side
    made, data, side = framed(some_keys(24), plain(8), BASE, [0] * 3)
    for lane in (3, 31):  # of which the block has no row
        at = made.index(struct.pack("<I", 1 << 16) * 29) + 4 * (lane - 3)
        other = made[:at] + struct.pack("<I", (1 << 16) + 1) + made[at + 4 :]
        yield f"unused lane {lane} is not 2^16", other, data, side


def with_state(words: bytes, lane: int, state: int) -> bytes:
    return words[: 4 * lane] + struct.pack("<I", state) + words[4 * lane + 4 :]


def key_lies() -> Iterator[Lie]:
    """One key: what its symbol and its nibbles lead to. Base is R."""

    def lie(what: str, base: int, symbol: int, nibbles: Sequence[int] = ()) -> Lie:
        return what, *one_key(0, base, symbol, nibbles)

    for t in (2, 3):
        for sign in (0, 64):
            yield lie(f"r of 0 and t of {t}, sign {sign}", 8 * 20, sign | t)
            yield lie(f"r of 0 and t of {t}, sign {sign}, escaped", 8 * 20, sign | t, [3, t])
    for t in (4, 5, 8, 15):
        yield lie(f"a nibble t of {t}", 8 * 20, 1, [3, t])
    yield lie("an exponent below 0 by a distance", 8 * 20, 1, [10, 1])
    yield lie("an exponent far below 0", 8 * 20, 65, [15, 15, 15, 15, 0, 1])
    yield lie("an exponent below 0, distance 0", 8 * 10 + 7, 1, [0, 0])
    yield lie("an exponent below 0 as it is", 8 * 5, 1 << 2)
    yield lie("an exponent below 0 as it is, distance left over", 8 * 5, 1 << 2, [0, 0])
    yield lie("escapes run out", 8 * 20, 1)
    yield lie("escapes run out before t", 8 * 20, 1, [15, 3])
    yield lie("escapes run out before t of 15s", 8 * 60, 1, [15, 15])
    yield lie("a zero with a distance", 8 * 20, 0, [9, 0])
    yield lie("a -0 with a distance", 8 * 20, 64, [9, 0])
    yield lie("an escape of a symbol inside", 8 * 20, 3 << 2, [0, 0])
    yield lie("a distance without t", 8 * 20, 15 << 2, [15, 15])
    yield lie("a t after a distance above", 8 * 20, 15 << 2, [15, 0, 1, 0])
    yield lie("a nibble left over that is not 0", 8 * 20, 15 << 2, [3, 1])
    yield lie("a nibble left over that is not 0, after t", 8 * 60, 1, [15, 3, 1, 1])
    yield "more escape bytes than there may be, all used", *one_key(324 << 2, 8 * 20, 15 << 2, spec.nibbles_of(300))
    keys = some_keys(64, 2_000, 2_001)
    for distance in (8_191 - 2_000 - 4, 8_192 - 2_000 - 4):  # keys of r = 11 but for one
        made, data, side = far_key(keys, distance)
        if distance == 8_192 - 2_000 - 4:
            yield "an exponent of 2^13", made, data, side
        else:
            spec_decoder.decode_frame(made, len(data), side)
    yield "r of 15 and an exponent below 0", *below_by_columns(15 << 2, [0, 0])
    yield "r of 14 and an exponent below 0", *below_by_columns(14 << 2, [])


def far_key(keys: Any, distance: int) -> tuple[bytes, bytes, tuple[bytes, ...]]:
    """The last of these keys, as a distance above a level of exponent 2,000."""
    tables = [*map(any_table, range(96))]
    made = spec.coded(keys, plain(64), 16_000, [0], None, None)
    symbols = [*made.symbols[:-1], 15 << 2]
    nibbles = [*made.nibbles, *spec.nibbles_of(distance)]
    words, escapes = spec.words_of(made.lanes, made.contexts, symbols, tables), spec.nibble_bytes(nibbles)
    header = spec.header_of(plain(64), 16_000, None, len(escapes), len(words) // 2 - 64)
    return stored(PREDICTOR, header, b"\0", escapes, words), keys.tobytes(), (spec.tables_frame(tables),)


def below_by_columns(symbol: int, nibbles: Sequence[int]) -> tuple[bytes, bytes, tuple[bytes, ...]]:
    """One key whose R is -128, by its column."""
    tables = [*map(any_table, range(96))]
    words, escapes = spec.words_of([0], [0], [symbol], tables), spec.nibble_bytes(nibbles)
    header = spec.header_of(plain(1)._replace(columns=1), 0, None, len(escapes), len(words) // 2 - 64)
    return stored(PREDICTOR, header, b"\0", escapes, words), bytes(2), (spec.tables_frame(tables), b"\x80")
