"""A tensor's lesson for `linear_predictor`: no predictor, one of its own, or one that it is given.

A tensor with many rows is worth its own coefficients; kernels of a convolution are predicted by one small triangle that
all input channels share. What several tensors share, `sharing` finds. Costs are counted on the sample with the contexts
of the stage, coefficients included. Sums are exact, and the fit keeps to a fixed order of operations: every machine and
every number of threads learns the same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Final, NamedTuple

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
    triangle_bytes,
)
from pennyweight.stages.matrix import Geometry
from pennyweight.stages.protocol import Stream

FIT_ROWS: Final = 28  # to a key of a band: more teach little
_UNSIGNED: Final = 0x7FFF
_OWN_ROWS: Final = 16  # fewer would cost more coefficients than they gain
_MAX_KERNEL: Final = 600
_KERNEL_VECTORS: Final = 8
_MIN_BAND: Final = 32
_OWN_SHRINK, _KERNEL_SHRINK = 328, 131  # in 1/65536: 0.005, 0.002
_CHUNK_KEYS: Final = 1 << 21
_NOTHING: Final[Stream] = np.empty(0, np.uint8)


class Band(NamedTuple):
    """Geometry of a predictor: rows of d keys in bands of w, with so many triangles."""

    d: int
    w: int
    n_triangles: int


class Without(NamedTuple):
    """What a sample's keys would cost, in 1 / ONE bit, coded by their own frequencies, and their signs alone."""

    cost: int
    signs: int


@dataclass(frozen=True)
class Prediction:
    """A lesson. counts: (96, 128). triangles: empty without a predictor. turn: as in its Job.

    cost: of the sample, in 1 / ONE bit; coefficients are in it unless they are shared.
    """

    segment: int
    n_keys: int
    geometry: Geometry
    columns: bytes | None
    counts: NDArray[np.int64]
    cost: int
    without: Without
    turn: int = 0
    w: int = 0
    triangles: bytes = b""
    residuals: bytes = b""
    shared: bool = False

    @property
    def n_counted(self) -> int:
        """Keys of the sample."""
        return int(self.counts.sum())

    @property
    def whole_cost(self) -> int:
        """Of the whole tensor: samples of one tensor seen in two ways have different sizes."""
        return self.cost * self.n_keys // self.n_counted


class Alone(NamedTuple):
    """What a tensor says without the others.

    plain: the lesson without predictor. drawn: the sample, its keys left out. band: of a predictor that it may share;
    z: with that, values of some whole rows of the sample.
    """

    job: Job
    lesson: Prediction
    plain: Prediction
    drawn: Sample
    band: Band | None
    z: Stream


def learn_alone(src: Reader, kept_keys: int, job: Job) -> Alone | None:
    """The best lesson that needs no other tensor; None where the stage would decline.

    Memory: a sample of at most 2**20 keys and a chunk of 2**21, and 4 MiB for each triangle of 1,024 keys.
    """
    sample = draw(src, job, MAX_ROW)
    if sample is None or sample.row > MAX_ROW:  # a complex number has two keys
        return None
    unsigned = _unsigned(sample)
    geometry, with_columns = choose_geometry(unsigned, MANTISSA_BITS, [sample.row])
    d = sample.row
    geometry = Geometry(d, min(d, geometry.s), geometry.g if with_columns else d)
    columns = native.scales_fit(unsigned.keys, MANTISSA_BITS, d, geometry.s, geometry.g, 2)[1] if with_columns else None
    plain = _lesson(job, sample, _without(sample), geometry, None if columns is None else columns.tobytes())
    if plain is None:
        return None
    kernel, band = _kernel(job, sample), _band(d)
    own = [(kernel, _KERNEL_SHRINK)] if kernel is not None else []
    if band is not None and sample.n_keys // d >= _OWN_ROWS * band.w:
        own.append((band, _OWN_SHRINK))
    # Scales of short runs are worth less where a predictor knows what came before
    by_rows = replace(geometry, s=d)
    whole_rows = None if geometry.s == d or not own else _lesson(job, sample, plain.without, by_rows, plain.columns)
    lessons = [plain]
    for base in filter(None, (plain, whole_rows)):
        lessons += [_own(src, job, sample, base, *each) for each in own]
    best = min(lessons, key=lambda lesson: lesson.cost)
    drawn = sample._replace(keys=_NOTHING)
    if band is None or best is not plain:
        return Alone(job, best, plain, drawn, None, _NOTHING)
    rows = sample.keys.reshape(-1, 2 * d)
    some = rows[:: -(-len(rows) * d // kept_keys)]
    return Alone(job, best, plain, drawn, band, values(np.ascontiguousarray(some).reshape(-1), plain))


def fitted(job: Job, sample: Sample, plain: Prediction, band: Band, triangles: bytes) -> Prediction:
    """The lesson with these triangles, or the plain one where the stage would decline."""
    z = values(sample.keys, plain)
    d, w = band.d, band.w
    residuals = [(native.predictor_residuals(z, d, w, triangles).tobytes(), d)]
    if w < d and len(triangles) == triangle_bytes(w):
        # Of a short kernel's places what remains is much the same in all channels, and d scales are many
        residuals.append((native.predictor_residuals(z, w, w, triangles).tobytes() * (d // w), w))
    tried = [
        _lesson(job, sample, plain.without, plain.geometry, plain.columns, w, triangles, each, n_scales)
        for each, n_scales in residuals
    ]
    return min(filter(None, tried), key=lambda lesson: lesson.cost, default=plain)


def values(keys: Stream, plain: Prediction) -> Stream:
    """z of the page, i16, of whole rows."""
    d, s, g = plain.geometry.d, plain.geometry.s, plain.geometry.g
    return native.linear_predictor_values(keys, d, s, g, plain.columns)


def moments_of(z: Stream, band: Band) -> NDArray[np.int64]:
    """Exact sums of products of places, over all rows; of several samples they are added."""
    return native.predictor_moments(z, band.d, band.w, band.n_triangles).view("<i8").astype(np.int64)


def draw_moments(src: Reader, alone: Alone, band: Band, n_rows: int) -> tuple[int, NDArray[np.int64]]:
    """How many rows, at most so many, and their moments."""
    return _draw_moments(src, alone.job, alone.drawn, alone.plain, band, n_rows)


def solve(moments: NDArray[np.int64], n: int, band: Band, shrink: int, *, biased: bool) -> bytes:
    """The triangles from the moments of n vectors each. shrink: of correlations, in 1/65536, at most a fifth."""
    parts = np.split(moments, band.n_triangles)
    return b"".join(
        native.predictor_solve(part.astype("<i8").view(np.uint8), n, band.w, min(shrink, 13_107), biased).tobytes()
        for part in parts
    )


def price_of_bytes(data: bytes) -> int:
    """In 1 / ONE bit, by their own frequencies."""
    return price(np.bincount(np.frombuffer(data, np.uint8)))


def _unsigned(sample: Sample) -> Sample:
    return sample._replace(keys=(sample.keys.view("<u2") & _UNSIGNED).view(np.uint8))


def _draw_moments(
    src: Reader, job: Job, drawn: Sample, plain: Prediction, band: Band, n_rows: int
) -> tuple[int, NDArray[np.int64]]:
    w = band.w
    moments, n = np.zeros(band.n_triangles * (w * (w + 1) // 2 + w), np.int64), 0
    for keys in draw_rows(src, job, drawn, min(n_rows, drawn.n_keys // band.d), _CHUNK_KEYS):
        moments += moments_of(values(keys, plain), band)
        n += keys.size // 2 // band.d
    return n, moments


def _kernel(job: Job, sample: Sample) -> Band | None:
    """For a convolution: its kernels are the bands, and all have the same triangle."""
    w = sample.row if job.turn else prod(job.tensor.shape[2:]) if len(job.tensor.shape) > 2 else 0
    if not 3 <= w <= _MAX_KERNEL or sample.row % w or sample.n_keys < _KERNEL_VECTORS * w * w:
        return None
    return Band(sample.row, w, 1)


def _band(d: int) -> Band | None:
    w = next((w for w in range(min(d, MAX_BAND), 1, -1) if d % w == 0), 1)
    return Band(d, w, d // w) if w >= _MIN_BAND else None


def _own(src: Reader, job: Job, sample: Sample, plain: Prediction, band: Band, shrink: int) -> Prediction:
    """With a predictor fitted to this tensor alone; its coefficients, and what they flatter, are in the cost."""
    d, w, n_triangles = band
    n_rows = sample.n_keys // d
    wanted = max(sample.n_drawn // d, FIT_ROWS * w * n_triangles * w // d)
    n_fitted, moments = _draw_moments(src, job, sample, plain, band, wanted)
    n_vectors = n_fitted * (d // w) // n_triangles
    triangles = solve(moments, n_vectors, band, shrink, biased=True)
    lesson = fitted(job, sample, plain, band, triangles)
    n_counted = lesson.n_counted
    side = price_of_bytes(triangles) * n_counted // sample.n_keys
    # Each coefficient takes 1 / 2 n nats of a key from what it was fitted to, and adds as much to what it was not
    flattery = 0 if n_fitted == n_rows else n_counted * ONE * 72 * (w - 1) // (100 * n_vectors)
    return replace(lesson, cost=lesson.cost + side + flattery)


def _lesson(
    job: Job,
    sample: Sample,
    without: Without,
    geometry: Geometry,
    columns: bytes | None,
    w: int = 0,
    triangles: bytes = b"",
    residuals: bytes = b"",
    n_residuals: int = 0,
) -> Prediction | None:
    """Counts and cost with these; None where the stage would decline. n_residuals: those that are not repetitions."""
    with_predictor = (triangles, w, residuals) if w else (None, 0, None)
    d, s, g = geometry.d, geometry.s, geometry.g
    counted = native.linear_predictor_count(sample.keys, d, s, g, columns, *with_predictor)
    if counted is None:
        return None
    counts = counted[0].view("<u4").astype(np.int64).reshape(CONTEXTS, ALPHABET)
    n = sample.n_drawn
    side = ONE * COLUMN_BITS * (len(columns or b"") + n_residuals) * n // sample.n_keys
    # Each count flatters, as its table will be another's; with a predictor there are more of them
    cells = ONE * int(np.count_nonzero(counts))
    cost = price(counts) + cells + price(np.bincount(counted[1])) + 8 * ONE * counted[2] + side
    fields = (job.segment, sample.n_keys, geometry, columns, counts, cost, without, job.turn)
    return Prediction(*fields, w, triangles, residuals)


def _without(sample: Sample) -> Without:
    counts = np.bincount(sample.keys.view("<u2"), minlength=1 << 16).reshape(2, -1)
    signs = price(counts.sum(axis=1))
    return Without(price(counts.sum(axis=0)) + signs, signs)
