"""Frames that break one rule each, with all lengths around the lie put right; for test_hostile_frames.py.

A lie is (name, frame, data): data has the size of the block, and is what a decoder that misses the rule would give as
far as there is such a thing.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import spec_encoder as spec
from spec_encoder import BYTEPLANE, CONSTANT, FLOATFIELDS, HUFFMAN, RANS, ZSTD, node, store, varint

Lie = tuple[str, bytes, bytes]

RNG = np.random.default_rng(7)
TEXT = b"a man, a plan, a canal: panama! " * 20


def long_varint(value: int) -> bytes:
    """One byte longer than it must be."""
    short = varint(value)
    return short[:-1] + bytes([short[-1] | 0x80, 0])


def stored(stage: int, header: bytes, *parts: bytes) -> bytes:
    """A node whose parts are all stored."""
    return node(stage, header, [store(part) for part in parts])


def flat(encoded: spec.Encoded) -> tuple[bytes, ...]:
    return encoded[0], *encoded[1]


# Frames that hold every rule


def plane_frame() -> tuple[bytes, bytes]:
    header, planes = spec.byteplane(TEXT, 4)
    return stored(BYTEPLANE, header, *planes), TEXT


def float_weights() -> bytes:
    """512 weights in BF16, of which the first, the last and one between need a patch."""
    weights = RNG.standard_normal(512).astype("<f4").view("<u2")[1::2].copy()
    weights[[0, 99, 511]] = 0x7FC1, 0x0001, 0x8000
    return bytes(weights)


BF16 = float_weights()
BASE = spec.best_base(BF16, 1)
FLOAT_HEADER, (EXPONENT, SIGN_MANTISSA, PATCHES) = spec.floatfields(BF16, 1, 4, BASE)

SYMBOLS = bytes(np.minimum(RNG.geometric(0.3, 1_000) - 1, 15).astype(np.uint8))
FREQUENCIES = spec.rans_frequencies(SYMBOLS, 4)
RANS_PART = spec.rans(SYMBOLS, FREQUENCIES)[1][0]
N_WORDS = len(RANS_PART) // 2 - 64

LENGTHS = spec.huffman_lengths(TEXT)
STREAMS = spec.huffman_streams(TEXT, LENGTHS)


def huffman_frame(lengths: Sequence[int], streams: Sequence[bytes], sizes: Sequence[int] = ()) -> bytes:
    header = spec.huffman_header(lengths, sizes or [len(stream) for stream in streams])
    return stored(HUFFMAN, header, b"".join(streams))


def zstd_by_hand(
    data: bytes,
    window: int = 7 << 3,
    declared: int | None = None,
    flags: int = 0,
    dictionary: bytes = b"",
    blocks: Sequence[tuple[int, int, bytes]] = (),
    end: bytes = b"",
) -> bytes:
    """A zstd frame of raw blocks; `blocks`: (type, size field, content) of blocks before that of `data`."""
    flags |= {0: 0, 1: 1, 2: 2, 4: 3}[len(dictionary)] | (0 if declared is None else 3 << 6)
    frame = b"\x28\xb5\x2f\xfd" + bytes([flags]) + (b"" if flags & 32 else bytes([window])) + dictionary
    frame += b"" if declared is None else struct.pack("<Q", declared)
    pieces = [frame]
    for last, (kind, size, content) in [*((0, block) for block in blocks), (1, (0, len(data), data))]:
        pieces += (last | kind << 1 | size << 3).to_bytes(3, "little"), content
    return b"".join([*pieces, end])


def zstd_frame(frame: bytes, size: int | None = None) -> bytes:
    return stored(ZSTD, varint(len(frame) if size is None else size), frame)


HONEST: dict[str, tuple[bytes, bytes]] = {
    "store": (store(TEXT), TEXT),
    "constant": (node(CONSTANT, b"abc"), b"abc" * 100),
    "byteplane": plane_frame(),
    "floatfields": (stored(FLOATFIELDS, FLOAT_HEADER, EXPONENT, SIGN_MANTISSA, PATCHES), BF16),
    "rans": (stored(RANS, spec.rans_header(FREQUENCIES, N_WORDS), RANS_PART), SYMBOLS),
    "huffman": (huffman_frame(LENGTHS, STREAMS), TEXT),
    "zstd": (zstd_frame(zstd_by_hand(TEXT)), TEXT),
    "zstd declaring its size": (zstd_frame(zstd_by_hand(TEXT, declared=len(TEXT))), TEXT),
    "zstd window of 8 MiB": (zstd_frame(zstd_by_hand(TEXT, window=13 << 3)), TEXT),
    "zstd single segment": (zstd_frame(zstd_by_hand(TEXT, flags=32, declared=len(TEXT))), TEXT),
}


def chain(levels: int) -> tuple[bytes, bytes]:
    """zstd of zstd of ... : valid up to 8 levels."""
    streams = [TEXT]
    while len(streams) < levels:
        streams.append(zstd_by_hand(streams[-1]))
    frame = store(streams[-1])
    for stream in streams[:0:-1]:
        frame = node(ZSTD, varint(len(stream)), [frame])
    return frame, TEXT


# Lies


def node_lies() -> Iterator[Lie]:
    for name, (frame, data) in HONEST.items():
        body = frame[2 + frame[1] :]
        yield f"{name}: empty frame", b"", data
        yield f"{name}: last byte cut off", frame[:-1], data
        yield f"{name}: trailing byte", frame + b"\0", data
        yield f"{name}: block one byte larger", frame, data + b"\0"
        if name != "huffman":  # where the last code is all zeros it passes for filling
            yield f"{name}: block one byte smaller", frame, data[:-1]
        yield f"{name}: stage id in two bytes", long_varint(frame[0]) + frame[1:], data
        yield f"{name}: header length in two bytes", frame[:1] + long_varint(frame[1]) + frame[2:], data
        yield f"{name}: header one byte longer", frame[:1] + varint(frame[1] + 1) + frame[2:], data
        if frame[1]:
            yield f"{name}: header one byte shorter", frame[:1] + varint(frame[1] - 1) + frame[2:], data
        if name != "constant":
            padded = frame[:1] + varint(frame[1] + 1) + frame[2 : 2 + frame[1]] + b"\0" + body
            yield f"{name}: a byte after the fields of the header", padded, data
        yield f"{name}: header of 2^62 bytes", frame[:1] + varint(1 << 62) + frame[2:], data
        yield f"{name}: header of 2^63 bytes", frame[:1] + varint(1 << 63) + frame[2:], data
        yield f"{name}: header of 2^64 - 1 bytes", frame[:1] + varint((1 << 64) - 1) + frame[2:], data
        yield f"{name}: header length without an end", frame[:1] + b"\xff" * 40, data
    yield "nine levels", *chain(9)
    yield "thousand levels", *chain(1_000)
    header, planes = spec.byteplane(TEXT, 4)
    nodes = [store(plane) for plane in planes]
    yield "one part less", node(BYTEPLANE, header, nodes[:3]), TEXT
    head = bytes([BYTEPLANE, 1]) + header
    n = len(nodes[0])
    for length in (0, n - 1, n + 1, (1 << 63) - 1):
        frame = head + varint(length) + nodes[0] + node(0, b"", nodes[1:])[2:]
        yield f"length of a part {length}, not {n}", frame, TEXT
    frame = head + long_varint(n) + nodes[0] + node(0, b"", nodes[1:])[2:]
    yield "length of a part in too many bytes", frame, TEXT


def unknown_stages() -> Iterator[Lie]:
    """Not corrupt, but too new."""
    for stage in (7, 127, 128, 1 << 40):
        yield f"stage {stage}", varint(stage) + b"\0" + TEXT, TEXT
    yield "stage 7 of a part", node(ZSTD, varint(9), [node(7, b"", tail=b"123456789")]), TEXT
    yield "stage 7 of patches", node(FLOATFIELDS, FLOAT_HEADER, [*map(store, (EXPONENT, SIGN_MANTISSA)), b"\7\0"]), BF16


def split_lies() -> Iterator[Lie]:
    yield "constant of no bytes", node(CONSTANT), TEXT
    yield "constant of 17 bytes", node(CONSTANT, bytes(17)), bytes(34)
    for width in (0, 1, 17, 255):
        planes = [bytes(1)] * width
        yield f"byteplane of width {width}", stored(BYTEPLANE, bytes([width]), *planes), bytes(width or 1)
    yield "byteplane of a stream that is no multiple", stored(BYTEPLANE, b"\2", b"ab", b"cd"), b"acbd!"
    yield "plane one byte short", stored(BYTEPLANE, b"\2", b"ab", b"c"), b"acb"
    yield "planes of other sizes", stored(BYTEPLANE, b"\2", b"abc", b"d"), b"adbc"


def float_frame(
    header: bytes = FLOAT_HEADER,
    exponent: bytes = EXPONENT,
    sign_mantissa: bytes = SIGN_MANTISSA,
    patches: bytes = PATCHES,
) -> bytes:
    return stored(FLOATFIELDS, header, exponent, sign_mantissa, patches)


def float_lies() -> Iterator[Lie]:
    base, n_patches = varint(BASE), varint(3)
    for format_id in (0, 5, 255):
        yield f"format {format_id}", float_frame(bytes([format_id, 4]) + base + n_patches), BF16
    for bits in (0, 3, 6, 8):
        yield f"{bits} symbol bits", float_frame(bytes([1, bits]) + base + n_patches), BF16
    weights = bytes(512)  # 6 symbol bits would leave 6 for sign_mantissa, and 3 would leave 9
    for bits in (3, 6):
        sized = bytes(256), bytes(32 * (12 - bits)), b""
        yield f"{bits} symbol bits, sizes to suit", stored(FLOATFIELDS, bytes([1, bits, 0, 0]), *sized), weights
    for wrong in (241, 255, 1 << 32, (1 << 63) - 1):
        yield f"base of {wrong}", float_frame(b"\1\4" + varint(wrong) + n_patches), BF16
    yield "base in three bytes", float_frame(b"\1\4" + long_varint(BASE) + n_patches), BF16
    yield "n_patches in two bytes", float_frame(b"\1\4" + base + long_varint(3)), BF16
    for n in (2, 4, 1 << 40, 1 << 62, (1 << 62) + 3):
        yield f"n_patches is {n}, not 3", float_frame(b"\1\4" + base + varint(n)), BF16
    many = b"".join(struct.pack("<I", i << 11) for i in range(513))
    yield "more patches than weights", float_frame(b"\1\4" + base + varint(513), patches=many), BF16

    first, second, third = PATCHES[:4], PATCHES[4:8], PATCHES[8:]
    beyond = struct.pack("<I", 512 << 11)
    far = struct.pack("<I", ((1 << 21) - 1) << 11)
    for what, patches in {
        "descend": second + first + third,
        "swapped at the end": first + third + second,
        "repeat a position": first + second + second,
        "one past the last weight": first + second + beyond,
        "far past the last weight": first + second + far,
        "last exponent too large": first + second + struct.pack("<I", 511 << 11 | 256),
        "first exponent too large": struct.pack("<I", 2047) + second + third,
    }.items():
        yield f"patches: {what}", float_frame(patches=patches), BF16
    half = bytes(np.frombuffer(b"\x00\x3c" * 16, np.uint8))
    f16_header, f16_parts = spec.floatfields(half, 2, 5, 0)
    for exponent in (32, 255, 2047):
        patch = struct.pack("<I", 3 << 11 | exponent)
        frame = stored(FLOATFIELDS, f16_header[:3] + b"\1", *f16_parts[:3], patch)
        yield f"patches: F16 exponent {exponent}", frame, half
    yield "base 17 in F16", stored(FLOATFIELDS, b"\2\5\x11\0", *f16_parts), half

    for at in (0, 17, 255, 511):  # 0 and 511 are patched weights: the rule is the same for them
        symbols = bytearray(EXPONENT)
        for symbol in (16, 255):
            symbols[at] = symbol
            yield f"symbol {symbol} at {at}", float_frame(exponent=bytes(symbols)), BF16
    header, parts = spec.floatfields(BF16, 1, 5, BASE)
    for at in (0, 300, 511):
        symbols = bytearray(parts[0])
        symbols[at] = 32
        yield f"symbol 32 at {at}", stored(FLOATFIELDS, header, bytes(symbols), *parts[1:]), BF16
    yield "exponents one short", float_frame(exponent=EXPONENT[:-1]), BF16
    yield "sign_mantissa one long", float_frame(sign_mantissa=SIGN_MANTISSA + b"\0"), BF16
    yield "a block of odd size", float_frame(), BF16 + b"\0"
    small = spec.floatfields(bytes(18), 1, 5, 0)
    yield "packed field cut to its bits", stored(FLOATFIELDS, small[0], small[1][0], bytes(8), b""), bytes(18)
    four = spec.floatfields(bytes(16), 3, 4, 0)
    yield "low left out", stored(FLOATFIELDS, four[0], *four[1][:2], b""), bytes(16)
    yield "low one short", stored(FLOATFIELDS, four[0], *four[1][:2], bytes(7), b""), bytes(16)


def rans_frame(f: Sequence[int] = FREQUENCIES, n_words: int = N_WORDS, part: bytes = RANS_PART) -> bytes:
    return stored(RANS, spec.rans_header(f, n_words), part)


def rans_lies() -> Iterator[Lie]:
    packed = spec.rans_header(FREQUENCIES, N_WORDS)[-24:]
    for a in (0, 3, 5, 6, 16, 255):
        yield f"alphabet of 2^{a}", stored(RANS, bytes([a]) + varint(N_WORDS) + packed, RANS_PART), SYMBOLS
    for a in (3, 6):
        f = [4096 >> a] * (1 << a)
        symbols = bytes(range(8)) * 20
        yield f"alphabet of 2^{a}, all to suit", stored(RANS, *flat(spec.rans(symbols, f))), symbols
    yield "n_words in too many bytes", stored(RANS, b"\4" + long_varint(N_WORDS) + packed, RANS_PART), SYMBOLS
    for n in (0, N_WORDS - 1, N_WORDS + 1, 1 << 62, (1 << 63) - 64):
        yield f"n_words {n}, words as before", rans_frame(n_words=n), SYMBOLS
    yield "a word left over", rans_frame(n_words=N_WORDS + 1, part=RANS_PART + b"\0\0"), SYMBOLS
    shifted = RANS_PART[:128] + b"\1\1" + RANS_PART[128:]
    yield "a word left over at the front", rans_frame(n_words=N_WORDS + 1, part=shifted), SYMBOLS
    yield "last word missing", rans_frame(n_words=N_WORDS - 1, part=RANS_PART[:-2]), SYMBOLS
    yield "all words missing", rans_frame(n_words=0, part=RANS_PART[:128]), SYMBOLS
    yield "half a word too much", rans_frame(part=RANS_PART + b"\0"), SYMBOLS
    yield "more words than symbols", rans_frame(n_words=1_001, part=RANS_PART + bytes(2 * (1_001 - N_WORDS))), SYMBOLS
    for lane in (0, 8, 31):
        for state in (0, 1, 0xFFFF):
            part = RANS_PART[: 4 * lane] + struct.pack("<I", state) + RANS_PART[4 * lane + 4 :]
            yield f"lane {lane} starts at {state}", rans_frame(part=part), SYMBOLS
    for start in ((1 << 16) + 1, (1 << 32) - 1, 1 << 20, 1 << 31):
        part = spec.rans(SYMBOLS, FREQUENCIES, start)[1][0]
        yield f"final states {start}", rans_frame(n_words=len(part) // 2 - 64, part=part), SYMBOLS
    # Of uniform frequencies, slot 16 holds symbol 0 at rank 1: with a word of 0 it leads from below 2^16 to 2^16.
    part = struct.pack("<I", 16) + struct.pack("<I", 1 << 16) * 31 + b"\0\0"
    yield "a state below 2^16 that ends well", rans_frame([256] * 16, 1, part), b"\0"
    few, states = SYMBOLS[:5], np.full(32, 1 << 16, "<u4")
    short = spec.rans(few, FREQUENCIES)[1][0]
    for lane in (2, 31):  # lanes that hold no symbol
        other = short[: 4 * lane] + b"\1" + short[4 * lane + 1 :]
        yield f"unused lane {lane} is not 2^16", rans_frame(n_words=len(short) // 2 - 64, part=other), few
    for what, f in {
        "4095": [4094, 1], "4097": [4095, 2], "0": [0, 0], "8190": [4095, 4095], "8192": [4095, 4095, 2], "1": [1],
    }.items():  # fmt: skip
        wrong = (f + [0] * 16)[:16]
        yield f"frequencies add up to {what}", rans_frame(wrong, 0, bytes(states)), b""
        yield f"frequencies add up to {what}, symbols", rans_frame(wrong, 0, bytes(states)), bytes(64)
    lying = list(FREQUENCIES)
    lying[int(np.argmax(lying))] -= 1
    yield "frequencies add up to 4095 in use", rans_frame(lying), SYMBOLS


def huffman_lies() -> Iterator[Lie]:
    joined, sizes = b"".join(STREAMS), [len(stream) for stream in STREAMS]
    two = [b"\x55", b"\x55", b"\x55", b"\x55"]
    data = bytes([0, 1, 0, 1, 0, 1, 0, 1] * 4)
    for what, lengths in {
        "over-subscribed": [1, 1, 1],
        "over by one code of 11": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 11, 11],
        "under-subscribed": [1, 2],
        "one code": [0, 1],
        "no code": [0, 0],
        "highest without code": [1, 1, 0],
        "code of 12 bits": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 12],
        "code of 15 bits": [1, 1, 15],
    }.items():
        yield f"lengths: {what}", huffman_frame(lengths, two), data
    frame = huffman_frame([1, 2, 2], spec.huffman_streams(data, [1, 2, 2]))
    yield "unused half byte", frame[:4] + bytes([frame[4] | 0x10]) + frame[5:], data
    yield "sum of the streams too large", huffman_frame(LENGTHS, STREAMS, [*sizes[:3], sizes[3] + 1]), TEXT
    yield "sum of the streams too small", huffman_frame(LENGTHS, STREAMS, [*sizes[:3], sizes[3] - 1]), TEXT
    yield "streams of other sizes", huffman_frame(LENGTHS, STREAMS, [sizes[0] - 1, sizes[1] + 1, *sizes[2:]]), TEXT
    yield "streams of other sizes, up", huffman_frame(LENGTHS, STREAMS, [sizes[0] + 1, sizes[1] - 1, *sizes[2:]]), TEXT
    yield "streams that wrap", huffman_frame(LENGTHS, STREAMS, [1 << 62] * 4), TEXT
    wrap = [(1 << 63) - 1, (1 << 63) - 1, sum(sizes) + 2, 0]
    yield "streams that add up modulo 2^64", huffman_frame(LENGTHS, STREAMS, wrap), TEXT
    header = spec.huffman_header(LENGTHS, sizes)
    yield "stream size in too many bytes", stored(HUFFMAN, header[:-1] + long_varint(header[-1]), joined), TEXT
    for j in range(4):
        longer = [*STREAMS[:j], STREAMS[j] + b"\0", *STREAMS[j + 1 :]]
        yield f"stream {j} one byte longer", huffman_frame(LENGTHS, longer), TEXT
        shorter = [*STREAMS[:j], STREAMS[j][:-1], *STREAMS[j + 1 :]]
        yield f"stream {j} one byte shorter", huffman_frame(LENGTHS, shorter), TEXT
    for j in range(4):
        filled = [b"\x15"] * 4  # five values of one bit, three bits of filling
        assert spec.huffman_streams(bytes([1, 0, 1, 0, 1] * 4), [1, 1]) == filled
        for bit in (0x20, 0x80):
            lying = [*filled[:j], bytes([0x15 | bit]), *filled[j + 1 :]]
            yield f"filling {bit:#x} of stream {j}", huffman_frame([1, 1], lying), bytes([1, 0, 1, 0, 1] * 4)
    for n in (0, 1, 2, 3):  # at least one stream has no values
        streams = spec.huffman_streams(bytes(n), [1, 1])
        yield f"bytes in an empty stream, {n} values", huffman_frame([1, 1], [*streams[:3], b"\0"]), bytes(n)


def zstd_lies() -> Iterator[Lie]:
    good = zstd_by_hand(TEXT)
    yield "size in too many bytes", stored(ZSTD, long_varint(len(good)), good), TEXT
    for size in (0, len(good) - 1, len(good) + 1, 1 << 62, (1 << 63) - 1):
        yield f"size {size}, not {len(good)}", zstd_frame(good, size), TEXT
    filler = [(0, 0, b"")] * (2 * len(TEXT) // 3)
    yield "more than twice the size", zstd_frame(zstd_by_hand(TEXT, blocks=filler)), TEXT
    for declared in (0, len(TEXT) - 1, len(TEXT) + 1, 1 << 40, (1 << 64) - 3):
        yield f"declares {declared}", zstd_frame(zstd_by_hand(TEXT, declared=declared)), TEXT
        lying = zstd_by_hand(TEXT, declared=declared, flags=32)
        yield f"declares {declared} in one segment", zstd_frame(lying), TEXT
    for window in (13 << 3 | 1, 14 << 3, 17 << 3, 31 << 3 | 7):
        yield f"window byte {window:#x}", zstd_frame(zstd_by_hand(TEXT, window=window)), TEXT
    for what, frame in {
        "a byte follows": good + b"\0",
        "a frame follows": good + zstd_by_hand(b""),
        "a skippable frame follows": good + b"\x50\x2a\x4d\x18\1\0\0\0!",
        "a skippable frame before": b"\x50\x2a\x4d\x18\1\0\0\0!" + good,
        "in two frames": zstd_by_hand(TEXT[:9]) + zstd_by_hand(TEXT[9:]),
        "nothing": b"",
        "only a magic": good[:4],
        "other magic": b"\x27" + good[1:],
        "no last block": zstd_by_hand(b"")[:-3] + (len(TEXT) << 3).to_bytes(3, "little") + TEXT,
        "one byte more": zstd_by_hand(TEXT + b"!"),
        "one byte less": zstd_by_hand(TEXT[:-1]),
        "reserved bit": zstd_by_hand(TEXT, flags=8),
        "reserved block": zstd_by_hand(TEXT, blocks=[(3, 0, b"")]),
        "wrong checksum": zstd_by_hand(TEXT, flags=4, end=b"\0\0\0\0"),
        "no checksum": zstd_by_hand(TEXT, flags=4),
        "a dictionary": zstd_by_hand(TEXT, dictionary=b"\1"),
        "a dictionary of four bytes": zstd_by_hand(TEXT, dictionary=b"\1\2\3\4"),
        "bomb": zstd_by_hand(b"", blocks=[(1, 1 << 17, b"A")] * 200),
        "a block that is too long": zstd_by_hand(b"", blocks=[(1, (1 << 21) - 1, b"A")]),
    }.items():
        yield f"zstd: {what}", zstd_frame(frame), TEXT


SECTIONS: tuple[Callable[[], Iterator[Lie]], ...] = (
    node_lies, split_lies, float_lies, rans_lies, huffman_lies, zstd_lies,
)  # fmt: skip
LIES = [lie for section in SECTIONS for lie in section()]
