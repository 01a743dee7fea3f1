"""Static tables from counts of symbols, in whole numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

SLOTS: Final = 1 << 14
ONE: Final = 1 << 16
"""A bit, in prices."""

MAX_SETS: Final = 4
_ROUNDS: Final = 4
_SEEDS: Final = 4


def log2(values: Ints) -> Ints:
    """In 1 / ONE, off by less than 0.002; values of at least 1, below 2**46.

    Not along the straight line of floatfields.md: that is 0.06 too low on average, more than many tensors gain.
    """
    whole = np.searchsorted(1 << np.arange(47, dtype=np.int64), values, side="right") - 1
    x = ((values << 16) >> whole) - ONE  # the value is 2 ** whole * (1 + x)
    bulge = x * (ONE - x) >> 16
    made: Ints = ONE * whole + x + (bulge * (27_689 - (10_189 * x >> 16)) >> 16)
    return made


def price(counts: Ints) -> int:
    """What the symbols of each row would cost an ideal coder that knows the row's counts, in 1 / ONE bit."""
    totals = counts.sum(axis=-1, keepdims=True)
    return int((counts * (log2(np.maximum(totals, 1)) - log2(np.maximum(counts, 1)))).sum())


def frequencies(counts: Ints) -> Ints:
    """(contexts, A) counts to frequencies that add up to 2**14 in each context.

    None is 0: a block may hold what no sample does.
    """
    alphabet = counts.shape[1]
    known = np.where(counts.sum(axis=1, keepdims=True) > 0, counts, 1)
    total = known.sum(axis=1, keepdims=True)
    exact = np.minimum(known * SLOTS // total, SLOTS - alphabet)
    made: Ints = np.maximum(exact, 1)
    for row, rest, f in zip(known, (known * SLOTS) % total, made, strict=True):
        short = SLOTS - int(f.sum())
        if short > 0:  # to the largest remainders, the first of equals
            f[np.argsort(-rest, kind="stable")[: short % alphabet]] += 1
            f += short // alphabet
        while short < 0:  # from the most frequent, one each
            largest = np.argsort(-row, kind="stable")
            giving = largest[f[largest] > 1][:-short]
            f[giving] -= 1
            short += len(giving)
    return made


def costs(counts: Ints, tables: Sequence[Ints]) -> Ints:
    """(n, contexts, A) counts and k tables to (n, k): what the symbols cost with these frequencies, in 1 / ONE bit."""
    bits = np.stack([14 * ONE - log2(table).reshape(-1) for table in tables], axis=1)
    made: Ints = counts.reshape(len(counts), -1) @ bits
    return made


def weighted(counts: Ints, n_keys: int) -> Ints:
    """The counts of a sample as those of the whole tensor would be: large tensors must not be outvoted."""
    made: Ints = counts * n_keys // max(1, int(counts.sum()))
    return made


def choose_tables(counts: Ints, set_bits: int) -> tuple[list[Ints], list[int]]:
    """(n, contexts, A) counts of n tensors to up to four sets of tables, and the set of each tensor.

    k-means, begun anew with one set more, for one of the tensors that the sets fit worst, as long as that saves more
    than set_bits, which is what a set takes in the file.
    """
    alone = np.array([price(each) for each in counts], np.int64)
    best = _Sets([frequencies(counts.sum(axis=0))], counts)
    while len(best.tables) < min(MAX_SETS, len(counts)):
        worst = np.argsort(alone - best.costs, kind="stable")[:_SEEDS]
        more = min((_grown(best, counts, seed) for seed in worst), key=lambda sets: int(sets.costs.sum()))
        saved = int(best.costs.sum()) - int(more.costs.sum())
        if len(more.tables) <= len(best.tables) or saved <= ONE * set_bits:
            break
        best = more
    return best.tables, best.chosen.tolist()


def _grown(sets: _Sets, counts: Ints, seed: int) -> _Sets:
    more = _Sets([*sets.tables, frequencies(counts[seed])], counts)
    for _ in range(_ROUNDS):
        more = _Sets([frequencies(counts[more.chosen == i].sum(axis=0)) for i in np.unique(more.chosen)], counts)
    return more


class _Sets:
    """Tables, the cheapest of them for each tensor (the first of equals), and what that costs it."""

    def __init__(self, tables: list[Ints], counts: Ints) -> None:
        costs_ = costs(counts, tables)
        self.tables = tables
        self.chosen: Ints = costs_.argmin(axis=1)
        self.costs: Ints = costs_.min(axis=1)
