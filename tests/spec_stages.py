"""What the stage pages say of decoding: the second half of spec_decoder.py, and just as far from the package.

A stage is named as its page is. Each is a function from a header and the decoded size to a `Stage`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import zstandard
from numpy.typing import NDArray


class SpecError(Exception):
    """The container breaks a rule of the format."""


class OtherVersionError(SpecError):
    """The container needs another version or feature: it is not corrupt."""


def need(holds: object, reason: str) -> None:
    """Raise SpecError(reason) unless `holds`."""
    if not holds:
        raise SpecError(reason)


class Cursor:
    """A walk over bytes, front to back, that never leaves them."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, n: int) -> bytes:
        need(n <= len(self.data) - self.at, "truncated")
        self.at += n
        return self.data[self.at - n : self.at]

    def rest(self) -> bytes:
        return self.take(len(self.data) - self.at)

    def fixed(self, n: int) -> int:
        return int.from_bytes(self.take(n), "little")

    def varint(self) -> int:
        value = 0
        for group in range(9):  # 9 groups of 7 bits: below 2^63
            byte = self.fixed(1)
            value |= (byte & 0x7F) << (7 * group)
            if byte < 0x80:
                need(byte or not group, "varint longer than it must be")
                return value
        raise SpecError("varint of 2^63 or more")

    def end(self, what: str) -> None:
        need(self.at == len(self.data), f"{what}: bytes left over")


class Stage(NamedTuple):
    """What a header says: the decoded size of each part, and how the parts become the stream."""

    sizes: tuple[int, ...]
    undo: Callable[[list[bytes]], bytes]


# constant, id 1


def constant(header: Cursor, size: int) -> Stage:
    element = header.rest()
    need(1 <= len(element) <= 16, "constant: width")
    need(size % len(element) == 0, "constant: size")
    return Stage((), lambda parts: element * (size // len(element)))


# byteplane, id 2


def byteplane(header: Cursor, size: int) -> Stage:
    width = header.fixed(1)
    need(2 <= width <= 16, "byteplane: width")
    need(size % width == 0, "byteplane: size")

    def undo(planes: list[bytes]) -> bytes:
        return np.stack([np.frombuffer(plane, np.uint8) for plane in planes], axis=1).tobytes()

    return Stage((size // width,) * width, undo)


# floatfields, id 3


class Format(NamedTuple):
    n_bytes: int
    exponent_bits: int
    mantissa_bits: int
    low_bytes: int


FORMATS = {1: Format(2, 8, 7, 0), 2: Format(2, 5, 10, 1), 3: Format(4, 8, 23, 2), 4: Format(8, 11, 52, 6)}


def floatfields(header: Cursor, size: int) -> Stage:
    format_id, symbol_bits, base, n_patches = header.fixed(1), header.fixed(1), header.varint(), header.varint()
    need(format_id in FORMATS, "floatfields: format")
    need(symbol_bits in (4, 5), "floatfields: symbol bits")
    fmt, m_bits = FORMATS[format_id], symbol_bits - 4
    h = 1 + fmt.mantissa_bits - 8 * fmt.low_bytes - m_bits  # the sign, and what is neither in `low` nor in the symbol
    need(base + 16 <= 1 << fmt.exponent_bits, "floatfields: base")
    need(size % fmt.n_bytes == 0, "floatfields: size")
    n = size // fmt.n_bytes
    need(n < 1 << 21, "floatfields: too many weights")
    need(n_patches <= n, "floatfields: n_patches")

    def undo(parts: list[bytes]) -> bytes:
        symbol = np.frombuffer(parts[0], np.uint8).astype(np.uint64)
        need((symbol < 1 << symbol_bits).all(), "floatfields: symbol")
        exponent = base + (symbol >> m_bits)
        patch = np.frombuffer(parts[-1], "<u4")
        position, patched = (patch >> 11).astype(np.int64), patch & 2047
        need((np.diff(position) > 0).all() and (position < n).all(), "floatfields: patch position")
        need((patched < 1 << fmt.exponent_bits).all(), "floatfields: patch exponent")
        exponent[position] = patched

        field = unpack(parts[1], h, n)
        sign, upper = field >> (h - 1), field & ((1 << (h - 1)) - 1)
        low = np.zeros((n, 8), np.uint8)
        if fmt.low_bytes:
            low[:, : fmt.low_bytes] = np.frombuffer(parts[2], np.uint8).reshape(n, fmt.low_bytes)
        mantissa = low.view("<u8")[:, 0] | upper << (8 * fmt.low_bytes)
        if m_bits:
            mantissa |= (symbol & 1) << (fmt.mantissa_bits - 1)
        bits = (sign << fmt.exponent_bits | exponent) << fmt.mantissa_bits | mantissa
        return bytes(bits.astype(f"<u{fmt.n_bytes}"))

    packed = n if h == 8 else -(-n // 8) * h
    low_sizes = (n * fmt.low_bytes,) if fmt.low_bytes else ()
    return Stage((n, packed, *low_sizes, 4 * n_patches), undo)


def unpack(data: bytes, h: int, n: int) -> NDArray[np.uint64]:
    """n values of h bits: eight of them in h bytes, or a byte each."""
    if h == 8:
        return np.frombuffer(data, np.uint8).astype(np.uint64)
    bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")  # h bytes hold 8 h bits, without holes
    values: NDArray[np.uint64] = (bits[: n * h].reshape(n, h) @ (1 << np.arange(h))).astype(np.uint64)
    return values


# rans, id 4


def slots(f: list[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(symbol, rank) of each of the 4096 slots."""
    n_symbols = len(f)
    n_slots = 4096 // n_symbols  # S of the page
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
    offset, bucket = np.divmod(np.arange(4096), n_symbols)
    own = offset < np.array(threshold)[bucket]
    return np.where(own, bucket, np.array(alias)[bucket]), np.where(own, offset, offset + np.array(adjust)[bucket])


def rans(header: Cursor, size: int) -> Stage:
    a, n_words = header.fixed(1), header.varint()
    need(a in (4, 5), "rans: alphabet")
    need(n_words <= size, "rans: n_words")
    packed = header.fixed((12 << a) // 8)
    f = [packed >> (12 * s) & 4095 for s in range(1 << a)]
    need(sum(f) == 4096, "rans: frequencies")

    def undo(parts: list[bytes]) -> bytes:
        symbol_of, rank_of = slots(f)
        frequency_of = np.array(f)[symbol_of]
        x = np.frombuffer(parts[0], "<u4", 32).astype(np.int64)
        words = np.frombuffer(parts[0], "<u2", n_words, 128).astype(np.int64)
        need((x >= 1 << 16).all(), "rans: state below 2^16")
        used, lanes = 0, np.arange(32)
        out = np.zeros((-(-size // 128), 32, 4), np.uint8)
        for g in range(len(out)):
            for t in range(4):
                l = lanes if 128 * (g + 1) <= size else lanes[128 * g + 4 * lanes + t < size]  # noqa: E741
                slot = x[l] & 4095
                out[g, l, t] = symbol_of[slot]
                x[l] = frequency_of[slot] * (x[l] >> 12) + rank_of[slot]
                short = l[x[l] < 1 << 16]
                need(used + len(short) <= n_words, "rans: words run out")
                x[short] = (x[short] << 16) + words[used : used + len(short)]
                used += len(short)
        need(used == n_words, "rans: words left over")
        need((x == 1 << 16).all(), "rans: final state")
        return out.tobytes()[:size]

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


def huffman(header: Cursor, size: int) -> Stage:
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


def zstd(header: Cursor, size: int) -> Stage:
    n_bytes = header.varint()
    need(n_bytes <= 2 * size + 512, "zstd: frame size")

    def undo(parts: list[bytes]) -> bytes:
        extent = zstd_extent(parts[0])
        need(extent.declared in (None, size), "zstd: content size")
        need(extent.window <= 8 << 20, "zstd: window")
        return unzstd(parts[0], size)

    return Stage((n_bytes,), undo)


STAGES: dict[int, tuple[str, Callable[[Cursor, int], Stage] | None]] = {
    0: ("store", None),
    1: ("constant", constant),
    2: ("byteplane", byteplane),
    3: ("floatfields", floatfields),
    4: ("rans", rans),
    5: ("huffman", huffman),
    6: ("zstd", zstd),
}
