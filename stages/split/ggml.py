"""`ggml`: cells of GGUF's quantised types taken apart, quants sorted by what is known of their scales; see ggml.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from pennyweight import native
from pennyweight.errors import CorruptError, UsageError
from pennyweight.stages.cell_scales import MAX_CENTER, MAX_VALUES, Scales
from pennyweight.stages.cells import LAYOUTS, OF_DTYPE, Layout
from pennyweight.stages.protocol import Encoded, Side, Stream, StreamSpec, check_parts, no_params
from pennyweight.stages.wire import read_varint, varint
from pennyweight.types import Fidelity


@dataclass(frozen=True)
class Ggml:
    """layout follows from the dtype."""

    id: ClassVar[int] = 13
    name: ClassVar[str] = "ggml"
    since: ClassVar[tuple[int, int]] = (1, 0)
    fidelity: ClassVar[Fidelity] = Fidelity.LOSSLESS

    layout: Layout

    @property
    def outputs(self) -> Mapping[str, StreamSpec]:
        return {
            "values": StreamSpec(width=2),
            "scales": StreamSpec(width=2),
            "mins": StreamSpec(width=2),
            "sub_scales": StreamSpec(),
            "sub_mins": StreamSpec(),
            "first": StreamSpec(),
            "quants": StreamSpec(symbol_bits=self.layout.bits - self.layout.low_bits),
            "low": StreamSpec(),
        }

    @classmethod
    def bind(cls, spec: StreamSpec, params: Mapping[str, int]) -> Self:
        no_params(cls.name, params)
        if spec.dtype not in OF_DTYPE:
            raise UsageError(f"{cls.name} needs a tensor of {', '.join(dtype.label for dtype in OF_DTYPE)}")
        return cls(OF_DTYPE[spec.dtype])

    def encode(self, src: Stream) -> Encoded | None:
        layout = self.layout
        if not src.size or src.size % layout.cell_bytes:
            return None
        cells = src.reshape(-1, layout.cell_bytes)
        scales = Scales.of_cells(layout, cells)
        center = scales.center()
        quants, classes = layout.take_quants(cells), scales.classes(center)
        first, left = native.sort_quants(quants, layout.group, classes, layout.extremes)
        low = left & np.uint8((1 << layout.low_bits) - 1) if layout.low_bits else left[:0]
        values, *of_scales = scales.parts()
        header = bytes((layout.id,)) + varint(center) + varint(values.size // 2) + varint(left.size)
        return Encoded(header, (values, *of_scales, first, left >> np.uint8(layout.low_bits), low))

    @classmethod
    def from_header(cls, header: bytes, n_bytes: int, side: Side = ()) -> GgmlDecoder:
        if not header or header[0] not in LAYOUTS:
            raise CorruptError("ggml: an unknown type")
        layout = LAYOUTS[header[0]]
        center, at = read_varint(header, 1)
        n_values, at = read_varint(header, at)
        n_left, at = read_varint(header, at)
        n, rest = divmod(n_bytes, layout.cell_bytes)
        if at != len(header) or rest or not n:
            raise CorruptError(f"ggml: the header does not fit {n_bytes} bytes")
        n_groups = n * layout.n_groups
        n_quants = n_groups * layout.group
        if center >= MAX_CENTER or (layout.m is not None and center) or n_left > n_quants or n_values > MAX_VALUES:
            raise CorruptError(f"ggml: a center of {center}, {n_values} values, or {n_left} quants of {n_quants}")
        sizes = (
            2 * n_values,
            2 * n,
            2 * n * (layout.m is not None),
            n * layout.n_sub_scales,
            n * layout.n_sub_mins,
            n_groups * len(layout.extremes),
            n_left,
            n_left * bool(layout.low_bits),
        )
        return GgmlDecoder(layout, center, sizes)


@dataclass(frozen=True)
class GgmlDecoder:
    layout: Layout
    center: int
    sizes: tuple[int, ...]

    def decode(self, parts: tuple[Stream, ...], out: Stream) -> None:
        check_parts(self, parts)
        layout = self.layout
        *of_scales, first, high, low = parts
        scales = Scales.of_parts(layout, *of_scales)
        high_bits = layout.bits - layout.low_bits
        if any(part.size and int(part.max()) >> bits for part, bits in ((high, high_bits), (low, layout.low_bits))):
            raise CorruptError("ggml: a quant is out of range")
        left = high << np.uint8(layout.low_bits) | low if layout.low_bits else high
        classes = scales.classes(self.center)
        quants = np.empty(classes.size * layout.group, np.uint8)
        if not native.unsort_quants(left, first, layout.group, classes, layout.extremes, quants):
            raise CorruptError("ggml: first extremes are out of range, or leave another number of quants")
        cells = out.reshape(-1, layout.cell_bytes)
        layout.put_quants(cells, quants)
        scales.put(cells)
