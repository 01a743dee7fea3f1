"""The stage `linear_predictor`, as its page says, key after key; part of spec_stages.py."""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from spec_entropy import Buckets, buckets_of
from spec_scales import PRECISION, Escapes, columns_of, row_scales, side_frame
from spec_wire import Cursor, Side, Stage, need

LANES, CONTEXTS, SYMBOLS = 32, 96, 128
POWERS = 32768, 30048, 27554, 25268, 23170, 21247, 19484, 17867  # T8
CLASSES = 2, 5, 8, 12, 17, 24, 36, 64, 112, 208, 400
MAX_E = 1 << 13


# Order


def coding_order(first: int, n: int, d: int) -> Iterator[tuple[int, int]]:
    """Lane and number in the block of each key, as they are coded."""
    begin, end = first // d, (first + n - 1) // d + 1
    for batch in range(begin, end, LANES):
        n_lanes = min(LANES, end - batch)
        for j in range(d):
            for lane in range(n_lanes):
                i = (batch + lane) * d + j - first
                if 0 <= i < n:
                    yield lane, i


# Prediction


def value(s: int, e: int, t: int, level: int) -> int:
    """z of a key."""
    z = ((9 | 2 * t) * POWERS[level % 8]) >> min(31, max(4, 8 + level // 8 - e))
    return -z if s else z


class Triangle(NamedTuple):
    biases: list[int]
    rows: list[list[int]]
    """A: row j has j coefficients."""


class Predictor(NamedTuple):
    w: int
    triangles: list[Triangle]
    scales: list[int]
    """Residual scales."""

    def predict(self, j: int, known: Sequence[int]) -> int:
        """u of place j of a row; `known`: the z of the places before it in its band."""
        biases, rows = self.triangles[j // self.w % len(self.triangles)]
        total = sum(a * z for a, z in zip(rows[j % self.w], known, strict=True))
        total = (total + (1 << 31)) % (1 << 32) - (1 << 31)
        return (total >> 6) + biases[j % self.w]


def triangle_of(data: bytes, w: int) -> Triangle:
    need(len(data) == 2 * w + w * (w - 1) // 2, "linear_predictor: size of a triangle")
    coefficients = np.frombuffer(data, np.int8, offset=2 * w).tolist()
    rows = [coefficients[j * (j - 1) // 2 : j * (j - 1) // 2 + j] for j in range(w)]
    return Triangle(np.frombuffer(data, "<i2", w).tolist(), rows)


# Context


class Expected(NamedTuple):
    """What is known of a key before it is."""

    flipped: int  # 1 where the sign is coded as its opposite
    exponent: int  # R div 8
    context: int


def expected(u: int, level: int, x: int) -> Expected:
    """With a predictor; x: the residual scale of the place."""
    a = min(abs(u), 32767)
    v = min(511, (a * (POWERS[x % 8] >> 5)) >> min(31, max(0, 16 + x // 8)))
    c = sum(threshold <= v for threshold in CLASSES)
    if c < 7:
        reference = level + x
    else:
        log2 = a.bit_length() - 1
        reference = level + 8 * log2 + (8 * a >> log2) - 88
    return Expected(int(u < 0), reference // 8, 12 * (reference % 8) + c)


def expect(predictor: Predictor | None, j: int, i: int, z: Sequence[int], level: int) -> Expected:
    """Of key i of the block, at place j of its row; z: of the keys of the block, as far as they are known."""
    if predictor is None:
        return Expected(0, level // 8, 12 * (level % 8))
    before = j % predictor.w
    known = [0] * (before - i) + list(z[max(0, i - before) : i])
    return expected(predictor.predict(j, known), level, predictor.scales[j])


# Coding


@functools.lru_cache(CONTEXTS)
def buckets(f: bytes) -> Buckets:
    return buckets_of(np.frombuffer(f, "<u2").tolist(), PRECISION)


class Tables:
    def __init__(self, data: bytes) -> None:
        need(len(data) == 2 * SYMBOLS * CONTEXTS, "linear_predictor: size of the tables")
        self.raw = [data[at : at + 2 * SYMBOLS] for at in range(0, len(data), 2 * SYMBOLS)]
        self.frequencies = np.frombuffer(data, "<u2").reshape(CONTEXTS, SYMBOLS).tolist()
        for f in self.frequencies:
            need(not any(f) or (sum(f) == 1 << PRECISION and max(f) < 1 << PRECISION), "linear_predictor: frequencies")

    def slot(self, context: int, number: int) -> tuple[int, int, int]:
        """Symbol, rank and frequency."""
        f = self.frequencies[context]
        need(any(f), "linear_predictor: a key of a context without a table")
        threshold, alias, adjust = buckets(self.raw[context])
        o, b = divmod(number, SYMBOLS)
        symbol, rank = (b, o) if o < threshold[b] else (alias[b], o + adjust[b])
        return symbol, rank, f[symbol]


class Lanes:
    """States and words."""

    def __init__(self, part: bytes, n_words: int, tables: Tables) -> None:
        self.x = list(struct.unpack_from(f"<{LANES}I", part))
        self.words = struct.unpack_from(f"<{n_words}H", part, 4 * LANES)
        self.used, self.tables = 0, tables
        need(min(self.x) >= 1 << 16, "linear_predictor: state below 2^16")

    def next(self, lane: int, context: int) -> int:
        symbol, rank, f = self.tables.slot(context, self.x[lane] % (1 << PRECISION))
        x = f * (self.x[lane] >> PRECISION) + rank
        if x < 1 << 16:
            need(self.used < len(self.words), "linear_predictor: words run out")
            x = (x << 16) + self.words[self.used]
            self.used += 1
        self.x[lane] = x
        return symbol

    def end(self) -> None:
        need(self.used == len(self.words), "linear_predictor: words left over")
        need(set(self.x) == {1 << 16}, "linear_predictor: final state")


def fields(symbol: int, exponent: int, escapes: Escapes) -> tuple[int, int]:
    """e and t; `exponent`: R div 8."""
    r, t = symbol >> 2 & 15, symbol & 3
    if r == 0:
        need(t <= 1, "linear_predictor: r of 0 and t above 1")
        if t == 0:
            return 0, 0
        e = exponent - 11 - escapes.next()
        t = escapes.nibble()
        need(t <= 3, "linear_predictor: nibble of t")
    else:
        e = exponent - 11 + r + (escapes.next() if r == 15 else 0)
    need(0 <= e < MAX_E, "linear_predictor: e")
    return e, t


def linear_predictor(header: Cursor, size: int, side: Side) -> Stage:
    first, d, shared, g, base = (header.varint() for _ in range(5))
    tables_number, columns_number = header.varint(), header.varint()
    columns_at = header.varint() if columns_number else 0
    predictor_number = header.varint()
    w, n_triangles, residuals, residuals_at = (header.varint() if predictor_number else 0 for _ in range(4))
    n_escape_bytes, n_words = header.varint(), header.varint()
    need(size > 0 and size % 2 == 0, "linear_predictor: size")
    n = size // 2
    need(first + n < 1 << 48, "linear_predictor: position")
    need(1 <= d <= 65_536, "linear_predictor: keys of a row")
    need(1 <= shared <= d, "linear_predictor: keys of a row scale")
    need(1 <= g <= d, "linear_predictor: keys of a column scale")
    need(base < 24_576, "linear_predictor: base")
    need(n_escape_bytes <= 4 * n + 4, "linear_predictor: n_escape_bytes")
    need(n_words <= n, "linear_predictor: n_words")
    tables = Tables(side_frame(side, tables_number))
    position = first + np.arange(n, dtype=np.int64)
    row_scale, column_scale = row_scales(position, d, shared), np.zeros(n, np.int64)
    if columns_number:
        column_scale = columns_of(side, columns_number, columns_at, -(-d // g))[position % d // g]
    predictor = None
    if predictor_number:
        need(2 <= w <= 1_024 and d % w == 0, "linear_predictor: keys of a band")
        need(1 <= n_triangles <= d // w, "linear_predictor: number of triangles")
        frame = side_frame(side, residuals)
        need(residuals_at + d <= len(frame), "linear_predictor: residual scales beyond their side frame")
        triangles = [triangle_of(side_frame(side, predictor_number - 1 + i), w) for i in range(n_triangles)]
        predictor = Predictor(w, triangles, np.frombuffer(frame, np.int8, d, residuals_at).tolist())

    def undo(parts: list[bytes]) -> bytes:
        rows = np.frombuffer(parts[0], np.uint8).astype(np.int64)
        level = (base + 2 * rows[row_scale] + column_scale).tolist()
        escapes, lanes = Escapes(parts[1]), Lanes(parts[2], n_words, tables)
        z, keys = [0] * n, [0] * n
        for lane, i in coding_order(first, n, d):
            flipped, exponent, context = expect(predictor, (first + i) % d, i, z, level[i])
            symbol = lanes.next(lane, context)
            s = symbol >> 6 ^ flipped
            e, t = fields(symbol, exponent, escapes)
            z[i], keys[i] = value(s, e, t, level[i]), s << 15 | e << 2 | t
        lanes.end()
        escapes.end()
        return struct.pack(f"<{n}H", *keys)

    return Stage((int(row_scale[-1]) + 1, n_escape_bytes, 128 + 2 * n_words), undo)
