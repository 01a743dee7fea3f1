"""Files of no known format: where they look like floats, and that all else stays plain."""

from __future__ import annotations

import io
import zlib
from typing import Any

import numpy as np
import pytest
import samples
from hypothesis import given, settings
from hypothesis import strategies as st
from readings import comes_back, map_of

import pennyweight
from pennyweight.pipeline.files import Reader
from pennyweight.pipeline.sources import Gap, guess
from pennyweight.types import DType

DTYPES = {DType.F16: "<f2", DType.BF16: "<u4", DType.F32: "<f4", DType.F64: "<f8"}


def weights(dtype: DType, n: int, seed: int = 0) -> bytes:
    values = np.random.default_rng(seed).standard_normal(n) * 0.02
    if dtype is DType.BF16:
        return (values.astype("<f4").view("<u4") >> np.uint32(16)).astype("<u2").tobytes()
    return values.astype(DTYPES[dtype]).tobytes()


def guessed(data: bytes) -> list[tuple[DType | None, int, int]]:
    """dtype, begin and end of each gap."""
    found, at = [], 0
    for gap in map_of(data).segments:
        assert isinstance(gap, Gap)
        found.append((gap.dtype, at, at + gap.n_bytes))
        at += gap.n_bytes
    return found


@pytest.mark.parametrize("offset", range(9))
@pytest.mark.parametrize("dtype", DTYPES)
def test_floats_that_begin_anywhere(dtype: DType, offset: int) -> None:
    width = dtype.bits // 8
    data = b"!" * offset + weights(dtype, 100_000) + b"!" * 3
    floats = [(begin, end) for each, begin, end in guessed(data) if each is dtype]
    assert floats == [(offset % width, len(data) - (len(data) - offset) % width)]
    assert all(each in (None, dtype) for each, _, _ in guessed(data))


def named(dtype: DType, name: str, n: int, seed: int) -> bytes:
    """A tensor as CTranslate2 stores it: behind its name, anywhere."""
    return len(name).to_bytes(2, "little") + name.encode() + bytes((2, 1)) + weights(dtype, n, seed)


def test_tensors_of_other_phases_and_dtypes_behind_each_other() -> None:
    kinds = [DType.F16, DType.F16, DType.F32, DType.F16, DType.BF16, DType.F64, DType.F32]
    tensors = [named(dtype, "n" * (8 * i + 1), 60_000, i) for i, dtype in enumerate(kinds)]
    data = b"".join(tensors)
    found = [each for each in guessed(data) if each[0] is not None]
    assert [dtype for dtype, _, _ in found] == kinds
    at = 0
    for tensor, (dtype, begin, end) in zip(tensors, found, strict=True):
        assert dtype is not None
        assert abs(begin - at) <= 1024 + 64
        at += len(tensor)
        assert (at - begin) % (dtype.bits // 8) == 0, "elements, not something between them"
        assert abs(end - at) <= 1024 + 64
    assert comes_back(data)


def test_a_header_between_tensors_of_one_phase_does_not_part_them() -> None:
    data = weights(DType.F32, 200_000) + b"name" * 600 + weights(DType.F32, 200_000, 1)
    assert guessed(data) == [(DType.F32, 0, len(data))]


@pytest.mark.parametrize("bits", [7, 13, 16])
def test_floats_whose_low_bits_are_zero(bits: int) -> None:
    words = np.frombuffer(weights(DType.F32, 100_000), "<u4") >> np.uint32(bits) << np.uint32(bits)
    assert guessed(words.tobytes()) == [(DType.F32, 0, 400_000)]


def pcm() -> bytes:
    tone = np.sin(np.arange(200_000) / 20) * 8000 + np.random.default_rng(0).standard_normal(200_000) * 500
    return tone.astype("<i2").tobytes()


RANDOM = np.random.default_rng(1)
TEXT = b"".join(b"%d: the house of Pennyweight, line by line\n" % i for i in range(10_000))
PLAIN: dict[str, bytes] = {
    "text": TEXT,
    "text_of_two_bytes": TEXT.decode().encode("utf-16-le"),
    "deflated": zlib.compress(RANDOM.bytes(200_000)),
    "random": RANDOM.bytes(400_000),
    "zeros": bytes(400_000),
    "sound": pcm(),
    "int8": np.clip(RANDOM.standard_normal(400_000) * 30, -127, 127).astype("i1").tobytes(),
    "fp8": (RANDOM.integers(0, 2, 400_000) * 128 + RANDOM.integers(40, 62, 400_000)).astype("u1").tobytes(),
    "counters": np.arange(100_000, dtype="<i4").tobytes(),
    "indices": RANDOM.integers(0, 50_000, 50_000, "<i8").tobytes(),
    "too_short": weights(DType.F16, 8_191),
    "nothing": b"",
}


@pytest.mark.parametrize("name", PLAIN)
def test_what_is_not_floats_stays_plain(name: str) -> None:
    data = PLAIN[name]
    assert guessed(data) == ([(None, 0, len(data))] if data else [])


@pytest.mark.parametrize("dtype", [DType.F16, DType.BF16, DType.F32])
def test_nearly_as_small_as_if_the_format_were_known(dtype: DType) -> None:
    raw = weights(dtype, 400_000)
    known = samples.packed(samples.safetensors(("w", dtype.label, (400_000,), raw)))
    assert len(samples.packed(b"?" * 7 + raw)) < 1.01 * len(known)


@pytest.mark.parametrize("preset", ["fast", "default", "high", "archive"])
def test_a_guess_comes_back_with_every_preset(preset: str) -> None:
    data = b"".join(named(dtype, "n" * i, 70_000, i) for i, dtype in enumerate(DTYPES))
    target, made = io.BytesIO(), samples.packed(data, preset=preset)
    pennyweight.restore(io.BytesIO(made), target)
    assert target.getvalue() == data


def test_a_guess_that_is_wrong_comes_back() -> None:
    """Samples look like floats, and what is between them is not."""
    data = bytearray(RANDOM.bytes(1 << 20))
    for at in range(0, len(data), 1024):
        if at % 4096 == 0:
            data[at : at + 1024] = weights(DType.F16, 512, at)
    assert any(dtype is DType.F16 for dtype, _, _ in guessed(bytes(data)))
    assert comes_back(bytes(data))


@given(
    pieces=st.lists(st.tuples(st.sampled_from([*DTYPES, None]), st.integers(1, 30_000)), max_size=6),
    strange=st.binary(max_size=9),
)
@settings(max_examples=60, deadline=None)
def test_any_mixture_is_covered(pieces: list[tuple[Any, int]], strange: bytes) -> None:
    data = strange.join(weights(dtype, n, n) if dtype else strange * n for dtype, n in pieces)
    for dtype, begin, end in guessed(data):
        assert begin < end
        assert dtype is None or (end - begin) % (dtype.bits // 8) == 0


class Counting(io.BytesIO):
    """Counts the bytes that are read."""

    n_bytes = 0

    def readinto(self, buffer: Any) -> int:
        n = super().readinto(buffer)
        self.n_bytes += n
        return n


def test_little_is_read() -> None:
    file = Counting(b"?" + weights(DType.F16, 8 << 20))
    guess.read(Reader(file))
    assert 0 < file.n_bytes < 0.01 * (16 << 20)
