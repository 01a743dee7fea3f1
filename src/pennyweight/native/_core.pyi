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

def repeats_percent(src: Buffer) -> int:
    """How many of the words that zstd.md looks at came before, in percent."""

def byteplane_split(src: Buffer, width: int) -> U8:
    """(n,) -> (n,): plane 0, plane 1, ... one after the other."""

def byteplane_merge(planes: Buffer, width: int, out: Buffer) -> None:
    """The inverse of byteplane_split."""

def bitpack_pack(src: Buffer, width: int) -> tuple[int, bytes, U8] | None:
    """(h, runs as in the header, the part), or None where the stage declines."""

def bitpack_part_bytes(runs: bytes, n: int, h: int) -> int | None:
    """Bytes of the part of n elements, or None where the runs break the page."""

def bitpack_unpack(runs: bytes, bits: Buffer, width: int, h: int, out: Buffer) -> None:
    """The inverse of bitpack_pack; the part must have the bytes that bitpack_part_bytes says."""

def floatfields_split(src: Buffer, format: int, bits: int) -> tuple[int, int, U8, U8, U8, U8] | None:
    """(symbols, base, exponent, sign_mantissa, low, patches), or None where more than one weight in 32 would need a patch."""

def floatfields_merge(
    format: int,
    symbols: int,
    base: int,
    exponent: Buffer,
    sign_mantissa: Buffer,
    low: Buffer,
    patches: Buffer,
    out: Buffer,
) -> bool: ...
def palette_split(src: Buffer, width: int) -> tuple[U8, U8] | None:
    """(values, indices) of elements of 1 to 8 bytes, or None where there are none, or more than 256 or a quarter of them are distinct."""

def palette_merge(values: Buffer, width: int, indices: Buffer, out: Buffer) -> bool: ...
def rans_encode(symbols: Buffer, bits: int) -> tuple[bytes, U8] | None:
    """(frequencies as in the header; states and words) of symbols below 2 ** bits, or None where rans.md declines them. bits: 4, 5 or 8."""

def rans_price(symbols: Buffer, bits: int) -> int | None:
    """Bytes that header and payload would take, within a few dozen; None where rans_encode gives None."""

def rans_decode(frequencies: bytes, payload: Buffer, bits: int, out: Buffer) -> bool:
    """bits: 4, 5 or 8."""

def piecewise_encode(symbols: Buffer, bits: int) -> tuple[list[int], bytes, U8] | None:
    """(groups of each piece; frequencies as in the header; states and words), or None where piecewise.md declines."""

def piecewise_decode(groups: Sequence[int], frequencies: bytes, payload: Buffer, bits: int, out: Buffer) -> bool:
    """groups must add up to those of out."""

Planes = Sequence[tuple[int, int, int, int]]
"""Where in a cell, bytes, bits of a number, bytes of a run; those of a number's low bits come first."""

def take_planes(cells: Buffer, cell_bytes: int, planes: Planes) -> U8:
    """The numbers of all cells."""

def put_planes(numbers: Buffer, cell_bytes: int, planes: Planes, cells: Buffer) -> None:
    """The inverse; bytes of the cells that are of no plane stay."""

def sort_quants(quants: Buffer, group: int, classes: Buffer, extremes: Sequence[Sequence[int]]) -> tuple[U8, U8]:
    """(first extremes, for each set of them one of every group; quants left, sorted) of groups with these classes, below 16."""

def unsort_quants(
    left: Buffer, first: Buffer, group: int, classes: Buffer, extremes: Sequence[Sequence[int]], out: Buffer
) -> bool: ...
def sort_by_class(values: Buffer, classes: Buffer) -> U8:
    """The values of class 0 in their order, then those of class 1, and so on to 255."""

def unsort_by_class(sorted: Buffer, classes: Buffer, out: Buffer) -> None:
    """The inverse."""

def huffman_encode(src: Buffer) -> tuple[bytes, tuple[int, int, int, int], U8] | None:
    """(lengths of codes, 256 bytes; bytes of the four streams; the streams), or None with fewer than two distinct bytes."""

def huffman_decode(lengths: bytes, sizes: tuple[int, int, int, int], payload: Buffer, out: Buffer) -> bool: ...
def encode_float_blocks(
    src: Buffer, sizes: Sequence[int], format: int, bits: int, sign_mantissa: int, low: int, dst: Buffer
) -> list[int]:
    """Fast path of ``floatfields[bits=bits](exponent: rans, ...)``, bits 4 or 5, for blocks that follow each other in src.

    sign_mantissa and low say how their streams are planned: 0 store, 1 bitpack, 2 rans, 3 rans or else bitpack. Writes whole frames, one
    after the other, to dst (at least len(src) bytes) and returns the bytes of each: exactly what the staged path writes; 0 where a stage
    declined, a node is not smaller than its stream stored, the frame not smaller than its block, or alternatives must be compared.
    """

def decode_blocks(
    src: Buffer, frames: Sequence[int], sizes: Sequence[int], out: Buffer, stream: bool = False
) -> list[bool]:
    """Decode frames (bytes of each, back to back in src) into blocks (bytes of each, back to back in out).

    Per block: True, decoded; False, not a plan with a fast path, or not valid: take the staged path, which says what is wrong.
    With stream, writes go around the cache: faster for outputs that are larger than it and not read soon.
    """

class ScalesCoder:
    """The tables of scales.md as its encoder needs them. Read only, for any number of threads."""

    def __init__(self, tables: Buffer, mantissa_bits: int) -> None:
        """tables: 8 phases of 2 ** (4 + mantissa_bits) u16 frequencies. ValueError if they are none."""

def scales_encode(
    keys: Buffer,
    coder: ScalesCoder,
    first: int,
    d: int,
    s: int,
    g: int,
    columns: Buffer | None,
) -> tuple[int, U8, U8, U8] | None:
    """(base, row scales, escapes, states and words) of u16 keys, or None where scales.md declines.

    columns: i8, ceil(d / g) of them.
    """

def scales_decode(
    tables: Buffer,
    mantissa_bits: int,
    first: int,
    d: int,
    s: int,
    g: int,
    columns: Buffer | None,
    base: int,
    rows: Buffer,
    escapes: Buffer,
    payload: Buffer,
    out: Buffer,
) -> bool: ...
def scales_fit(keys: Buffer, mantissa_bits: int, d: int, s: int, g: int, rounds: int) -> tuple[int, U8 | None]:
    """For a sample of whole rows of d keys: its price with these row and column scales, and the columns, i8.

    The price is the sum of all levels, 1/8 bit each up to a constant: it compares geometries. g = 0: no column scales.
    rounds: how often columns are fitted after rows.
    """

def scales_count(
    keys: Buffer, mantissa_bits: int, d: int, s: int, g: int, columns: Buffer | None
) -> tuple[U8, U8, int] | None:
    """(u32 counts of the symbols of each phase, row scales, bytes of escapes), or None where scales.md declines."""

def scales_rows(first: int, d: int, s: int, n: int) -> int:
    """Row scales that keys first to first + n - 1 touch."""

def predictor_moments(z: Buffer, d: int, w: int, n_triangles: int) -> U8:
    """For each triangle of linear_predictor.md, i64 sums over the rows and all its bands, exact.

    z: whole rows of d i16. First the sums of zc[j] zc[k], k <= j, row after row of the triangle, then those of zc[j], where zc is z
    clipped to +-8192: w (w + 1) / 2 + w of them. Moments of samples add up.
    """

def predictor_solve(moments: Buffer, n: int, w: int, shrink: int, biased: bool) -> U8:
    """One triangle as in its frame, 2 w + w (w - 1) / 2 bytes, from its moments over n vectors: bands, not rows.

    shrink: correlations are scaled by 1 - shrink / 65536. Without biased, means count as 0 and all biases are 0.
    """

def predictor_residuals(z: Buffer, d: int, w: int, triangles: Buffer) -> U8:
    """The residual scales, d i8, of z as predictor_moments takes it, with triangles one after the other."""

class PredictorCoder:
    """The tables of linear_predictor.md as its encoder needs them, 3.3 MB. Read only, for any number of threads."""

    def __init__(self, tables: Buffer) -> None:
        """tables: 96 contexts of 128 u16 frequencies. ValueError if they are none."""

def linear_predictor_encode(
    keys: Buffer,
    coder: PredictorCoder,
    first: int,
    d: int,
    s: int,
    g: int,
    columns: Buffer | None,
    triangles: Buffer | None,
    w: int,
    residuals: Buffer | None,
) -> tuple[int, U8, U8, U8] | None:
    """(base, row scales, escapes, states and words) of u16 keys with signs, or None where linear_predictor.md declines.

    columns: i8, ceil(d / g) of them. triangles: one after the other,
    2 w + w (w - 1) / 2 bytes each, residuals: d i8; None, both, and w = 0 without a predictor.
    """

def linear_predictor_decode(
    tables: Buffer,
    first: int,
    d: int,
    s: int,
    g: int,
    columns: Buffer | None,
    triangles: Buffer | None,
    w: int,
    residuals: Buffer | None,
    base: int,
    rows: Buffer,
    escapes: Buffer,
    payload: Buffer,
    out: Buffer,
) -> bool: ...
def linear_predictor_count(
    keys: Buffer,
    d: int,
    s: int,
    g: int,
    columns: Buffer | None,
    triangles: Buffer | None,
    w: int,
    residuals: Buffer | None,
) -> tuple[U8, U8, int] | None:
    """(u32 counts of the symbols of each context, row scales, bytes of escapes), or None where linear_predictor.md declines."""

def linear_predictor_values(keys: Buffer, d: int, s: int, g: int, columns: Buffer | None) -> U8:
    """What predictors are fitted to: z of each key of whole rows, i16."""
