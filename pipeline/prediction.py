"""Lessons for `linear_predictor`: for each tensor no predictor, one of its own, or one that it shares.

A tensor with many rows is worth its own coefficients; kernels of a convolution are predicted by one small triangle that
all input channels share; the matrices that read one and the same stream of a model, layer after layer, share their
predictor, fitted to all of them together. Those to which it is no use are fitted once more, among themselves. Costs are
counted on the sample with the contexts of the stage, coefficients included. Sums are exact, and the fit keeps to a
fixed order of operations: every machine and every number of threads learns the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pennyweight import native
from pennyweight.pipeline.files import Reader
from pennyweight.pipeline.sampling import COLUMN_BITS, Job, Sample, choose_geometry, draw, draw_rows
from pennyweight.pipeline.tables import ONE, price
from pennyweight.stages.entropy.linear_predictor import (
    ALPHABET,
    CONTEXTS,
    MANTISSA_BITS,
    MAX_BAND,
    MAX_ROW,
)
from pennyweight.stages.matrix import Geometry
from pennyweight.stages.protocol import Stream

Map = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]

_UNSIGNED: Final = 0x7FFF
_OWN_ROWS: Final = 16  # to a key of a band: fewer would cost more coefficients than they gain
_FIT_ROWS: Final = 28  # more teach little
_MAX_KERNEL: Final = 600
_KERNEL_VECTORS: Final = 8
_MIN_SHARED: Final = 32
_SHARED_ROUNDS: Final = 4
_OWN_SHRINK, _KERNEL_SHRINK, _SHARED_SHRINK = 328, 131, 655  # in 1/65536: 0.005, 0.002, 0.01
_CHUNK_KEYS: Final = 1 << 21


class Band(NamedTuple):
    """Geometry of a predictor: rows of d keys in bands of w, with so many triangles."""

    d: int
    w: int
    n_triangles: int


@dataclass(frozen=True)
class Prediction:
    """A lesson. counts: (96, 128). triangles: empty without a predictor.

    cost, cost_without: of the sample, in 1 / ONE bit, with this stage and if keys were coded by their own frequencies;
    coefficients are in it unless they are shared.
    """

    segment: int
    n_keys: int
    geometry: Geometry
    columns: bytes | None
    counts: NDArray[np.int64]
    cost: int
    cost_without: int
    w: int = 0
    triangles: bytes = b""
    residuals: bytes = b""
    shared: bool = False

    @property
    def n_counted(self) -> int:
        """Keys of the sample."""
        return int(self.counts.sum())


class _Alone(NamedTuple):
    """What a tensor says without the others. moments: of all its rows looked at, for the predictor it may share."""

    lesson: Prediction
    band: Band | None
    moments: NDArray[np.int64] | None
    n_rows: int


def predict(src: Reader, jobs: Sequence[Job], map: Map) -> list[Prediction]:
    """The lessons of the tensors that have any. `map` may use threads; it gives results in order.

    Memory: for each thread a sample of at most 2**20 keys and a chunk of 2**21; 4 MiB for each triangle of 1,024 keys
    that is being fitted.
    """
    lessons: dict[int, Prediction] = {}
    bands: dict[int, Band] = {}
    sums: dict[Band, tuple[NDArray[np.int64], int]] = {}
    for job, alone in zip(jobs, map(partial(_alone, src), jobs), strict=True):
        if alone is None:
            continue
        lessons[job.segment] = alone.lesson
        if alone.band is not None and alone.moments is not None:
            bands[job.segment] = alone.band
            moments, n = sums.get(alone.band, (0, 0))
            sums[alone.band] = alone.moments + moments, n + alone.n_rows
    members: dict[Band, list[Job]] = defaultdict(list)
    for job in jobs:
        if job.segment in bands:
            members[bands[job.segment]].append(job)
    for band in sorted(members):
        _share(src, band, members[band], sums[band], lessons, map)
    return [lesson for lesson in lessons.values() if lesson.cost < lesson.cost_without]


def _share(
    src: Reader,
    band: Band,
    jobs: Sequence[Job],
    fitted: tuple[NDArray[np.int64], int],
    lessons: dict[int, Prediction],
    map: Map,
) -> None:
    """Put better lessons in the place of those of the tensors that gain by a shared predictor."""
    moments, n = fitted
    for _ in range(_SHARED_ROUNDS):
        if 5 * n < 6 * band.w:
            return
        triangles = _solve(moments, n, band, _SHARED_SHRINK + 13_107 * band.w // n, biased=False)
        tried = list(map(partial(_with_shared, src, band, triangles, lessons), jobs))
        gains = [lessons[job.segment].cost - new.cost for job, new in zip(jobs, tried, strict=True)]
        of_all = (gain * new.n_keys // new.n_counted for gain, new in zip(gains, tried, strict=True) if gain > 0)
        if sum(of_all) <= price_of_bytes(triangles):
            return
        lessons.update(
            {new.segment: replace(new, shared=True) for new, gain in zip(tried, gains, strict=True) if gain > 0}
        )
        jobs = [job for job, gain in zip(jobs, gains, strict=True) if gain <= 0]
        moments, n = np.zeros_like(moments), 0
        for more, n_rows in map(partial(_moments_again, src, band, lessons), jobs):
            moments, n = moments + more, n + n_rows


def _alone(src: Reader, job: Job) -> _Alone | None:
    sample = draw(src, job, MAX_ROW)
    if sample is None or sample.row > MAX_ROW:  # a complex number has two keys
        return None
    unsigned = _unsigned(sample)
    geometry, with_columns = choose_geometry(unsigned, MANTISSA_BITS, [sample.row])
    d = sample.row
    geometry = Geometry(d, min(d, geometry.s), geometry.g if with_columns else d)
    columns = native.scales_fit(unsigned.keys, MANTISSA_BITS, d, geometry.s, geometry.g, 2)[1] if with_columns else None
    plain = _lesson(job, sample, geometry, None if columns is None else columns.tobytes())
    if plain is None:
        return None
    n_rows = sample.n_keys // d
    best = plain
    kernel = _kernel(job, sample)
    if kernel is not None:
        best = min(best, _own(src, job, sample, plain, kernel, _KERNEL_SHRINK), key=lambda lesson: lesson.cost)
    band = _band(d)
    if band is None:
        return _Alone(best, None, None, 0)
    if n_rows >= _OWN_ROWS * band.w:
        own = _own(src, job, sample, plain, band, _OWN_SHRINK)
        if own.cost < best.cost:
            return _Alone(own, None, None, 0)
    if best is not plain:
        return _Alone(best, None, None, 0)
    return _Alone(plain, band, _moments(sample.keys, plain, band), sample.keys.size // 2 // d)


def _unsigned(sample: Sample) -> Sample:
    return sample._replace(keys=(sample.keys.view("<u2") & _UNSIGNED).view(np.uint8))


def _kernel(job: Job, sample: Sample) -> Band | None:
    """For a convolution: its kernels are the bands, and all have the same triangle."""
    w = int(np.prod(job.tensor.shape[2:])) if len(job.tensor.shape) > 2 else 0
    if not 3 <= w <= _MAX_KERNEL or sample.row % w or sample.n_keys < _KERNEL_VECTORS * w * w:
        return None
    return Band(sample.row, w, 1)


def _band(d: int) -> Band | None:
    w = next((w for w in range(min(d, MAX_BAND), 1, -1) if d % w == 0), 1)
    return Band(d, w, d // w) if w >= _MIN_SHARED else None


def _own(src: Reader, job: Job, sample: Sample, plain: Prediction, band: Band, shrink: int) -> Prediction:
    """With a predictor fitted to this tensor alone; its coefficients, and what they flatter, are in the cost."""
    d, w, n_triangles = band
    n_rows = sample.n_keys // d
    wanted = min(n_rows, max(sample.keys.size // 2 // d, _FIT_ROWS * w * n_triangles * w // d))
    moments, fitted = np.zeros(n_triangles * (w * (w + 1) // 2 + w), np.int64), 0
    for keys in draw_rows(src, job, sample, wanted, _CHUNK_KEYS):
        moments += _moments(keys, plain, band)
        fitted += keys.size // 2 // d
    n_vectors = fitted * (d // w) // n_triangles
    triangles = _solve(moments, n_vectors, band, shrink, biased=True)
    lesson = _fitted(job, sample, plain, band, triangles)
    n_counted = lesson.n_counted
    side = price_of_bytes(triangles) * n_counted // sample.n_keys
    # Each coefficient takes 1 / 2 n nats of a key from what it was fitted to, and adds as much to what it was not
    flattery = 0 if fitted == n_rows else n_counted * ONE * 72 * (w - 1) // (100 * n_vectors)
    return replace(lesson, cost=lesson.cost + side + flattery)


def _with_shared(src: Reader, band: Band, triangles: bytes, lessons: dict[int, Prediction], job: Job) -> Prediction:
    sample = draw(src, job, MAX_ROW)
    assert sample is not None
    return _fitted(job, sample, lessons[job.segment], band, triangles)


def _moments_again(src: Reader, band: Band, lessons: dict[int, Prediction], job: Job) -> tuple[NDArray[np.int64], int]:
    sample = draw(src, job, MAX_ROW)
    assert sample is not None
    return _moments(sample.keys, lessons[job.segment], band), sample.keys.size // 2 // band.d


def _fitted(job: Job, sample: Sample, plain: Prediction, band: Band, triangles: bytes) -> Prediction:
    d, s, g = plain.geometry.d, plain.geometry.s, plain.geometry.g
    z = native.linear_predictor_values(sample.keys, d, s, g, plain.columns)
    residuals = native.predictor_residuals(z, d, band.w, triangles).tobytes()
    lesson = _lesson(job, sample, plain.geometry, plain.columns, band.w, triangles, residuals)
    return plain if lesson is None else lesson


def _moments(keys: Stream, plain: Prediction, band: Band) -> NDArray[np.int64]:
    d, s, g = plain.geometry.d, plain.geometry.s, plain.geometry.g
    z = native.linear_predictor_values(keys, d, s, g, plain.columns)
    return native.predictor_moments(z, d, band.w, band.n_triangles).view("<i8").astype(np.int64)


def _solve(moments: NDArray[np.int64], n: int, band: Band, shrink: int, *, biased: bool) -> bytes:
    parts = np.split(moments, band.n_triangles)
    return b"".join(
        native.predictor_solve(part.astype("<i8").view(np.uint8), n, band.w, min(shrink, 13_107), biased).tobytes()
        for part in parts
    )


def _lesson(
    job: Job,
    sample: Sample,
    geometry: Geometry,
    columns: bytes | None,
    w: int = 0,
    triangles: bytes = b"",
    residuals: bytes = b"",
) -> Prediction | None:
    """Counts and cost with these; None where the stage would decline."""
    fitted = (triangles, w, residuals) if w else (None, 0, None)
    d, s, g = geometry.d, geometry.s, geometry.g
    counted = native.linear_predictor_count(sample.keys, d, s, g, columns, *fitted)
    if counted is None:
        return None
    counts = counted[0].view("<u4").astype(np.int64).reshape(CONTEXTS, ALPHABET)
    n_counted = sample.keys.size // 2
    side = ONE * COLUMN_BITS * (len(columns or b"") + len(residuals)) * n_counted // sample.n_keys
    # Each count flatters, as its table will be another's; with a predictor there are more of them
    cells = ONE * int(np.count_nonzero(counts))
    cost = price(counts) + cells + price(np.bincount(counted[1])) + 8 * ONE * counted[2] + side
    without = price(np.bincount(_unsigned(sample).keys.view("<u2"))) + ONE * n_counted
    return Prediction(job.segment, sample.n_keys, geometry, columns, counts, cost, without, w, triangles, residuals)


def price_of_bytes(data: bytes) -> int:
    return price(np.bincount(np.frombuffer(data, np.uint8)))
