"""The compiled core. Every buffer is contiguous bytes; every function releases the GIL; sizes are bytes unless said otherwise.

Decoders return False where the data breaks the stage's page (`stages/**/x.md`) and then leave ``out`` undefined; they never read or
write outside the buffers given. Wrong arguments from our own code (sizes that do not fit) raise ValueError.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]
Buffer = U8 | bytes | bytearray | memoryview

def targets() -> list[str]:
    """Targets this CPU can run, slowest first: scalar, avx2, avx512."""

def target() -> str:
    """The target in use: the last of targets(), or PENNYWEIGHT_TARGET."""

def set_target(name: str) -> None:
    """Use another target, in the whole process: for tests and benchmarks. ValueError if this CPU lacks it."""

def equal(a: Buffer, b: Buffer) -> bool:
    """Same length and same bytes."""

def is_constant(src: Buffer, width: int) -> bool:
    """Whether src, not empty, is one element of width bytes repeated."""

def byteplane_split(src: Buffer, width: int) -> U8:
    """(n,) -> (n,): plane 0, plane 1, ... one after the other."""

def byteplane_merge(planes: Buffer, width: int, out: Buffer) -> None:
    """The inverse of byteplane_split."""

def floatfields_split(src: Buffer, format: int, symbol_bits: int) -> tuple[int, U8, U8, U8, U8] | None:
    """(base, exponent, sign_mantissa, low, patches), or None where more than one weight in 32 would need a patch."""

def floatfields_merge(
    format: int,
    symbol_bits: int,
    base: int,
    exponent: Buffer,
    sign_mantissa: Buffer,
    low: Buffer,
    patches: Buffer,
    out: Buffer,
) -> bool: ...
def rans_encode(symbols: Buffer, symbol_bits: int) -> tuple[bytes, U8] | None:
    """(frequencies as in the header; states and words), or None with fewer than two distinct symbols."""

def rans_decode(frequencies: bytes, payload: Buffer, symbol_bits: int, out: Buffer) -> bool: ...
def huffman_encode(src: Buffer) -> tuple[bytes, tuple[int, int, int, int], U8] | None:
    """(lengths of codes, 256 bytes; bytes of the four streams; the streams), or None with fewer than two distinct bytes."""

def huffman_decode(lengths: bytes, sizes: tuple[int, int, int, int], payload: Buffer, out: Buffer) -> bool: ...
def encode_float_blocks(src: Buffer, sizes: Sequence[int], format: int, symbol_bits: int, dst: Buffer) -> list[int]:
    """Fast path of ``floatfields[bits=symbol_bits](exponent: rans)`` for blocks that follow each other in src.

    Writes whole frames, one after the other, to dst (at least len(src) bytes) and returns the bytes of each: exactly what the
    staged path writes; 0 where a stage declined, the rans node is not smaller than the stored symbols, or the frame not smaller than its block.
    """

def decode_blocks(
    src: Buffer, frames: Sequence[int], sizes: Sequence[int], out: Buffer, stream: bool = False
) -> list[bool]:
    """Decode frames (bytes of each, back to back in src) into blocks (bytes of each, back to back in out).

    Per block: True, decoded; False, not a plan with a fast path, or not valid: take the staged path, which says what is wrong.
    With stream, writes go around the cache: faster for outputs that are larger than it and not read soon.
    """
