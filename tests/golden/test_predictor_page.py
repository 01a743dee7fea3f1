"""What our encoder of `linear_predictor` makes of much input, given the model: the core, and spec_predicted.py."""

from __future__ import annotations

import numpy as np
import pytest
import spec_predicted
import spec_predictor
from numpy.typing import NDArray
from spec_predictor import Predictor, Triangle
from spec_scaled import MAX_BASE, Geometry, columns_frame, our_rows

from pennyweight import native

U8 = NDArray[np.uint8]
UNIFORM = [[128] * 128] * 96


def skewed() -> list[list[int]]:
    """Other frequencies in each context, none for what lies far outside; no table at all for two contexts."""
    tables = []
    for context in range(96):
        f = [int(90 * 0.8 ** abs((s >> 2 & 15) - 9 - context % 3)) for s in range(128)]
        f[5] += (1 << 14) - sum(f)
        tables.append(f if context not in (40, 77) else [0] * 128)
    return tables


def some_predictor(rng: np.random.Generator, d: int) -> Predictor | None:
    """Bands of a divisor of d."""
    widths = [w for w in range(2, d + 1) if d % w == 0]
    if not widths or rng.random() < 0.2:
        return None
    w = int(rng.choice(widths))
    size, bias = int(rng.choice([2, 30, 128])), int(rng.choice([1, 300, 1 << 15]))
    triangles = []
    for _ in range(int(rng.integers(1, d // w + 1))):
        rows = [rng.integers(-size, size, j).tolist() for j in range(w)]
        triangles.append(Triangle(rng.integers(-bias, bias, w).tolist(), rows))
    low, high = [(-20, 10), (-128, 128), (-1, 1)][rng.integers(3)]
    return Predictor(w, triangles, rng.integers(low, high, d).tolist())


class Case:
    """Keys of a block, or of whole rows from the first on, and a model of any kind."""

    def __init__(self, seed: int, whole: bool = False) -> None:
        rng = np.random.default_rng(seed)
        n, d = int(rng.choice([1, 3, 31, 500, 1_200])), int(rng.choice([1, 2, 12, 64, 100, 300]))
        n = -(-n // d) * d if whole else n
        first = 0 if whole else int(rng.choice([0, 5, d, rng.integers(0, 1 << 40)]))
        shared, g = (int(rng.integers(1, d + 1)) for _ in range(2))
        self.at = Geometry(2, first, d, shared, g, 0, 1 if seed % 3 else None)
        self.columns: list[int] | None = None
        if seed % 3:
            self.columns = rng.integers(-rng.choice([1, 9, 60]), rng.choice([1, 9, 60]), -(-d // g)).tolist()
        self.predictor = some_predictor(rng, d)
        log2 = np.log2(np.abs(rng.standard_normal(n)) + 1e-9) + rng.choice([20, 125, 250, 1_000])
        log2 += self.at.column_scale(n, self.columns) / 8
        log2 = np.clip(log2, 0, 2_047.99)
        e = np.floor(log2).astype(np.int64)
        t = np.floor((2 ** (log2 - e) - 1) * 4).astype(np.int64)
        keys = rng.integers(0, 2, n) << 15 | e << 2 | t
        keys[rng.random(n) < rng.choice([0, 0.1, 0.9])] &= 0x8000
        keys[rng.random(n) < rng.choice([0, 0, 0.01, 0.1])] = rng.integers(0, 1 << 16)
        self.keys: NDArray[np.uint16] = keys.astype("<u2")

    def model(self) -> tuple[int, int, int, U8 | None, U8 | None, int, U8 | None]:
        """d, S, g, columns, triangles, w and residual scales, as the core takes them."""
        columns = None if self.columns is None else np.frombuffer(columns_frame(self.columns), np.uint8)
        at, fitted = self.at, self.predictor
        if fitted is None:
            return at.d, at.shared, at.g, columns, None, 0, None
        triangles = b"".join(map(spec_predicted.triangle_frame, fitted.triangles))
        residuals = spec_predicted.residuals_frame(fitted.scales)
        arrays = np.frombuffer(triangles, np.uint8), np.frombuffer(residuals, np.uint8)
        return at.d, at.shared, at.g, columns, arrays[0], fitted.w, arrays[1]


@pytest.mark.parametrize("kind", ["uniform", "skewed"])
def test_blocks_follow_the_page(kind: str, each_target: str) -> None:
    tables, taken = {"uniform": UNIFORM, "skewed": skewed()}[kind], 0
    stored = np.frombuffer(spec_predicted.tables_frame(tables), np.uint8)
    coder = native.PredictorCoder(stored)
    for seed in range(60):
        case = Case(seed)
        made, expected = spec_predicted.ours(case.keys, case.at, case.columns, case.predictor), None
        if made is not None and np.array(tables)[made[2].contexts, made[2].symbols].all():
            base, rows, coded = made
            words = spec_predicted.words_of(coded.lanes, coded.contexts, coded.symbols, tables)
            expected = base, bytes(rows), spec_predicted.nibble_bytes(coded.nibbles), words
        got = native.linear_predictor_encode(case.keys.view(np.uint8), coder, case.at.first, *case.model())
        assert (got and (got[0], *(part.tobytes() for part in got[1:]))) == expected, seed
        if got is None:
            continue
        out = np.zeros(2 * len(case.keys), np.uint8)
        assert native.linear_predictor_decode(stored, case.at.first, *case.model(), *got, out), seed
        assert out.tobytes() == case.keys.tobytes(), seed
        taken += 1
    assert 10 < taken < 60


def test_counts_follow_the_page(each_target: str) -> None:
    taken = 0
    for seed in range(40):
        case = Case(seed, whole=True)
        made, expected = spec_predicted.ours(case.keys, case.at, case.columns, case.predictor), None
        if made is not None:
            counts = np.zeros((96, 128), "<u4")
            np.add.at(counts, (made[2].contexts, made[2].symbols), 1)
            expected = counts.tobytes(), bytes(made[1]), len(spec_predicted.nibble_bytes(made[2].nibbles))
        got = native.linear_predictor_count(case.keys.view(np.uint8), *case.model())
        assert (got and (got[0].tobytes(), got[1].tobytes(), got[2])) == expected, seed
        taken += got is not None
    assert 10 < taken < 40


def test_values_follow_the_page(each_target: str) -> None:
    for seed in range(40):
        case = Case(seed, whole=True)
        base, rows = our_rows(case.keys & np.uint16(0x7FFF), case.at, case.columns)
        if base >= MAX_BASE:
            continue
        level = spec_predicted.levels(case.at, len(case.keys), base, rows, case.columns)
        expected = [
            spec_predictor.value(key >> 15, key >> 2 & 0x1FFF, key & 3, at)
            for key, at in zip(case.keys.tolist(), level, strict=True)
        ]
        d, shared, g, columns, *_ = case.model()
        got = native.linear_predictor_values(case.keys.view(np.uint8), d, shared, g, columns)
        assert got.view("<i2").tolist() == expected, seed
