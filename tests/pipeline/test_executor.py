"""Blocks through plans: fast path and staged path, verified, on every target."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pennyweight import native
from pennyweight.errors import CorruptError, PennyweightError, VersionError
from pennyweight.pipeline import executor
from pennyweight.pipeline.executor import BlockError, decode_blocks, encode_blocks, max_frames_bytes
from pennyweight.pipeline.frame import encode_frame, read_frame
from pennyweight.pipeline.grouping import Member
from pennyweight.pipeline.plan import parse
from pennyweight.pipeline.policy import Plans, load_preset
from pennyweight.stages.protocol import Stream, StreamSpec
from pennyweight.stages.split.floatfields import FloatFields
from pennyweight.testing import byte_streams, float_streams, special_floats
from pennyweight.types import DType

PLANS = {name: load_preset(name).resolve() for name in ("fast", "default", "high", "archive")}
FORMATS = {DType.BF16: 1, DType.F16: 2, DType.F32: 3, DType.F64: 4}
slow = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@pytest.fixture(params=native.targets())
def target(request: pytest.FixtureRequest) -> Iterator[str]:
    before = native.target()
    native.set_target(request.param)
    yield request.param
    native.set_target(before)


def weights(n: int, dtype: DType, seed: int = 0, scale: float = 0.02) -> Stream:
    """Bytes of n weights as trained ones are."""
    values = np.random.default_rng(seed).standard_normal(n) * scale
    if dtype is DType.BF16:
        return np.ascontiguousarray(values.astype("<f4").view("<u2")[1::2]).view(np.uint8)
    return values.astype(f"<f{dtype.bits // 8}").view(np.uint8)


def encoded(data: Stream, sizes: list[int], dtypes: list[DType | None], plans: Plans) -> list[Stream]:
    """The frames, one by one; what follows them in memory was not touched."""
    out = np.full(max_frames_bytes(sizes) + 64, 0xA5, np.uint8)
    contents = [(Member(size, plans[dtype]),) for size, dtype in zip(sizes, dtypes, strict=True)]
    lengths = encode_blocks(data, contents, out[:-64])
    assert (out[-64:] == 0xA5).all()
    return np.split(out[: sum(lengths)], np.cumsum(lengths)[:-1]) if lengths else []


def round_trip(data: Stream, sizes: list[int], frames: list[Stream]) -> None:
    out = np.empty_like(data)
    decode_blocks(np.concatenate(frames), [frame.size for frame in frames], sizes, out)
    assert out.tobytes() == data.tobytes()


BESIDE = {"store": 0, "bitpack": 1, "rans": 2, "rans | bitpack": 3}
"""Plans of the streams beside the exponents, and their numbers for the fast path."""


def whole_bytes(dtype: DType, bits: int) -> bool:
    """Whether sign_mantissa has 8 bits; where it has fewer the fast path does not store it."""
    return bits == 4 and dtype in (DType.BF16, DType.F32)


def assert_fast_equals_staged(
    dtype: DType, bits: int, blocks: list[Stream], beside: tuple[str, str] | None = None
) -> list[int]:
    """native.encode_float_blocks against the staged path; returns the lengths that the native side gave."""
    beside = beside or ("store" if whole_bytes(dtype, bits) else "bitpack", "store")
    has_low = FloatFields.bind(StreamSpec.of(dtype), {"bits": bits}).format.low_bytes > 0
    low = f", low: {beside[1]}" if has_low else ""
    plan = parse(f"floatfields[bits={bits}](exponent: rans, sign_mantissa: {beside[0]}{low})", dtype)
    data = np.concatenate(blocks)
    dst = np.empty(data.size, np.uint8)
    ways = BESIDE[beside[0]], BESIDE[beside[1]] if has_low else 0
    fused = executor._fused(plan)
    assert fused is not None
    assert (fused.stage.bits, fused.sign_mantissa, fused.low) == (bits, *ways)
    lengths = native.encode_float_blocks(data, [block.size for block in blocks], FORMATS[dtype], bits, *ways, dst)
    at = 0
    for block, length in zip(blocks, lengths, strict=True):
        staged = encode_frame([plan], block)
        if length:
            assert dst[at : at + length].tobytes() == staged.tobytes()
            out = np.empty(block.size, np.uint8)
            decode_blocks(dst[at : at + length], [length], [block.size], out)
            assert native.equal(out, block)
        elif beside == ("store", "store") and whole_bytes(dtype, bits):
            # something was declined, and the staged path shows it: no rans under floatfields, or no floatfields
            assert not str(read_frame(staged, block.size)).startswith("floatfields(rans")
        at += length
    return lengths


@pytest.mark.parametrize("beside", [None, ("bitpack", "rans"), ("rans | bitpack", "bitpack")])
@pytest.mark.parametrize("bits", [4, 5])
@pytest.mark.parametrize("dtype", FORMATS)
def test_fast_equals_staged(target: str, dtype: DType, bits: int, beside: tuple[str, str] | None) -> None:
    sizes = (1, 2, 7, 64, 127, 128, 129, 170, 200, 230, 260, 300, 330, 400, 511, 513, 1024, 4096 + 5)
    lengths = assert_fast_equals_staged(dtype, bits, [weights(n, dtype, seed=n) for n in sizes], beside)
    assert lengths[0] == 0
    assert lengths[-1] > 0


@pytest.mark.parametrize("bits", [4, 5])
@pytest.mark.parametrize("dtype", FORMATS)
def test_fast_equals_staged_with_patches(target: str, dtype: DType, bits: int) -> None:
    block = weights(8192, dtype).reshape(-1, dtype.bits // 8).copy()
    special = np.array(special_floats(dtype), "<u8").view(np.uint8).reshape(-1, 8)[:, : dtype.bits // 8]
    block[100 : 100 + len(special)] = special
    block[-1] = special[-1]
    lengths = assert_fast_equals_staged(dtype, bits, [block.reshape(-1)] * 3)
    assert min(lengths) > 0


@slow
@given(st.data(), st.sampled_from(list(FORMATS)), st.sampled_from([4, 5]))
def test_fast_equals_staged_on_anything(target: str, data: st.DataObject, dtype: DType, bits: int) -> None:
    blocks = data.draw(st.lists(float_streams(dtype, max_weights=900).filter(len), min_size=1, max_size=4))
    beside = data.draw(st.tuples(st.sampled_from(list(BESIDE)), st.sampled_from(list(BESIDE))))
    assert_fast_equals_staged(dtype, bits, blocks, beside)


@pytest.mark.parametrize("noise_in_sample", [False, True])
@pytest.mark.parametrize("bits", [4, 5])
@pytest.mark.parametrize("dtype", FORMATS)
def test_noise_is_judged_by_the_sample(target: str, dtype: DType, bits: int, noise_in_sample: bool) -> None:
    """Only what the weights that rans.md looks at hold decides whether rans is tried, whatever the others hold."""
    n = 20_000
    noise = weights(n, dtype).view(f"<u{dtype.bits // 8}")
    lowest = {DType.BF16: 0, DType.F16: 8, DType.F32: 16, DType.F64: 48}[dtype]  # bit of sign_mantissa in a weight
    top = {DType.BF16: 6, DType.F16: 9, DType.F32: 22, DType.F64: 51}[dtype]  # mantissa bit
    constant = (
        noise >> noise.dtype.type(top) << noise.dtype.type(top) | noise.dtype.type(1 << lowest)
    ) << noise.dtype.type(1)
    constant >>= noise.dtype.type(1)  # no sign
    in_sample = np.arange(n) % 512 < 64
    block = np.where(in_sample == noise_in_sample, noise, constant).view(np.uint8)
    lengths = assert_fast_equals_staged(dtype, bits, [block], ("rans | bitpack", "store"))
    assert (lengths[0] > 0) == noise_in_sample


def test_alternatives_of_a_plan_before_the_fast_path(target: str) -> None:
    """The first plan wins by its second alternative, though its first is one that mostly declines."""
    data = weights(4096, DType.F32)
    texts = ("palette | byteplane(*: rans)", "floatfields[bits=4](exponent: rans)")
    plans = tuple(parse(text, DType.F32) for text in texts)
    frame = encoded(data, [data.size], [DType.F32], {DType.F32: plans})[0]
    assert frame.tobytes() == encode_frame(plans, data).tobytes()
    assert str(read_frame(frame, data.size)).startswith("byteplane")


@pytest.mark.parametrize("preset", PLANS)
def test_blocks_of_every_kind_in_one_call(target: str, preset: str) -> None:
    rng = np.random.default_rng(3)
    kinds: list[tuple[DType | None, Stream]] = [
        (None, np.frombuffer(b'{"a":{"dtype":"BF16","shape":[1,2]}}' * 9, np.uint8)),
        (DType.BF16, weights(4096, DType.BF16)),
        (DType.BF16, weights(4096, DType.BF16, seed=1)),
        (DType.BF16, np.zeros(4096, np.uint8)),  # constant, in the middle of a run
        (DType.BF16, rng.integers(0, 256, 4096, np.uint8)),  # the fast path declines
        (DType.BF16, weights(1, DType.BF16)),
        (DType.BF16, weights(2049, DType.BF16)),
        (DType.F16, weights(2048, DType.F16)),
        (DType.F32, weights(2048, DType.F32)),
        (DType.F32, weights(2048, DType.F16).view("<f2").astype("<f4").view(np.uint8)),
        (DType.F64, weights(2048, DType.F64)),
        (DType.C64, weights(2048, DType.F32)),
        (DType.I64, np.arange(512, dtype="<i8").view(np.uint8)),
        (DType.BOOL, np.tri(64, dtype=np.uint8).reshape(-1)),
        (DType.I8, (rng.standard_normal(4096) * 20).astype(np.int8).view(np.uint8)),
        (DType.F8_E4M3, np.full(300, 0x38, np.uint8)),
        (DType.F4, rng.integers(0, 256, 4096, np.uint8)),
        (DType.F6_E2M3, np.array([1, 2, 3], np.uint8)),
    ]
    data = np.concatenate([stream for _, stream in kinds])
    data.flags.writeable = False
    sizes, dtypes = [stream.size for _, stream in kinds], [dtype for dtype, _ in kinds]
    frames = encoded(data, sizes, dtypes, PLANS[preset])
    round_trip(data, sizes, frames)
    for frame, (dtype, stream) in zip(frames, kinds, strict=True):
        assert frame.tobytes() == encode_frame(PLANS[preset][dtype], stream).tobytes()
    if preset in ("high", "archive"):  # the smallest of all, whichever that is
        return
    names = [str(read_frame(frame, size)).partition("(")[0] for frame, size in zip(frames, sizes, strict=True)]
    floats = ["floatfields"] * 2 + ["constant", "store", "store"] + ["floatfields"] * 6
    assert names == ["zstd", *floats, "byteplane", "zstd", "rans", "constant", "store", "store"]


@slow
@given(
    st.lists(st.tuples(st.sampled_from([*DType, None]), byte_streams(max_bytes=400).filter(len)), max_size=5), st.data()
)
def test_any_bytes_under_any_dtype(target: str, kinds: list[tuple[DType | None, Stream]], data: st.DataObject) -> None:
    plans = PLANS[data.draw(st.sampled_from(list(PLANS)))]
    src = np.concatenate([np.empty(0, np.uint8), *(stream for _, stream in kinds)])
    sizes = [stream.size for _, stream in kinds]
    frames = encoded(src, sizes, [dtype for dtype, _ in kinds], plans)
    assert all(frame.size <= size + 2 for frame, size in zip(frames, sizes, strict=True))
    if frames:
        round_trip(src, sizes, frames)


def test_no_blocks() -> None:
    empty = np.empty(0, np.uint8)
    assert encoded(empty, [], [], PLANS["fast"]) == []
    decode_blocks(empty, [], [], empty)


def test_arguments_that_do_not_fit() -> None:
    data = np.zeros(8, np.uint8)
    out = np.empty(10, np.uint8)
    for sizes, n_out in (([4], 10), ([], 10), ([8], 9), ([4, 5], 10)):
        with pytest.raises(ValueError, match="do not fit"):
            encode_blocks(data, [(Member(size, ()),) for size in sizes], out[:n_out])
    with pytest.raises(ValueError, match="do not describe"):
        decode_blocks(data, [8], [5], np.empty(6, np.uint8))


@pytest.mark.parametrize("preset", PLANS)
@pytest.mark.parametrize("dtype", FORMATS)
def test_hostile_frames_name_their_block(target: str, preset: str, dtype: DType) -> None:
    blocks = [weights(700, dtype, seed) for seed in range(3)]
    n = blocks[0].size
    frames = encoded(np.concatenate(blocks), [n] * 3, [dtype] * 3, PLANS[preset])
    guarded = np.full(3 * n + 128, 0xA5, np.uint8)
    outcomes = set()
    step = 1 if dtype is DType.BF16 else 23
    for bit in (*range(700), *range(700, 8 * frames[1].size, step)):
        flipped = frames[1].copy()
        flipped[bit // 8] ^= np.uint8(1 << bit % 8)
        try:
            decode_blocks(
                np.concatenate((frames[0], flipped, frames[2])), [f.size for f in frames], [n] * 3, guarded[64:-64]
            )
            outcomes.add("other bytes")
        except BlockError as error:
            outcomes.add(f"block {error.block} corrupt")
        except VersionError:
            outcomes.add("too new")
    assert (guarded[:64] == 0xA5).all()
    assert (guarded[-64:] == 0xA5).all()
    assert outcomes == {"other bytes", "block 1 corrupt", "too new"}
    for cut in range(frames[1].size):
        with pytest.raises((CorruptError, VersionError)):
            decode_blocks(frames[1][:cut], [cut], [n], np.empty(n, np.uint8))
    with pytest.raises(CorruptError):
        decode_blocks(np.append(frames[1], np.uint8(0)), [frames[1].size + 1], [n], np.empty(n, np.uint8))


@pytest.mark.parametrize("dtype", FORMATS)
def test_native_and_staged_agree_on_what_is_corrupt(target: str, dtype: DType) -> None:
    block = weights(400, dtype)
    frame = encoded(block, [block.size], [dtype], PLANS["fast"])[0]
    for bit in range(8 * frame.size):
        flipped = frame.copy()
        flipped[bit // 8] ^= np.uint8(1 << bit % 8)
        out, staged = np.empty(block.size, np.uint8), np.empty(block.size, np.uint8)
        if native.decode_blocks(flipped, [flipped.size], [block.size], out)[0]:
            read_frame(flipped, block.size).decode(staged)  # raises if the staged path would refuse it
            assert native.equal(out, staged)


def test_streamed_output_is_the_same(target: str) -> None:
    data = weights(1 << 15, DType.BF16)
    frames = encoded(data, [data.size], [DType.BF16], PLANS["default"])
    out = np.empty_like(data)
    decode_blocks(frames[0], [frames[0].size], [data.size], out, stream=True)
    assert native.equal(out, data)


@pytest.mark.parametrize("dtype", [DType.BF16, DType.U8])
def test_an_encoder_at_fault_is_caught(monkeypatch: pytest.MonkeyPatch, dtype: DType) -> None:
    data = weights(4096, DType.BF16)
    monkeypatch.setattr(executor.native, "equal", lambda a, b: False)
    with pytest.raises(PennyweightError, match="encoder fault"):
        encoded(data, [data.size], [dtype], PLANS["fast"])
