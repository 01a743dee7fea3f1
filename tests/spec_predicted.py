"""The page of `linear_predictor` read from the encoder's side: frames of any geometry, predictor and tables."""

from __future__ import annotations

import functools
import struct
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from spec_nodes import Encoded, varint
from spec_predictor import CONTEXTS, SYMBOLS, Predictor, Triangle, buckets, coding_order, expect, value
from spec_scaled import MAX_BASE, Geometry, our_rows
from spec_scales import PRECISION

Table = Sequence[int]
"""128 frequencies."""


class Place(NamedTuple):
    """What a header says of the predictor; names as on the page, `number` for `predictor` less 1."""

    number: int
    w: int
    n_triangles: int  # T
    residuals: int
    residuals_at: int


class Coded(NamedTuple):
    """Of each key, in the order of coding; `nibbles`: the escapes. z, of each key in the order of the block."""

    lanes: list[int]
    contexts: list[int]
    symbols: list[int]
    nibbles: list[int]
    n_escapes: int
    z: list[int]


def levels(at: Geometry, n: int, base: int, rows: Sequence[int], columns: Sequence[int] | None) -> list[int]:
    made: NDArray[np.int64] = base + 2 * np.array(rows, np.int64)[at.row_scale(n)] + at.column_scale(n, columns)
    return made.tolist()


def nibbles_of(distance: int) -> list[int]:
    return [15] * (distance // 15) + [distance % 15]


def coded(
    keys: NDArray[np.uint16],
    at: Geometry,
    base: int,
    rows: Sequence[int],
    columns: Sequence[int] | None,
    predictor: Predictor | None,
) -> Coded:
    """Of `at`, m, tables and the like mean nothing here."""
    n, level = len(keys), levels(at, len(keys), base, rows, columns)
    made = Coded([], [], [], [], 0, [0] * n)
    n_escapes = 0
    for lane, i in coding_order(at.first, n, at.d):
        flipped, exponent, context = expect(predictor, (at.first + i) % at.d, i, made.z, level[i])
        key = int(keys[i])
        s, e, t = key >> 15, key >> 2 & 0x1FFF, key & 3
        r = min(15, max(0, e - exponent + 11))
        said = t
        if r == 0 and (e or t):
            made.nibbles.extend([*nibbles_of(exponent - 11 - e), t])
            said = 1
        if r == 15:
            made.nibbles.extend(nibbles_of(e - exponent - 4))
        n_escapes += r == 15 or (r == 0 and said == 1)
        made.lanes.append(lane)
        made.contexts.append(context)
        made.symbols.append((s ^ flipped) << 6 | r << 2 | said)
        made.z[i] = value(s, e, t, level[i])
    return made._replace(n_escapes=n_escapes)


def nibble_bytes(nibbles: Sequence[int]) -> bytes:
    even = [*nibbles, 0][: len(nibbles) + len(nibbles) % 2]
    return bytes(low | high << 4 for low, high in zip(even[::2], even[1::2], strict=True))


@functools.lru_cache(2 * CONTEXTS)
def whose(f: bytes) -> list[list[int]]:
    """Of each symbol: the buckets whose other slots are its own."""
    found: list[list[int]] = [[] for _ in range(SYMBOLS)]
    threshold, alias, _ = buckets(f)
    for b in range(SYMBOLS):
        if threshold[b] < (1 << PRECISION) // SYMBOLS:
            found[alias[b]].append(b)
    return found


def slot_of(f: bytes, symbol: int, rank: int) -> int:
    threshold, _, adjust = buckets(f)
    if rank < threshold[symbol]:
        return rank * SYMBOLS + symbol
    for b in whose(f)[symbol]:
        o = rank - adjust[b]
        if threshold[b] <= o < (1 << PRECISION) // SYMBOLS:
            return o * SYMBOLS + b
    raise AssertionError("a rank that no slot has")


def words_of(
    lanes: Sequence[int],
    contexts: Sequence[int],
    symbols: Sequence[int],
    tables: Sequence[Table],
    start: int = 1 << 16,
) -> bytes:
    """States and words. `start`: the state of every lane in the end; other than 2^16 it is a lie."""
    x, words = [start] * 32, list[int]()
    raw = [struct.pack(f"<{SYMBOLS}H", *f) for f in tables]
    for lane, context, symbol in zip(lanes[::-1], contexts[::-1], symbols[::-1], strict=True):
        f = tables[context][symbol]
        assert f, (context, symbol)
        if x[lane] >= f << (32 - PRECISION):
            words.append(x[lane] & 0xFFFF)
            x[lane] >>= 16
        whole, rank = divmod(x[lane], f)
        x[lane] = (whole << PRECISION) + slot_of(raw[context], symbol, rank)
    return struct.pack("<32I", *x) + struct.pack(f"<{len(words)}H", *words[::-1])


def header_of(at: Geometry, base: int, place: Place | None, n_escape_bytes: int, n_words: int) -> bytes:
    columns = [0] if at.columns is None else [1 + at.columns, at.columns_at]
    predictor = [0] if place is None else [1 + place.number, *place[1:]]
    numbers = at.first, at.d, at.shared, at.g, base, at.tables, *columns, *predictor, n_escape_bytes, n_words
    return b"".join(map(varint, numbers))


def linear_predictor(
    keys: NDArray[np.uint16],
    at: Geometry,
    base: int,
    rows: Sequence[int],
    columns: Sequence[int] | None,
    place: Place | None,
    predictor: Predictor | None,
    tables: Sequence[Table],
) -> Encoded:
    """`rows`: the row scales that the block touches. The side frames hold tables, columns and predictor."""
    made = coded(keys, at, base, rows, columns, predictor)
    words = words_of(made.lanes, made.contexts, made.symbols, tables)
    escapes = nibble_bytes(made.nibbles)
    return header_of(at, base, place, len(escapes), len(words) // 2 - 64), [bytes(rows), escapes, words]


# What our encoder writes


def ours(
    keys: NDArray[np.uint16], at: Geometry, columns: Sequence[int] | None, predictor: Predictor | None
) -> tuple[int, list[int], Coded] | None:
    """Base, row scales and what is coded of a block of ours, or None where it is declined whatever the tables are: row
    scales and rules are those of `scales` with m = 2, signs apart.
    """
    base, rows = our_rows(keys & np.uint16(0x7FFF), at, columns)
    if base >= MAX_BASE:
        return None
    made = coded(keys, at, base, rows, columns, predictor)
    far = 32 * made.n_escapes > len(keys) or len(nibble_bytes(made.nibbles)) > len(keys)
    return None if far else (base, rows, made)


# Side frames


def tables_frame(tables: Sequence[Table]) -> bytes:
    return np.array(tables).astype("<u2").tobytes()


def triangle_frame(triangle: Triangle) -> bytes:
    coefficients = [a for row in triangle.rows for a in row]
    return np.array(triangle.biases).astype("<i2").tobytes() + np.array(coefficients).astype("i1").tobytes()


def residuals_frame(scales: Sequence[int]) -> bytes:
    return np.array(scales).astype("i1").tobytes()
