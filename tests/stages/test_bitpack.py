"""bitpack."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pennyweight.errors import CorruptError, UsageError
from pennyweight.stages.protocol import Stream, StreamSpec
from pennyweight.stages.split.bitpack import BitPack
from pennyweight.testing import check_stage


def elements(values: list[int] | np.ndarray, width: int) -> Stream:
    array = np.array(values, np.uint64)
    return np.ascontiguousarray(array.view(np.uint8).reshape(-1, 8)[:, :width]).reshape(-1)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 8), st.integers(1, 700), st.integers(0, 2**32), st.data())
def test_round_trip(width: int, n: int, seed: int, data: st.DataObject) -> None:
    """Any width, number, height and pattern of zero bits, by groups or not."""
    h = data.draw(st.integers(1, 8 * width))
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 1 << 64, n, np.uint64) >> np.uint64(64 - h)
    for first in range(0, n, 128):
        z = int(rng.integers(0, h + 1)) if rng.random() < 0.6 else 0
        if z == 64:
            values[first : first + 128] = 0
        values[first : first + 128] >>= np.uint64(z % 64)
        values[first : first + 128] <<= np.uint64(z % 64)
    stage = BitPack(width)
    check_stage(stage, [elements(values, width)], max_flips=24)


def test_all_heights_and_zeros_of_bytes() -> None:
    for h in range(1, 9):
        for z in range(h):
            values = np.arange(1000) % (1 << (h - z)) << z
            assert check_stage(BitPack(1), [elements(values, 1)], max_flips=4) == (h - z < 8)


def test_exact_bytes() -> None:
    # 130 elements: the first 128 are multiples of 4 below 16, so 2 bits each; the last two, 1 and 15, take 4
    encoded = BitPack(2).encode(elements([4, 8, 12, 0] * 32 + [1, 15], 2))
    assert encoded is not None
    assert encoded.header == bytes((2, 4, 2, 1, 0, 1))
    assert encoded.parts[0].tobytes() == bytes([0b00111001] * 32 + [0xF1])


def test_zeros_take_no_bytes() -> None:
    encoded = BitPack(4).encode(np.zeros(4 * 300, np.uint8))
    assert encoded is not None
    assert encoded.header == bytes((4, 1, 1, 3))
    assert encoded.parts[0].size == 0


def test_declines() -> None:
    noise = np.random.default_rng(0).integers(0, 256, 4096, np.uint8)
    assert check_stage(BitPack(1), [noise, b""]) == 0
    assert check_stage(BitPack(2), [noise, noise[:-1]]) == 0


def test_binds_to_the_width_of_the_stream() -> None:
    assert BitPack.bind(StreamSpec(width=6), {}) == BitPack(6)
    for spec, params in ((StreamSpec(width=9), {}), (StreamSpec(), {"width": 1})):
        with pytest.raises(UsageError):
            BitPack.bind(spec, params)


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"\x01",
        b"\x00\x01\x00\x02",  # no width
        b"\x09\x01\x00\x02",
        b"\x01\x00\x00\x02",  # no bits
        b"\x01\x09\x00\x02",  # more than a byte has
        b"\x01\x07",  # no runs
        b"\x01\x07\x00\x01",  # too few groups
        b"\x01\x07\x00\x03",  # too many
        b"\x01\x07\x08\x02",  # z above h
        b"\x01\x07\x00\x01\x00\x01",  # neighbours that are one run
        b"\x01\x07\x00\x02\x01\x00",  # an empty run
        b"\x01\x07\x00",  # cut
        b"\x01\x07\x00\x82\x00",  # a varint that is too long
        b"\x01\x07\x00\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
    ],
)
def test_headers_that_lie(header: bytes) -> None:
    with pytest.raises(CorruptError):
        BitPack.from_header(header, 200)


def test_sizes_that_lie() -> None:
    for n_bytes in (0, 3):
        with pytest.raises(CorruptError):
            BitPack.from_header(b"\x02\x07\x00\x01", n_bytes)
