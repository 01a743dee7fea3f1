"""byteplane and floatfields."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pennyweight.errors import CorruptError, UsageError
from pennyweight.stages.protocol import Stream, StreamSpec
from pennyweight.stages.split.byteplane import BytePlane
from pennyweight.stages.split.floatfields import FloatFields, FloatFormat
from pennyweight.stages.wire import varint
from pennyweight.testing import check_stage, float_streams, special_floats
from pennyweight.types import DType

FLOATS = {
    DType.BF16: FloatFormat.BF16,
    DType.F16: FloatFormat.F16,
    DType.F32: FloatFormat.F32,
    DType.F64: FloatFormat.F64,
    DType.F8_E4M3: FloatFormat.F8_E4M3,
    DType.F8_E5M2: FloatFormat.F8_E5M2,
}
slow = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@slow
@given(st.integers(2, 16), st.binary(max_size=400))
def test_byteplane(width: int, data: bytes) -> None:
    whole = data[: len(data) // width * width]
    assert check_stage(BytePlane(width), [whole], max_flips=16) == 1
    assert check_stage(BytePlane(width), [whole + b"x"]) == 0


def test_byteplane_exact_bytes() -> None:
    encoded = BytePlane(2).encode(np.frombuffer(b"aAbBcC", np.uint8))
    assert encoded is not None
    assert encoded.header == b"\x02"
    assert [part.tobytes() for part in encoded.parts] == [b"abc", b"ABC"]
    assert list(BytePlane(2).outputs) == ["plane0", "plane1"]


@pytest.mark.parametrize("header", [b"", b"\x00", b"\x01", b"\x11", b"\x02\x02"])
def test_byteplane_headers_that_lie(header: bytes) -> None:
    with pytest.raises(CorruptError):
        BytePlane.from_header(header, 16)


@pytest.mark.parametrize("width", [0, 1, 17])
def test_byteplane_width_is_bounded(width: int) -> None:
    with pytest.raises(UsageError):
        BytePlane.bind(StreamSpec(width=width), {})


@slow
@given(st.data(), st.sampled_from(list(FLOATS)), st.sampled_from([4, 5, 16]))
def test_floatfields(data: st.DataObject, dtype: DType, bits: int) -> None:
    stream = data.draw(float_streams(dtype, max_weights=300))
    check_stage(FloatFields(FLOATS[dtype], bits), [stream], max_flips=32)


@pytest.mark.parametrize("dtype", [dtype for dtype in FLOATS if dtype is not DType.F8_E4M3])  # whose window holds all
@pytest.mark.parametrize("bits", [4, 5])
def test_floatfields_keeps_special_values_as_patches(dtype: DType, bits: int) -> None:
    special = np.array(special_floats(dtype), np.uint64)
    values = np.resize(special[4:5], special.size * 32 + 7)  # ones; the others are few enough to fit in patches
    values[5 : 5 + special.size] = special
    stream = np.ascontiguousarray(values.view(np.uint8).reshape(-1, 8)[:, : dtype.bits // 8]).reshape(-1)
    stage = FloatFields(FLOATS[dtype], bits)
    assert check_stage(stage, [stream]) == 1
    encoded = stage.encode(stream)
    assert encoded is not None
    assert (encoded.parts[-1].size > 0) == (encoded.header[1] != 6 or dtype.bits > 16 or dtype is DType.BF16)


def test_floatfields_exact_bytes() -> None:
    # 1, -2, 1.5 and an infinity among 33 weights: exponents 127, 128, 127 and, patched, 255; the lowest window wins
    src = np.array([0x3F80, 0xC000, 0x3FC0, *[0x3F80] * 29, 0x7F80], "<u2").view(np.uint8)
    encoded = FloatFields(FloatFormat.BF16, 5).encode(src)
    assert encoded is not None
    assert encoded.header == bytes((1, 5)) + varint(113) + varint(1)
    exponent, sign_mantissa, patches = (part.tobytes() for part in encoded.parts)
    assert exponent == bytes((28, 30, 29, *[28] * 29, 28))
    assert sign_mantissa == bytes((0, 1 << 6, *[0] * 31))
    assert patches == (32 << 11 | 255).to_bytes(4, "little")


def test_floatfields_keys_exact_bytes() -> None:
    # -1.9375 in BF16: sign, exponent 127, mantissa 1111000
    encoded = FloatFields(FloatFormat.BF16, 16).encode(np.array([0xBFF8], "<u2").view(np.uint8))
    assert encoded is not None
    assert encoded.header == bytes((1, 16, 0, 0))
    assert [part.tobytes() for part in encoded.parts] == [(127 << 3 | 7).to_bytes(2, "little"), b"\x18", b""]


def _spread(n_exponents: int, outside: int) -> Stream:
    """65,536 weights of BF16, evenly over the exponents from 100 on; `outside` of them have exponent 10."""
    rng = np.random.default_rng(n_exponents)
    values = rng.integers(0, 1 << 7, 65536) | (100 + rng.integers(0, n_exponents, 65536)) << 7
    values[rng.permutation(65536)[:outside]] = 10 << 7
    return values.astype("<u2").view(np.uint8)


@pytest.mark.parametrize(
    ("n_exponents", "outside", "symbols"), [(16, 0, 5), (16, 8, 5), (20, 0, 6), (32, 60, 6), (16, 600, 5)]
)
def test_floatfields_takes_the_cheaper_window(n_exponents: int, outside: int, symbols: int) -> None:
    stage = FloatFields(FloatFormat.BF16, 5)
    encoded = stage.encode(_spread(n_exponents, outside))
    assert encoded is not None
    assert (encoded.header[1], encoded.parts[-1].size) == (symbols, 4 * outside)
    assert check_stage(stage, [_spread(n_exponents, outside)], max_flips=8) == 1


@pytest.mark.parametrize(("sign_mantissa", "symbols"), [(128, 5), (32, 16), (255, 5)])
def test_floatfields_sign_mantissa_that_lies(sign_mantissa: int, symbols: int) -> None:
    decoder = FloatFields.from_header(bytes((1, symbols, 0, 0)), 2)
    exponent = np.zeros(2 if symbols == 16 else 1, np.uint8)
    with pytest.raises(CorruptError):
        decoder.decode((exponent, np.full(1, sign_mantissa, np.uint8), np.zeros(0, np.uint8)), np.empty(2, np.uint8))


def test_floatfields_declines() -> None:
    wide = np.arange(0, 1 << 16, 64, dtype="<u2").view(np.uint8)
    assert check_stage(FloatFields(FloatFormat.BF16, 4), [wide, wide[:33], b""]) == 0


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"\x01",
        b"\x00\x04\x00\x00",  # no such format
        b"\x07\x04\x00\x00",
        b"\x01\x03\x00\x00",  # nor such symbols
        b"\x01\x10\x01\x00",  # keys have no window
        b"\x01\x10\x00\x01",  # and no patches
        b"\x05\x06\x00\x00",  # a window of 32 of 16 exponents
        b"\x01\x04\xf1\x01\x00",  # the window ends above 255
        b"\x02\x04\x11\x00",
        b"\x01\x04\x00\x09",  # more patches than weights
        b"\x01\x04\x00\x00\x00",
    ],
)
def test_floatfields_headers_that_lie(header: bytes) -> None:
    with pytest.raises(CorruptError):
        FloatFields.from_header(header, 16)


def test_floatfields_bounds_the_number_of_weights() -> None:
    FloatFields.from_header(b"\x01\x04\x00\x00", 2 * (2**21 - 1))
    for n_bytes in (15, 2**22, 2**62):
        with pytest.raises(CorruptError):
            FloatFields.from_header(b"\x01\x04\x00\x00", n_bytes)
    for symbols in (16, 17):
        FloatFields.from_header(bytes((1, symbols, 0, 0)), 2 * (2**22 - 1))
        with pytest.raises(CorruptError):
            FloatFields.from_header(bytes((1, symbols, 0, 0)), 2**23)


@pytest.mark.parametrize("patches", [[5 << 11], [2 << 11, 2 << 11], [2 << 11, 1 << 11], [256]])
def test_floatfields_patches_that_lie(patches: list[int]) -> None:
    decoder = FloatFields.from_header(bytes((1, 4, 0, len(patches))), 10)
    part = np.array(patches, "<u4").view(np.uint8)
    with pytest.raises(CorruptError):
        decoder.decode((np.zeros(5, np.uint8), np.zeros(5, np.uint8), part), np.empty(10, np.uint8))


def test_outputs_name_what_a_plan_can_say() -> None:
    assert list(FloatFields(FloatFormat.BF16, 4).outputs) == ["exponent", "sign_mantissa", "patches"]
    outputs: Stream | object = FloatFields(FloatFormat.F32, 5).outputs
    assert outputs == {
        "exponent": StreamSpec(symbol_bits=5),
        "sign_mantissa": StreamSpec(),
        "low": StreamSpec(width=2),
        "patches": StreamSpec(width=4),
    }
