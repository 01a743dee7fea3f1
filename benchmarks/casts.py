"""Casts of whole safetensors files: how a model that is had in FP32 becomes one of another element type."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from benchmarks.tensorfile import Named, make_file, read_header, read_tensors

E4M3_LARGEST = 448.0
TINY = 1e-30  # the least that a tensor's largest weight counts as, so that a scale is never 0


def cast_file(data: bytes, cast: str) -> bytes:
    """A safetensors file with its F32 and F16 tensors cast, in the same order; the others stay as they are.

    Args:
        data: the file.
        cast: `BF16`; `F16`; `BF16 in F32`, which is FP32 that holds BF16 values; or `FP8`, the weights of linear layers
            in E4M3, each followed by its scale, and all else in BF16.
    """
    _, _, metadata = read_header(data)
    return make_file((made for tensor in read_tensors(data) for made in _cast(tensor, cast)), metadata)


def _cast(tensor: Named, cast: str) -> Iterator[Named]:
    if tensor.dtype not in ("F32", "F16"):
        yield tensor
        return
    values: NDArray[np.float32] = np.frombuffer(tensor.data, f"<f{4 if tensor.dtype == 'F32' else 2}").astype("<f4")
    if cast == "F16":
        yield tensor._replace(dtype="F16", data=values.astype("<f2").tobytes())
    elif cast == "FP8" and _is_linear(tensor):
        largest = float(np.abs(values).max(initial=TINY))
        scale = np.float32(largest / E4M3_LARGEST)
        yield tensor._replace(dtype="F8_E4M3", data=cast_e4m3(values / scale).tobytes())
        yield Named(f"{tensor.name}_scale", "F32", (1,), scale.astype("<f4").tobytes())
    else:
        rounded = cast_bf16(values.view(np.uint32))
        if cast == "BF16 in F32":
            yield tensor._replace(dtype="F32", data=(rounded.astype("<u4") << np.uint32(16)).tobytes())
        else:
            yield tensor._replace(dtype="BF16", data=rounded.astype("<u2").tobytes())


def _is_linear(tensor: Named) -> bool:
    """The matrices that FP8 checkpoints quantise: not the embeddings, which are looked up and not multiplied."""
    return len(tensor.shape) == 2 and tensor.name.endswith(".weight") and "embedding" not in tensor.name


def cast_bf16(bits: NDArray[np.uint32]) -> NDArray[np.uint16]:
    """FP32 bit patterns (any shape) to BF16 bit patterns, round to nearest, ties to even.

    A NaN stays a NaN of the same sign: it is cut and made quiet, because rounding could carry it into infinity.
    """
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    is_nan = (bits & np.uint32(0x7FFFFFFF)) > np.uint32(0x7F800000)
    return np.where(is_nan, (bits >> np.uint32(16)) | np.uint32(0x40), rounded).astype(np.uint16)


def cast_e4m3(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Finite values (any shape) to codes of E4M3 (no infinities), round to nearest, ties to even, at most 448."""
    codes = np.arange(0x7F)  # 0x7F is NaN
    fields, mantissa = codes >> 3, codes & 7
    grid = np.where(fields == 0, mantissa * 2.0**-9, (8 + mantissa) * 2.0 ** (fields - 10.0)).astype(np.float32)
    between = (grid[1:] + grid[:-1]) / 2
    size = np.abs(values)
    below, above = (np.searchsorted(between, size, side) for side in ("left", "right"))
    nearest = np.where(below % 2 == 0, below, above)  # the two differ only at a tie
    return (nearest + np.where(np.signbit(values), 0x80, 0)).astype(np.uint8)
