"""npy: a magic, the length of a header, the header, one array. docs/sources.md

The header is a dict as Python writes it; it is matched, not evaluated.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from pennyweight.pipeline.files import Reader
from pennyweight.pipeline.sources.glimpse import Glimpse
from pennyweight.pipeline.sources.segments import SourceMap, TensorRange, cover
from pennyweight.types import DType

_NAME: Final = "arr_0"
"""What NumPy calls an array that was given no name."""

_MAGIC: Final = b"\x93NUMPY"
_LENGTH_BYTES: Final = {1: 2, 2: 4, 3: 4}
"""By the major version."""

_MAX_HEADER_BYTES: Final = 10_000
"""NumPy too reads no more unless it is asked to."""

_HEADER: Final = re.compile(
    rb"\{ ?'descr': ?'[<|]?(\w\w)', ?'fortran_order': ?(True|False), ?"
    rb"'shape': ?\(((?:\d{1,19}, ?)*\d{0,19})\),? ?\}\s*"
)
_DTYPES: Final = {
    b"b1": DType.BOOL,
    b"u1": DType.U8,
    b"i1": DType.I8,
    b"u2": DType.U16,
    b"i2": DType.I16,
    b"f2": DType.F16,
    b"u4": DType.U32,
    b"i4": DType.I32,
    b"f4": DType.F32,
    b"u8": DType.U64,
    b"i8": DType.I64,
    b"f8": DType.F64,
    b"c8": DType.C64,
    b"f1": DType.F8_E5M2,  # as NumPy writes the types of ml_dtypes; V1 are its other 8-bit floats
    b"V1": DType.U8,
    b"V2": DType.BF16,
}


def read(file: Reader) -> SourceMap | None:
    """The header as a gap, the array, and what may follow. None if it is not a npy file, or of other elements."""
    found = array_in(Glimpse(file), 0, file.size, _NAME)
    return cover("npy", file.size, [found]) if found else None


def array_in(glimpse: Glimpse, begin: int, n_bytes: int, name: str) -> tuple[int, TensorRange] | None:
    """Where the array lies of a npy file within another. One in Fortran's order has its shape turned round."""
    preamble = glimpse.read(begin, min(n_bytes, len(_MAGIC) + 2 + max(_LENGTH_BYTES.values())))
    n_length = _LENGTH_BYTES.get(preamble[6], 0) if len(preamble) == 12 else 0
    header = begin + 8 + n_length
    n_header = int.from_bytes(preamble[8 : 8 + n_length], "little")
    data = header + n_header
    if not preamble.startswith(_MAGIC) or not n_length or n_header > _MAX_HEADER_BYTES or data > begin + n_bytes:
        return None
    said = _read_header(glimpse.read(header, n_header))
    if said is None or data + said[0] > begin + n_bytes:
        return None
    size, dtype, shape = said
    return data, TensorRange(size, name, dtype, shape)


@lru_cache  # thousands of arrays have few headers
def _read_header(header: bytes) -> tuple[int, DType, tuple[int, ...]] | None:
    """Bytes, dtype and shape."""
    said = _HEADER.fullmatch(header)
    dtype = _DTYPES.get(said[1]) if said else None
    if said is None or dtype is None:
        return None
    dims = tuple(int(dim) for dim in said[3].split(b",") if dim.strip())
    shape = dims[::-1] if said[2] == b"True" else dims
    size = dtype.n_bytes(shape)
    return None if size is None else (size, dtype, shape)
