"""Frames that hold every rule, to be spoilt: of every stage, and of each mode that has rules of its own."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

import honest_predicted
import numpy as np
import spec_cells
import spec_choices
import spec_nodes as spec
import spec_scaled
from spec_nodes import (
    BITPACK,
    BYTEPLANE,
    CONSTANT,
    FLOATFIELDS,
    GGML,
    GROUP_ID,
    HUFFMAN,
    PALETTE,
    PIECEWISE,
    RANS,
    SCALES,
    TRANSPOSE,
    ZSTD,
    node,
    store,
    stored,
    varint,
)


class Honest(NamedTuple):
    frame: bytes
    data: bytes
    side: tuple[bytes, ...] = ()


RNG = np.random.default_rng(7)
TEXT = b"a man, a plan, a canal: panama! " * 20


def long_varint(value: int) -> bytes:
    """One byte longer than it must be."""
    short = varint(value)
    return short[:-1] + bytes([short[-1] | 0x80, 0])


def flat(encoded: spec.Encoded) -> tuple[bytes, ...]:
    return encoded[0], *encoded[1]


def float_weights() -> bytes:
    """512 weights in BF16, of which the first, the last and one between need a patch."""
    weights = RNG.standard_normal(512).astype("<f4").view("<u2")[1::2].copy()
    weights[[0, 99, 511]] = 0x7FC1, 0x0001, 0x8000
    return bytes(weights)


BF16 = float_weights()
BASE = spec_choices.best_base(spec.exponents(BF16, 1), 1)
FLOAT_HEADER, (EXPONENT, SIGN_MANTISSA, PATCHES) = spec.floatfields(BF16, 1, 4, BASE, 3)
HALF = b"\x00\x3c" * 16
F8 = bytes(RNG.standard_normal(300).astype("<f2").view("u1")[1::2])

SYMBOLS = bytes(np.minimum(RNG.geometric(0.3, 1_000) - 1, 15).astype(np.uint8))
FREQUENCIES = spec_choices.rans_frequencies(SYMBOLS, 4)
RANS_PART = spec.rans(SYMBOLS, FREQUENCIES)[1][0]
N_WORDS = len(RANS_PART) // 2 - 64

LENGTHS = spec_choices.huffman_lengths(TEXT)
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


# bitpack: 1,000 elements of 12 bits, in groups of which 4, 0, 12 and again 4 low bits are 0

LOW_ZEROS = [4, 4, 4, 0, 0, 12, 4, 4]
NARROW = RNG.integers(1, 1 << 12, 1_000) >> np.repeat(LOW_ZEROS, 128)[:1_000] << np.repeat(LOW_ZEROS, 128)[:1_000]
NARROW_BYTES = NARROW.astype("<u2").tobytes()

LABELS = RNG.choice(np.array([1, 0x100, 0x7FFF, 0xFFFE], "<u2"), 300).tobytes()
RUNS = [(0, 100), (1, 40), (0, 300), (2, 100), (1, 100)]

# scales: 700 keys from the middle of a row on, with escapes on both sides

GEOMETRY = spec_scaled.Geometry(3, 37, 100, 50, 10, 1, 0, 3)
COLUMNS = [-9, 4, 0, 1, 2, 3, 8, -1, -20, 17]
KEYS = RNG.integers(112, 119, 700).astype("<u2") << 3 | RNG.integers(0, 8, 700).astype("<u2")
KEYS[[5, 300, 699]] = 3, 250 << 3, 1
KEY_BASE, KEY_ROWS = 913, [5 * i % 9 for i in range(15)]


def any_tables(m: int) -> list[list[int]]:
    """Under which every symbol can be coded."""
    n_symbols = 1 << (4 + m)
    table = [100] * (n_symbols - 1) + [16_384 - 100 * (n_symbols - 1)]
    return [table[phase:] + table[:phase] for phase in range(8)]


TABLES = any_tables(3)
SCALES_SIDE = b"one" + spec_scaled.columns_frame(COLUMNS) + b"other", spec_scaled.tables_frame(TABLES)
SCALES_HEADER, (ROWS, ESCAPES, WORDS) = spec_scaled.scales(KEYS, GEOMETRY, KEY_BASE, KEY_ROWS, COLUMNS, TABLES)


# piecewise: three pieces, the last of which ends within a group

NEXT = np.random.default_rng(8)  # so that what is above stays as it was
PIECES = bytes(NEXT.integers(0, 8, 512, np.uint8)) + bytes(128) + bytes(NEXT.integers(8, 16, 300, np.uint8))
PIECE_TABLES = [[512] * 8 + [0] * 8, [4_095, 1] + [0] * 14, [0] * 8 + [512] * 8]


def ggml_frame(type_id: int, listed: bool = False) -> tuple[bytes, bytes]:
    """A few cells of that type, of any bytes but for scales of few values."""
    cells = NEXT.integers(0, 256, (4, spec_cells.TYPES[type_id].cell_bytes), np.uint8)
    cells[:, 1] = [17, 9, 17, 30]
    cells[:, 0] = 5
    values = np.unique(spec_cells.fields_of(cells.tobytes(), type_id).d).tolist() if listed else ()
    center = 0 if spec_cells.TYPES[type_id].m is not None else 5_000
    return stored(GGML, *flat(spec_cells.split(cells.tobytes(), type_id, center, values))), cells.tobytes()


def bytes_of_256() -> Honest:
    data = bytes((RNG.zipf(1.7, 900) % 256).astype(np.uint8))
    return Honest(stored(RANS, *flat(spec.rans(data, spec_choices.rans_frequencies(data, 8)))), data)


HONEST: dict[str, Honest] = {
    "store": Honest(store(TEXT), TEXT),
    "constant": Honest(node(CONSTANT, b"abc"), b"abc" * 100),
    "byteplane": Honest(stored(BYTEPLANE, *flat(spec.byteplane(TEXT, 4))), TEXT),
    "floatfields": Honest(stored(FLOATFIELDS, FLOAT_HEADER, EXPONENT, SIGN_MANTISSA, PATCHES), BF16),
    "floatfields 5": Honest(stored(FLOATFIELDS, *flat(spec.floatfields(BF16, 1, 5, BASE, 3))), BF16),
    "floatfields 6": Honest(stored(FLOATFIELDS, *flat(spec.floatfields(BF16, 1, 6, BASE - 9, 31))), BF16),
    "floatfields 16": Honest(stored(FLOATFIELDS, *flat(spec.floatfields(BF16, 1, 16))), BF16),
    "floatfields 16 of F16": Honest(stored(FLOATFIELDS, *flat(spec.floatfields(HALF, 2, 16))), HALF),
    "floatfields 16 of F64": Honest(stored(FLOATFIELDS, *flat(spec.floatfields(BF16, 4, 16))), BF16),
    "floatfields 17": Honest(stored(FLOATFIELDS, *flat(spec.floatfields(BF16, 1, 17))), BF16),
    "floatfields 17 of F16": Honest(stored(FLOATFIELDS, *flat(spec.floatfields(HALF, 2, 17))), HALF),
    "floatfields 17 of F64": Honest(stored(FLOATFIELDS, *flat(spec.floatfields(BF16, 4, 17))), BF16),
    "floatfields 17 of F8_E4M3": Honest(stored(FLOATFIELDS, *flat(spec.floatfields(F8, 5, 17))), F8),
    "floatfields 4 of F8_E5M2": Honest(stored(FLOATFIELDS, *flat(spec.floatfields(F8, 6, 4, 4, 9))), F8),
    "floatfields 5 of F8_E4M3": Honest(stored(FLOATFIELDS, *flat(spec.floatfields(F8, 5, 5))), F8),
    "rans": Honest(stored(RANS, spec.rans_header(FREQUENCIES, N_WORDS), RANS_PART), SYMBOLS),
    "rans of 256": bytes_of_256(),
    "huffman": Honest(huffman_frame(LENGTHS, STREAMS), TEXT),
    "zstd": Honest(zstd_frame(zstd_by_hand(TEXT)), TEXT),
    "zstd declaring its size": Honest(zstd_frame(zstd_by_hand(TEXT, declared=len(TEXT))), TEXT),
    "zstd window of 8 MiB": Honest(zstd_frame(zstd_by_hand(TEXT, window=13 << 3)), TEXT),
    "zstd single segment": Honest(zstd_frame(zstd_by_hand(TEXT, flags=32, declared=len(TEXT))), TEXT),
    "bitpack": Honest(stored(BITPACK, *flat(spec.bitpack(NARROW_BYTES, 2, 12, LOW_ZEROS))), NARROW_BYTES),
    "palette": Honest(stored(PALETTE, *flat(spec.palette(LABELS, 2, [77]))), LABELS),
    "group": Honest(stored(GROUP_ID, *flat(spec.group(TEXT, RUNS))), TEXT),
    "transpose": Honest(stored(TRANSPOSE, *flat(spec.transpose(TEXT, 4, 32))), TEXT),
    "ggml of Q4_1": Honest(*ggml_frame(3)),
    "ggml of Q8_0": Honest(*ggml_frame(8)),
    "ggml of Q4_K": Honest(*ggml_frame(12)),
    "ggml of Q6_K": Honest(*ggml_frame(14)),
    "ggml of listed scales": Honest(*ggml_frame(2, listed=True)),
    "piecewise": Honest(stored(PIECEWISE, *flat(spec.piecewise(PIECES, [4, 1, 3], PIECE_TABLES))), PIECES),
    "scales": Honest(stored(SCALES, SCALES_HEADER, ROWS, ESCAPES, WORDS), KEYS.tobytes(), SCALES_SIDE),
    "linear_predictor": Honest(*honest_predicted.SPOILABLE),
    "linear_predictor alone": Honest(*honest_predicted.ALONE),
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
