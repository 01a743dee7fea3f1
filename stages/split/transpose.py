"""`transpose`: a matrix by columns; see transpose.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from pennyweight.errors import CorruptError, UsageError
from pennyweight.stages.protocol import Encoded, Side, Stream, StreamSpec, check_parts, no_params
from pennyweight.stages.wire import read_varint, varint
from pennyweight.types import DType, Fidelity

MAX_WIDTH = 16


@dataclass(frozen=True)
class Transpose:
    """width: bytes of an element, 1 to 16; it follows from the stream. rows: 0 until training knows them."""

    id: ClassVar[int] = 12
    name: ClassVar[str] = "transpose"
    since: ClassVar[tuple[int, int]] = (1, 0)
    fidelity: ClassVar[Fidelity] = Fidelity.LOSSLESS

    width: int
    dtype: DType | None = None
    rows: int = 0

    @property
    def outputs(self) -> Mapping[str, StreamSpec]:
        return {"": StreamSpec(width=self.width, dtype=self.dtype)}

    @classmethod
    def bind(cls, spec: StreamSpec, params: Mapping[str, int]) -> Self:
        no_params(cls.name, params)
        if not 1 <= spec.width <= MAX_WIDTH:
            raise UsageError(f"{cls.name} needs elements of 1 to {MAX_WIDTH} bytes, not {spec.width}")
        return cls(spec.width, spec.dtype)

    def encode(self, src: Stream) -> Encoded | None:
        if self.rows < 2 or not src.size or src.size % (self.width * self.rows):
            return None
        return Encoded(bytes((self.width,)) + varint(self.rows), (_turned(src, self.width, self.rows),))

    @classmethod
    def from_header(cls, header: bytes, n_bytes: int, side: Side = ()) -> TransposeDecoder:
        if not header or not 1 <= header[0] <= MAX_WIDTH:
            raise CorruptError(f"transpose: no width of 1 to {MAX_WIDTH} bytes")
        rows, at = read_varint(header, 1)
        if at != len(header) or rows < 2 or not n_bytes or n_bytes % (header[0] * rows):
            raise CorruptError(f"transpose: {n_bytes} bytes are no {rows} rows of elements of {header[0]} bytes")
        return TransposeDecoder(header[0], rows, (n_bytes,))


@dataclass(frozen=True)
class TransposeDecoder:
    width: int
    rows: int
    sizes: tuple[int, ...]

    def decode(self, parts: tuple[Stream, ...], out: Stream) -> None:
        check_parts(self, parts)
        columns = out.size // (self.width * self.rows)
        out[:] = _turned(parts[0], self.width, columns)


def _turned(matrix: Stream, width: int, rows: int) -> Stream:
    """The elements of a matrix of so many rows, column after column."""
    if width in (1, 2, 4, 8):  # NumPy moves whole integers several times faster than bytes
        return np.ascontiguousarray(matrix.view(f"<u{width}").reshape(rows, -1).T).reshape(-1).view(np.uint8)
    return np.ascontiguousarray(matrix.reshape(rows, -1, width).transpose(1, 0, 2)).reshape(-1)
