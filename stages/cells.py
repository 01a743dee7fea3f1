"""Cells of GGUF's quantised types, where their fields lie and how bits are gathered from them: stages/split/ggml.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pennyweight import native
from pennyweight.stages.protocol import Stream
from pennyweight.types import DType

Ints = NDArray[np.int64]
Bytes2 = NDArray[np.uint8]
"""(cells, bytes of a cell), or (cells, numbers of a cell)."""


class Plane(NamedTuple):
    """Small numbers in n_bytes of a cell, `bits` each: of every `run` bytes first the lowest bits, then those above."""

    at: int
    n_bytes: int
    bits: int
    run: int

    @property
    def n_numbers(self) -> int:
        return self.n_bytes * 8 // self.bits


@dataclass(frozen=True)
class Layout:
    """One type.

    Attributes:
        id: GGUF's.
        d: where the scale of a cell stands.
        m: where its min stands; None for a type without.
        quants: numbers of the weights; their bits are those of all planes.
        subs: scales of the groups, and behind them mins if there are twice as many numbers.
        sixes: where 12 bytes of scales and mins stand that are no planes.
        wide: whether that is FP16; else one byte, an exponent.
        middle: to be taken from a sub-scale.
        signed: whether sub-scales are of two's complement.
        group: quants of a group.
        pairs: whether a quant is two weights, the first in its low bits.
        flip: exclusive or, so that quants of two's complement ascend.
        whole: whether no bits of a quant are coded apart.
        extremes: disjoint sets of quants of which nearly every group has one.
    """

    id: int
    dtype: DType
    d: int
    m: int | None
    quants: tuple[Plane, ...]
    group: int = 32
    subs: tuple[Plane, ...] = ()
    sixes: int | None = None
    middle: int = 0
    signed: bool = False
    wide: bool = True
    pairs: bool = False
    whole: bool = False
    flip: int = 0
    extremes: tuple[tuple[int, ...], ...] = ()

    @property
    def cell_bytes(self) -> int:
        return self.dtype.cell_bytes

    @property
    def weight_bits(self) -> int:
        return sum(plane.bits for plane in self.quants)

    @property
    def bits(self) -> int:
        """Of a quant."""
        return self.weight_bits << self.pairs

    @property
    def low_bits(self) -> int:
        """Of a quant, which are coded apart: they are nearly noise, and would make tables large."""
        return 0 if self.whole else max(0, self.bits - 5)

    @property
    def n_groups(self) -> int:
        """Of a cell."""
        return (self.quants[0].n_numbers >> self.pairs) // self.group

    @property
    def n_sub_scales(self) -> int:
        """Of a cell."""
        return self.n_groups if self.subs or self.sixes is not None else 0

    @property
    def n_sub_mins(self) -> int:
        """Of a cell."""
        return 8 if self.sixes is not None else sum(plane.n_numbers for plane in self.subs[:1]) - self.n_sub_scales

    @property
    def sub_bits(self) -> int:
        return 6 if self.sixes is not None else sum(plane.bits for plane in self.subs)

    def magnitudes(self, sub_scales: Bytes2) -> Bytes2:
        """Without their signs."""
        numbers = sub_scales.view(np.int8) if self.signed else sub_scales.astype(np.int16) - self.middle
        return np.abs(numbers.astype(np.int16)).astype(np.uint8)

    def level_of(self, d: Ints) -> Ints:
        """Logarithm of a scale, 1024 to an octave where it is FP16."""
        return d & 0x7FFF if self.wide else d << 8

    def take_scale(self, cells: Bytes2) -> Ints:
        return _take_word(cells, self.d) if self.wide else cells[:, self.d].astype(np.int64)

    def take_min(self, cells: Bytes2) -> Ints:
        return np.empty(0, np.int64) if self.m is None else _take_word(cells, self.m)

    def put_scales(self, cells: Bytes2, d: Ints, m: Ints) -> None:
        for at, words in ((self.d, d), (self.m, m)):
            if at is not None:
                cells[:, at] = words & 255
                if self.wide:
                    cells[:, at + 1] = words >> 8

    def take_subs(self, cells: Bytes2) -> tuple[Bytes2, Bytes2]:
        """(cells, n_sub_scales) and (cells, n_sub_mins)."""
        if self.sixes is not None:
            return _take_sixes(cells[:, self.sixes : self.sixes + 12])
        both = self._take(self.subs, cells) if self.subs else cells[:, :0]
        return both[:, : self.n_sub_scales], both[:, self.n_sub_scales :]

    def put_subs(self, cells: Bytes2, scales: Bytes2, mins: Bytes2) -> None:
        if self.sixes is not None:
            cells[:, self.sixes : self.sixes + 12] = _put_sixes(scales, mins)
        elif self.subs:
            self._put(self.subs, cells, np.hstack((scales, mins)))

    def take_quants(self, cells: Bytes2) -> Stream:
        """In order."""
        numbers = self._take(self.quants, cells).reshape(-1) ^ np.uint8(self.flip)
        return numbers[::2] | numbers[1::2] << np.uint8(self.weight_bits) if self.pairs else numbers

    def put_quants(self, cells: Bytes2, quants: Stream) -> None:
        if self.pairs:
            bits = np.uint8(self.weight_bits)
            quants = np.stack((quants & np.uint8((1 << self.weight_bits) - 1), quants >> bits), axis=1)
        self._put(self.quants, cells, quants ^ np.uint8(self.flip))

    def _take(self, planes: tuple[Plane, ...], cells: Bytes2) -> Bytes2:
        """Numbers, whose low bits are in the first plane."""
        return native.take_planes(cells, self.cell_bytes, planes).reshape(len(cells), -1)

    def _put(self, planes: tuple[Plane, ...], cells: Bytes2, numbers: Bytes2) -> None:
        native.put_planes(np.ascontiguousarray(numbers), self.cell_bytes, planes, cells)


def _take_word(cells: Bytes2, at: int) -> Ints:
    return cells[:, at] | cells[:, at + 1].astype(np.int64) << 8


def _take_sixes(packed: Bytes2) -> tuple[Bytes2, Bytes2]:
    """Eight scales and eight mins of 6 bits, as Q4_K and Q5_K pack them."""
    one, two, rest = packed[:, :4], packed[:, 4:8], packed[:, 8:]
    scales = np.hstack((one & 63, rest & 15 | one >> 6 << 4))
    return scales, np.hstack((two & 63, rest >> 4 | two >> 6 << 4))


def _put_sixes(scales: Bytes2, mins: Bytes2) -> Bytes2:
    one = scales[:, :4] | scales[:, 4:] >> 4 << 6
    two = mins[:, :4] | mins[:, 4:] >> 4 << 6
    return np.hstack((one, two, scales[:, 4:] & 15 | mins[:, 4:] << 4))


_ALL: Final = (
    Layout(2, DType.Q4_0, 0, None, (Plane(2, 16, 4, 16),), extremes=((0,),)),
    Layout(3, DType.Q4_1, 0, 2, (Plane(4, 16, 4, 16),), extremes=((0,), (15,))),
    Layout(6, DType.Q5_0, 0, None, (Plane(6, 16, 4, 16), Plane(2, 4, 1, 1)), extremes=((0,),)),
    Layout(7, DType.Q5_1, 0, 2, (Plane(8, 16, 4, 16), Plane(4, 4, 1, 1)), extremes=((0,), (31,))),
    Layout(8, DType.Q8_0, 0, None, (Plane(2, 32, 8, 32),), flip=128, extremes=((1, 255),)),
    Layout(10, DType.Q2_K, 80, 82, (Plane(16, 64, 2, 32),), group=8, pairs=True, subs=(Plane(0, 16, 4, 16),)),
    Layout(
        11, DType.Q3_K, 108, None, (Plane(32, 64, 2, 32), Plane(0, 32, 1, 32)),
        group=8, pairs=True, whole=True, subs=(Plane(96, 8, 4, 8), Plane(104, 4, 2, 4)), middle=32,
    ),
    Layout(12, DType.Q4_K, 0, 2, (Plane(16, 128, 4, 32),), sixes=4, extremes=((0,), (15,))),
    Layout(
        13, DType.Q5_K, 0, 2, (Plane(48, 128, 4, 32), Plane(16, 32, 1, 32)), sixes=4, extremes=((0,), (31,))
    ),
    Layout(
        14, DType.Q6_K, 208, None, (Plane(0, 128, 4, 64), Plane(128, 64, 2, 32)),
        group=16, subs=(Plane(192, 16, 8, 16),), signed=True, extremes=((0, 1, 62, 63),),
    ),
    Layout(20, DType.IQ4_NL, 0, None, (Plane(2, 16, 4, 16),)),
    Layout(
        23, DType.IQ4_XS, 0, None, (Plane(8, 128, 4, 16),), subs=(Plane(4, 4, 4, 1), Plane(2, 2, 2, 1)), middle=32
    ),
    Layout(34, DType.TQ1_0, 52, None, (Plane(0, 52, 8, 52),), group=52, whole=True),
    Layout(35, DType.TQ2_0, 64, None, (Plane(0, 64, 8, 64),), group=64, whole=True),
    Layout(39, DType.MXFP4, 0, None, (Plane(1, 16, 4, 16),), wide=False),
)  # fmt: skip
LAYOUTS: Final = {layout.id: layout for layout in _ALL}
OF_DTYPE: Final = {layout.dtype: layout for layout in _ALL}
