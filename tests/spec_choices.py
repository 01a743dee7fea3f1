"""What the pages say that our encoder writes: its choices, and when it declines. Those of `scales`: spec_scaled.py."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import spec_nodes
from spec_nodes import Encoded, Ints, exponents, substituted
from spec_split import E4M3, FORMATS, GROUP, KEYS, elements

PATCH_BITS = 32


def sampled(values: Ints) -> Ints:
    """What is looked at: of 16,384 or more, the first 64 of each 512."""
    return values if len(values) < 16_384 else values[np.arange(len(values)) % 512 < 64]


def log2_256(c: int) -> int:
    """In 1/256, rounded down, and linear between powers of two."""
    whole = c.bit_length() - 1
    return 256 * whole + (256 * (c - (1 << whole)) >> whole)


def price_256(counts: Sequence[int]) -> int:
    """Bits that symbols of such counts take, in 1/256."""
    n = sum(counts)
    return sum(c * (log2_256(n) - log2_256(c)) for c in counts if c)


# floatfields


def best_base(e: Ints, format_id: int, window: int = 16) -> int:
    """The base with the most of these exponents in its window, the lowest of equals."""
    counts = np.bincount(e, minlength=1 << FORMATS[format_id].exponent_bits)
    return int(np.argmax(np.convolve(counts, np.ones(window, np.int64), "valid")))


def most_frequent(e: Ints, base: int, window: int) -> int:
    """The place in the window that most of these exponents have, the lowest of equals."""
    return int(np.argmax(np.bincount(e, minlength=base + window)[base : base + window]))


def n_outside(e: Ints, base: int, window: int) -> int:
    return int(((e < base) | (e >= base + window)).sum())


def top_bits(data: bytes, format_id: int) -> Ints:
    """The first bit of each mantissa."""
    fmt = FORMATS[format_id]
    return (elements(data, fmt.n_bytes) >> (fmt.mantissa_bits - 1) & 1).astype(np.int64)


def window_of(data: bytes, format_id: int, bits: int) -> tuple[int, int, int]:
    """(symbols, base, place of what is patched) for `bits` of a plan."""
    e = exponents(data, format_id)
    looked_at = sampled(e)
    if bits in KEYS:
        return bits, 0, 0
    base = best_base(looked_at, format_id)
    first = bits, base, most_frequent(looked_at, base, 16)
    if bits == 4 or format_id == E4M3 or 2_048 * n_outside(looked_at, base, 16) <= len(looked_at):
        return first
    prices = {}
    for symbols, window in ((5, 16), (6, 32)):
        base = best_base(e, format_id, window)
        place = most_frequent(e, base, window)
        symbol = substituted(e, base, window, place)
        if symbols == 5:
            symbol = symbol << 1 | top_bits(data, format_id)
        price = 256 * PATCH_BITS * n_outside(e, base, window) + price_256(np.bincount(symbol).tolist())
        prices[symbols, base, place] = price + (256 * len(e) if symbols == 6 else 0)
    return min(prices, key=lambda choice: (prices[choice], choice[0]))


def floatfields(data: bytes, format_id: int, bits: int) -> Encoded | None:
    n = len(data) // FORMATS[format_id].n_bytes
    if n == 0 or n >= 1 << (22 if bits in (16, 17) else 21):
        return None
    made = spec_nodes.floatfields(data, format_id, *window_of(data, format_id, bits))
    return None if 32 * (len(made[1][-1]) // 4) > n else made


# bitpack


def low_zeros(data: bytes, width: int, h: int) -> list[int]:
    """z of each group: as large as it can be."""
    values = elements(data, width)
    zeros = []
    for at in range(0, len(values), GROUP):
        either = int(np.bitwise_or.reduce(values[at : at + GROUP]))
        zeros.append((either & -either).bit_length() - 1 if either else h)
    return zeros


def bitpack(data: bytes, width: int) -> Encoded | None:
    if not data:
        return None
    h = max(1, int(elements(data, width).max()).bit_length())
    zeros = low_zeros(data, width, h)
    if h == 8 * width and not any(zeros):
        return None
    return spec_nodes.bitpack(data, width, h, zeros)


# palette


def palette(data: bytes, width: int) -> Encoded | None:
    k = len(np.unique(elements(data, width)))
    n = len(data) // width
    return None if not data or width == 1 or k > 256 or n < 4 * k else spec_nodes.palette(data, width)


# rans


def rans_frequencies(data: bytes, a: int) -> list[int]:
    """The fractions are compared exactly: by whole numbers."""
    counts = np.bincount(np.frombuffer(data, np.uint8), minlength=1 << a).tolist()
    n = len(data)
    f = [max(1, (2 * 4096 * c + n) // (2 * n)) if c else 0 for c in counts]
    while (total := sum(f)) != 4096:
        best = -1
        for s, c in enumerate(counts):
            if total < 4096 and (best < 0 or c * (2 * f[best] + 1) > counts[best] * (2 * f[s] + 1)):
                best = s
            if total > 4096 and f[s] > 1 and (best < 0 or c * (2 * f[best] - 1) < counts[best] * (2 * f[s] - 1)):
                best = s
        f[best] += 1 if total < 4096 else -1
    return f


def is_noise(data: bytes, a: int) -> bool:
    """Nearly so, as symbols of an alphabet of 2^a; data is not empty."""
    symbols = np.frombuffer(data, np.uint8).astype(np.int64)
    counts = np.bincount(sampled(symbols) if a == 8 else symbols).tolist()
    symbol_bits = max(1, (len(counts) - 1).bit_length()) if a == 8 else a
    return 64 * price_256(counts) >= 63 * 256 * sum(counts) * symbol_bits


def rans(data: bytes, a: int) -> Encoded | None:
    if len(set(data)) < 2 or is_noise(data, a):
        return None
    return spec_nodes.rans(data, rans_frequencies(data, a))


# piecewise


def log2_4096(c: int) -> int:
    """By twelve squarings of 32 bits, each rounded down."""
    log = c.bit_length() - 1
    x = c << 31 >> log
    for _ in range(12):
        x = x * x >> 31
        log, x = 2 * log + (x >> 32), x >> (x >> 32)
    return log


def price_4096(counts: Ints) -> int:
    """Of the symbols alone."""
    used = [int(c) for c in counts if c]
    n = sum(used)
    return n * log2_4096(n) - sum(c * log2_4096(c) for c in used)


def pieces(data: bytes, a: int) -> tuple[list[int], list[Ints]]:
    """Groups and counts of each piece."""
    n = len(data)
    unit = 512 * -(-n // 524_288)
    counts = [np.bincount(list(data[at : at + unit]), minlength=1 << a) for at in range(0, n, unit)]
    groups = [unit // 128] * len(counts)

    def cost(c: Ints) -> int:
        return 4_096 * (4 * (1 << a) + 8 * int((c > 0).sum()) + 16) + price_4096(c)

    while len(counts) > 1:
        saved = [cost(one) + cost(other) - cost(one + other) for one, other in pairwise(counts)]
        best = saved.index(max(saved))
        if saved[best] <= 0:
            break
        counts[best : best + 2] = [counts[best] + counts[best + 1]]
        groups[best : best + 2] = [groups[best] + groups[best + 1]]
    groups[-1] -= sum(groups) - -(-n // 128)
    return groups, counts


def piecewise(data: bytes, a: int) -> Encoded | None:
    if len(set(data)) < 2:
        return None
    groups, counts = pieces(data, a)
    symbol_bits = max(1, max(data).bit_length()) if a == 8 else a
    if 64 * sum(map(price_4096, counts)) >= 63 * 4_096 * len(data) * symbol_bits:
        return None
    tables = []
    for of_piece in counts:
        symbols = np.repeat(np.arange(1 << a), of_piece).astype(np.uint8).tobytes()
        one = [0] * (1 << a)
        one[symbols[0]], one[(symbols[0] + 1) % (1 << a)] = 4_095, 1
        tables.append(rans_frequencies(symbols, a) if len(set(symbols)) > 1 else one)
    return spec_nodes.piecewise(data, groups, tables)


# huffman


def huffman_lengths(data: bytes) -> list[int]:
    """Package-merge with 11 levels."""
    counts = np.bincount(np.frombuffer(data, np.uint8)).tolist()
    leaves = sorted((count, [value]) for value, count in enumerate(counts) if count)
    level = leaves
    for _ in range(10):
        pairs = [(a[0] + b[0], a[1] + b[1]) for a, b in zip(level[::2], level[1::2], strict=False)]
        level = sorted(leaves + pairs, key=lambda item: item[0])  # stable: a leaf comes before a package
    taken = [value for _, values in level[: 2 * len(leaves) - 2] for value in values]
    return [taken.count(value) for value in range(len(counts))]


# group


ROLES = {"exp_avg", "exp_avg_sq", "max_exp_avg_sq"}


def group_runs(members: Sequence[tuple[str | None, str | None, int]]) -> list[tuple[int, int]]:
    """Part and bytes of each run, of the (name, dtype, bytes) that share a block."""
    parts: dict[object, int] = {}
    runs: list[tuple[int, int]] = []
    for number, (name, dtype, n_bytes) in enumerate(members):
        roles = [word for word in (name or "").split(".")[-2:] if word in ROLES]
        kind: object = number if n_bytes >= 16_384 else (dtype, roles[-1] if roles else None)
        part = min(parts.setdefault(kind, len(parts)), 63)
        if runs and runs[-1][0] == part:
            runs[-1] = part, runs[-1][1] + n_bytes
        else:
            runs.append((part, n_bytes))
    return runs
