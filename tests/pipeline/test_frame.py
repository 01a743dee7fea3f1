"""The staged path: nodes on the wire."""

from __future__ import annotations

import contextlib
import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pennyweight.errors import CorruptError, VersionError
from pennyweight.pipeline.frame import encode_frame, read_frame, store_frame
from pennyweight.pipeline.plan import Plan, parse
from pennyweight.stages.constant import Constant
from pennyweight.stages.protocol import Encoded, Stream
from pennyweight.stages.split.byteplane import BytePlane
from pennyweight.stages.wire import varint
from pennyweight.testing import byte_streams, float_streams
from pennyweight.types import DType

PLANS = {
    DType.BF16: "floatfields[bits=5](exponent: rans, *: huffman)",
    DType.F32: "floatfields[bits=4](exponent: rans, low: byteplane(*: huffman))",
    DType.F64: "byteplane(*: zstd(huffman))",
}
slow = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def _stream(data: bytes) -> Stream:
    return np.frombuffer(data, np.uint8)


def _encode(text: str, data: bytes, dtype: DType | None = None) -> bytes:
    return encode_frame([parse(text, dtype)], _stream(data)).tobytes()


def _decode(frame: bytes, n_bytes: int) -> bytes:
    out = np.empty(n_bytes, np.uint8)
    read_frame(_stream(frame), n_bytes).decode(out)
    return out.tobytes()


def test_exact_bytes() -> None:
    assert store_frame(_stream(b"abc")).tobytes() == b"\0\0abc"
    assert _encode("constant", b"\0\0\0\0\0\0") == b"\1\1\0"
    abab = _encode("byteplane", b"ab" * 40, DType.BF16)
    assert abab == b"\0\0" + b"ab" * 40  # two stored planes are not smaller than the block
    planes = _encode("byteplane(*: huffman)", b"ab" * 40, DType.BF16)
    assert planes == b"\2\1\2" + b"\3" + b"\1\1a" + b"\1\1b"  # huffman declines, and both planes are constant


def test_a_child_that_does_not_pay_is_stored() -> None:
    mixed = np.random.default_rng(1).integers(0, 256, 4096, np.uint8)
    block = np.stack([mixed, np.resize(_stream(b"aaab"), 4096), np.zeros(4096, np.uint8)], axis=1).reshape(-1)
    node = read_frame(encode_frame([parse("byteplane[width=3](*: huffman)", None)], block), block.size)
    assert str(node) == "byteplane(store, huffman, constant)"
    assert len(node.parts[0].parts) == 0


def test_the_first_plan_that_is_smaller_wins() -> None:
    plans = [parse(text, None) for text in ("constant", "byteplane[width=7]", "zstd", "huffman")]
    names = [
        str(read_frame(encode_frame(plans, _stream(data)), len(data))) for data in (b"a" * 9, b"ab" * 99, b"ab", b"aa")
    ]
    assert names == ["constant", "zstd", "store", "store"]
    assert encode_frame([], _stream(b"aaaa")).tobytes() == b"\0\0aaaa"


def _chosen(text: str, data: bytes, dtype: DType | None = None) -> str:
    return str(read_frame(_stream(_encode(text, data, dtype)), len(data)))


def test_the_smallest_of_alternatives_wins() -> None:
    skewed = np.random.default_rng(3).choice(4, 4000, p=[0.7, 0.1, 0.1, 0.1]).astype(np.uint8).tobytes()
    repeated = b"abcdefgh" * 500
    for data, best in ((skewed, "huffman"), (repeated, "zstd")):
        assert _chosen("zstd | huffman", data) == _chosen("huffman | zstd", data) == best
        assert _chosen("constant | huffman | zstd | store", data) == best  # constant declines
        assert len(_encode("huffman | zstd", data)) == min(len(_encode("huffman", data)), len(_encode("zstd", data)))
    planes = np.frombuffer(skewed + repeated, np.uint8).reshape(2, -1).T.tobytes()
    assert _chosen("byteplane(*: zstd | huffman)", planes, DType.I16) == "byteplane(huffman, zstd)"
    assert _chosen("huffman | byteplane(*: zstd | huffman)", planes, DType.I16) == "byteplane(huffman, zstd)"


def test_the_first_of_equal_alternatives_wins() -> None:
    @dataclasses.dataclass(frozen=True)
    class Says(Constant):
        what: bytes = b""

        def encode(self, src: Stream) -> Encoded:
            return Encoded(self.what, ())

    long, one, two = (Plan(Says(what=what)) for what in (b"long", b"one", b"two"))
    plan = dataclasses.replace(long, alternatives=(one, two))
    assert encode_frame([plan], _stream(bytes(90))).tobytes() == b"\1\3one"
    children = Plan(BytePlane(2), (dataclasses.replace(two, alternatives=(one,)), plan))
    assert encode_frame([children], _stream(bytes(90))).tobytes() == b"\2\1\2" + b"\5\1\3two" + b"\1\3one"


def test_alternatives_with_a_price() -> None:
    rng = np.random.default_rng(5)
    skewed = rng.choice(8, 40_000, p=[0.5] + 7 * [0.5 / 7]).astype(np.uint8)
    repeated = np.resize(rng.integers(0, 8, 100, np.uint8), 40_000)
    for stream, best in ((skewed, "rans"), (repeated, "zstd")):
        assert _chosen("zstd | rans", stream.tobytes()) == _chosen("rans | zstd", stream.tobytes()) == best
    noise = rng.integers(0, 256, 40_000).astype(np.uint8)
    planes = np.stack([skewed, noise, repeated, np.zeros(40_000, np.uint8)], axis=1).tobytes()
    text = "byteplane(*: rans | zstd) | zstd"
    assert _chosen(text, planes, DType.I32) == "byteplane(rans, store, zstd, constant)"
    assert _decode(_encode(text, planes, DType.I32), len(planes)) == planes


@slow
@given(st.data())
def test_alternatives_are_about_as_small_as_the_smallest(data: st.DataObject) -> None:
    block = data.draw(float_streams(DType.F16, max_weights=3000).filter(len)).tobytes()
    texts = ["palette(indices: rans)", "byteplane(*: rans)", "floatfields[bits=5](*: rans)", "zstd"]
    smallest = min(len(_encode(text, block, DType.F16)) for text in texts)
    frame = _encode(" | ".join(texts), block, DType.F16)
    assert smallest <= len(frame) <= 1.01 * smallest + 48
    assert _decode(frame, len(block)) == block


def test_alternatives_that_do_not_pay() -> None:
    noise = np.random.default_rng(4).integers(0, 256, 4096, np.uint8).tobytes()
    assert _chosen("huffman | zstd", noise) == "store"
    assert _chosen("constant | huffman", noise) == "store"
    assert _chosen("byteplane(*: huffman | zstd)", noise, DType.I16) == "store"
    mixed = np.frombuffer(noise + b"abcd" * 1024, np.uint8).reshape(2, -1).T.tobytes()
    assert _chosen("byteplane(*: store | zstd)", mixed, DType.I16) == "byteplane(store, zstd)"


@slow
@given(st.data(), st.sampled_from(list(PLANS)))
def test_round_trip(data: st.DataObject, dtype: DType) -> None:
    block = data.draw(float_streams(dtype, max_weights=400).filter(len)).tobytes()
    frame = _encode(PLANS[dtype], block, dtype)
    assert len(frame) <= len(block) + 2
    assert _decode(frame, len(block)) == block


@slow
@given(byte_streams(max_bytes=300).filter(len), st.sampled_from(["zstd(zstd)", "huffman(zstd)", "byteplane[width=2]"]))
def test_round_trip_of_bytes(stream: Stream, text: str) -> None:
    assert _decode(_encode(text, stream.tobytes()), stream.size) == stream.tobytes()


@pytest.mark.parametrize("dtype", PLANS)
def test_hostile_frames(dtype: DType) -> None:
    rng = np.random.default_rng(7)
    weights = np.repeat(rng.standard_normal(150) * 0.02, 2)
    block = weights.astype("<f4").view("<u2")[1::2] if dtype is DType.BF16 else weights.astype(f"<f{dtype.bits // 8}")
    raw = block.tobytes()
    frame = _encode(PLANS[dtype], raw, dtype)
    assert len(frame) < len(raw)
    for cut in range(len(frame)):
        with pytest.raises((CorruptError, VersionError)):
            _decode(frame[:cut], len(raw))
    for extra in (b"\0", b"\xff", frame):
        with pytest.raises(CorruptError):
            _decode(frame + extra, len(raw))
    for n_bytes in (0, 1, len(raw) - dtype.bits // 8, len(raw) + dtype.bits // 8):
        with pytest.raises(CorruptError):
            _decode(frame, n_bytes)
    for bit in (bit for bit in range(8 * len(frame)) if bit < 2000 or bit % 13 == 0):
        flipped = bytearray(frame)
        flipped[bit // 8] ^= 1 << bit % 8
        with contextlib.suppress(CorruptError, VersionError):
            _decode(bytes(flipped), len(raw))


@slow
@given(st.binary(max_size=200), st.integers(0, 300))
def test_any_bytes(frame: bytes, n_bytes: int) -> None:
    with contextlib.suppress(CorruptError, VersionError):
        _decode(frame, n_bytes)


@pytest.mark.parametrize(
    "frame", ["", "80", "00", "0001", "0001ff", "0080", "000061", "00006162636465", "0102610000", "010161ff"]
)
def test_nodes_that_lie(frame: str) -> None:
    with pytest.raises(CorruptError):
        _decode(bytes.fromhex(frame), 4)


@pytest.mark.parametrize("stage_id", [99, 300, 2**62])
def test_a_stage_of_the_future_is_too_new(stage_id: int) -> None:
    with pytest.raises(VersionError, match=str(stage_id)):
        _decode(varint(stage_id) + b"\0", 4)


def test_depth_is_bounded() -> None:
    # byteplane[width=2] over byteplane over ..., with `constant` as the leaves
    node = b"\1\1\0"
    for depth in range(2, 10):
        node = b"\2\1\2" + varint(len(node)) + node + node
        if depth <= 8:
            assert _decode(node, 1 << 9) == bytes(1 << 9)
    with pytest.raises(CorruptError, match="nest more than 8"):
        _decode(node, 1 << 9)
