"""Lies in the entropy coders; part of lies.py."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

import numpy as np
import spec_nodes as spec
from honest import (
    FREQUENCIES,
    LENGTHS,
    N_WORDS,
    RANS_PART,
    STREAMS,
    SYMBOLS,
    TEXT,
    flat,
    huffman_frame,
    long_varint,
    zstd_by_hand,
    zstd_frame,
)  # fmt: skip
from spec_nodes import HUFFMAN, RANS, ZSTD, stored, varint


def rans_frame(f: Sequence[int] = FREQUENCIES, n_words: int = N_WORDS, part: bytes = RANS_PART) -> bytes:
    return stored(RANS, spec.rans_header(f, n_words), part)


def rans_lies() -> Iterator[tuple[str, bytes, bytes]]:
    packed = spec.rans_header(FREQUENCIES, N_WORDS)[1 + len(varint(N_WORDS)) :]
    for a in (0, 3, 5, 6, 7, 8, 9, 16, 255):
        yield f"alphabet of 2^{a}", stored(RANS, bytes([a]) + varint(N_WORDS) + packed, RANS_PART), SYMBOLS
    for a in (3, 6, 7):
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
    yield from frequency_lies()


def bits(*fields: tuple[int, int]) -> bytes:
    """(value, number of bits) of each field, filled with zeros."""
    text = "".join(format(value, f"0{n}b")[::-1] for value, n in fields if n)
    return np.packbits(np.frombuffer(text.encode(), np.uint8) & 1, bitorder="little").tobytes()


def frequency_lies() -> Iterator[tuple[str, bytes, bytes]]:
    """Rules of the bits in the header."""
    head = b"\4" + varint(N_WORDS)
    packed = spec.rans_header(FREQUENCIES, N_WORDS)[len(head) :]
    yield "a byte after the frequencies", stored(RANS, head + packed + b"\0", RANS_PART), SYMBOLS
    yield "the last byte of the frequencies missing", stored(RANS, head + packed[:-1], RANS_PART), SYMBOLS
    yield "no frequencies", stored(RANS, head, RANS_PART), SYMBOLS
    states = np.full(32, 1 << 16, "<u4").tobytes()
    two = (12, 4), (0, 11), (12, 4), (0, 11)  # 2048 and 2048
    none = [(0, 4)] * 14
    assert len(bits(*two, *none)) * 8 == 30 + 56 + 2
    good = spec.rans(b"\0\1" * 50, [2048, 2048, *[0] * 14])
    assert good[0][2:] == bits(*two, *none)
    for spare in (1, 2, 3):
        lying = good[0][:-1] + bytes([good[0][-1] | spare << 6])
        yield f"bits left over are {spare}", stored(RANS, lying, *good[1]), b"\0\1" * 50
    for b in (13, 14, 15):
        fields = (b, 4), (0, b - 1)
        yield f"a frequency of {b} bits", stored(RANS, b"\4\0" + bits(*fields, *[(0, 4)] * 15), states), b""
        yield f"16 frequencies of {b} bits", stored(RANS, b"\4\0" + bits(*fields * 16), states), b""
    alone = bits((13, 4), (0, 12), *[(0, 4)] * 15)
    yield "4096 for one symbol", stored(RANS, b"\4\0" + alone, states), bytes(40)
    for total in (4_095, 4_097):
        f = [16] * 255 + [16 + total - 4_096]
        symbols = bytes(range(256)) * 3
        part = spec.rans(symbols, [16] * 256)[1][0]
        yield f"256 frequencies of {total}", stored(RANS, spec.rans_header(f, len(part) // 2 - 64), part), symbols


def huffman_lies() -> Iterator[tuple[str, bytes, bytes]]:
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


def zstd_lies() -> Iterator[tuple[str, bytes, bytes]]:
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
