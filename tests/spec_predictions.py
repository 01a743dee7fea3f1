"""Frames of `linear_predictor` whose every choice is made at random; for spec_maker.py."""

from __future__ import annotations

import numpy as np
from spec_data import Dice
from spec_nodes import Encoded
from spec_predicted import (
    Place,
    coded,
    levels,
    linear_predictor,
    residuals_frame,
    tables_frame,
    triangle_frame,
)  # fmt: skip
from spec_predictor import CONTEXTS, SYMBOLS, Predictor, Triangle
from spec_scaled import MAX_BASE, Geometry, columns_frame, our_rows

MAX_COLUMNS = 3_000


class Predictions(Dice):
    """`side`: the decoded side frames that the frames so far name."""

    def __init__(self, seed: int, newest: bool = True) -> None:
        super().__init__(seed, newest)
        self.side: list[bytes] = []

    def linear_predictor(self, data: bytes) -> Encoded | None:
        """Of any geometry, any scales and any predictor; None where these leave too many far outside."""
        keys = np.frombuffer(data, "<u2")
        n, predictor, place = len(keys), None, None
        number, w = len(self.side), self.pick(0, 2, 3, 16, 2 + self.below(100))
        n_bands = self.pick(1, 2, 3, 1 + self.below(9))
        d = w * n_bands or self.pick(1, 2, 64, 1 + self.below(300), 65_536)
        shared, g = (min(d, self.pick(1, d, 64, 1 + self.below(d))) for _ in range(2))
        first = self.pick(0, self.below(4 * n), self.below(d), (1 << 48) - n - 1)
        columns = None
        if -(-d // g) <= MAX_COLUMNS and self.chance(0.6):
            columns = self.rng.integers(-self.pick(1, 8, 128), self.pick(1, 9, 128), -(-d // g)).tolist()
        at = Geometry(2, first, d, shared, g, number, None if columns is None else number + 1, self.pick(0, 0, 1, 300))
        rows = self.rng.integers(0, self.pick(1, 9, 60, 256), int(at.row_scale(n)[-1]) + 1).tolist()
        base = 8 * int(np.median(keys >> 2 & 0x1FFF)) - 2 * int(np.median(rows)) + self.below(40)
        base = min(max(0, base), MAX_BASE - 1)
        if self.chance(0.6):
            base, rows = our_rows(keys & 0x7FFF, at, columns)
        level, e = np.array(levels(at, n, base, rows, columns)), keys >> 2 & 0x1FFF
        if base >= MAX_BASE or (abs(e - level // 8) // 15)[keys & 0x7FFF > 0].sum() > 8 * n:
            return None
        if w:
            predictor = self.predictor(w, d, self.pick(1, min(2, n_bands), n_bands, 1 + self.below(n_bands)))
            place = Place(number + 3, w, len(predictor.triangles), number + 2, self.pick(0, 0, 1, 300))
        made = coded(keys, at, base, rows, columns, predictor)
        if len(made.nibbles) > 8 * n:
            return None
        tables = self.contextual_tables(made.contexts, made.symbols)
        encoded = linear_predictor(keys, at, base, rows, columns, place, predictor, tables)
        before, after = (self.rng.bytes(self.pick(0, 0, 1, 300)) for _ in range(2))
        self.side += [tables_frame(tables), self.rng.bytes(at.columns_at) + columns_frame(columns or [0]) + after]
        if predictor is not None and place is not None:
            self.side.append(self.rng.bytes(place.residuals_at) + residuals_frame(predictor.scales) + before)
            self.side += map(triangle_frame, predictor.triangles)
        return encoded

    def predictor(self, w: int, d: int, n_triangles: int) -> Predictor:
        """Of coefficients and biases near 0 and as large as they may be."""
        triangles = []
        for _ in range(n_triangles):
            size, bias = self.pick(1, 20, 128), self.pick(1, 500, 1 << 15)
            rows = [self.rng.integers(-size, size, j).tolist() for j in range(w)]
            triangles.append(Triangle(self.rng.integers(-bias, bias, w).tolist(), rows))
        low, high = self.pick((-20, 10), (-128, 128), (-1, 1))
        return Predictor(w, triangles, self.rng.integers(low, high, d).tolist())

    def contextual_tables(self, contexts: list[int], symbols: list[int]) -> list[list[int]]:
        """Any that code these symbols in these contexts; others have a table or none."""
        used: dict[int, set[int]] = {}
        for context, symbol in zip(contexts, symbols, strict=True):
            used.setdefault(context, set()).add(symbol)
        others = self.pick(0, 0, 0.3, 1)
        made = []
        for context in range(CONTEXTS):
            given = context in used or self.chance(others)
            made.append(self.shares(used.get(context, set()), SYMBOLS, 1 << 14) if given else [0] * SYMBOLS)
        return made
