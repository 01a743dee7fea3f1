"""`ggml` as its page says, both ways; part of spec_stages.py and of spec_nodes.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from spec_wire import Cursor, Side, Stage, need

Ints = NDArray[np.int64]
Plane = tuple[int, int, int, int]
"""at, n, bits, run."""

MAX_CENTER, MAX_VALUES = 1 << 17, 4_096


class Type(NamedTuple):
    """A row of the table. sixes: where they are; less: what is taken from a sub-scale, 256 for signed bytes."""

    cell_bytes: int
    d: int
    m: int | None
    quants: list[Plane]
    n_groups: int
    group: int
    subs: Sequence[Plane] = ()
    sixes: int | None = None
    less: int = 0
    extremes: Sequence[Sequence[int]] = ()
    low_bits: int = 0
    pairs: bool = False
    turn: int = 0

    @property
    def weight_bits(self) -> int:
        return sum(plane[2] for plane in self.quants)

    @property
    def bits(self) -> int:
        """Of a quant."""
        return self.weight_bits * (1 + self.pairs)

    @property
    def n_sub_scales(self) -> int:
        return self.n_groups if self.subs or self.sixes is not None else 0

    @property
    def n_sub_mins(self) -> int:
        return self.n_groups if self.sixes is not None or (self.subs and self.m is not None) else 0


NIBBLES = 16, 4, 16
TYPES = {
    2: Type(18, 0, None, [(2, *NIBBLES)], 1, 32, extremes=[[0]]),
    3: Type(20, 0, 2, [(4, *NIBBLES)], 1, 32, extremes=[[0], [15]]),
    6: Type(22, 0, None, [(6, *NIBBLES), (2, 4, 1, 1)], 1, 32, extremes=[[0]]),
    7: Type(24, 0, 2, [(8, *NIBBLES), (4, 4, 1, 1)], 1, 32, extremes=[[0], [31]]),
    8: Type(34, 0, None, [(2, 32, 8, 32)], 1, 32, extremes=[[1, 255]], low_bits=3, turn=128),
    10: Type(84, 80, 82, [(16, 64, 2, 32)], 16, 8, [(0, 16, 4, 16)], pairs=True),
    11: Type(
        110, 108, None, [(32, 64, 2, 32), (0, 32, 1, 32)], 16, 8, [(96, 8, 4, 8), (104, 4, 2, 4)], less=32, pairs=True,
    ),
    12: Type(144, 0, 2, [(16, 128, 4, 32)], 8, 32, sixes=4, extremes=[[0], [15]]),
    13: Type(176, 0, 2, [(48, 128, 4, 32), (16, 32, 1, 32)], 8, 32, sixes=4, extremes=[[0], [31]]),
    14: Type(
        210, 208, None, [(0, 128, 4, 64), (128, 64, 2, 32)], 16, 16, [(192, 16, 8, 16)], less=256,
        extremes=[[0, 1, 62, 63]], low_bits=1,
    ),
    20: Type(18, 0, None, [(2, *NIBBLES)], 1, 32),
    23: Type(136, 0, None, [(8, 128, 4, 16)], 8, 32, [(4, 4, 4, 1), (2, 2, 2, 1)], less=32),
    34: Type(54, 52, None, [(0, 52, 8, 52)], 1, 52),
    35: Type(66, 64, None, [(0, 64, 8, 64)], 1, 64),
    39: Type(17, 0, None, [(1, *NIBBLES)], 1, 32),
}  # fmt: skip
MXFP4 = 39


def places(plane: Plane) -> list[tuple[int, int]]:
    """(byte of the cell, lowest bit) of each number."""
    at, n, bits, run = plane
    return [(at + begin + j, low) for begin in range(0, n, run) for low in range(0, 8, bits) for j in range(run)]


def take(cells: Ints, planes: Sequence[Plane]) -> Ints:
    """(cells, numbers)."""
    numbers, above = np.int64(0), 0
    for plane in planes:
        byte, low = np.array(places(plane)).T
        numbers = numbers | (cells[:, byte] >> low & ((1 << plane[2]) - 1)) << above
        above += plane[2]
    return np.asarray(numbers, np.int64)


def put(cells: Ints, planes: Sequence[Plane], numbers: Ints) -> None:
    below = 0
    for plane in planes:
        for i, (byte, low) in enumerate(places(plane)):
            cells[:, byte] |= (numbers[:, i] >> below & ((1 << plane[2]) - 1)) << low
        below += plane[2]


def sixes_of(b: Ints) -> Ints:
    """Eight sub-scales and eight sub-mins."""
    scales = [b[:, j] & 63 for j in range(4)] + [b[:, 8 + j] & 15 | b[:, j] >> 6 << 4 for j in range(4)]
    mins = [b[:, 4 + j] & 63 for j in range(4)] + [b[:, 8 + j] >> 4 | b[:, 4 + j] >> 6 << 4 for j in range(4)]
    return np.stack(scales + mins, axis=1)


def put_sixes(cells: Ints, at: int, numbers: Ints) -> None:
    for j in range(4):
        cells[:, at + j] = numbers[:, j] | numbers[:, 4 + j] >> 4 << 6
        cells[:, at + 4 + j] = numbers[:, 8 + j] | numbers[:, 12 + j] >> 4 << 6
        cells[:, at + 8 + j] = numbers[:, 4 + j] & 15 | (numbers[:, 12 + j] & 15) << 4


def levels(type_id: int, d: Ints, sub_scales: Ints) -> Ints:
    """Of all groups."""
    one = TYPES[type_id]
    level = np.repeat(256 * d if type_id == MXFP4 else d & 0x7FFF, one.n_groups)
    if one.n_sub_scales:
        signed = np.where(sub_scales < 128, sub_scales, sub_scales - 256) if one.less == 256 else sub_scales - one.less
        magnitudes = np.abs(signed).tolist()
        logarithms = [
            1024 * (s.bit_length() - 1) + (1024 * s >> s.bit_length() - 1) - 1024 if s else -4096 for s in magnitudes
        ]
        level = level + np.array(logarithms)
    return level


def magnitude(half: int) -> int:
    e, f = half >> 10 & 31, half & 1023
    return f if e == 0 else (1024 + f) << (e - 1)


def group_classes(type_id: int, center: int, d: Ints, m: Ints, sub_scales: Ints, sub_mins: Ints) -> Ints:
    one = TYPES[type_id]
    if one.m is None:
        return np.clip((levels(type_id, d, sub_scales) - center) // 256 + 6, 0, 12)
    classes = []
    for i in range(len(d) * one.n_groups):
        cell = i // one.n_groups
        a, b = magnitude(int(m[cell])), magnitude(int(d[cell]))
        equal = (int(d[cell]) ^ int(m[cell])) >> 15 == 0
        if one.n_sub_scales:
            a, b = a * int(sub_mins[i]), b * int(sub_scales[i])
        counts = b > 0 and equal == (one.n_sub_scales > 0)
        classes.append(min(15, (32 * a + (b << one.weight_bits)) // (b << (one.weight_bits + 1))) if counts else 0)
    return np.array(classes, np.int64)


def quant_classes(one: Type, of_groups: Ints, first: Ints) -> Ints:
    """(groups, group); -1 for those that `first`, (sets, groups), gives."""
    classes = np.repeat(of_groups[:, None], one.group, axis=1)
    known = np.zeros_like(classes)
    for i, extremes in enumerate(one.extremes):
        number, at = np.divmod(first[i], one.group)
        need(((number < len(extremes)) | (first[i] == one.group * len(extremes))).all(), "ggml: first")
        at = np.where(number < len(extremes), at, one.group)
        classes += 16 * (1 << i) * (np.arange(one.group) > at[:, None])
        known += np.arange(one.group) == at[:, None]
    need((known < 2).all(), "ggml: two extremes at one place")
    return np.where(known > 0, -1, classes)


def order(classes: Ints) -> Ints:
    """Numbers of the elements, class after class."""
    return np.argsort(classes.reshape(-1), kind="stable")


def sub_min_order(one: Type, sub_scales: Ints) -> Ints:
    return order(sub_scales >> (1 if one.sixes is None else 3))


def shift_of(n_values: int) -> int:
    return max(0, 13 - (n_values - 1).bit_length())


def ggml(header: Cursor, size: int, _: Side) -> Stage:
    type_id, center, k, n_left = header.fixed(1), header.varint(), header.varint(), header.varint()
    need(type_id in TYPES, "ggml: type")
    one = TYPES[type_id]
    need(center < MAX_CENTER and (one.m is None or center == 0), "ggml: center")
    need(k <= MAX_VALUES, "ggml: number of values")
    need(size > 0 and size % one.cell_bytes == 0, "ggml: size")
    n = size // one.cell_bytes
    n_groups = n * one.n_groups
    need(n_left <= n_groups * one.group, "ggml: n_left")

    def undo(parts: list[bytes]) -> bytes:
        values, scales, mins = (np.frombuffer(part, "<u2").astype(np.int64) for part in parts[:3])
        sub_scales, sorted_mins, first, high, low = (
            np.frombuffer(part, np.uint8).astype(np.int64) for part in parts[3:]
        )
        d = scales
        if k:
            need((values[1:] > 0).all() and values.sum() < 1 << 16, "ggml: values do not ascend")
            number, rest = np.divmod(scales, 1 << shift_of(k))
            need((rest == 0).all() and (number < k).all(), "ggml: place of a scale")
            d = np.cumsum(values)[number]
        need(type_id != MXFP4 or (d < 256).all(), "ggml: d of a byte")
        m = ((mins + d // 8) % (1 << 13)) * 8 + (mins >> 13) if one.m is not None else mins
        sub_mins = np.zeros_like(sorted_mins)
        if one.n_sub_mins:
            sub_mins[sub_min_order(one, sub_scales)] = sorted_mins
        need((high < 1 << (one.bits - one.low_bits)).all() and (low < 1 << one.low_bits).all(), "ggml: quant")
        firsts = first.reshape(len(one.extremes), n_groups)
        classes = quant_classes(one, group_classes(type_id, center, d, m, sub_scales, sub_mins), firsts).reshape(-1)
        quants = np.zeros(n_groups * one.group, np.int64)
        sorted_quants = order(classes)[(classes == -1).sum() :]
        need(len(sorted_quants) == n_left, "ggml: quants left")
        quants[sorted_quants] = high << one.low_bits | low if one.low_bits else high
        for i, extremes in enumerate(one.extremes):
            for row in np.flatnonzero(firsts[i] < one.group * len(extremes)).tolist():
                number, at = divmod(int(firsts[i][row]), one.group)
                quants[row * one.group + at] = extremes[number]
        return cells_of(type_id, d, m, sub_scales, sub_mins, quants)

    sizes = (
        2 * k, 2 * n, 2 * n * (one.m is not None), n * one.n_sub_scales, n * one.n_sub_mins,
        n_groups * len(one.extremes), n_left, n_left * (one.low_bits > 0),
    )  # fmt: skip
    return Stage(sizes, undo)


def cells_of(type_id: int, d: Ints, m: Ints, sub_scales: Ints, sub_mins: Ints, quants: Ints) -> bytes:
    one, n = TYPES[type_id], len(d)
    cells = np.zeros((n, one.cell_bytes), np.int64)
    if one.pairs:
        quants = np.stack(np.divmod(quants, 1 << one.weight_bits)[::-1], axis=1)
    put(cells, one.quants, quants.reshape(n, -1) ^ one.turn)
    subs = np.concatenate([sub_scales.reshape(n, -1), sub_mins.reshape(n, -1)], axis=1)
    if one.sixes is not None:
        put_sixes(cells, one.sixes, subs)
    else:
        put(cells, one.subs, subs)
    cells[:, one.d] = d & 255
    if type_id != MXFP4:
        cells[:, one.d + 1] = d >> 8
    if one.m is not None:
        cells[:, one.m], cells[:, one.m + 1] = m & 255, m >> 8
    return bytes(cells.astype(np.uint8))


class Fields(NamedTuple):
    """Of the cells of a stream. first is (sets, groups)."""

    d: Ints
    m: Ints
    sub_scales: Ints
    sub_mins: Ints
    quants: Ints
    first: Ints


def fields_of(data: bytes, type_id: int) -> Fields:
    one = TYPES[type_id]
    cells = np.frombuffer(data, np.uint8).astype(np.int64).reshape(-1, one.cell_bytes)
    none = np.zeros((len(cells), 0), np.int64)
    d = cells[:, one.d] if type_id == MXFP4 else cells[:, one.d] | cells[:, one.d + 1] << 8
    m = none.reshape(-1) if one.m is None else cells[:, one.m] | cells[:, one.m + 1] << 8
    subs = none
    if one.sixes is not None:
        subs = sixes_of(cells[:, one.sixes : one.sixes + 12])
    elif one.subs:
        subs = take(cells, one.subs)
    numbers = (take(cells, one.quants) ^ one.turn).reshape(-1)
    quants = (numbers[::2] | numbers[1::2] << one.weight_bits if one.pairs else numbers).reshape(-1, one.group)
    first = np.zeros((len(one.extremes), len(quants)), np.int64)
    for i, extremes in enumerate(one.extremes):
        for row, group in enumerate(quants.tolist()):
            at = next((p for p, quant in enumerate(group) if quant in extremes), None)
            number = len(extremes) if at is None else list(extremes).index(group[at])
            first[i, row] = one.group * number + (at or 0)
    scales, mins = subs[:, : one.n_sub_scales].reshape(-1), subs[:, one.n_sub_scales :].reshape(-1)
    return Fields(d, m, scales, mins, quants, first)


def split(
    data: bytes, type_id: int, center: int = 0, listed: Sequence[int] = (), first: Ints | None = None
) -> tuple[bytes, list[bytes]]:
    """Header and parts. listed: all scales that occur, perhaps others. first: where other extremes are given."""
    one, fields = TYPES[type_id], fields_of(data, type_id)
    first = fields.first if first is None else first
    values = np.array(listed, np.int64)
    scales = np.searchsorted(values, fields.d) << shift_of(len(values)) if listed else fields.d
    m, d = fields.m, fields.d
    mins = (m % 8) << 13 | (m // 8 - d // 8) % (1 << 13) if one.m is not None else m
    sub_mins = fields.sub_mins
    if one.n_sub_mins:
        sub_mins = sub_mins[sub_min_order(one, fields.sub_scales)]
    of_groups = group_classes(type_id, center, d, m, fields.sub_scales, fields.sub_mins)
    classes = quant_classes(one, of_groups, first).reshape(-1)
    left = fields.quants.reshape(-1)[order(classes)][(classes == -1).sum() :]
    words = [np.diff(values, prepend=0), scales, mins]
    low = left & (1 << one.low_bits) - 1 if one.low_bits else left[:0]
    rest = [fields.sub_scales, sub_mins, first.reshape(-1), left >> one.low_bits, low]
    header = bytes([type_id]) + b"".join(map(varint, (center, len(values), len(left))))
    return header, [bytes(w.astype("<u2")) for w in words] + [bytes(r.astype(np.uint8)) for r in rest]


def varint(value: int) -> bytes:
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + varint(value >> 7)


# What the page says that our encoder writes


def log2_256(c: int) -> int:
    whole = c.bit_length() - 1
    return 256 * whole + (256 * (c - (1 << whole)) >> whole)


def price(words: Ints) -> int:
    planes = [np.bincount(plane).tolist() for plane in (words >> 8, words & 255)]
    n = len(words)
    return sum(c * (log2_256(n) - log2_256(c)) for counts in planes for c in counts if c)


def ours(data: bytes, type_id: int) -> tuple[bytes, list[bytes]] | None:
    one = TYPES[type_id]
    if not data or len(data) % one.cell_bytes:
        return None
    fields = fields_of(data, type_id)
    center = 0
    if one.m is None:
        ascending = sorted(levels(type_id, fields.d, fields.sub_scales).tolist())
        center = min(max(0, ascending[len(ascending) // 2]), MAX_CENTER - 1)
    values = np.unique(fields.d)
    at = np.searchsorted(values, fields.d) << shift_of(len(values))
    pays = len(values) <= MAX_VALUES and price(at) + 8 * 256 * len(values) < price(fields.d)
    return split(data, type_id, center, values.tolist() if pays else ())
