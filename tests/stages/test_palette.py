"""palette."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pennyweight.errors import CorruptError, UsageError
from pennyweight.stages.protocol import Stream, StreamSpec
from pennyweight.stages.split.palette import Palette
from pennyweight.stages.wire import varint
from pennyweight.testing import check_stage

slow = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def of_integers(values: list[int] | Stream, width: int) -> bytes:
    return b"".join(int(value).to_bytes(width, "little") for value in values)


@slow
@given(st.data(), st.integers(2, 8))
def test_round_trip(data: st.DataObject, width: int) -> None:
    """Elements near each other, near the ends of their range, or any."""
    top = (1 << 8 * width) - 1
    near = st.integers(0, 5) | st.integers(top - 5, top)
    values = data.draw(st.lists(near | st.integers(0, top), min_size=1, max_size=60))
    chosen = data.draw(st.lists(st.sampled_from(values), max_size=300))
    expected = len(chosen) > 0 and len(chosen) >= 4 * len(set(chosen))
    assert check_stage(Palette(width), [of_integers(chosen, width)], max_flips=32) == expected


def test_exact_bytes() -> None:
    encoded = Palette(2).encode(np.array([0x200, 3, 0x200, 0x200, 0x102, 3, 3, 3, 3, 3, 3, 3], "<u2").view(np.uint8))
    assert encoded is not None
    assert encoded.header == b"\x02\x03"
    assert encoded.parts[0].tobytes() == b"\x03\x00\x02\x01\x00\x02"
    assert encoded.parts[1].tolist() == [2, 0, 2, 2, 1, 0, 0, 0, 0, 0, 0, 0]
    assert Palette(2).outputs == {"values": StreamSpec(width=2), "indices": StreamSpec()}


@pytest.mark.parametrize("width", range(2, 9))
def test_256_values_but_not_257(width: int) -> None:
    rng = np.random.default_rng(width)
    top = 1 << 8 * width - 1
    values = sorted({int(x) for x in rng.integers(0, top, 2_000)})[:257]
    order = rng.permutation(np.repeat(np.arange(257), 4))
    assert check_stage(Palette(width), [of_integers([values[i] for i in order], width)]) == 0
    stream = of_integers([values[i] for i in order if i < 256], width)
    assert check_stage(Palette(width), [stream], max_flips=4) == 1
    assert check_stage(Palette(width), [stream[width:]]) == 0  # 1,023 elements, 256 of them distinct


def test_declines() -> None:
    one = np.zeros(64, np.uint8)
    assert check_stage(Palette(1), [one]) == 0
    assert check_stage(Palette(2), [one[:0], one[:6], one[:63]]) == 0
    assert check_stage(Palette(2), [one[:8]]) == 1


def test_values_in_a_row_of_the_hash() -> None:
    """Elements that all begin their search at one place."""
    inverse = pow(0x9E3779B97F4A7C15, -1, 1 << 64)
    values = [inverse * (i + 1) % (1 << 64) for i in range(256)]
    assert check_stage(Palette(8), [of_integers(values * 4, 8)], max_flips=4) == 1


@pytest.mark.parametrize(
    "header",
    [b"", b"\x02", b"\x00\x01", b"\x09\x01", b"\x02\x00", b"\x02" + varint(257), b"\x02\x01\x00", b"\x05\x01"],
)
def test_headers_that_lie(header: bytes) -> None:
    with pytest.raises(CorruptError):
        Palette.from_header(header, 16)


@pytest.mark.parametrize(
    ("values", "indices"),
    [([1, 2, 3], [0, 1, 2, 3]), ([1, 2, 3], [255, 0, 0, 0]), ([2, 2, 3], [0] * 4), ([1, 3, 2], [0] * 4)],
)
def test_parts_that_lie(values: list[int], indices: list[int]) -> None:
    decoder = Palette.from_header(b"\x03\x03", 12)
    parts = np.frombuffer(of_integers(values, 3), np.uint8), np.array(indices, np.uint8)
    with pytest.raises(CorruptError):
        decoder.decode(parts, np.empty(12, np.uint8))


def test_every_index_with_256_values() -> None:
    values = np.arange(256, dtype="<u2") * 256 + 7
    out = np.empty(512, np.uint8)
    Palette.from_header(b"\x02" + varint(256), 512).decode((values.view(np.uint8), np.arange(256, dtype=np.uint8)), out)
    assert out.tobytes() == values.tobytes()


def test_bind() -> None:
    assert Palette.bind(StreamSpec(width=8), {}) == Palette(8)
    for spec, params in ((StreamSpec(width=16), {}), (StreamSpec(width=2), {"width": 2})):
        with pytest.raises(UsageError):
            Palette.bind(spec, params)
