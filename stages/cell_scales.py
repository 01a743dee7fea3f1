"""Scales and mins of GGUF's cells, and the classes of groups that they give: stages/split/ggml.md."""

from __future__ import annotations

from typing import Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from pennyweight import native
from pennyweight.errors import CorruptError
from pennyweight.stages.cells import Bytes2, Layout
from pennyweight.stages.protocol import Stream

Ints = NDArray[np.int64]

MAX_CENTER: Final = 1 << 17
MAX_VALUES: Final = 4096
_MIDDLE_CLASS, _SYMMETRIC_CLASSES, _ZERO_POINTS = 6, 13, 16

_LOGARITHMS: Final[Ints] = np.array(
    [-4096] + [1024 * (n.bit_length() - 2) + (1024 * n >> n.bit_length() - 1) for n in range(1, 256)]
)
"""Of sub-scales, 1024 to an octave, and linear between powers of two as the bits of d are."""


class Scales(NamedTuple):
    """Of n cells: d and m (n,), the others (n, groups of a cell); empty what the type does not have."""

    layout: Layout
    d: Ints
    m: Ints
    sub_scales: Bytes2
    sub_mins: Bytes2

    @classmethod
    def of_cells(cls, layout: Layout, cells: Bytes2) -> Self:
        return cls(layout, layout.take_scale(cells), layout.take_min(cells), *layout.take_subs(cells))

    def put(self, cells: Bytes2) -> None:
        self.layout.put_scales(cells, self.d, self.m)
        self.layout.put_subs(cells, self.sub_scales, self.sub_mins)

    def parts(self) -> tuple[Stream, Stream, Stream, Stream, Stream]:
        """values, scales, mins, sub_scales, sub_mins."""
        values, scales = _listed(self.d)
        mins = (self.m & 7) << 13 | ((self.m >> 3) - (self.d >> 3)) & 0x1FFF if self.m.size else self.m
        sub_mins = self.sub_mins.reshape(-1)
        if sub_mins.size:
            sub_mins = native.sort_by_class(sub_mins, self._sub_min_classes())
        words = [numbers.astype("<u2").view(np.uint8) for numbers in (values, scales, mins)]
        return words[0], words[1], words[2], np.ascontiguousarray(self.sub_scales).reshape(-1), sub_mins

    @classmethod
    def of_parts(
        cls, layout: Layout, values: Stream, scales: Stream, mins: Stream, sub_scales: Stream, sub_mins: Stream
    ) -> Self:
        """CorruptError for a scale that is not listed, or lists that do not ascend."""
        listed, d, relative = (np.frombuffer(part, "<u2").astype(np.int64) for part in (values, scales, mins))
        if listed.size:
            d = _looked_up(listed, d)
        if not layout.wide and (d >> 8).any():
            raise CorruptError("ggml: a scale of more than a byte")
        m = ((relative + (d >> 3)) & 0x1FFF) << 3 | relative >> 13 if relative.size else relative
        n = len(d)
        made = cls(layout, d, m, sub_scales.reshape(n, -1), sub_mins.reshape(n, -1))
        if sub_mins.size:
            unsorted = np.empty(sub_mins.size, np.uint8)
            native.unsort_by_class(sub_mins, made._sub_min_classes(), unsorted)
            made = made._replace(sub_mins=unsorted.reshape(n, -1))
        return made

    def center(self) -> int:
        """The level of the middle class: half of the groups are below. 0 where classes are zero points."""
        if self.m.size:
            return 0
        levels = self._levels()
        return int(np.clip(np.partition(levels, levels.size // 2)[levels.size // 2], 0, MAX_CENTER - 1))

    def classes(self, center: int) -> Stream:
        """Of every group, below 16."""
        if self.m.size:
            return self._zero_points()
        steps: Ints = (self._levels() - center >> 8) + _MIDDLE_CLASS
        return steps.clip(0, _SYMMETRIC_CLASSES - 1).astype(np.uint8)

    def _sub_min_classes(self) -> Stream:
        return (self.sub_scales >> np.uint8(max(0, self.layout.sub_bits - 3))).reshape(-1)

    def _levels(self) -> Ints:
        """Logarithms of the groups' scales, 1024 to an octave."""
        of_cells = self.layout.level_of(self.d)
        if not self.sub_scales.size:
            return np.repeat(of_cells, self.layout.n_groups)
        levels: Ints = of_cells[:, None] + _LOGARITHMS[self.layout.magnitudes(self.sub_scales)]
        return levels.reshape(-1)

    def _zero_points(self) -> Stream:
        """The quant of the value 0, in sixteenths of the range of quants."""
        scale, least = _magnitude(self.d)[:, None], _magnitude(self.m)[:, None]
        above = (self.d ^ self.m) >> 15 == (0 if self.sub_scales.size else 1)
        if self.sub_scales.size:  # whose mins are taken away, not added
            scale, least = scale * self.sub_scales, least * self.sub_mins
        scale = scale << self.layout.weight_bits
        steps = np.minimum((32 * least + scale) // np.maximum(2 * scale, 1), _ZERO_POINTS - 1)
        return np.where(above[:, None] & (scale > 0), steps, 0).astype(np.uint8).reshape(-1)


def _shift(n_values: int) -> int:
    """Places of values are written with 13 bits, so that the upper byte holds as much of them as it can."""
    return max(0, 13 - (n_values - 1).bit_length())


def _listed(d: Ints) -> tuple[Ints, Ints]:
    """Differences of the distinct scales, and places among them; no values and d itself where that does not pay."""
    there = np.zeros(1 << 16, np.bool_)
    there[d] = True
    values = np.flatnonzero(there)
    place = np.zeros(1 << 16, np.int64)
    place[values] = np.arange(len(values)) << _shift(len(values))
    if len(values) > MAX_VALUES or _price(place[d]) + 8 * 256 * len(values) >= _price(d):
        return values[:0], d
    return np.diff(values, prepend=0), place[d]


def _price(words: Ints) -> int:
    """Of their upper and their lower bytes, in 1/256 bit; that of floatfields.md."""
    n, price = len(words), 0
    for plane in (words >> 8, words & 255):
        counts = np.bincount(plane)
        counts = counts[counts > 0]
        price += int((counts * (_log2_256(np.array(n)) - _log2_256(counts))).sum())
    return price


def _log2_256(counts: Ints) -> Ints:
    whole = np.frexp(counts)[1].astype(np.int64) - 1
    return 256 * whole + (counts << 8 >> whole) - 256


def _looked_up(differences: Ints, places: Ints) -> Ints:
    values: Ints = np.cumsum(differences)
    shift = _shift(len(differences))
    numbers = places >> shift
    ascend = bool(differences[1:].all()) and values[-1] < 1 << 16
    if not ascend or (numbers << shift != places).any() or numbers.max() >= len(values):
        raise CorruptError("ggml: a scale is not listed, or the list does not ascend")
    looked_up: Ints = values[numbers]
    return looked_up


def _magnitude(half: Ints) -> Ints:
    """Of FP16, in units of its smallest; infinities and NaN as if they were numbers."""
    e, mantissa = half >> 10 & 31, half & 1023
    magnitude: Ints = np.where(e > 0, mantissa | 1024, mantissa) << np.maximum(e - 1, 0)
    return magnitude
