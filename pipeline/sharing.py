"""Predictors that several tensors share, and the best of each tensor's lessons for `linear_predictor`.

The matrices that read one and the same stream of a model, layer after layer, are worth one predictor, fitted to all of
them together; so are those that write to it, once they are turned. Where there are several such streams (an encoder and
a decoder, matrices of different roles) one is not enough: in up to four clusters each tensor is given the predictor
that serves it best, in the better of the ways in which it may be seen, and each predictor is fitted again to those that
it serves. All this on few rows, by the scales of what remains; the clusters found are fitted to more rows, and what
they are worth is counted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial, reduce
from itertools import chain, islice
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pennyweight import native
from pennyweight.pipeline.files import Reader
from pennyweight.pipeline.prediction import (
    FIT_ROWS,
    Alone,
    Band,
    Prediction,
    draw_moments,
    fitted,
    learn_alone,
    moments_of,
    price_of_bytes,
    solve,
)
from pennyweight.pipeline.progress import TwoPasses
from pennyweight.pipeline.sampling import Job, draw
from pennyweight.pipeline.tables import ONE
from pennyweight.stages.entropy.linear_predictor import MAX_ROW, triangle_bytes
from pennyweight.stages.protocol import Stream

Map = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]

_SHRINK: Final = 655  # in 1/65536: 0.01
_CLUSTERS: Final = (1, 2, 4)
_ROUNDS: Final = 2
_TRIAL_ROWS: Final = 8  # to a key of a band, while clusters are sought
_LOOK_KEYS: Final = 2**14  # of each tensor, to see which predictor serves it
_MAX_KEPT, _ALL_KEPT = 2**20, 2**25  # keys of a tensor and of all, held while clusters are sought


def predict(src: Reader, jobs: Sequence[Job], passes: TwoPasses, map: Map) -> list[Prediction]:
    """The best lesson of each tensor that has any. `map` may use threads; it gives results in order.

    Memory: for each thread what learn_alone says; 64 MiB; 4 MiB for each triangle of 1,024 keys that is being fitted.
    """
    best: dict[int, Prediction] = {}
    members: dict[Band, list[Alone]] = defaultdict(list)
    kept = min(_MAX_KEPT, _ALL_KEPT // max(1, len(jobs)))
    for job, alone in zip(jobs, map(partial(learn_alone, src, kept), jobs), strict=True):
        shares = alone is not None and alone.band is not None
        passes.trained(job.told_bytes * (2 if shares else 3) // 8)
        if alone is None:
            continue
        _keep(best, alone.lesson)
        if alone.band is not None:
            members[alone.band].append(alone)
    for band in sorted(members):
        for lesson in _Sharing(src, band, best, map).lessons(members[band]):
            _keep(best, lesson)
        passes.trained(sum(member.job.told_bytes // 8 for member in members[band]))
    return [best[segment] for segment in sorted(best) if best[segment].cost < best[segment].without.cost]


def _keep(best: dict[int, Prediction], lesson: Prediction) -> None:
    held = best.get(lesson.segment)
    if held is None or lesson.whole_cost < held.whole_cost:
        best[lesson.segment] = lesson


class _Fit(NamedTuple):
    """Triangles, and to how many rows they were fitted."""

    triangles: bytes
    n_rows: int


class _Moments(NamedTuple):
    """Of how many rows, and their sums."""

    n_rows: int
    sums: NDArray[np.int64]


class _Served(NamedTuple):
    """A tensor, seen in one way, and what it gains by a predictor, in 1 / ONE bit."""

    member: Alone
    gain: int


class _Sharing:
    """The search for predictors of one geometry. best: each tensor's lesson without them."""

    def __init__(self, src: Reader, band: Band, best: dict[int, Prediction], map: Map) -> None:
        self._src, self._band, self._best, self._map = src, band, best, map

    def lessons(self, members: Sequence[Alone]) -> list[Prediction]:
        """Of the tensors that gain."""
        looks = list(self._map(partial(_Look.of, self._band), members))
        seen = {member.job.segment for member in members if not member.job.turn}
        tried = [[member for member in members if not member.job.turn or member.job.segment not in seen]]
        found, most = list[list[_Served]](), 0
        for n_clusters in _CLUSTERS:
            clusters, gain = list[list[_Served]](), 0
            for _ in range(_ROUNDS):
                clusters, gain = self._assign(looks, self._trials(tried))
                tried = [[each.member for each in cluster] for cluster in clusters]
            if gain <= most:
                break
            found, most = clusters, gain
            if len(clusters) < n_clusters:
                break
            tried = _halves(clusters, members)
        return [lesson for cluster in found for lesson in self._final([each.member for each in cluster])]

    def _trials(self, clusters: Sequence[Sequence[Alone]]) -> list[_Fit]:
        """By the rows at hand."""
        rows = [self._rows(cluster) for cluster in clusters if cluster]
        moments = iter(self._map(partial(moments_of, band=self._band), chain.from_iterable(rows)))
        n_rows = [sum(z.size for z in some) // (2 * self._band.d) for some in rows]
        sums = [reduce(np.add, islice(moments, len(some))) for some in rows]
        return list(filter(None, self._map(self._solve, map(_Moments, n_rows, sums))))

    def _rows(self, cluster: Sequence[Alone]) -> list[Stream]:
        wanted = -(-_TRIAL_ROWS * self._band.w // len(cluster))
        return [member.z.reshape(-1, 2 * self._band.d)[:wanted].reshape(-1) for member in cluster]

    def _solve(self, moments: _Moments) -> _Fit | None:
        """None from too few rows to say anything."""
        n, w = moments.n_rows, self._band.w
        if 5 * n < 6 * w:
            return None
        return _Fit(solve(moments.sums, n, self._band, _SHRINK + 13_107 * w // n, biased=False), n)

    def _assign(self, looks: Sequence[_Look], fits: Sequence[_Fit]) -> tuple[list[list[_Served]], int]:
        """Each tensor to the predictor that serves it best, if any does, and what all gain.

        Predictors that serve none are dropped.
        """
        chosen: dict[int, tuple[int, _Served]] = {}
        for look, gains in zip(looks, self._map(partial(_gains, fits), looks), strict=True):
            member = look.member
            segment, dearer = member.job.segment, member.plain.whole_cost - self._best[member.job.segment].whole_cost
            for number, gain in enumerate(gains):
                if gain - dearer > (chosen[segment][1].gain if segment in chosen else 0):
                    chosen[segment] = number, _Served(member, gain - dearer)
        all_clusters = [[each for at, each in chosen.values() if at == number] for number in range(len(fits))]
        pairs = [(cluster, fit) for cluster, fit in zip(all_clusters, fits, strict=True) if cluster]
        total = sum(sum(each.gain for each in cluster) - price_of_bytes(fit.triangles) for cluster, fit in pairs)
        return [cluster for cluster, _ in pairs], total

    def _final(self, cluster: Sequence[Alone]) -> list[Prediction]:
        """The lessons of those that gain by a predictor fitted to more rows, if it is worth what it takes."""
        wanted = -(-FIT_ROWS * self._band.w // len(cluster))
        drawn = self._map(lambda member: draw_moments(self._src, member, self._band, wanted), cluster)
        fit = self._solve(_Moments(*reduce(lambda a, b: (a[0] + b[0], a[1] + b[1]), drawn)))
        if fit is None:
            return []
        lessons = self._map(partial(_with_shared, self._src, self._band, fit.triangles), cluster)
        saved = [(self._best[lesson.segment].whole_cost - lesson.whole_cost, lesson) for lesson in lessons]
        if sum(gain for gain, _ in saved if gain > 0) <= price_of_bytes(fit.triangles):
            return []
        return [replace(lesson, shared=True) for gain, lesson in saved if gain > 0]


class _Look(NamedTuple):
    """Some rows of a tensor. scale: the sum of their places' scales, in eighths of an octave, without a predictor."""

    member: Alone
    band: Band
    z: Stream
    scale: int

    @classmethod
    def of(cls, band: Band, member: Alone) -> _Look:
        rows = member.z.reshape(-1, 2 * band.d)
        step = max(1, len(rows) * band.d // _LOOK_KEYS)
        z = np.ascontiguousarray(rows[::step]).reshape(-1)
        nothing = bytes(band.n_triangles * triangle_bytes(band.w))
        return cls(member, band, z, _scale(z, band, nothing))


def _scale(z: Stream, band: Band, triangles: bytes) -> int:
    return int(native.predictor_residuals(z, band.d, band.w, triangles).view(np.int8).sum(dtype=np.int64))


def _gains(fits: Sequence[_Fit], look: _Look) -> list[int]:
    """What each saves of the whole tensor, in 1 / ONE bit, less what it flatters: it was fitted to these rows, too."""
    band = look.band
    n_keys = look.member.plain.n_keys
    return [
        n_keys * (ONE * (look.scale - _scale(look.z, band, fit.triangles)) // (8 * band.d))
        - n_keys * ONE * 36 * (band.w - 1) // (100 * fit.n_rows)
        for fit in fits
    ]


def _halves(clusters: Sequence[Sequence[_Served]], members: Sequence[Alone]) -> list[list[Alone]]:
    """Twice as many clusters: those that gain more by the key, and those that gain less, or nothing so far."""
    halves: list[list[Alone]] = []
    for cluster in clusters:
        ordered = [each.member for each in sorted(cluster, key=lambda each: -each.gain // each.member.plain.n_keys)]
        halves += [ordered[: len(ordered) // 2], ordered[len(ordered) // 2 :]]
    served = {member.job.segment for half in halves for member in half}
    halves[-1] += [member for member in members if member.job.segment not in served and not member.job.turn]
    return [half for half in halves if half]


def _with_shared(src: Reader, band: Band, triangles: bytes, member: Alone) -> Prediction:
    sample = draw(src, member.job, MAX_ROW)
    assert sample is not None
    return fitted(member.job, sample, member.plain, band, triangles)
