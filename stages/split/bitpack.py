"""`bitpack`: elements without the high and low bits that are 0; see bitpack.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from pennyweight import native
from pennyweight.errors import CorruptError, UsageError
from pennyweight.stages.protocol import Encoded, Side, Stream, StreamSpec, check_parts, no_params
from pennyweight.types import Fidelity

MAX_WIDTH = 8


@dataclass(frozen=True)
class BitPack:
    """width: bytes of an element, 1 to 8; it follows from the stream."""

    id: ClassVar[int] = 7
    name: ClassVar[str] = "bitpack"
    since: ClassVar[tuple[int, int]] = (1, 0)
    fidelity: ClassVar[Fidelity] = Fidelity.LOSSLESS

    width: int

    @property
    def outputs(self) -> Mapping[str, StreamSpec]:
        return {"": StreamSpec()}

    @classmethod
    def bind(cls, spec: StreamSpec, params: Mapping[str, int]) -> Self:
        no_params(cls.name, params)
        if not 1 <= spec.width <= MAX_WIDTH:
            raise UsageError(f"{cls.name} needs elements of 1 to {MAX_WIDTH} bytes, not {spec.width}")
        return cls(spec.width)

    def encode(self, src: Stream) -> Encoded | None:
        if src.size == 0 or src.size % self.width:
            return None
        packed = native.bitpack_pack(src, self.width)
        if packed is None:
            return None
        high, runs, bits = packed
        return Encoded(bytes((self.width, high)) + runs, (bits,))

    @classmethod
    def from_header(cls, header: bytes, n_bytes: int, side: Side = ()) -> BitPackDecoder:
        if len(header) < 2 or not 1 <= header[0] <= MAX_WIDTH or not 1 <= header[1] <= 8 * header[0]:
            raise CorruptError("bitpack: no width of 1 to 8 bytes, or more bits than it has")
        n, rest = divmod(n_bytes, header[0])
        if rest or not n:
            raise CorruptError(f"bitpack: {n_bytes} bytes are no whole number of elements of {header[0]}")
        part = native.bitpack_part_bytes(header[2:], n, header[1])
        if part is None:
            raise CorruptError("bitpack: the runs do not cover the groups")
        return BitPackDecoder(header, (part,))


@dataclass(frozen=True)
class BitPackDecoder:
    header: bytes
    sizes: tuple[int, ...]

    def decode(self, parts: tuple[Stream, ...], out: Stream) -> None:
        check_parts(self, parts)
        native.bitpack_unpack(self.header[2:], parts[0], self.header[0], self.header[1], out)
