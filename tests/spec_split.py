"""The stages that take elements apart, as their pages say; part of spec_stages.py."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from spec_wire import Cursor, Side, Stage, need

# constant, id 1


def constant(header: Cursor, size: int, _: Side) -> Stage:
    element = header.rest()
    need(1 <= len(element) <= 16, "constant: width")
    need(size % len(element) == 0, "constant: size")
    return Stage((), lambda parts: element * (size // len(element)))


# byteplane, id 2


def byteplane(header: Cursor, size: int, _: Side) -> Stage:
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
    """Except with symbols 16 and 17, for which `layout` has them."""


FORMATS = {
    1: Format(2, 8, 7, 0), 2: Format(2, 5, 10, 1), 3: Format(4, 8, 23, 2), 4: Format(8, 11, 52, 6),
    5: Format(1, 4, 3, 0), 6: Format(1, 5, 2, 0),
}  # fmt: skip
F16, E4M3, E5M2 = 2, 5, 6
KEYS = 16, 17
"""The symbols that are keys of two bytes, with all exponents in the window."""


class Layout(NamedTuple):
    """How the bits of a weight are shared out: the page's k, w, m and h."""

    low_bytes: int
    window_bits: int
    symbol_mantissa: int
    h: int


def layout(format_id: int, symbols: int) -> Layout:
    """Of a format and a kind of symbols that go together: SpecError where they do not."""
    need(format_id in FORMATS, "floatfields: format")
    need(symbols in (4, 5, 6, *KEYS), "floatfields: symbols")
    need(symbols != 6 or format_id != E4M3, "floatfields: symbols 6 of F8_E4M3")
    need(symbols != 17 or format_id != E5M2, "floatfields: symbols 17 of F8_E5M2")
    fmt = FORMATS[format_id]
    window_bits = {4: 4, 5: 4, 6: 5}.get(symbols, fmt.exponent_bits)
    m = {4: 0, 5: 1, 6: 0, 16: min(3, fmt.mantissa_bits), 17: 2}[symbols]
    low_bytes = 0 if symbols in KEYS and format_id == F16 else fmt.low_bytes
    return Layout(low_bytes, window_bits, m, (symbols != 17) + fmt.mantissa_bits - 8 * low_bytes - m)


def floatfields(header: Cursor, size: int, _: Side) -> Stage:
    format_id, symbols, base, n_patches = header.fixed(1), header.fixed(1), header.varint(), header.varint()
    low_bytes, window_bits, m, h = layout(format_id, symbols)
    fmt = FORMATS[format_id]
    need(base + (1 << window_bits) <= 1 << fmt.exponent_bits, "floatfields: base")
    need(size % fmt.n_bytes == 0, "floatfields: size")
    n = size // fmt.n_bytes
    need(n < 1 << (22 if symbols in KEYS else 21), "floatfields: too many weights")
    need(n_patches <= n, "floatfields: n_patches")
    need(symbols not in KEYS or (base == 0 and n_patches == 0), "floatfields: patches of symbols 16 or 17")
    symbol_bytes = 2 if symbols in KEYS else 1

    def undo(parts: list[bytes]) -> bytes:
        symbol = np.frombuffer(parts[0], f"<u{symbol_bytes}").astype(np.uint64)
        field = np.frombuffer(parts[1], np.uint8).astype(np.uint64)
        need((field < 1 << h).all(), "floatfields: sign_mantissa")
        if symbols == 17:
            sign, symbol, middle = symbol >> 15, symbol & 0x7FFF, field
        else:
            sign, middle = field >> (h - 1), field & ((1 << (h - 1)) - 1)
        need((symbol < 1 << (window_bits + m)).all(), "floatfields: symbol")
        exponent = base + (symbol >> m)
        patch = np.frombuffer(parts[-1], "<u4")
        position, patched = (patch >> 11).astype(np.int64), patch & 2047
        need((np.diff(position) > 0).all() and (position < n).all(), "floatfields: patch position")
        need((patched < 1 << fmt.exponent_bits).all(), "floatfields: patch exponent")
        exponent[position] = patched

        low = np.zeros((n, 8), np.uint8)
        if low_bytes:
            low[:, :low_bytes] = np.frombuffer(parts[2], np.uint8).reshape(n, low_bytes)
        mantissa = low.view("<u8")[:, 0] | middle << (8 * low_bytes)
        mantissa |= (symbol & ((1 << m) - 1)) << (fmt.mantissa_bits - m)
        bits = (sign << fmt.exponent_bits | exponent) << fmt.mantissa_bits | mantissa
        return bytes(bits.astype(f"<u{fmt.n_bytes}"))

    low_sizes = (n * low_bytes,) if low_bytes else ()
    return Stage((n * symbol_bytes, n, *low_sizes, 4 * n_patches), undo)


# bitpack, id 7


GROUP = 128


def elements(data: bytes, width: int) -> NDArray[np.uint64]:
    """Little-endian integers of 1 to 8 bytes."""
    wide = np.zeros((len(data) // width, 8), np.uint8)
    wide[:, :width] = np.frombuffer(data, np.uint8).reshape(-1, width)
    return wide.view("<u8")[:, 0].astype(np.uint64)


def element_bytes(values: NDArray[np.uint64], width: int) -> bytes:
    return values.astype("<u8").view(np.uint8).reshape(-1, 8)[:, :width].tobytes()


def bitpack(header: Cursor, size: int, _: Side) -> Stage:
    width, h = header.fixed(1), header.fixed(1)
    need(1 <= width <= 8, "bitpack: width")
    need(1 <= h <= 8 * width, "bitpack: h")
    need(size > 0 and size % width == 0, "bitpack: size")
    n = size // width
    n_groups = -(-n // GROUP)
    low_zeros: list[int] = []  # z of each group
    last = -1
    while header.left():
        z, count = header.fixed(1), header.varint()
        need(z <= h, "bitpack: z")
        need(z != last, "bitpack: neighbouring runs of one z")
        need(0 < count <= n_groups - len(low_zeros), "bitpack: groups of a run")
        low_zeros += [z] * count
        last = z
    need(len(low_zeros) == n_groups, "bitpack: groups")
    counts = [GROUP] * (n_groups - 1) + [n - GROUP * (n_groups - 1)]
    sizes = [-(-c * (h - z) // 8) for c, z in zip(counts, low_zeros, strict=True)]

    def undo(parts: list[bytes]) -> bytes:
        packed, values = Cursor(parts[0]), []
        for c, z, n_bytes in zip(counts, low_zeros, sizes, strict=True):
            integer, b = int.from_bytes(packed.take(n_bytes), "little"), h - z
            values += [(integer >> i * b & ((1 << b) - 1)) << z for i in range(c)]
        return element_bytes(np.array(values, np.uint64), width)

    return Stage((sum(sizes),), undo)


# palette, id 8


def palette(header: Cursor, size: int, _: Side) -> Stage:
    width, k = header.fixed(1), header.varint()
    need(1 <= width <= 8, "palette: width")
    need(1 <= k <= 256, "palette: number of elements")
    need(size % width == 0, "palette: size")

    def undo(parts: list[bytes]) -> bytes:
        values = elements(parts[0], width)
        need((values[:-1] < values[1:]).all(), "palette: values do not ascend")
        index = np.frombuffer(parts[1], np.uint8)
        need((index < k).all(), "palette: index")
        return element_bytes(values[index], width)

    return Stage((k * width, size // width), undo)


# transpose, id 12


def transpose(header: Cursor, size: int, _: Side) -> Stage:
    width, rows = header.fixed(1), header.varint()
    need(1 <= width <= 16 and rows >= 2, "transpose: width or rows")
    need(size > 0 and size % (width * rows) == 0, "transpose: size")
    columns = size // (width * rows)

    def undo(parts: list[bytes]) -> bytes:
        return b"".join(parts[0][(j * rows + i) * width :][:width] for i in range(rows) for j in range(columns))

    return Stage((size,), undo)


# group, id 9


def group(header: Cursor, size: int, _: Side) -> Stage:
    k = header.varint()
    need(1 <= k <= 64, "group: number of parts")
    runs: list[tuple[int, int]] = []
    sizes: list[int] = []
    while header.left():
        need(len(runs) < 1_024, "group: number of runs")
        part, n_bytes = header.varint(), header.varint()
        need(part < k, "group: part of a run")
        need(part <= len(sizes), "group: parts are not numbered by their first runs")
        need(0 < n_bytes <= size - sum(sizes), "group: bytes of a run")
        sizes += [0] * (part == len(sizes))
        sizes[part] += n_bytes
        runs.append((part, n_bytes))
    need(len(sizes) == k, "group: a part without a run")
    need(sum(sizes) == size, "group: runs do not add up")

    def undo(parts: list[bytes]) -> bytes:
        streams = [Cursor(part) for part in parts]
        return b"".join(streams[part].take(n_bytes) for part, n_bytes in runs)

    return Stage(tuple(sizes), undo)
