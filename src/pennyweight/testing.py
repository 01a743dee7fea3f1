"""Checks that every stage must pass, and inputs to pass them on: for our own stages and for those of others.

Needs `hypothesis`, which is no dependency of the package: import this module in tests only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from hypothesis import strategies as st

from pennyweight.errors import CorruptError
from pennyweight.stages.protocol import Encoded, Side, Stage, Stream
from pennyweight.types import DType

_GUARD = 64
"""Bytes before and after an output in which nothing may be written."""

_EXPONENT_BITS = {
    DType.BF16: 8,
    DType.F16: 5,
    DType.F32: 8,
    DType.F64: 11,
    DType.F8_E4M3: 4,
    DType.F8_E5M2: 5,
}


def check_stage(stage: Stage, inputs: Iterable[bytes | Stream], *, side: Side = (), max_flips: int = 256) -> int:
    """Round trip of every input, and hostile decoding of what came out. AssertionError, or what the stage let through.

    For each input that the stage does not decline: encoding is repeatable and leaves the input alone; the header gives
    the sizes of the parts; decoding fills exactly the output. Then the header is cut everywhere and flipped bit by bit,
    every part is cut, lengthened and flipped (in at most max_flips bits each, evenly spread), and the size of the
    output is changed: each must give CorruptError or some other bytes of the right number, never another exception or
    a write outside the output.

    Args:
        side: the side frames of the file, for a stage whose header names some.

    Returns:
        How many inputs were encoded and not declined.
    """
    encoded_inputs = 0
    for given in inputs:
        src = np.frombuffer(given, np.uint8).copy()
        src.flags.writeable = False  # a stage that writes to its input raises
        encoded = stage.encode(src)
        if encoded is None:
            continue
        encoded_inputs += 1
        _check_round_trip(stage, src, encoded, side)
        for hostile, n_bytes in _hostile(encoded, src.size, max_flips):
            _attempt(stage, hostile, n_bytes, side)
    return encoded_inputs


def _check_round_trip(stage: Stage, src: Stream, encoded: Encoded, side: Side) -> None:
    again = stage.encode(src)
    assert again is not None, "the same input is declined the second time"
    assert again.header == encoded.header, "the header differs the second time"
    assert [p.tobytes() for p in again.parts] == [p.tobytes() for p in encoded.parts], "parts differ the second time"
    if stage.outputs:
        assert len(encoded.parts) == len(stage.outputs), "not one part per output"
    decoder = stage.from_header(encoded.header, src.size, side)
    assert decoder.sizes == tuple(part.size for part in encoded.parts), "the header does not give the parts' sizes"
    decoded = _attempt(stage, encoded, src.size, side)
    assert decoded is not None, "what was encoded is called corrupt"
    assert decoded.tobytes() == src.tobytes(), "not the bytes that were encoded"


def _attempt(stage: Stage, encoded: Encoded, n_bytes: int, side: Side) -> Stream | None:
    """What it decodes to, or None for CorruptError."""
    guarded = np.full(n_bytes + 2 * _GUARD, 0xA5, np.uint8)
    try:
        stage.from_header(encoded.header, n_bytes, side).decode(encoded.parts, guarded[_GUARD : _GUARD + n_bytes])
    except CorruptError:
        return None
    finally:
        around = np.concatenate((guarded[:_GUARD], guarded[_GUARD + n_bytes :]))
        assert (around == 0xA5).all(), "bytes outside the output were written"
    return guarded[_GUARD : _GUARD + n_bytes]


def _hostile(encoded: Encoded, n_bytes: int, max_flips: int) -> Iterator[tuple[Encoded, int]]:
    header, parts = encoded
    for wrong in {0, n_bytes - 1, n_bytes + 1, n_bytes + 128, 2 * n_bytes} - {-1, n_bytes}:
        yield encoded, wrong
    for cut in range(len(header)):
        yield Encoded(header[:cut], parts), n_bytes
    yield Encoded(header + b"\0", parts), n_bytes
    for bit in range(8 * len(header)):
        yield Encoded(_flipped(np.frombuffer(header, np.uint8), bit).tobytes(), parts), n_bytes
    for i, part in enumerate(parts):
        n_bits = 8 * part.size
        changed = [_flipped(part, bit) for bit in range(0, n_bits, max(1, n_bits // max_flips))]
        cuts = [part[:cut] for cut in {0, part.size // 2, part.size - 1} if 0 <= cut < part.size]
        for other in (*changed, *cuts, np.append(part, np.uint8(0))):
            yield Encoded(header, (*parts[:i], other, *parts[i + 1 :])), n_bytes
    yield Encoded(header, parts[:-1] if parts else (np.zeros(1, np.uint8),)), n_bytes


def _flipped(stream: Stream, bit: int) -> Stream:
    out = stream.copy()
    out[bit // 8] ^= np.uint8(1 << bit % 8)
    return out


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
