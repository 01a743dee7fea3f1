"""The entropy coders, as their pages say; part of spec_stages.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import zstandard
from numpy.typing import NDArray
from spec_wire import Cursor, Side, SpecError, Stage, need

# rans, id 4


class Table(NamedTuple):
    """Of each slot: what it decodes to."""

    symbol: NDArray[np.int64]
    rank: NDArray[np.int64]
    frequency: NDArray[np.int64]


class Buckets(NamedTuple):
    """Of each bucket: how many of its slots are its own symbol's, whose the others are, and what their ranks are above
    their offsets.
    """

    threshold: list[int]
    alias: list[int]
    adjust: list[int]


def buckets_of(f: Sequence[int], precision: int) -> Buckets:
    """Of frequencies that add up to 2 ** precision."""
    n_symbols = len(f)
    n_slots = (1 << precision) // n_symbols  # S of the page
    rest, threshold, alias = list(f), [n_slots] * n_symbols, list(range(n_symbols))
    small = [s for s in range(n_symbols) if rest[s] < n_slots]
    large = [s for s in range(n_symbols) if rest[s] >= n_slots]
    while small and large:
        s, top = small.pop(), large[-1]
        threshold[s], alias[s] = rest[s], top
        rest[top] -= n_slots - rest[s]
        if rest[top] < n_slots:
            small.append(large.pop())
    used, adjust = list(threshold), [0] * n_symbols
    for b in range(n_symbols):
        if threshold[b] < n_slots:
            adjust[b] = used[alias[b]] - threshold[b]
            used[alias[b]] += n_slots - threshold[b]
    return Buckets(threshold, alias, adjust)


def table_of(f: Sequence[int], precision: int = 12) -> Table:
    """The slots of frequencies that add up to 2 ** precision."""
    n_symbols = len(f)
    threshold, alias, adjust = buckets_of(f, precision)
    offset, bucket = np.divmod(np.arange(1 << precision), n_symbols)
    own = offset < np.array(threshold)[bucket]
    symbol = np.where(own, bucket, np.array(alias)[bucket])
    rank = np.where(own, offset, offset + np.array(adjust)[bucket])
    return Table(symbol, rank, np.array(f)[symbol])


def unrans(
    part: bytes, n_words: int, tables: Sequence[Table], which: NDArray[np.int64], precision: int
) -> NDArray[np.int64]:
    """The symbols, each decoded with the table that `which` says."""
    symbol_of, rank_of, frequency_of = (np.stack(arrays) for arrays in zip(*tables, strict=True))
    x = np.frombuffer(part, "<u4", 32).astype(np.int64)
    words = np.frombuffer(part, "<u2", n_words, 128).astype(np.int64)
    need((x >= 1 << 16).all(), "rans: state below 2^16")
    used, lanes, n = 0, np.arange(32), len(which)
    out = np.zeros(n, np.int64)
    for first in range(0, n, 128):
        for t in range(4):
            i = first + 4 * lanes + t
            l, i = lanes[i < n], i[i < n]  # noqa: E741
            at = which[i], x[l] & ((1 << precision) - 1)
            out[i] = symbol_of[at]
            x[l] = frequency_of[at] * (x[l] >> precision) + rank_of[at]
            short = l[x[l] < 1 << 16]
            need(used + len(short) <= n_words, "rans: words run out")
            x[short] = (x[short] << 16) + words[used : used + len(short)]
            used += len(short)
    need(used == n_words, "rans: words left over")
    need((x == 1 << 16).all(), "rans: final state")
    return out


def frequencies(header: Cursor, n: int) -> list[int]:
    """n of them, which take whole bytes."""
    bits: list[int] = []

    def field(n_bits: int) -> int:
        while len(bits) < n_bits:
            byte = header.fixed(1)
            bits.extend(byte >> i & 1 for i in range(8))
        taken, bits[:n_bits] = bits[:n_bits], []
        return sum(bit << i for i, bit in enumerate(taken))

    f = []
    for _ in range(n):
        b = field(4)
        need(b <= 12, "rans: bits of a frequency")
        f.append(field(b - 1) | 1 << (b - 1) if b else 0)
    need(not any(bits), "rans: bits left over are not 0")
    need(sum(f) == 4096, "rans: frequencies do not add up")
    return f


def rans(header: Cursor, size: int, _: Side) -> Stage:
    a, n_words = header.fixed(1), header.varint()
    need(a in (4, 5, 8), "rans: alphabet")
    need(n_words <= size, "rans: n_words")
    table = table_of(frequencies(header, 1 << a))

    def undo(parts: list[bytes]) -> bytes:
        return unrans(parts[0], n_words, [table], np.zeros(size, np.int64), 12).astype(np.uint8).tobytes()

    return Stage((128 + 2 * n_words,), undo)


# piecewise, id 14


def piecewise(header: Cursor, size: int, _: Side) -> Stage:
    a, n_words, k = header.fixed(1), header.varint(), header.varint()
    need(a in (4, 5, 8), "piecewise: alphabet")
    need(size > 0 and n_words <= size, "piecewise: n_words")
    need(1 <= k <= 1_024, "piecewise: number of pieces")
    groups = [header.varint() for _ in range(k - 1)]
    last = -(-size // 128) - sum(groups)
    need(last > 0 and all(groups), "piecewise: groups of a piece")
    tables = [table_of(frequencies(header, 1 << a)) for _ in range(k)]

    def undo(parts: list[bytes]) -> bytes:
        which = np.repeat(np.repeat(np.arange(k), [*groups, last]), 128)[:size]
        return unrans(parts[0], n_words, tables, which, 12).astype(np.uint8).tobytes()

    return Stage((128 + 2 * n_words,), undo)


# huffman, id 5


MAX_CODE_BITS = 11


def codes(lengths: list[int]) -> dict[int, int]:
    """The code of each used value, in order of length, then of value."""
    code, previous, given = -1, 0, {}
    for length, value in sorted((length, value) for value, length in enumerate(lengths) if length):
        code = (code + 1) << (length - previous)
        given[value], previous = code, length
    return given


def huffman(header: Cursor, size: int, _: Side) -> Stage:
    last = header.fixed(1)
    nibbles = [nibble for byte in header.take((last + 2) // 2) for nibble in (byte & 15, byte >> 4)]
    lengths, filling = nibbles[: last + 1], nibbles[last + 1 :]
    need(not any(filling), "huffman: unused half byte")
    need(lengths[last] and max(lengths) <= MAX_CODE_BITS, "huffman: code length")
    need(sum(1 << (MAX_CODE_BITS - length) for length in lengths if length) == 2048, "huffman: lengths do not add up")
    stream_bytes = [header.varint() for _ in range(4)]
    q = -(-size // 4)
    counts = [max(0, min(size, (j + 1) * q) - j * q) for j in range(4)]
    for n, count in zip(stream_bytes, counts, strict=True):  # before anything is made from these numbers
        need(n <= (MAX_CODE_BITS * count + 7) // 8, "huffman: stream longer than its codes")
    value_of, length_of = np.zeros(2048, np.uint8), np.zeros(2048, np.int64)
    for value, code in codes(lengths).items():
        first = code << (MAX_CODE_BITS - lengths[value])
        span = slice(first, first + (1 << (MAX_CODE_BITS - lengths[value])))
        value_of[span], length_of[span] = value, lengths[value]

    def undo(parts: list[bytes]) -> bytes:
        streams = Cursor(parts[0])
        return b"".join(unhuffman(streams.take(n), c) for n, c in zip(stream_bytes, counts, strict=True))

    def unhuffman(stream: bytes, count: int) -> bytes:
        bits = np.unpackbits(np.frombuffer(stream, np.uint8), bitorder="little")
        ahead = np.concatenate([bits, np.zeros(MAX_CODE_BITS, np.uint8)]).astype(np.int64)
        window = sum((ahead[i : len(bits) + 1 + i] << (10 - i) for i in range(11)), np.zeros(len(bits) + 1, np.int64))
        steps, at, starts = length_of[window].tolist(), 0, []
        for _ in range(count):
            need(at < len(bits), "huffman: stream shorter than its codes")
            starts.append(at)
            at += steps[at]
        need(-(-at // 8) == len(stream), "huffman: stream is not as long as its codes")
        need(not bits[at:].any(), "huffman: filling")
        return value_of[window[starts]].tobytes() if count else b""

    return Stage((sum(stream_bytes),), undo)


# zstd, id 6


class Extent(NamedTuple):
    declared: int | None  # content size
    window: int


def zstd_extent(frame: bytes) -> Extent:
    """What the header of a zstd frame declares, after a check that `frame` is one zstd frame and nothing else."""
    need(frame[:4] == b"\x28\xb5\x2f\xfd", "zstd: magic")
    try:
        declares, at = zstandard.get_frame_parameters(frame), zstandard.frame_header_size(frame)
    except zstandard.ZstdError as error:
        raise SpecError("zstd: frame header") from error
    need(declares.dict_id == 0, "zstd: dictionary")
    last = 0
    while not last:
        need(at + 3 <= len(frame), "zstd: truncated")
        block = int.from_bytes(frame[at : at + 3], "little")
        last, kind = block & 1, block >> 1 & 3
        at += 3 + (1 if kind == 1 else block >> 3)
    need(at + 4 * declares.has_checksum == len(frame), "zstd: frame is not as long as its blocks")
    known = declares.content_size != zstandard.CONTENTSIZE_UNKNOWN
    return Extent(declares.content_size if known else None, declares.window_size)


def unzstd(frame: bytes, size: int) -> bytes:
    """Exactly `size` bytes, or SpecError."""
    reader = zstandard.ZstdDecompressor(max_window_size=1 << 31).stream_reader(frame)
    try:
        stream = reader.read(size + 1)
    except zstandard.ZstdError as error:
        raise SpecError("zstd: frame") from error
    need(len(stream) == size, "zstd: decoded size")
    return stream


def zstd(header: Cursor, size: int, _: Side) -> Stage:
    n_bytes = header.varint()
    need(n_bytes <= 2 * size + 512, "zstd: frame size")

    def undo(parts: list[bytes]) -> bytes:
        extent = zstd_extent(parts[0])
        need(extent.declared in (None, size), "zstd: content size")
        need(extent.window <= 8 << 20, "zstd: window")
        return unzstd(parts[0], size)

    return Stage((n_bytes,), undo)
