"""`constant`: one element, repeated; see constant.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from pennyweight import native
from pennyweight.errors import CorruptError
from pennyweight.stages.protocol import Encoded, Side, Stream, StreamSpec, check_parts, no_params
from pennyweight.types import Fidelity

MAX_WIDTH = 16


@dataclass(frozen=True)
class Constant:
    """width: bytes of the element, 1 to 16; it follows from the stream and is not written in plans."""

    id: ClassVar[int] = 1
    name: ClassVar[str] = "constant"
    since: ClassVar[tuple[int, int]] = (1, 0)
    fidelity: ClassVar[Fidelity] = Fidelity.LOSSLESS

    width: int = 1

    @property
    def outputs(self) -> Mapping[str, StreamSpec]:
        return {}

    @classmethod
    def bind(cls, spec: StreamSpec, params: Mapping[str, int]) -> Self:
        no_params(cls.name, params)
        return cls(spec.width)

    def encode(self, src: Stream) -> Encoded | None:
        if src.size == 0 or src.size % self.width or not native.is_constant(src, self.width):
            return None
        return Encoded(src[: self.width].tobytes(), ())

    @classmethod
    def from_header(cls, header: bytes, n_bytes: int, side: Side = ()) -> ConstantDecoder:
        if not 1 <= len(header) <= MAX_WIDTH or n_bytes % len(header):
            raise CorruptError(f"constant: an element of {len(header)} bytes cannot fill {n_bytes}")
        return ConstantDecoder(header)


@dataclass(frozen=True)
class ConstantDecoder:
    element: bytes
    sizes: tuple[int, ...] = ()

    def decode(self, parts: tuple[Stream, ...], out: Stream) -> None:
        check_parts(self, parts)
        out.reshape(-1, len(self.element))[:] = np.frombuffer(self.element, np.uint8)
