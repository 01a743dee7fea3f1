"""Static tables from counts of symbols, in whole numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

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
    whole = np.frexp(values)[1].astype(np.int64) - 1  # of doubles that hold them exactly
    x = ((values << 16) >> whole) - ONE  # the value is 2 ** whole * (1 + x)
    bulge = x * (ONE - x) >> 16
    made: Ints = ONE * whole + x + (bulge * (27_689 - (10_189 * x >> 16)) >> 16)
    return made


def price(counts: Ints) -> int:
    """What the symbols of each row would cost an ideal coder that knows the row's counts, in 1 / ONE bit."""
    totals, several = counts.sum(axis=-1), counts[counts > 1]
    return int((totals * log2(np.maximum(totals, 1))).sum() - (several * log2(several)).sum())


def frequencies(counts: Ints) -> Ints:
    """(contexts, A) counts to frequencies that add up to 2**14 in each context.

    None is 0: a block may hold what no sample does.
    """
    alphabet = counts.shape[1]
    known = np.where(counts.sum(axis=1, keepdims=True) > 0, counts, 1)
    total = known.sum(axis=1, keepdims=True)
    made: Ints = np.clip(known * SLOTS // total, 1, SLOTS - alphabet)
    more = np.maximum(SLOTS - made.sum(axis=1, keepdims=True), 0)  # to the largest remainders
    made += more // alphabet + _first(known * SLOTS % total, more % alphabet)
    while (over := made.sum(axis=1, keepdims=True) - SLOTS).any():  # from the most frequent, one each
        giving = made > 1
        spare = np.where(giving, made - 1, SLOTS).min(axis=1, keepdims=True)
        rounds = np.minimum(over // giving.sum(axis=1, keepdims=True), spare)
        made -= np.where(rounds > 0, rounds * giving, _first(np.where(giving, known, -1), over))
    return made


def _first(values: Ints, n: Ints) -> NDArray[np.bool_]:
    """Where the n largest of each row stand, the first of equals."""
    order = np.arange(values.shape[1]) - values * values.shape[1]
    edge = np.take_along_axis(np.sort(order, axis=1), np.maximum(n - 1, 0), axis=1)
    made: NDArray[np.bool_] = (n > 0) & (order <= edge)
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
    tables = _Tables(counts)
    best = tables.sets([np.ones(len(counts), np.bool_)])
    while len(best.groups) < min(MAX_SETS, len(counts)):
        worst = np.argsort(alone - best.costs, kind="stable")[:_SEEDS]
        more = min((tables.grown(best, seed) for seed in worst), key=lambda sets: int(sets.costs.sum()))
        saved = int(best.costs.sum()) - int(more.costs.sum())
        if len(more.groups) <= len(best.groups) or saved <= ONE * set_bits:
            break
        best = more
    return [tables.fitted(group)[0] for group in best.groups], best.chosen.tolist()


class _Sets(NamedTuple):
    """groups: of tensors; tables are fitted to each. chosen: the cheapest of them for each tensor, the first of equals.

    costs: of each tensor with that.
    """

    groups: list[NDArray[np.bool_]]
    chosen: Ints
    costs: Ints


class _Tables:
    """Tables of groups of tensors, and what each tensor would cost with them: made once, for groups come again."""

    def __init__(self, counts: Ints) -> None:
        self._counts = counts
        self._known: dict[bytes, tuple[Ints, Ints]] = {}

    def fitted(self, group: NDArray[np.bool_]) -> tuple[Ints, Ints]:
        key = group.tobytes()
        if key not in self._known:
            table = frequencies(self._counts[group].sum(axis=0))
            self._known[key] = table, costs(self._counts, [table])[:, 0]
        return self._known[key]

    def sets(self, groups: list[NDArray[np.bool_]]) -> _Sets:
        costs_ = np.stack([self.fitted(group)[1] for group in groups], axis=1)
        return _Sets(groups, costs_.argmin(axis=1), costs_.min(axis=1))

    def grown(self, sets: _Sets, seed: int) -> _Sets:
        more = self.sets([*sets.groups, np.arange(len(self._counts)) == seed])
        for _ in range(_ROUNDS):
            more = self.sets([more.chosen == i for i in sorted(set(more.chosen.tolist()))])
        return more
