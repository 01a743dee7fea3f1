"""Lies in the stages that take elements apart; part of lies.py."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

import numpy as np
import spec_nodes as spec
from honest import (
    BASE,
    BF16,
    EXPONENT,
    F8,
    FLOAT_HEADER,
    HALF,
    LABELS,
    LOW_ZEROS,
    NARROW_BYTES,
    PATCHES,
    RUNS,
    SIGN_MANTISSA,
    TEXT,
    long_varint,
)  # fmt: skip
from spec_nodes import (
    BITPACK,
    BYTEPLANE,
    CONSTANT,
    FLOATFIELDS,
    GROUP_ID,
    PALETTE,
    TRANSPOSE,
    node,
    store,
    stored,
    varint,
)  # fmt: skip
from spec_split import layout


def split_lies() -> Iterator[tuple[str, bytes, bytes]]:
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
    field: bytes = SIGN_MANTISSA,
    patches: bytes = PATCHES,
) -> bytes:
    return stored(FLOATFIELDS, header, exponent, field, patches)


def float_lies() -> Iterator[tuple[str, bytes, bytes]]:
    base, n_patches = varint(BASE), varint(3)
    for format_id in (0, 7, 255):
        yield f"format {format_id}", float_frame(bytes([format_id, 4]) + base + n_patches), BF16
    for kind in (0, 3, 7, 8, 15, 17, 18, 255):
        yield f"symbols {kind}", float_frame(bytes([1, kind]) + base + n_patches), BF16
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
    f16_header, f16_parts = spec.floatfields(HALF, 2, 5, 0)
    for exponent in (32, 255, 2047):
        patch = struct.pack("<I", 3 << 11 | exponent)
        frame = stored(FLOATFIELDS, f16_header[:3] + b"\1", *f16_parts[:3], patch)
        yield f"patches: F16 exponent {exponent}", frame, HALF
    yield "base 17 in F16", stored(FLOATFIELDS, b"\2\5\x11\0", *f16_parts), HALF

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
    yield "sign_mantissa one long", float_frame(field=SIGN_MANTISSA + b"\0"), BF16
    yield "a block of odd size", float_frame(), BF16 + b"\0"
    four = spec.floatfields(bytes(16), 3, 4, 0)
    yield "low left out", stored(FLOATFIELDS, four[0], *four[1][:2], b""), bytes(16)
    yield "low one short", stored(FLOATFIELDS, four[0], *four[1][:2], bytes(7), b""), bytes(16)
    yield from other_symbols()


def other_symbols() -> Iterator[tuple[str, bytes, bytes]]:
    """Rules of symbols 6, 16 and 17, of fields below 8 bits, and of the 8-bit formats."""
    for name, format_id, kind, data in (
        ("BF16", 1, 5, BF16), ("BF16", 1, 16, BF16), ("F16", 2, 4, HALF), ("F32", 3, 5, bytes(64)),
        ("F64", 4, 16, bytes(64)), ("F8_E4M3", 5, 5, F8), ("F8_E5M2", 6, 16, F8),
        ("BF16", 1, 17, BF16), ("F32", 3, 17, bytes(64)), ("F64", 4, 17, bytes(64)), ("F8_E4M3", 5, 17, F8),
    ):  # fmt: skip
        header, (exponent, field, *others) = spec.floatfields(data, format_id, kind)
        h, n = layout(format_id, kind).h, len(field)
        if h == 8:
            continue
        for at in (0, n // 2, n - 1):
            for wrong in (1 << h, 255):
                lying = field[:at] + bytes([wrong]) + field[at + 1 :]
                what = f"sign_mantissa of {name}, symbols {kind}, {wrong} at {at}"
                yield what, stored(FLOATFIELDS, header, exponent, lying, *others), data

    for wrong in (225, 240, 255):
        header, parts = spec.floatfields(bytes(16), 1, 6)
        yield (
            f"base {wrong} of 32 exponents",
            stored(FLOATFIELDS, header[:2] + varint(wrong) + b"\0", *parts),
            bytes(16),
        )
    header, parts = spec.floatfields(BF16, 1, 6, BASE, 3)
    for symbol in (32, 255):
        lying = parts[0][:-1] + bytes([symbol])
        yield f"symbol {symbol} of symbols 6", stored(FLOATFIELDS, header, lying, *parts[1:]), BF16

    header, (keys, *others) = spec.floatfields(BF16, 1, 16)
    for at in (0, 511):
        for key in (1 << 11, 0xFFFF):
            lying = keys[: 2 * at] + struct.pack("<H", key) + keys[2 * at + 2 :]
            yield f"key {key} at {at}", stored(FLOATFIELDS, header, lying, *others), BF16
    yield "keys of a byte each", stored(FLOATFIELDS, header, EXPONENT, *others), BF16
    yield "keys one byte short", stored(FLOATFIELDS, header, keys[:-1], *others), BF16
    yield "symbols 16 with a base", stored(FLOATFIELDS, b"\1\x10\1\0", keys, *others), BF16
    patch = struct.pack("<I", 5 << 11 | 120)
    yield "symbols 16 with a patch", stored(FLOATFIELDS, b"\1\x10\0\1", keys, others[0], patch), BF16
    header, (keys, field, patches) = spec.floatfields(HALF, 2, 16)
    yield "low of F16 with symbols 16", stored(FLOATFIELDS, header, keys, field, b"", patches), HALF

    yield from signed_keys()
    header, parts = spec.floatfields(F8, 5, 4)
    yield "symbols 6 of F8_E4M3", stored(FLOATFIELDS, b"\5\6\0\0", *parts), F8
    yield "base 1 of F8_E4M3", stored(FLOATFIELDS, b"\5\4\1\0", *parts), F8
    header, parts = spec.floatfields(F8, 6, 6)
    yield "base 1 of F8_E5M2 with symbols 6", stored(FLOATFIELDS, b"\6\6\1\0", *parts), F8
    header, parts = spec.floatfields(F8, 6, 4)
    yield "base 17 of F8_E5M2", stored(FLOATFIELDS, b"\6\4\x11" + header[3:], *parts), F8
    for position, exponent in ((299, 32), (300, 1)):
        patches = struct.pack("<I", position << 11 | exponent)
        frame = stored(FLOATFIELDS, b"\6\4\0\1", bytes(300), bytes(300), patches)
        yield f"patch of F8_E5M2 at {position}, exponent {exponent}", frame, bytes(300)


def signed_keys() -> Iterator[tuple[str, bytes, bytes]]:
    """Rules of symbols 17."""
    for name, format_id, data, bits in (
        ("BF16", 1, BF16, 10), ("F16", 2, HALF, 7), ("F64", 4, bytes(64), 13), ("F8_E4M3", 5, F8, 6),
    ):  # fmt: skip
        header, (keys, *others) = spec.floatfields(data, format_id, 17)
        for at in (0, len(keys) // 2 - 1):
            for key in (1 << bits, 1 << 14, 0x8000 | 1 << bits, 0xFFFF):
                lying = keys[: 2 * at] + struct.pack("<H", key) + keys[2 * at + 2 :]
                yield f"signed key {key} of {name} at {at}", stored(FLOATFIELDS, header, lying, *others), data
    header, (keys, field, patches) = spec.floatfields(BF16, 1, 17)
    yield "signed keys of a byte each", stored(FLOATFIELDS, header, EXPONENT, field, patches), BF16
    yield "signed keys one byte short", stored(FLOATFIELDS, header, keys[:-1], field, patches), BF16
    yield "symbols 17 with a base", stored(FLOATFIELDS, b"\1\x11\1\0", keys, field, patches), BF16
    patch = struct.pack("<I", 5 << 11 | 120)
    yield "symbols 17 with a patch", stored(FLOATFIELDS, b"\1\x11\0\1", keys, field, patch), BF16
    header, (keys, field, patches) = spec.floatfields(HALF, 2, 17)
    yield "low of F16 with symbols 17", stored(FLOATFIELDS, header, keys, field, b"", patches), HALF
    yield "symbols 17 of F8_E5M2", stored(FLOATFIELDS, b"\6\x11\0\0", bytes(600), bytes(300), b""), bytes(300)


def bitpack_lies() -> Iterator[tuple[str, bytes, bytes]]:
    data, part = NARROW_BYTES, spec.bitpack(NARROW_BYTES, 2, 12, LOW_ZEROS)[1][0]
    runs = spec.runs_of(LOW_ZEROS)

    def frame(runs: Sequence[tuple[int, int]], head: bytes = b"\2\x0c", part: bytes = part) -> bytes:
        return stored(BITPACK, head + b"".join(bytes([z]) + varint(count) for z, count in runs), part)

    for width in (0, 9, 255):
        yield f"width {width}", frame(runs, bytes([width, 12])), data
    whole = stored(BITPACK, b"\x09\x40\0\1", bytes(72))
    yield "width 9, all to suit", whole, bytes(81)
    yield "no width and no bits", stored(BITPACK, b"\0\0\0\1", b""), b"\0"
    for h in (0, 11, 13, 17, 255):
        yield f"h {h}", frame(runs, bytes([2, h])), data
    yield "h 17, all to suit", stored(BITPACK, b"\2\x11\0\1", bytes(17)), bytes(16)
    yield "h 0, all to suit", stored(BITPACK, b"\1\0\0\1", b""), bytes(16)
    yield "z above h", stored(BITPACK, b"\2\x04\5\1", b""), bytes(16)
    yield "z of 255", stored(BITPACK, b"\1\x08\xff\1", b""), bytes(16)
    yield "z of 68 where h is 64", stored(BITPACK, b"\x08\x40\x44\1", b""), bytes(16)
    yield "a run of no groups", frame([(0, 0), *runs]), data
    yield "a run of no groups at the end", frame([*runs, (1, 0)]), data
    yield "neighbours of one z", frame([(4, 1), (4, 2), *runs[1:]]), data
    yield "a group too few", frame([*runs[:-1], (4, 1)]), data
    yield "a group too few, part to suit", frame([*runs[:-1], (4, 1)], part=part[:-104]), data
    yield "a group too many", frame([*runs[:-1], (4, 3)]), data
    yield "a group too many, of no bits", frame([*runs, (12, 1)]), data
    yield "no runs", frame([]), data
    for count in (1 << 32, 1 << 57, (1 << 63) - 1):
        yield f"{count} groups", frame([(4, count)]), data
        yield f"{count} groups of no bits", stored(BITPACK, b"\1\x08\x08" + varint(count), b""), bytes(128)
    yield "groups that add up modulo 2^64", frame([(4, 1 << 62), (3, 1 << 62), (4, 1 << 62), (3, 1 << 62), *runs]), data
    yield "groups in too many bytes", stored(BITPACK, b"\1\x08\x00" + long_varint(1), bytes(9)), bytes(9)
    yield "part one byte short", frame(runs, part=part[:-1]), data
    yield "part one byte long", frame(runs, part=part + b"\0"), data
    yield "an odd number of bytes", frame(runs), data[:-1]
    yield "no elements", stored(BITPACK, b"\1\x08", b""), b""
    yield "no elements, a group", stored(BITPACK, b"\1\x08\0\1", b""), b""


def palette_lies() -> Iterator[tuple[str, bytes, bytes]]:
    data = LABELS
    header, (values, indices) = spec.palette(data, 2)
    assert header == b"\2\4"
    for width in (0, 1, 3, 9, 255):
        yield f"width {width}", stored(PALETTE, bytes([width, 4]), values, indices), data
    yield "width 9, all to suit", stored(PALETTE, b"\x09\1", bytes(9), bytes(4)), bytes(36)
    yield "width 0, all to suit", stored(PALETTE, b"\0\1", b"", b""), b""
    for k in (0, 3, 5, 257, 1 << 20, 1 << 62, (1 << 63) - 1):
        yield f"{k} values", stored(PALETTE, b"\2" + varint(k), values, indices), data
    many = np.arange(257, dtype="<u2").tobytes()
    yield "257 values, all to suit", stored(PALETTE, b"\2" + varint(257), many, indices), data
    yield "none, of nothing", stored(PALETTE, b"\1\0", b"", b""), b""
    yield "number in too many bytes", stored(PALETTE, b"\2" + long_varint(4), values, indices), data
    for what, lying in {
        "equal": values[:2] + values[:2] + values[4:],
        "descending": values[::-1],
        "last two exchanged": values[:4] + values[6:] + values[4:6],
        "ascending as signed numbers": struct.pack("<4h", -2, 1, 0x100, 0x7FFF),
        "ascending from the other end": struct.pack(">4H", 1, 2, 3, 0x100),
    }.items():
        yield f"values {what}", stored(PALETTE, header, lying, indices), data
    wide = struct.pack("<2Q", 1 << 63, 1)
    yield "values descend in their top bit", stored(PALETTE, b"\x08\2", wide, bytes(4)), bytes(32)
    for at in (0, 150, 299):
        for index in (4, 255):
            lying = indices[:at] + bytes([index]) + indices[at + 1 :]
            yield f"index {index} at {at}", stored(PALETTE, header, values, lying), data
    yield "values one byte short", stored(PALETTE, header, values[:-1], indices), data
    yield "one index short", stored(PALETTE, header, values, indices[:-1]), data
    yield "an odd number of bytes", stored(PALETTE, header, values, indices), data[:-1]
    yield "values that claim too much", node(PALETTE, b"\x08\x80\2", [node(CONSTANT, bytes(8)), store(b"\0")]), bytes(8)


def transpose_lies() -> Iterator[tuple[str, bytes, bytes]]:
    data, (header, parts) = TEXT, spec.transpose(TEXT, 4, 32)
    assert header == b"\4\x20"
    for width in (0, 3, 17, 255):
        yield f"width {width}", stored(TRANSPOSE, bytes([width, 32]), *parts), data
    yield "width 17, all to suit", stored(TRANSPOSE, b"\x11\2", bytes(34)), bytes(34)
    for rows in (0, 1, 31, 161, 640, 1 << 31, 1 << 62, (1 << 63) - 1):
        yield f"{rows} rows", stored(TRANSPOSE, b"\4" + varint(rows), *parts), data
    yield "rows that fit modulo 2^64", stored(TRANSPOSE, b"\4" + varint((1 << 62) + 32), *parts), data
    yield "rows in too many bytes", stored(TRANSPOSE, b"\4" + long_varint(32), *parts), data
    yield "no rows", stored(TRANSPOSE, b"\4", *parts), data
    yield "no header", stored(TRANSPOSE, b"", *parts), data
    yield "a byte more", stored(TRANSPOSE, header + b"\0", *parts), data
    yield "no elements", stored(TRANSPOSE, header, b""), b""
    yield "part one byte short", stored(TRANSPOSE, header, parts[0][:-1]), data
    yield "part one byte long", stored(TRANSPOSE, header, parts[0] + b"!"), data
    yield "no part", stored(TRANSPOSE, header), data


def group_lies() -> Iterator[tuple[str, bytes, bytes]]:
    data, parts = TEXT, spec.group(TEXT, RUNS)[1]

    def frame(k: int, runs: Sequence[tuple[int, int]], parts: Sequence[bytes] = parts) -> bytes:
        header = varint(k) + b"".join(varint(part) + varint(n_bytes) for part, n_bytes in runs)
        return stored(GROUP_ID, header, *parts)

    for k in (0, 1, 2, 4, 64, 65, 1 << 62, (1 << 63) - 1):
        yield f"{k} parts", frame(k, RUNS), data
    yield "65 parts, all to suit", frame(65, [(i, 1) for i in range(65)], [b"x"] * 65), b"x" * 65
    alternating = [(i % 2, 1) for i in range(1_025)]
    yield "1,025 runs", frame(2, alternating, [bytes(513), bytes(512)]), bytes(1_025)
    yield "a part without a run", frame(4, RUNS, [*parts, b""]), data
    yield "no runs", frame(1, [], [data]), data
    yield "no runs and no bytes", frame(1, [], [b""]), b""
    yield "nothing at all", frame(0, [], []), b""
    yield "an empty run", frame(3, [*RUNS, (0, 0)]), data
    yield "an empty run in front", frame(3, [(0, 0), *RUNS]), data
    yield "a run beyond the parts", frame(3, [*RUNS[:-1], (3, 100)]), data
    yield "a run far beyond the parts", frame(3, [*RUNS[:-1], (1 << 62, 100)]), data
    yield "parts numbered backwards", frame(2, [(1, 40), (0, 60)], [bytes(60), bytes(40)]), bytes(100)
    yield "a number left out", frame(3, [(0, 40), (2, 60), (1, 1)], [bytes(40), b"\0", bytes(60)]), bytes(101)
    for wrong in (99, 101, 1 << 32, 1 << 62, (1 << 63) - 1):
        yield f"last run of {wrong} bytes, not 100", frame(3, [*RUNS[:-1], (1, wrong)]), data
    wrap = [(0, 1 << 62), (1, 1 << 62), (0, 1 << 62), (1, 1 << 62), *RUNS]
    yield "runs that add up modulo 2^64", frame(3, wrap), data
    yield "first part one byte short", frame(3, RUNS, [parts[0][:-1], *parts[1:]]), data
    yield "first part one byte long", frame(3, RUNS, [parts[0] + b"!", *parts[1:]]), data
    yield "a byte in the wrong part", frame(3, RUNS, [parts[0][:-1], parts[1] + b"!", parts[2]]), data
    yield "a part missing", frame(3, RUNS, parts[:2]), data
    yield "a part of a run in too many bytes", stored(GROUP_ID, b"\1" + long_varint(0) + b"\3", b"abc"), b"abc"
    yield "bytes of a run in too many bytes", stored(GROUP_ID, b"\1\0" + long_varint(3), b"abc"), b"abc"
