"""A file of which nothing is known: where it looks like floats, from samples. docs/sources.md

Of little-endian floats, the highest exponent bit is nearly always the same and the mantissa below it is noise. So the
ones are counted in each bit of 64-bit words: that tells the width of the elements, where they begin, and what they are.
What is guessed are gaps with a hint for plans; a wrong guess costs bytes, never more.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pennyweight.pipeline.files import Reader
from pennyweight.pipeline.sources.segments import Gap, SourceMap
from pennyweight.types import DType

_WORDS: Final = 128  # of a sample: ones are counted in bytes
_SAMPLE_BYTES: Final = 8 * _WORDS
_MIN_STEP, _MAX_STEP = 4096, 131_072
"""From sample to sample. Tensors below the longer step may be missed in large files."""

_MIN_BYTES: Final = 16_384  # of a file that is searched

_AT_ONCE: Final = 256  # samples, so that they stay in the cache
_EACH_BYTE: Final = np.uint64(0x0101010101010101)

_STEADY: Final = _WORDS // 8  # no more ones, or no more zeros
_NOISE: Final = 28  # ones off a half: five standard deviations
_BFLOAT: Final = 3 * _WORDS * 9 // 10
"""Weights between 2**-15 and 2 have ones in three bits of the byte of a BF16's exponent; those of F16 vary there."""


class _Kind(NamedTuple):
    """Elements of a dtype, the first of which begins at that byte of a word."""

    dtype: DType
    phase: int

    @property
    def n_bytes(self) -> int:
        return self.dtype.bits // 8

    def bytes_of_a_word(self, below_top: int) -> int:
        """A bit for each: those so far below the highest bytes of the elements, which hold sign and exponent."""
        return sum(1 << (self.phase - 1 - below_top + at) % 8 for at in range(0, 8, self.n_bytes))


_KINDS: Final = [
    _Kind(dtype, phase) for dtype in (DType.F64, DType.F32, DType.F16, DType.BF16) for phase in range(dtype.bits // 8)
]
"""Of kinds that fit the last counts: what looks like F16 may be two of them to an F32."""


def _table(wanted: Iterable[int]) -> NDArray[np.int32]:
    """For each set of bytes of a word, a bit for each kind all of whose wanted bytes are in it."""
    masks = np.array(list(wanted))
    fits = np.arange(256)[:, None] & masks == masks
    table: NDArray[np.int32] = (fits << np.arange(len(masks))).sum(axis=1, dtype=np.int32)
    return table


_TOP: Final = _table(kind.bytes_of_a_word(0) for kind in _KINDS)
_BELOW: Final = _table(
    kind.bytes_of_a_word(2) | kind.bytes_of_a_word(3) if kind.dtype is DType.F64 else kind.bytes_of_a_word(1)
    for kind in _KINDS
)
_ABOVE: Final = _table(kind.bytes_of_a_word(-1) if kind.dtype is DType.F64 else 0 for kind in _KINDS)
_TOP_OF_BF16: Final = _table(kind.bytes_of_a_word(0) if kind.dtype is DType.BF16 else 0 for kind in _KINDS)

Labels = NDArray[np.int8]
"""Numbers of kinds, -1 for none."""


def read(file: Reader) -> SourceMap:
    """Takes any file: gaps, some with a dtype."""
    step = min(_MAX_STEP, max(_MIN_STEP, file.size // 64 & -_MIN_STEP))
    last = file.size - _SAMPLE_BYTES if file.size >= _MIN_BYTES else -1
    offsets = np.arange(0, last + 1, step, dtype=np.int64)
    labels = _labels(file, offsets)
    alone = np.flatnonzero((labels[1:-1] < 0) & (labels[:-2] == labels[2:])) + 1
    labels[alone] = labels[alone - 1]  # a header between two tensors, or one of zeros
    changes = np.flatnonzero(labels[1:] != labels[:-1])
    ends = [0, *_narrowed(file, offsets[changes], step, labels[changes]).tolist(), file.size]
    gaps: list[Gap] = []
    at = 0
    for (begin, end), label in zip(pairwise(ends), labels[[0, *(changes + 1)]] if len(labels) else [-1], strict=True):
        if label < 0:
            continue
        kind = _KINDS[label]
        begin += (kind.phase - begin) % kind.n_bytes
        end -= (end - kind.phase) % kind.n_bytes
        gaps += [Gap(begin - at)] * (begin > at) + [Gap(end - begin, kind.dtype)]
        at = end
    return SourceMap("opaque", (*gaps, *[Gap(file.size - at)] * (file.size > at)))


def _narrowed(file: Reader, before: NDArray[np.int64], step: int, labels: Labels) -> NDArray[np.int64]:
    """Where what has that label ends, between each sample `before` and the next, to the bytes of a sample."""
    while step > _SAMPLE_BYTES:
        step //= 2
        before = np.where(_labels(file, before + step) == labels, before + step, before)
    return before + step


def _labels(file: Reader, offsets: NDArray[np.int64]) -> Labels:
    """Of samples at these offsets."""
    labels = np.full(len(offsets), -1, np.int8)
    samples = np.empty((_AT_ONCE, _WORDS), "<u8")
    for first in range(0, len(offsets), _AT_ONCE):
        some = offsets[first : first + _AT_ONCE].tolist()
        for row, offset in zip(samples, some, strict=False):
            file.pread_into(offset, row.data.cast("B"))
        labels[first : first + len(some)] = _look(samples[: len(some)])
    return labels


def _look(words: NDArray[np.uint64]) -> Labels:
    """(n, 128) words to n labels."""
    sums = np.stack([((words >> np.uint64(bit)) & _EACH_BYTE).sum(axis=1) for bit in range(3, 7)])
    ones = sums.astype("<u8").view(np.uint8).reshape(4, len(words), 8).astype(np.int16)  # (bit, sample, byte of a word)
    off_half = np.abs(ones - _WORDS // 2)
    # Of integers and padding, the bytes that are as steady never change
    changes = np.bitwise_or.reduce(words ^ words[:, :1], axis=1).view(np.uint8).reshape(len(words), 8)
    steady = (off_half[3] >= _WORDS // 2 - _STEADY) & (changes > 0)
    noise = (off_half <= _NOISE).all(axis=0)
    bfloat = ones[:3].sum(axis=0) >= _BFLOAT
    tops, others, below, tops_of_bf16 = (
        np.packbits(of, axis=1, bitorder="little")[:, 0] for of in (steady, ~steady, noise, bfloat)
    )
    fits = _TOP[tops] & _ABOVE[others] & _BELOW[below] & _TOP_OF_BF16[tops_of_bf16]
    labels: Labels = (np.frexp(fits.astype(np.float64))[1] - 1).astype(np.int8)  # the highest bit
    return labels
