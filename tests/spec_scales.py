"""The stage `scales`, as its page says; part of spec_stages.py."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from spec_entropy import Table, table_of, unrans
from spec_wire import Cursor, Side, Stage, need

PRECISION = 14  # log2 of the slots of a table
PHASES = 8


def side_frame(side: Side, number: int) -> bytes:
    need(number < len(side), "scales: no such side frame")
    return side[number]


def tables_of(data: bytes, m: int) -> list[Table]:
    need(len(data) == 16 << (4 + m), "scales: size of the tables")
    frequencies = np.frombuffer(data, "<u2").reshape(PHASES, 1 << (4 + m)).tolist()
    for f in frequencies:
        need(sum(f) == 1 << PRECISION and max(f) < 1 << PRECISION, "scales: frequencies")
    return [table_of(f, PRECISION) for f in frequencies]


class Escapes:
    """Distances, read nibble by nibble."""

    def __init__(self, data: bytes) -> None:
        self.nibbles, self.at = [nibble for byte in data for nibble in (byte & 15, byte >> 4)], 0

    def nibble(self) -> int:
        need(self.at < len(self.nibbles), "scales: escapes run out")
        self.at += 1
        return self.nibbles[self.at - 1]

    def next(self) -> int:
        distance = 0
        while (nibble := self.nibble()) == 15:
            distance += nibble
        return distance + nibble

    def end(self) -> None:
        left = self.nibbles[self.at :]
        need(len(left) < 2, "scales: escapes left over")
        need(not any(left), "scales: nibble left over is not 0")


def columns_of(side: Side, number: int, at: int, n: int) -> NDArray[np.int64]:
    """n column scales from byte `at` of a side frame on; `number`: one more than the frame's, as in the header."""
    frame = side_frame(side, number - 1)
    need(at + n <= len(frame), "scales: columns beyond their side frame")
    return np.frombuffer(frame, np.int8, n, at).astype(np.int64)


def row_scales(position: NDArray[np.int64], d: int, shared: int) -> NDArray[np.int64]:
    """Of each position, counted from that of the first."""
    number = position // d * -(-d // shared) + position % d // shared
    return number - number[0]


def scales(header: Cursor, size: int, side: Side) -> Stage:
    m, first, d, shared, g = header.fixed(1), header.varint(), header.varint(), header.varint(), header.varint()
    base, tables_number, columns_number = header.varint(), header.varint(), header.varint()
    columns_at = header.varint() if columns_number else 0
    n_escape_bytes, n_words = header.varint(), header.varint()
    need(m <= 3, "scales: m")
    need(size > 0 and size % 2 == 0, "scales: size")
    n = size // 2
    need(first + n < 1 << 48, "scales: position")
    need(1 <= d <= 1 << 40, "scales: keys of a row")
    need(1 <= shared <= d, "scales: keys of a row scale")
    need(1 <= g <= d, "scales: keys of a column scale")
    need(base < 24_576, "scales: base")
    need(n_escape_bytes <= 4 * n + 4, "scales: n_escape_bytes")
    need(n_words <= n, "scales: n_words")
    tables = tables_of(side_frame(side, tables_number), m)
    columns = columns_of(side, columns_number, columns_at, -(-d // g)) if columns_number else np.zeros(1, np.int64)
    position = first + np.arange(n, dtype=np.int64)
    row_scale = row_scales(position, d, shared)
    column = position % d // g if columns_number else np.zeros(n, np.int64)
    n_rows = int(row_scale[-1]) + 1

    def undo(parts: list[bytes]) -> bytes:
        rows = np.frombuffer(parts[0], np.uint8).astype(np.int64)
        level = base + 2 * rows[row_scale] + columns[column]
        symbol = unrans(parts[2], n_words, tables, level % PHASES, PRECISION)
        r, t = symbol >> m, symbol & ((1 << m) - 1)
        e = level // PHASES - 11 + r
        escapes = Escapes(parts[1])
        for i in np.flatnonzero((r == 0) | (r == 15)):
            e[i] += escapes.next() if r[i] else -escapes.next()
        escapes.end()
        key = e << m | t
        need((e >= 0).all() and (key < 1 << 16).all(), "scales: key")
        return key.astype("<u2").tobytes()

    return Stage((n_rows, n_escape_bytes, 128 + 2 * n_words), undo)
