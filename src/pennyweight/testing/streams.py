"""Inputs to pass stages on: what blocks hold, and what only a test would write."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from pennyweight.stages.protocol import Stream
from pennyweight.types import DType

_EXPONENT_BITS = {
    DType.BF16: 8,
    DType.F16: 5,
    DType.F32: 8,
    DType.F64: 11,
    DType.F8_E4M3: 4,
    DType.F8_E5M2: 5,
}


def special_floats(dtype: DType) -> list[int]:
    """Bit patterns of BF16, F16, F32 or F64: zeros, infinities, NaNs with payloads, ends of subnormals and normals."""
    exponent_bits = _EXPONENT_BITS[dtype]
    mantissa_bits = dtype.bits - 1 - exponent_bits
    mantissa, inf = (1 << mantissa_bits) - 1, ((1 << exponent_bits) - 1) << mantissa_bits
    quiet = inf | 1 << (mantissa_bits - 1)
    one = ((1 << (exponent_bits - 1)) - 1) << mantissa_bits
    positive = [0, 1, mantissa, mantissa + 1, one, inf - 1, inf, inf | 1, quiet, quiet | 1, inf | mantissa]
    return positive + [pattern | 1 << (dtype.bits - 1) for pattern in positive]


def float_streams(dtype: DType, max_weights: int = 700) -> st.SearchStrategy[Stream]:
    """Bytes of tensors of floats of 8 to 64 bits: of few exponents, as trained weights, or any bits; with specials."""
    patterns = st.sampled_from(special_floats(dtype)) | st.integers(0, (1 << dtype.bits) - 1)
    specials = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), patterns), max_size=12)

    def build(n: int, seed: int, spread: int, specials: list[tuple[float, int]]) -> Stream:
        mantissa_bits = dtype.bits - 1 - _EXPONENT_BITS[dtype]
        rng = np.random.default_rng(seed)
        bits = rng.integers(0, 1 << 64, n, np.uint64)
        top = int(rng.integers(0, 1 << _EXPONENT_BITS[dtype]))
        exponents = np.maximum(top - np.minimum(rng.geometric(0.4, n) - 1, spread), 0).astype(np.uint64)
        field = np.uint64(((1 << _EXPONENT_BITS[dtype]) - 1) << mantissa_bits)
        values = bits & ~field | exponents << np.uint64(mantissa_bits) if spread < 40 else bits
        for where, pattern in specials if n else []:
            values[int(where * n)] = pattern
        return np.ascontiguousarray(values.view(np.uint8).reshape(n, 8)[:, : dtype.bits // 8]).reshape(-1)

    return st.builds(build, st.integers(0, max_weights), st.integers(0, 2**32), st.integers(0, 40), specials)


def byte_streams(max_bytes: int = 1500, symbols: int = 256) -> st.SearchStrategy[Stream]:
    """Bytes below symbols: any, few, skewed, in runs, or none at all."""

    def build(n: int, seed: int, skew: float, run: int) -> Stream:
        rng = np.random.default_rng(seed)
        drawn = np.minimum(rng.exponential(skew, n), symbols - 1).astype(np.uint8)
        return np.repeat(rng.permutation(symbols).astype(np.uint8)[drawn], run)[:n]

    drawn = st.builds(
        build, st.integers(0, max_bytes), st.integers(0, 2**32), st.floats(0.01, symbols), st.integers(1, 9)
    )
    short = st.lists(st.integers(0, symbols - 1), max_size=40).map(lambda values: np.array(values, np.uint8))
    return drawn | short
