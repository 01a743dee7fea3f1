"""`palette`: a stream of few distinct elements, as a list of them and an index each; see palette.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from pennyweight import native
from pennyweight.errors import CorruptError, UsageError
from pennyweight.stages.protocol import Encoded, Side, Stream, StreamSpec, check_parts, no_params
from pennyweight.stages.wire import read_varint, varint
from pennyweight.types import Fidelity

MAX_WIDTH = 8
MAX_VALUES = 256


@dataclass(frozen=True)
class Palette:
    """width: bytes of an element, 1 to 8. Follows from the stream."""

    id: ClassVar[int] = 8
    name: ClassVar[str] = "palette"
    since: ClassVar[tuple[int, int]] = (1, 0)
    fidelity: ClassVar[Fidelity] = Fidelity.LOSSLESS

    width: int

    @property
    def outputs(self) -> Mapping[str, StreamSpec]:
        return {"values": StreamSpec(width=self.width), "indices": StreamSpec()}

    @classmethod
    def bind(cls, spec: StreamSpec, params: Mapping[str, int]) -> Self:
        no_params(cls.name, params)
        if spec.width > MAX_WIDTH:
            raise UsageError(f"{cls.name} needs elements of at most {MAX_WIDTH} bytes, not {spec.width}")
        return cls(spec.width)

    def encode(self, src: Stream) -> Encoded | None:
        if self.width == 1 or src.size % self.width:
            return None
        split = native.palette_split(src, self.width)
        if split is None:
            return None
        values, indices = split
        return Encoded(bytes((self.width,)) + varint(values.size // self.width), (values, indices))

    @classmethod
    def from_header(cls, header: bytes, n_bytes: int, side: Side = ()) -> PaletteDecoder:
        if not header or not 1 <= header[0] <= MAX_WIDTH:
            raise CorruptError(f"palette: an element has 1 to {MAX_WIDTH} bytes")
        width = header[0]
        k, at = read_varint(header, 1)
        if at != len(header):
            raise CorruptError("palette: the header is too long")
        if not 1 <= k <= MAX_VALUES:
            raise CorruptError(f"palette: {k} values are not 1 to {MAX_VALUES}")
        if n_bytes % width:
            raise CorruptError(f"palette: {n_bytes} bytes are no whole number of elements of {width}")
        return PaletteDecoder(width, (k * width, n_bytes // width))


@dataclass(frozen=True)
class PaletteDecoder:
    width: int
    sizes: tuple[int, ...]

    def decode(self, parts: tuple[Stream, ...], out: Stream) -> None:
        check_parts(self, parts)
        values, indices = parts
        if not native.palette_merge(values, self.width, indices, out):
            raise CorruptError("palette: the values are not ascending, or an index is not below their number")
