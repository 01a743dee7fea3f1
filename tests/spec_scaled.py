"""The page of `scales` read from the encoder's side: frames of any geometry, and the row scales that ours takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from spec_nodes import Encoded, Ints, interleaved, varint

MAX_BASE = 24_576
THRESHOLDS = 34219, 37316, 40693, 44376, 48393, 52772, 57549, 62757
POWERS = 32768, 30048, 27554, 25268, 23170, 21247, 19484, 17867


class Geometry(NamedTuple):
    """Where the keys of a block stand, and which side frames belong to their tensor; names as on the page."""

    m: int
    first: int
    d: int
    shared: int  # S
    g: int
    tables: int  # number of a side frame
    columns: int | None  # the same
    columns_at: int = 0  # where they begin in it

    def row_scale(self, n: int) -> Ints:
        """Number of each key's row scale within the block."""
        position = self.first + np.arange(n, dtype=np.int64)
        t = position // self.d * -(-self.d // self.shared) + position % self.d // self.shared
        numbers: Ints = t - t[0]
        return numbers

    def column_scale(self, n: int, columns: Sequence[int] | None) -> Ints:
        """The column scale of each key."""
        if columns is None:
            return np.zeros(n, np.int64)
        position = self.first + np.arange(n, dtype=np.int64)
        taken: Ints = np.array(columns, np.int64)[position % self.d // self.g]
        return taken


class Symbols(NamedTuple):
    phase: Ints
    symbol: Ints
    distances: list[int]
    """Of the escapes, in order."""


def symbols(
    keys: NDArray[np.uint16], at: Geometry, base: int, rows: Sequence[int], columns: Sequence[int] | None
) -> Symbols:
    e, t = keys.astype(np.int64) >> at.m, keys.astype(np.int64) & ((1 << at.m) - 1)
    level = base + 2 * np.array(rows, np.int64)[at.row_scale(len(e))] + at.column_scale(len(e), columns)
    reference = level // 8
    r = np.clip(e - reference + 11, 0, 15)
    distance = np.where(r == 0, reference - 11 - e, e - reference - 4)[(r == 0) | (r == 15)]
    return Symbols(level % 8, r << at.m | t, distance.tolist())


def escape_bytes(distances: Sequence[int]) -> bytes:
    nibbles = [nibble for v in distances for nibble in [15] * (v // 15) + [v % 15]]
    nibbles += [0] * (len(nibbles) % 2)
    return bytes(low | high << 4 for low, high in zip(nibbles[::2], nibbles[1::2], strict=True))


def tables_frame(tables: Sequence[Sequence[int]]) -> bytes:
    return np.array(tables).astype("<u2").tobytes()


def columns_frame(columns: Sequence[int]) -> bytes:
    return np.array(columns).astype("i1").tobytes()


def header_of(at: Geometry, base: int, n_escape_bytes: int, n_words: int) -> bytes:
    columns = [0] if at.columns is None else [1 + at.columns, at.columns_at]
    numbers = at.first, at.d, at.shared, at.g, base, at.tables, *columns, n_escape_bytes, n_words
    return bytes([at.m]) + b"".join(map(varint, numbers))


def scales(
    keys: NDArray[np.uint16],
    at: Geometry,
    base: int,
    rows: Sequence[int],
    columns: Sequence[int] | None,
    tables: Sequence[Sequence[int]],
) -> Encoded:
    """`rows`: the row scales that the block touches. The side frames hold `tables` and `columns`."""
    made = symbols(keys, at, base, rows, columns)
    words = interleaved(made.symbol, tables, made.phase, 14)
    escapes = escape_bytes(made.distances)
    return header_of(at, base, len(escapes), len(words) // 2 - 64), [bytes(rows), escapes, words]


# What our encoder writes


def mean_level(e: Sequence[int], t: Sequence[int], m: int, c: Sequence[int]) -> int:
    """The level of the mean magnitude of the keys of one row scale, c the column scale of each."""
    taken_off = [exponent - scale // 8 for exponent, scale in zip(e, c, strict=True)]
    top = max(taken_off)
    total = 0
    for exponent, mantissa, scale in zip(taken_off, t, c, strict=True):
        u = (2 ** (m + 1) | 2 * mantissa | 1) * 2 ** (3 - m)
        total += (u * POWERS[scale % 8] * 2**20) >> (top - exponent)
    mean = total // len(e)
    if mean == 0:
        return 0
    whole = mean.bit_length() - 1
    k = sum(mean << 15 >= threshold << whole for threshold in THRESHOLDS)
    return max(0, 8 * (top + whole - 39) + k)


def our_rows(keys: NDArray[np.uint16], at: Geometry, columns: Sequence[int] | None) -> tuple[int, list[int]]:
    """Base and row scales."""
    e, t = keys.astype(np.int64) >> at.m, keys.astype(np.int64) & ((1 << at.m) - 1)
    number, c = at.row_scale(len(e)), at.column_scale(len(e), columns)
    levels = []
    for row in range(int(number[-1]) + 1):
        own = number == row
        levels.append(mean_level(e[own].tolist(), t[own].tolist(), at.m, c[own].tolist()))
    base = max(min(levels), max(levels) - 510) // 2 * 2
    return base, [min(255, max(0, (level - base + 1) // 2)) for level in levels]


def our_scales(
    keys: NDArray[np.uint16], at: Geometry, columns: Sequence[int] | None, tables: Sequence[Sequence[int]]
) -> Encoded | None:
    """A block of ours, or None where it is declined."""
    base, rows = our_rows(keys, at, columns)
    made = symbols(keys, at, base, rows, columns)
    if base >= MAX_BASE or len(escape_bytes(made.distances)) > len(keys):
        return None
    if 32 * len(made.distances) > len(keys) or not np.array(tables)[made.phase, made.symbol].all():
        return None
    return scales(keys, at, base, rows, columns, tables)
