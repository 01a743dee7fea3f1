"""GGUF, versions 2 and 3: magic, counts, metadata, the tensors' names, shapes and offsets, then the aligned data.

Little-endian only: a big-endian file has a version of another size. Of the metadata only the alignment is of interest,
so values are walked over, not read. A tensor of a type whose size is not known here is left in a gap.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Final

from pennyweight.pipeline.container import limits
from pennyweight.pipeline.files import Reader
from pennyweight.pipeline.sources.segments import SourceMap, TensorRange, cover
from pennyweight.types import DType

MAX_HEADER_BYTES: Final = 1 << 25
"""Vocabularies of a million words fit, and walking over as many strings as fit takes a second or two."""

MAX_NESTING: Final = 8
"""Arrays of arrays; no file is known that nests them at all."""

MAX_ALIGNMENT: Final = 1 << 20
_FIRST_READ: Final = 1 << 20
_MAGIC: Final = b"GGUF"
_VERSIONS: Final = (2, 3)
_DEFAULT_ALIGNMENT: Final = 32
_ALIGNMENT_KEY: Final = b"general.alignment"

_STRING, _ARRAY, _U32 = 8, 9, 4
_VALUE_BYTES: Final = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""By type of a metadata value, of all but strings and arrays."""

_TYPES: Final = {
    0: DType.F32,
    1: DType.F16,
    2: DType.Q4_0,
    3: DType.Q4_1,
    6: DType.Q5_0,
    7: DType.Q5_1,
    8: DType.Q8_0,
    10: DType.Q2_K,
    11: DType.Q3_K,
    12: DType.Q4_K,
    13: DType.Q5_K,
    14: DType.Q6_K,
    20: DType.IQ4_NL,
    23: DType.IQ4_XS,
    24: DType.I8,
    25: DType.I16,
    26: DType.I32,
    27: DType.I64,
    28: DType.F64,
    30: DType.BF16,
    34: DType.TQ1_0,
    35: DType.TQ2_0,
    39: DType.MXFP4,
}

_OTHERS: Final = {
    16: (256, 66),
    17: (256, 74),
    18: (256, 98),
    19: (256, 50),
    21: (256, 110),
    22: (256, 82),
    29: (256, 56),
    40: (64, 36),
    41: (128, 18),
}
"""Weights and bytes of a cell of types of which no more is known here: IQ1 to IQ3, NVFP4, Q1_0. Taken as bytes."""


class _Lie(ValueError):
    """The header breaks a rule."""


def read(file: Reader) -> SourceMap | None:
    """The header and padding as gaps, and the tensors. None if it is not a GGUF file, or lies."""
    if file.size < 24 or file.pread(0, 4) != _MAGIC:
        return None
    try:
        return cover("gguf", file.size, _tensors(_Header(file)))
    except ValueError:  # of ours, or of UTF-8
        return None


def _tensors(header: _Header) -> list[tuple[int, TensorRange]]:
    """The tensors of known types with their offsets in the file."""
    header.skip(4)
    version, n_tensors, n_pairs = header.u32(), header.u64(), header.u64()
    if version not in _VERSIONS or n_tensors > limits.MAX_SEGMENTS:
        raise _Lie("another version, or too many tensors")
    alignment = _DEFAULT_ALIGNMENT
    for _ in range(n_pairs):
        key, kind = header.string(), header.u32()
        if key == _ALIGNMENT_KEY:
            alignment = header.u32()
            if kind != _U32 or not 0 < alignment <= MAX_ALIGNMENT or alignment & (alignment - 1):
                raise _Lie("the alignment is no power of two")
        else:
            header.skip_value(kind)
    found = list(header.tensors(n_tensors))
    data = -(-header.at // alignment) * alignment
    return [(data + offset, tensor) for offset, tensor in found if tensor is not None]


class _Header:
    """A walk over the first bytes of a file, of which as many are read as are needed."""

    def __init__(self, file: Reader) -> None:
        self._file, self._data, self.at = file, b"", 0

    def skip(self, n: int) -> int:
        """Where the bytes begin that it goes past."""
        at = self.at
        if n > len(self._data) - at:
            self._read(at + n)
        self.at = at + n
        return at

    def _read(self, n: int) -> None:
        if n > min(self._file.size, MAX_HEADER_BYTES):
            raise _Lie("the header is longer than the file, or than any")
        self._data = self._file.pread(0, min(max(n, 2 * len(self._data), _FIRST_READ), self._file.size))

    def u32(self) -> int:
        return int.from_bytes(self._data[self.skip(4) : self.at], "little")

    def u64(self) -> int:
        return int.from_bytes(self._data[self.skip(8) : self.at], "little")

    def string(self) -> bytes:
        at = self.skip(self.u64())
        return self._data[at : self.at]

    def skip_value(self, kind: int, nesting: int = 0) -> None:
        if kind in _VALUE_BYTES:
            self.skip(_VALUE_BYTES[kind])
        elif kind == _STRING:
            self.skip(self.u64())
        elif kind == _ARRAY and nesting < MAX_NESTING:
            kind, n = self.u32(), self.u64()
            if kind in _VALUE_BYTES:
                self.skip(_VALUE_BYTES[kind] * n)
            elif kind == _STRING:
                self._skip_strings(n)
            else:  # each takes 12 bytes or more, whatever n is
                for _ in range(n):
                    self.skip_value(kind, nesting + 1)
        else:
            raise _Lie("a value of no type, or arrays in arrays in arrays")

    def _skip_strings(self, n: int) -> None:
        """A vocabulary has hundreds of thousands."""
        at, data, length = self.at, self._data, struct.Struct("<Q").unpack_from
        for _ in range(n):
            if at + 8 > len(data):
                self._read(at + 8)
                data = self._data
            at += 8 + length(data, at)[0]
        self.skip(at - self.at)

    def tensors(self, n: int) -> Iterator[tuple[int, TensorRange | None]]:
        """Offset in the data, and the tensor, or None for one of a type that is not known."""
        for _ in range(n):
            name, rank = self.string().decode(), self.u32()
            if rank > limits.MAX_RANK:
                raise _Lie("too many dimensions")
            at = self.skip(8 * rank + 12)
            *dims, kind, offset = struct.unpack_from(f"<{rank}QIQ", self._data, at)
            yield offset, _tensor(name, kind, dims)


def _tensor(name: str, kind: int, dims: Sequence[int]) -> TensorRange | None:
    """dims: the one whose neighbours are neighbours in memory comes first."""
    if kind in _TYPES:
        dtype = _TYPES[kind]
        weights, shape = dtype.weights, tuple(dims[::-1])
    elif kind in _OTHERS:
        weights, cell_bytes = _OTHERS[kind]
        dtype, shape = DType.U8, (*dims[:0:-1], (dims[0] if dims else 1) // weights * cell_bytes)
    else:
        return None
    n_bytes = dtype.n_bytes(shape)
    if n_bytes is None or (weights > 1 and (not dims or dims[0] % weights)):
        raise _Lie("a row of no whole cells")
    return TensorRange(n_bytes, name, dtype, shape)
