"""`byteplane`: byte j of every element, one plane per byte; see byteplane.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from pennyweight import native
from pennyweight.errors import CorruptError, UsageError
from pennyweight.stages.protocol import Encoded, Side, Stream, StreamSpec, check_parts
from pennyweight.stages.repeats import has_repeats, repeats_of
from pennyweight.types import Fidelity

MIN_WIDTH, MAX_WIDTH = 2, 16


@dataclass(frozen=True)
class BytePlane:
    """width: bytes of an element, 2 to 16; follows from the stream unless the plan writes it. repeats: see zstd.md."""

    id: ClassVar[int] = 2
    name: ClassVar[str] = "byteplane"
    since: ClassVar[tuple[int, int]] = (1, 0)
    fidelity: ClassVar[Fidelity] = Fidelity.LOSSLESS

    width: int
    repeats: int = 0

    @property
    def outputs(self) -> Mapping[str, StreamSpec]:
        return {f"plane{j}": StreamSpec() for j in range(self.width)}

    @classmethod
    def bind(cls, spec: StreamSpec, params: Mapping[str, int]) -> Self:
        width = params.get("width", spec.width)
        repeats = repeats_of(cls.name, params, "width")
        if not MIN_WIDTH <= width <= MAX_WIDTH:
            raise UsageError(f"{cls.name} needs elements of {MIN_WIDTH} to {MAX_WIDTH} bytes, not {width}")
        return cls(width, repeats)

    def encode(self, src: Stream) -> Encoded | None:
        if src.size % self.width or not has_repeats(src, self.repeats):
            return None
        planes = native.byteplane_split(src, self.width).reshape(self.width, -1)
        return Encoded(bytes((self.width,)), tuple(planes))

    @classmethod
    def from_header(cls, header: bytes, n_bytes: int, side: Side = ()) -> BytePlaneDecoder:
        if len(header) != 1 or not MIN_WIDTH <= header[0] <= MAX_WIDTH:
            raise CorruptError("byteplane: the header must be one byte, 2 to 16")
        width = header[0]
        if n_bytes % width:
            raise CorruptError(f"byteplane: {n_bytes} bytes are no whole number of elements of {width}")
        return BytePlaneDecoder((n_bytes // width,) * width)


@dataclass(frozen=True)
class BytePlaneDecoder:
    sizes: tuple[int, ...]

    def decode(self, parts: tuple[Stream, ...], out: Stream) -> None:
        check_parts(self, parts)
        native.byteplane_merge(np.concatenate(parts), len(parts), out)
