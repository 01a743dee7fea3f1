"""Samples of tensors: whole rows, spread evenly. And a tensor's lesson for `scales`: geometry, column scales, counts.
Few geometries are tried, on a part of the sample. First row scales alone: runs along each trailing axis, and of 64, 256
or 1,024 keys. Then column scales besides, for rows along each trailing axis, each key with its own or those of a short
axis together. The sum of all levels is what their keys will cost, up to a constant; a row scale costs 2.5 bits, a
column scale 3 and what a fit to few rows flatters itself with. If in the end the symbols are no cheaper than the keys
by their own counts, there is no lesson.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from operator import mul
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pennyweight import native
from pennyweight.pipeline.files import Reader
from pennyweight.pipeline.sources import TensorRange
from pennyweight.pipeline.tables import ONE, price
from pennyweight.stages.entropy.linear_predictor import LinearPredictor
from pennyweight.stages.entropy.scales import Scales
from pennyweight.stages.matrix import Geometry
from pennyweight.stages.protocol import Stage, Stream

MIN_KEYS: Final = 2**12
"""A tensor with fewer has too little to say."""

SAMPLE_KEYS: Final = 2**20
"""Of a tensor, at most."""

_MIN_SAMPLE: Final = 2**16
_ROWS: Final = 256  # of a sample: a column scale is the mean of so many keys
_TRIAL_KEYS: Final = 2**14
_TRIAL_ROWS: Final = 32
_MIN_ROWS: Final = 16
MAX_ROW: Final = 2**17
_RUNS: Final = (64, 256, 1024)
_ROW_EIGHTHS: Final = 20
COLUMN_BITS: Final = 3
_REPEATS: Final = 5  # percent, of 16 bytes; zeros apart: those of sparse weights are no repeats
_MIX: Final = np.uint64(0xD6E8FEB86659FD93)
_SHORT: Final = 8  # fewer keys share no scale
_READ_BYTES: Final = 2**14  # at once, of neighbouring rows


class Path(NamedTuple):
    """How a stream comes to a stage that is trained: the stages above it, from the root, and which output of each."""

    stage: Scales | LinearPredictor
    above: tuple[tuple[Stage, int], ...]


class Job(NamedTuple):
    """A tensor to learn from: its number among the segments, its offset in the file. One in `share` is looked at.

    turn: 0, or the rows that it has before it is turned; what was a column is a row then.
    """

    segment: int
    offset: int
    tensor: TensorRange
    path: Path
    share: int
    turn: int = 0

    @property
    def told_bytes(self) -> int:
        """Those of the tensor as far as progress is told: it is the same one that is turned."""
        return 0 if self.turn else self.tensor.n_bytes


class Sample(NamedTuple):
    """Whole rows, spread evenly over a tensor.

    keys: u16, as they reach the stage. n_keys: of the tensor. row, trailing: the longest trailing axes taken together,
    and all products of them, in keys.
    """

    keys: Stream
    n_keys: int
    row: int
    trailing: Sequence[int]
    row_bytes: int

    @property
    def n_drawn(self) -> int:
        """Keys in it."""
        return self.keys.size // 2


class Lesson(NamedTuple):
    """counts: (8, 2 ** (4 + mantissa_bits)), how often each symbol comes in each phase. cost: of the sample."""

    segment: int
    n_keys: int
    mantissa_bits: int
    geometry: Geometry
    columns: bytes | None
    counts: NDArray[np.int64]
    cost: int

    @property
    def n_counted(self) -> int:
        """Keys of the sample."""
        return int(self.counts.sum())


def draw(src: Reader, job: Job, max_row: int = MAX_ROW) -> Sample | None:
    """The sample of a tensor; None for one that is too small, or repeats itself, so that other plans will have it."""
    tensor = job.tensor
    width = tensor.dtype.bits // 8
    n_elements = tensor.n_bytes // width
    products = {job.turn} if job.turn else set(accumulate(reversed(tensor.shape), mul))
    trailing = sorted(d for d in products if 1 < d <= min(max_row, n_elements // 2))
    row = max(trailing, default=min(_RUNS[-1], n_elements))
    wanted = min(max(_ROWS * row, n_elements // job.share, _MIN_SAMPLE), max(SAMPLE_KEYS, 64 * row) - 1)
    read = _read(src, job, 0, n_elements // row, row * width, wanted * width)
    pairs = read[: read.size // 16 * 16].view("<u8").reshape(-1, 2)
    mixed = pairs[:, 0] * _MIX ^ pairs[:, 1]
    if native.repeats_percent(mixed[mixed != 0].view(np.uint8)) >= _REPEATS:
        return None
    keys = _stream(job.path, read)
    if keys is None:
        return None
    per_element = keys.size // 2 // (read.size // width)
    n_keys = n_elements * per_element
    if n_keys < MIN_KEYS:
        return None
    return Sample(keys, n_keys, row * per_element, [d * per_element for d in trailing], row * width)


def learn(src: Reader, job: Job) -> Lesson | None:
    """What a tensor's sample says of `scales`; None where they would gain nothing."""
    sample = draw(src, job)
    if sample is None:
        return None
    assert isinstance(job.path.stage, Scales)
    m, keys, n_keys = job.path.stage.mantissa_bits, sample.keys, sample.n_keys
    geometry, with_columns = choose_geometry(sample, m, sample.trailing)
    d, s, g = geometry.d, geometry.s, geometry.g
    whole = keys[: keys.size // (2 * d) * 2 * d]
    columns = native.scales_fit(whole, m, d, s, g, 2)[1] if with_columns else None
    counted = native.scales_count(whole, m, d, s, g, columns)
    if counted is None:
        return None
    counts = counted[0].view("<u4").astype(np.int64).reshape(8, -1)
    plain = np.bincount(whole.view("<u2"))
    side = 0 if columns is None else ONE * COLUMN_BITS * columns.size * whole.size // (2 * n_keys)
    # A count more than the keys have flatters, too
    side += ONE * (int(np.count_nonzero(counts)) - int(np.count_nonzero(plain)))
    spent = price(counts) + price(np.bincount(counted[1])) + 8 * ONE * counted[2] + side
    if spent >= price(plain):
        return None
    return Lesson(job.segment, n_keys, m, geometry, None if columns is None else columns.tobytes(), counts, spent)


def draw_rows(src: Reader, job: Job, sample: Sample, wanted: int, chunk_keys: int) -> Iterator[Stream]:
    """The keys of so many rows, spread evenly, in pieces of about chunk_keys. Those of the sample may be among them."""
    n_rows = sample.n_keys // sample.row
    n_chunks = max(1, -(-wanted * sample.row // chunk_keys))
    for i in range(n_chunks):
        first, last = n_rows * i // n_chunks, n_rows * (i + 1) // n_chunks
        read = _read(src, job, first, last - first, sample.row_bytes, wanted * sample.row_bytes // n_chunks)
        keys = _stream(job.path, read)
        if keys is not None:
            yield keys


def _read(src: Reader, job: Job, first_row: int, n_rows: int, row_bytes: int, wanted: int) -> Stream:
    """About `wanted` bytes of whole rows, or all of them."""
    if job.turn:
        return _read_turned(src, job, first_row, n_rows, min(n_rows, max(1, wanted // row_bytes)))
    offset = job.offset + first_row * row_bytes
    at_once = max(1, _READ_BYTES // row_bytes)
    n_reads = wanted // (at_once * row_bytes)
    if n_reads * at_once >= n_rows:
        at_once, n_reads = n_rows, 1
    out = np.empty(n_reads * at_once * row_bytes, np.uint8)
    for i, piece in enumerate(out.reshape(n_reads, -1)):
        first = (n_rows - at_once) * i // max(1, n_reads - 1)
        src.pread_into(offset + first * row_bytes, piece.data)
    return out


def _read_turned(src: Reader, job: Job, first_row: int, n_rows: int, wanted: int) -> Stream:
    """The tensor is in one block, so it may be read whole."""
    whole = np.empty(job.tensor.n_bytes, np.uint8)
    src.pread_into(job.offset, whole.data)
    columns = whole.view(f"<u{job.tensor.dtype.bits // 8}").reshape(job.turn, -1)
    chosen = first_row + np.arange(wanted) * n_rows // wanted
    return np.ascontiguousarray(columns[:, chosen].T).reshape(-1).view(np.uint8)


def _stream(path: Path, stream: Stream) -> Stream | None:
    """What reaches the stage that is trained when those above it encode that stream."""
    for stage, output in path.above:
        encoded = stage.encode(stream)
        if encoded is None:
            return None
        stream = encoded.parts[output]
    return stream


def choose_geometry(sample: Sample, m: int, axes: Sequence[int]) -> tuple[Geometry, bool]:
    """The cheapest geometry by a part of the sample, and whether it has column scales.

    m: mantissa bits of the keys, which have no sign. axes: what may be a row with column scales.
    """
    keys, n_keys, row, trailing, _ = sample
    rows = keys.reshape(-1, 2 * row)
    n_trial = min(len(rows), max(_TRIAL_ROWS, -(-_TRIAL_KEYS // row)))
    trial = np.ascontiguousarray(rows[np.arange(n_trial) * len(rows) // n_trial]).reshape(-1)

    def eighths(d: int, s: int, g: int) -> int:
        """Estimate for the whole tensor, in 1/8 bit up to a constant."""
        whole = trial[: trial.size // (2 * d) * 2 * d]
        levels = native.scales_fit(whole, m, d, s, g, 1)[0] * n_keys // (whole.size // 2)
        # What a column scale seems to save by fitting the trial's noise, and what it will lose by fitting the sample's
        flattery = n_keys // (whole.size // 2) + 2 * n_keys // (keys.size // 2)
        return (
            levels + _ROW_EIGHTHS * -(-d // s) * (n_keys // d) + (-(-d // g) * (8 * COLUMN_BITS + flattery) if g else 0)
        )

    axes = [d for d in axes if d >= _SHORT]
    runs = [run for run in sorted({*_RUNS, *(d for d in trailing if d >= _SHORT)}) if run <= trial.size // 2]
    _, run = min((eighths(run, run, 0), run) for run in runs)
    alone = (eighths(run, run, 0), run, run, 0)
    tried = [
        (eighths(d, s, g), d, s, g)
        for d in axes
        if trial.size // (2 * d) >= _MIN_ROWS
        for s in sorted({d, min(d, run)})
        for g in (1, *(g for g in trailing if g < d))
    ]
    _, d, s, g = min([alone, *tried])
    return Geometry(d, s, g or d), g > 0
