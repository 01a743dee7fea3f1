"""What the page of `scales` says that our encoder writes, against much input: the stage, and spec_scaled.py."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import spec_scaled
from numpy.typing import NDArray

from pennyweight.stages.entropy.scales import Scales, ScalesModel
from pennyweight.stages.matrix import Geometry


def uniform(m: int) -> list[list[int]]:
    return [[(1 << 14) >> (4 + m)] * (1 << (4 + m))] * 8


def skewed(m: int) -> list[list[int]]:
    """Of other frequencies in each phase, some of them 0 at the ends."""
    tables = []
    for phase in range(8):
        f = [int(100 * 0.9 ** abs(s - (8 + phase % 3 << m))) for s in range(1 << (4 + m))]
        f[8 << m] += (1 << 14) - sum(f)
        tables.append(f)
    return tables


def some_keys(seed: int, m: int) -> tuple[NDArray[np.uint16], spec_scaled.Geometry, list[int] | None]:
    rng = np.random.default_rng(seed)
    n = int(rng.choice([1, 3, 127, 128, 129, 500, 2_000]))
    d = int(rng.choice([1, 2, 7, 64, 100, 1_000]))
    shared, g = (int(rng.integers(1, d + 1)) for _ in range(2))
    first = int(rng.choice([0, 5, d, rng.integers(0, 1 << 40)]))
    columns = rng.integers(-rng.choice([1, 9, 60, 128]), rng.choice([1, 9, 60, 128]), -(-d // g)).tolist()
    at = spec_scaled.Geometry(m, first, d, shared, g, 3, 5, 2)
    if seed % 3 == 0:
        at, columns = at._replace(columns=None, columns_at=0), None
    scale = (
        at.column_scale(n, columns) / 8
        + rng.normal(0, rng.choice([0, 2, 12]), int(at.row_scale(n)[-1]) + 1)[at.row_scale(n)]
    )
    log2 = np.log2(np.abs(rng.standard_normal(n)) + 1e-9) + rng.choice([20, 125, 250, 1_000]) + scale
    log2[rng.random(n) < rng.choice([0, 0, 0.02, 0.2])] = 0
    log2 = np.clip(log2, 0, 2_047.99)
    e = np.floor(log2)
    t = np.floor((2 ** (log2 - e) - 1) * (1 << m))
    keys: NDArray[np.uint16] = (e.astype(np.int64) << m | t.astype(np.int64)).astype("<u2")
    return keys, at, columns


@pytest.mark.parametrize("m", range(4))
@pytest.mark.parametrize("tables_of", [uniform, skewed])
def test_scales_follows_its_page(tables_of: Callable[[int], list[list[int]]], m: int, each_target: str) -> None:
    """Given what training learns, which is its own affair: geometry, column scales and tables."""
    tables, taken = tables_of(m), 0
    for seed in range(90):
        keys, at, columns = some_keys(seed, m)
        model = ScalesModel(
            Geometry(at.d, at.shared, at.g),
            spec_scaled.tables_frame(tables),
            at.tables,
            None if columns is None else spec_scaled.columns_frame(columns),
            (at.columns or 0, at.columns_at),
        )
        expected = spec_scaled.our_scales(keys, at, columns, tables)
        made = Scales(m, model, at.first).encode(keys.view(np.uint8))
        assert (made and (made.header, [part.tobytes() for part in made.parts])) == expected, seed
        taken += expected is not None
    assert 10 < taken < 90
