"""rans, huffman and zstd."""

from __future__ import annotations

import math
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import spec_choices
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pennyweight import native
from pennyweight.errors import CorruptError, UsageError
from pennyweight.stages.entropy.huffman import Huffman
from pennyweight.stages.entropy.rans import Rans
from pennyweight.stages.entropy.zstd import Zstd
from pennyweight.stages.protocol import Stage, Stream, StreamSpec
from pennyweight.stages.split.byteplane import BytePlane
from pennyweight.stages.wire import varint
from pennyweight.testing import byte_streams, check_stage

slow = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def log2_256(c: int) -> int:
    whole = c.bit_length() - 1
    return 256 * whole + (256 * c >> whole) - 256


def rans_declines(stream: Stream, bits: int) -> bool:
    """The rule of rans.md, from its text."""
    looked_at = stream
    if bits == 8 and stream.size >= 16_384:
        looked_at = np.concatenate([stream[i : i + 64] for i in range(0, stream.size, 512)])
    if bits == 8 and stream.size:
        bits = max(1, int(looked_at.max()).bit_length())
    counts = [int(c) for c in np.bincount(looked_at) if c]
    total = sum(counts)
    noise = 64 * sum(c * (log2_256(total) - log2_256(c)) for c in counts) >= 63 * 256 * total * bits
    return len(np.unique(stream)) < 2 or noise


@slow
@given(st.data(), st.sampled_from([4, 5, 8]), st.integers(1, 8))
def test_rans(data: st.DataObject, bits: int, symbol_bits: int) -> None:
    stream = data.draw(byte_streams(max_bytes=500, symbols=1 << min(bits, symbol_bits)))
    assert check_stage(Rans(bits), [stream], max_flips=32) == (stream.size > 0 and not rans_declines(stream, bits))


@pytest.mark.parametrize("n", [16_383, 16_384, 70_001])
@pytest.mark.parametrize(("bits", "symbol_bits"), [(4, 4), (5, 5), (8, 1), (8, 6), (8, 7), (8, 8)])
def test_rans_declines_noise(n: int, bits: int, symbol_bits: int) -> None:
    """Flat but for a share of zeros around that at which it begins to pay; and flat only where it is looked at."""
    rng = np.random.default_rng(n)
    answers = set()
    for share in (0.0, 0.02, 0.03, 0.05, 0.055, 0.06, 0.065, 0.07, 0.08, 0.09, 0.1, 0.11, 0.12, 0.2, 0.5):
        stream = rng.integers(0, 1 << symbol_bits, n).astype(np.uint8)
        stream[rng.random(n) < share] = 0
        answers.add(rans_declines(stream, bits))
        assert (Rans(bits).encode(stream) is None) == rans_declines(stream, bits), share
    assert answers == {False, True}
    hidden = rng.integers(0, 1 << symbol_bits, n).astype(np.uint8)
    hidden[np.arange(n) % 512 >= 64] = 0
    assert (Rans(bits).encode(hidden) is None) == rans_declines(hidden, bits) == (bits == 8 and n >= 16_384)


def log2_4096(c: int) -> int:
    log = c.bit_length() - 1
    x = (c << 31) >> log
    for _ in range(12):
        x = x * x >> 31
        log = 2 * log + (x >> 32)
        x >>= x >> 32
    return log


def test_log2_4096() -> None:
    for c in [*range(1, 300), 4095, 4096, 4097, 2**21 - 1, 2**32 - 1]:
        assert 0 <= 4096 * math.log2(c) - log2_4096(c) < 1.01


@pytest.mark.parametrize("n", [1, 2, 300, 16_383, 16_384, 70_001, 262_144])
@pytest.mark.parametrize("bits", [4, 5, 8])
def test_rans_price(n: int, bits: int) -> None:
    """As the page says, and near what encoding takes."""
    rng = np.random.default_rng(n)
    for spread in (0.3, 1.0, 2.0, 8.0, 1000.0):
        stream = (np.abs(rng.normal(0, spread, n)).astype(np.int64) % (1 << bits)).astype(np.uint8)
        price, encoded = Rans(bits).price(stream), Rans(bits).encode(stream)
        assert (price is None) == (encoded is None)
        if price is None or encoded is None:
            continue
        counts = np.bincount(stream, minlength=1 << bits).tolist()
        f = spec_choices.rans_frequencies(stream.tobytes(), bits)
        spent = sum(c * (12 * 4096 - log2_4096(f)) for c, f in zip(counts, f, strict=True) if c)
        n_words = (encoded.parts[0].size - 128) // 2
        frequencies = len(encoded.header) - 1 - len(varint(n_words))
        assert price == frequencies + 128 + max(0, spent // 32768 - 32)
        assert abs(price - len(encoded.header) - encoded.parts[0].size) <= 48
    assert Rans(bits).price(np.zeros(n, np.uint8)) is None
    assert Rans(bits).price(np.empty(0, np.uint8)) is None


def repeats_percent(stream: Stream) -> int:
    """From the text of zstd.md."""
    latest: dict[int, int] = {}
    looked_at = repeated = 0
    for word in stream[: stream.size // 8 * 8].view("<u8").tolist():
        h = word * 0x9E3779B97F4A7C15 % 2**64
        if h < 2**60:
            looked_at += 1
            repeated += latest.get(h >> 46, 0) == word
            latest[h >> 46] = word
    return 100 * repeated // looked_at if looked_at else 0


def test_zstd_that_waits_for_repeats() -> None:
    rng = np.random.default_rng(5)
    noise = rng.integers(0, 256, 1 << 18).astype(np.uint8)
    fresh = rng.integers(0, 256, (1 << 18) - 80_000).astype(np.uint8)
    streams = {
        "noise": noise,
        "twice": np.concatenate([noise, noise]),
        "some": np.concatenate([noise, noise[:80_000], fresh]),
        "not aligned": np.concatenate([noise, noise[:1], noise]),
        "far": np.concatenate([noise, rng.integers(0, 256, 1 << 23).astype(np.uint8), noise]),
        "zeros": np.where(np.arange(1 << 16) % 64 < 48, 0, noise[: 1 << 16]).astype(np.uint8),
        "short": noise[: (1 << 16) - 1],
        "judged": noise[: 1 << 16],
    }
    percents = {name: repeats_percent(stream) for name, stream in streams.items()}
    assert percents["noise"] == percents["not aligned"] == 0
    assert 40 <= percents["twice"] <= 50 < 90 <= percents["zeros"]
    assert 1 <= percents["some"] <= 20
    for name, stream in streams.items():
        assert native.repeats_percent(stream) == percents[name], name
        for stage in (Zstd(1, percents[name] + 1), Zstd(1, percents[name]), BytePlane(2, percents[name] + 1)):
            whole = stream[: stream.size // 2 * 2]
            tried = stage.repeats == percents[name] or whole.size < 1 << 16
            assert (stage.encode(whole) is not None) == tried, name
    assert native.repeats_percent(noise[:7]) == 0


@pytest.mark.parametrize("stage", [Zstd, BytePlane])
def test_the_parameter_repeats(stage: type[Zstd | BytePlane]) -> None:
    assert stage.bind(StreamSpec(width=2), {"repeats": 100}).repeats == 100
    for params in ({"repeats": 101}, {"repeat": 1}):
        with pytest.raises(UsageError, match=stage.name):
            stage.bind(StreamSpec(width=2), params)


@slow
@given(byte_streams(max_bytes=500))
def test_huffman(stream: Stream) -> None:
    assert check_stage(Huffman(), [stream], max_flips=32) == (len(set(stream.tolist())) > 1)


@slow
@given(byte_streams(max_bytes=500), st.sampled_from([1, 3, 19]))
def test_zstd(stream: Stream, level: int) -> None:
    assert check_stage(Zstd(level), [stream], max_flips=64) == (len(set(stream.tolist())) > 1)


@pytest.mark.parametrize("n", [2, 31, 32, 33, 127, 128, 129, 255, 256, 257, 4096, 4099])
@pytest.mark.parametrize("bits", [4, 5, 8])
def test_rans_sizes_around_lanes_and_groups(n: int, bits: int) -> None:
    rng = np.random.default_rng(n)
    wide = np.minimum(rng.integers(0, 1 << bits, n), rng.integers(0, 1 << bits, n)).astype(np.uint8)
    wide[:2] = 0, (1 << bits) - 1
    skewed = np.zeros(n, np.uint8)
    skewed[-1] = (1 << bits) - 1
    assert check_stage(Rans(bits), [wide, skewed], max_flips=8) == 2


def test_rans_exact_header() -> None:
    encoded = Rans(4).encode(np.array([0] * 96 + [15] * 32, np.uint8))
    assert encoded is not None
    # 12 bits, 2048 + 1024; fourteen times 0 bits; 11 bits, 1024 + 0
    frequencies = 12 | 1024 << 4 | 11 << 15 + 4 * 14
    assert encoded.header == bytes((4,)) + varint(0) + frequencies.to_bytes(11, "little")
    assert encoded.parts[0].size == 128


@pytest.mark.parametrize("header", [b"", b"\x04", b"\x03\x00", b"\x06\x00", b"\x07\x00", b"\x09\x00", b"\x04\x65"])
def test_rans_headers_that_lie(header: bytes) -> None:
    with pytest.raises(CorruptError):
        Rans.from_header(header + bytes(11) if len(header) > 1 else header, 100)


def test_rans_frequencies_that_lie() -> None:
    """16 times 256 is right; every other length, filling or sum is not."""
    one = 9  # 9 bits, and 8 more that are 0
    right = sum(one << 12 * s for s in range(16))
    part, out = np.frombuffer(bytes((0, 0, 1, 0)) * 32, np.uint8), np.empty(0, np.uint8)

    def decode(frequencies: bytes) -> None:
        Rans.from_header(b"\x04\x00" + frequencies, 0).decode((part,), out)

    decode(right.to_bytes(24, "little"))
    half = right >> 12  # 15 times 256, and a last one
    lies = [
        b"",
        right.to_bytes(24, "little")[:-1],
        right.to_bytes(25, "little"),
        (right + (1 << 4)).to_bytes(24, "little"),  # 4097
        (half | 8 << 180).to_bytes(24, "little"),  # 3968
        (half | 13 << 180).to_bytes(25, "little"),  # a frequency of 13 bits
        (half | 15 << 180).to_bytes(25, "little"),
    ]
    shorter = right >> 24 | 0 << 168 | 10 << 172  # 14 times 256, 0 and 512: 185 bits
    decode(shorter.to_bytes(24, "little"))
    lies += [(shorter | 1 << bit).to_bytes(24, "little") for bit in range(185, 192)]
    for lie in lies:
        with pytest.raises(CorruptError):
            decode(lie)


def test_rans_must_end_where_it_began() -> None:
    encoded = Rans(4).encode(np.array([0] * 96 + [15] * 32, np.uint8))
    assert encoded is not None
    states = encoded.parts[0].view("<u4").copy()
    states[3] += 1
    with pytest.raises(CorruptError):
        Rans.from_header(encoded.header, 128).decode((states.view(np.uint8),), np.empty(128, np.uint8))


def test_huffman_exact_bytes() -> None:
    # counts a 5, b 2, c 1: a is 0, b is 10, c is 11, each written from its first bit on into the low bits of a byte
    encoded = Huffman().encode(np.frombuffer(b"aaaaabbc", np.uint8))
    assert encoded is not None
    lengths = bytearray(50)
    lengths[ord("a") // 2] |= 1 << 4
    lengths[ord("b") // 2] |= 2
    lengths[ord("c") // 2] |= 2 << 4
    assert encoded.header == b"c" + bytes(lengths) + bytes((1, 1, 1, 1))
    assert encoded.parts[0].tobytes() == bytes((0b00, 0b00, 0b010, 0b1101))


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6, 7, 9, 64, 1001])
def test_huffman_streams_of_any_length(n: int) -> None:
    streams = [np.resize(np.array([7, 200], np.uint8), n), np.arange(n).astype(np.uint8)]
    assert check_stage(Huffman(), streams, max_flips=16) == 2


def test_huffman_codes_are_at_most_11_bits() -> None:
    fibonacci = np.repeat(np.arange(20, dtype=np.uint8), [int(1.618**i) + 1 for i in range(20)])
    assert check_stage(Huffman(), [fibonacci], max_flips=4) == 1
    encoded = Huffman().encode(fibonacci)
    assert encoded is not None
    assert max(half for byte in encoded.header[1:11] for half in (byte & 15, byte >> 4)) == 11


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"\x00",
        b"\x00\x01\x00\x00\x00\x00",  # one code only
        b"\x01\x11\x01\x00\x00",  # three sizes
        b"\x01\x11\x01\x00\x00\x00\x00",  # one too many
        b"\x01\x21\x01\x00\x00\x00",  # not complete
        b"\x01\xcc\x01\x00\x00\x00",  # longer than 11
        b"\x02\x11\x00\x01\x00\x00\x00",  # the last has no code
        b"\x00\x11\x01\x00\x00\x00",  # the unused half is not 0
        b"\x01\x11\x0d\x00\x00\x00",  # 8 codes of at most 11 bits do not fill 13 bytes
    ],
)
def test_huffman_headers_that_lie(header: bytes) -> None:
    with pytest.raises(CorruptError):
        Huffman.from_header(header, 32)


def _decode_zstd(frame: bytes, n_bytes: int) -> bytes:
    out = np.empty(n_bytes, np.uint8)
    Zstd.from_header(varint(len(frame)), n_bytes).decode((np.frombuffer(frame, np.uint8),), out)
    return out.tobytes()


def test_zstd_takes_frames_that_declare_their_size_and_have_a_checksum() -> None:
    data = b"pennyweight " * 99
    plain = zstandard.ZstdCompressor(write_checksum=True).compress(data)
    assert _decode_zstd(plain, len(data)) == data
    assert _decode_zstd(zstandard.ZstdCompressor().compress(b""), 0) == b""
    assert _decode_zstd(zstandard.ZstdCompressor(write_content_size=False).compress(b""), 0) == b""


def test_zstd_writes_neither_size_nor_checksum() -> None:
    encoded = Zstd(3).encode(np.frombuffer(b"pennyweight " * 99, np.uint8))
    assert encoded is not None
    written = zstandard.get_frame_parameters(encoded.parts[0].tobytes())
    assert written.content_size == zstandard.CONTENTSIZE_UNKNOWN
    assert not written.has_checksum
    assert written.window_size <= 8 << 20


def test_zstd_frames_that_lie() -> None:
    data = b"pennyweight " * 99
    frame = zstandard.ZstdCompressor().compress(data)
    skippable = b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"
    long = zstandard.ZstdCompressor(
        compression_params=zstandard.ZstdCompressionParameters(window_log=24, write_content_size=False)
    ).compressobj()
    wide = long.compress(data) + long.flush()
    bomb = zstandard.ZstdCompressor().compress(bytes(1 << 26))
    lies = [
        frame[:-1],
        frame + b"\0",
        frame + frame,
        skippable,
        skippable + frame,
        wide,
        bomb,
        b"",
        b"\x28\xb5\x2f\xfd",
    ]
    for lie in lies:
        with pytest.raises(CorruptError):
            _decode_zstd(lie, len(data))
    for n_bytes in (1, len(data) - 1, len(data) + 1):
        with pytest.raises(CorruptError):
            _decode_zstd(frame, n_bytes)
    for lie in (frame, zstandard.ZstdCompressor().compress(b"")[:-1], zstandard.ZstdCompressor().compress(b"") + b"\0"):
        with pytest.raises(CorruptError):
            _decode_zstd(lie, 0)


def test_zstd_size_is_bounded_by_what_it_decodes_to() -> None:
    Zstd.from_header(varint(712), 100)
    for header in (varint(713), b"", b"\x01\x00", b"\x80"):
        with pytest.raises(CorruptError):
            Zstd.from_header(header, 100)


def test_zstd_is_the_same_from_many_threads() -> None:
    stream = np.frombuffer(b"".join(b"%d" % i for i in range(20_000)), np.uint8)
    barrier = threading.Barrier(4)

    def encode(_: int) -> bytes:
        barrier.wait()
        encoded = Zstd().encode(stream)
        assert encoded is not None
        return encoded.parts[0].tobytes()

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(encode, range(4)))) == 1


@pytest.mark.parametrize(
    ("stage", "params"), [(Zstd, {"level": 0}), (Zstd, {"level": 23}), (Zstd, {"speed": 1}), (Huffman, {"x": 1})]
)
def test_parameters_are_checked(stage: type[Stage], params: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        stage.bind(StreamSpec(), params)


def test_rans_takes_the_smallest_alphabet() -> None:
    stream = np.array([0] * 96 + [1] * 32, np.uint8)
    for symbol_bits, bits in {1: 4, 4: 4, 5: 5, 6: 8, 7: 8, 8: 8, None: 8}.items():
        encoded = Rans.bind(StreamSpec(symbol_bits=symbol_bits), {}).encode(stream)
        assert encoded is not None
        assert encoded.header[0] == bits
