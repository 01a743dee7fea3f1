"""The stage pages read from the encoder's side: one function per stage, where every choice that the format leaves open
is an argument. What our own encoder chooses is in spec_choices.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from spec_entropy import codes, table_of
from spec_split import FORMATS, GROUP, KEYS, element_bytes, elements, layout

STORE, CONSTANT, BYTEPLANE, FLOATFIELDS, RANS, HUFFMAN, ZSTD, BITPACK, PALETTE, GROUP_ID, SCALES, PREDICTOR = range(12)
TRANSPOSE = 12
GGML, PIECEWISE = 13, 14
Encoded = tuple[bytes, list[bytes]]
"""Header and decoded parts of a node."""

Ints = NDArray[np.int64]


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def node(stage: int, header: bytes = b"", parts: Sequence[bytes] = (), tail: bytes = b"") -> bytes:
    """A node of parts that are nodes already; `tail` is the stream of a `store`."""
    body = b"".join(varint(len(part)) + part for part in parts[:-1]) + b"".join(parts[-1:])
    return varint(stage) + varint(len(header)) + header + body + tail


def store(data: bytes) -> bytes:
    return node(STORE, tail=data)


def stored(stage: int, header: bytes, *parts: bytes) -> bytes:
    """A node whose parts are all stored."""
    return node(stage, header, [store(part) for part in parts])


def byteplane(data: bytes, width: int) -> Encoded:
    return bytes([width]), [data[j::width] for j in range(width)]


def exponents(data: bytes, format_id: int) -> Ints:
    fmt = FORMATS[format_id]
    bits = elements(data, fmt.n_bytes)
    return (bits >> fmt.mantissa_bits & ((1 << fmt.exponent_bits) - 1)).astype(np.int64)


def substituted(e: Ints, base: int, window: int, place: int) -> Ints:
    """Places in the window; what lies outside stands at `place`."""
    return np.where((e < base) | (e >= base + window), place, e - base)


def floatfields(data: bytes, format_id: int, symbols: int, base: int = 0, place: int = 0) -> Encoded:
    """`place`: where in the window a patched weight is put."""
    fmt, (low_bytes, window_bits, m, h) = FORMATS[format_id], layout(format_id, symbols)
    weights, e = elements(data, fmt.n_bytes), exponents(data, format_id)
    outside = np.flatnonzero((e < base) | (e >= base + (1 << window_bits)))
    mantissa = (weights & ((1 << fmt.mantissa_bits) - 1)).astype(np.int64)
    symbol = substituted(e, base, 1 << window_bits, place) << m | mantissa >> (fmt.mantissa_bits - m)
    sign = (weights >> (8 * fmt.n_bytes - 1)).astype(np.int64)
    rest = h if symbols == 17 else h - 1
    field = mantissa >> (8 * low_bytes) & ((1 << rest) - 1)
    if symbols == 17:
        symbol |= sign << 15
    else:
        field |= sign << rest
    low = element_bytes(weights, 8)
    low_parts = [np.frombuffer(low, np.uint8).reshape(-1, 8)[:, :low_bytes].tobytes()] if low_bytes else []
    header = bytes([format_id, symbols]) + varint(base) + varint(len(outside))
    patches = (outside << 11 | e[outside]).astype("<u4").tobytes()
    exponent = symbol.astype("<u2" if symbols in KEYS else "u1").tobytes()
    return header, [exponent, field.astype(np.uint8).tobytes(), *low_parts, patches]


def bitpack(data: bytes, width: int, h: int, low_zeros: Sequence[int]) -> Encoded:
    """`low_zeros`: z of each group."""
    values = elements(data, width)
    header, packed = bytes([width, h]), list[bytes]()
    for z, count in runs_of(low_zeros):
        header += bytes([z]) + varint(count)
    for at, z in zip(range(0, len(values), GROUP), low_zeros, strict=True):
        group, b = values[at : at + GROUP].tolist(), h - z
        assert all(value < 1 << h and value & ((1 << z) - 1) == 0 for value in group)
        integer = sum(value >> z << i * b for i, value in enumerate(group))
        packed.append(integer.to_bytes(-(-len(group) * b // 8), "little"))
    return header, [b"".join(packed)]


def runs_of(values: Sequence[int]) -> list[tuple[int, int]]:
    """(value, how often in a row)."""
    runs: list[tuple[int, int]] = []
    for value in values:
        if runs and runs[-1][0] == value:
            runs[-1] = value, runs[-1][1] + 1
        else:
            runs.append((value, 1))
    return runs


def palette(data: bytes, width: int, others: Sequence[int] = ()) -> Encoded:
    """`others`: values listed although no element has them."""
    values = elements(data, width)
    listed = np.unique(np.concatenate([values, np.array(others, np.uint64)]))
    indices = np.searchsorted(listed, values).astype(np.uint8)
    return bytes([width]) + varint(len(listed)), [element_bytes(listed, width), indices.tobytes()]


def transpose(data: bytes, width: int, rows: int) -> Encoded:
    columns = len(data) // (width * rows)
    elements = [data[at : at + width] for at in range(0, len(data), width)]
    turned = b"".join(elements[i * columns + j] for j in range(columns) for i in range(rows))
    return bytes([width]) + varint(rows), [turned]


def group(data: bytes, runs: Sequence[tuple[int, int]]) -> Encoded:
    """`runs`: part and bytes of each."""
    parts = [b""] * (1 + max(part for part, _ in runs))
    header, at = varint(len(parts)), 0
    for part, n_bytes in runs:
        header += varint(part) + varint(n_bytes)
        parts[part] += data[at : at + n_bytes]
        at += n_bytes
    assert at == len(data)
    return header, parts


def interleaved(
    symbols: Ints, tables: Sequence[Sequence[int]], which: Ints, precision: int, start: int = 1 << 16
) -> bytes:
    """States and words. `start`: the state of every lane after the last symbol; other than 2^16 it is a lie."""
    inverse, first, frequency = [], [], np.array(tables)
    for f in tables:
        table = table_of(list(f), precision)
        inverse.append(np.lexsort((table.rank, table.symbol)))  # slots, symbol after symbol, rank after rank
        first.append(np.cumsum([0, *f[:-1]]))
    slot_of, first_of = np.array(inverse), np.array(first)
    n, lanes = len(symbols), np.arange(32)
    x, words = np.full(32, start, np.int64), [np.zeros(0, np.int64)]
    for g in reversed(range(-(-n // 128))):
        for t in (3, 2, 1, 0):
            i = 128 * g + 4 * lanes + t
            l, i = lanes[i < n], i[i < n]  # noqa: E741
            s, table_no, state = symbols[i], which[i], x[l]
            f_of = frequency[table_no, s]
            assert f_of.all()
            full = state >= f_of << (32 - precision)
            words.append(state[full] & 0xFFFF)
            state = np.where(full, state >> 16, state)
            slot = slot_of[table_no, first_of[table_no, s] + state % f_of]
            x[l] = (state // f_of << precision) + slot
    return x.astype("<u4").tobytes() + np.concatenate(words[::-1]).astype("<u2").tobytes()


def rans_header(f: Sequence[int], n_words: int) -> bytes:
    """f: frequencies of the whole alphabet, below 4096."""
    text = ""
    for frequency in f:
        b = frequency.bit_length()
        text += format(b, "04b")[::-1] + (format(frequency, "b")[:0:-1] if b else "")
    packed = np.packbits(np.frombuffer(text.encode(), np.uint8) & 1, bitorder="little").tobytes()
    return bytes([len(f).bit_length() - 1]) + varint(n_words) + packed


def rans(data: bytes, f: Sequence[int], start: int = 1 << 16) -> Encoded:
    symbols = np.frombuffer(data, np.uint8).astype(np.int64)
    part = interleaved(symbols, [f], np.zeros(len(symbols), np.int64), 12, start)
    return rans_header(f, len(part) // 2 - 64), [part]


def piecewise(data: bytes, groups: Sequence[int], tables: Sequence[Sequence[int]], start: int = 1 << 16) -> Encoded:
    """`groups` and frequencies of each piece."""
    symbols = np.frombuffer(data, np.uint8).astype(np.int64)
    which = np.repeat(np.repeat(np.arange(len(groups)), groups), 128)[: len(symbols)]
    part = interleaved(symbols, tables, which, 12, start)
    header = bytes([len(tables[0]).bit_length() - 1]) + varint(len(part) // 2 - 64) + varint(len(groups))
    header += b"".join(map(varint, groups[:-1]))
    return header + b"".join(rans_header(f, 0)[2:] for f in tables), [part]


def huffman_header(lengths: Sequence[int], stream_bytes: Sequence[int]) -> bytes:
    nibbles = [*lengths, 0]
    packed = bytes(nibbles[i] | nibbles[i + 1] << 4 for i in range(0, len(lengths), 2))
    return bytes([len(lengths) - 1]) + packed + b"".join(map(varint, stream_bytes))


def huffman_streams(data: bytes, lengths: Sequence[int]) -> list[bytes]:
    text = {value: format(code, f"0{lengths[value]}b") for value, code in codes(list(lengths)).items()}
    q = -(-len(data) // 4)
    streams = []
    for j in range(4):
        bits = "".join([text[value] for value in data[j * q : (j + 1) * q]])
        streams.append(np.packbits(np.frombuffer(bits.encode(), np.uint8) & 1, bitorder="little").tobytes())
    return streams


def huffman(data: bytes, lengths: Sequence[int]) -> Encoded:
    streams = huffman_streams(data, lengths)
    return huffman_header(lengths, [len(stream) for stream in streams]), [b"".join(streams)]


def zstd(frame: bytes) -> Encoded:
    return varint(len(frame)), [frame]
