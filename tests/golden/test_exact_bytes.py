"""The bytes of each stage for a tiny input, worked out from its page by spec_encoder; then the pages on much input.

The literals change only with a new format version.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pytest
import spec_decoder
import spec_encoder
import spec_stages

from pennyweight.stages.constant import Constant
from pennyweight.stages.entropy.huffman import Huffman
from pennyweight.stages.entropy.rans import Rans
from pennyweight.stages.entropy.zstd import Zstd
from pennyweight.stages.protocol import Stage
from pennyweight.stages.registry import STAGES
from pennyweight.stages.split.byteplane import BytePlane
from pennyweight.stages.split.floatfields import FloatFields, FloatFormat
from pennyweight.stages.store import Store

BF16 = "803f00c0003f494000bcc03fe0bf803ec842"
F16 = "003c00c00038484200a0003e00bf00344056"
F32 = "cdcc8c3fcdcc0cc0cdcc0c3f9a195d40cdcc0cbc3433d33f6766f6bfcdcc8c3e0000dc42"
F64 = (
    "9a9999999999f13f9a999999999901c09a9999999999e13f3433333333a30b409a999999999981bf"
    "676666666666fa3fceccccccccccfebf9a9999999999d13f0100000000805b40"
)
PATCHED = "c17f" + "803f" * 31 + "c0bf"  # a NaN that needs a patch, 1.0, -1.5
WINDOWS = "090a080a020909070f"
WINDOWS_AND_TOP_BIT = "121410150413130e1f"
F32_LOW = "cdcccdcccdcc9a19cdcc34336766cdcc0000"
F64_LOW = "9a99999999999a99999999999a99999999993433333333a39a9999999999676666666666cecccccccccc9a9999999999010000000080"


class Exact(NamedTuple):
    stage: Stage
    src: str
    header: str
    parts: Sequence[str]


EXACT = {
    "store": Exact(Store(), "616263", "", ["616263"]),
    "constant": Exact(Constant(3), "616263616263", "616263", []),
    "byteplane": Exact(BytePlane(3), "616263646566", "03", ["6164", "6265", "6366"]),
    "BF16, 4 bits": Exact(FloatFields(FloatFormat.BF16, 4), BF16, "01047600", [WINDOWS, "008000498040e00048", ""]),
    "BF16, 5 bits": Exact(
        FloatFields(FloatFormat.BF16, 5), BF16, "01057600", [WINDOWS_AND_TOP_BIT, "0020200104800108000000000000", ""]
    ),
    "F16, 4 bits": Exact(
        FloatFields(FloatFormat.F16, 4), F16, "02040600", [WINDOWS, "20441d020000", "000000480000000040", ""]
    ),
    "F16, 5 bits": Exact(
        FloatFields(FloatFormat.F16, 5), F16, "02050600", [WINDOWS_AND_TOP_BIT, "08320000", "000000480000000040", ""]
    ),
    "F32, 4 bits": Exact(
        FloatFields(FloatFormat.F32, 4), F32, "03047600", [WINDOWS, "0c8c0c5d8c53f60c5c", F32_LOW, ""]
    ),
    "F32, 5 bits": Exact(
        FloatFields(FloatFormat.F32, 5),
        F32,
        "03057600",
        [WINDOWS_AND_TOP_BIT, "0c26a3c39cd8191c000000000000", F32_LOW, ""],
    ),
    "F64, 4 bits": Exact(
        FloatFields(FloatFormat.F64, 4), F64, "0404f60700", [WINDOWS, "218615950f0b00000000", F64_LOW, ""]
    ),
    "F64, 5 bits": Exact(
        FloatFields(FloatFormat.F64, 5), F64, "0405f60700", [WINDOWS_AND_TOP_BIT, "9131291e03000000", F64_LOW, ""]
    ),
    "patch, 4 bits": Exact(
        FloatFields(FloatFormat.BF16, 4), PATCHED, "01047001", ["0f" * 33, "41" + "00" * 31 + "c0", "ff000000"]
    ),
    "patch, 5 bits": Exact(
        FloatFields(FloatFormat.BF16, 5),
        PATCHED,
        "01057001",
        ["1f" + "1e" * 31 + "1f", "01" + "00" * 27 + "40" + "00" * 6, "ff000000"],
    ),
    "rans, 16 symbols": Exact(
        Rans(4),
        "000102030405060708090a0b0c0d0e0f" * 2 + "00" * 8,
        "0406fec30ccdd00ccdd00ccdd00ccdd00ccdd00ccdd00ccdd00c",
        [
            "30146f7d746b0200786b02007c6b020030146f7d746b0200786b02007c6b02001004040110040401"
            + "00000100" * 22
            + "6506a90a1d126506a90a1d12"
        ],
    ),
    "rans, 32 symbols": Exact(
        Rans(5),
        "1f0007" * 11,
        "0500560500000000000000005055" + "00" * 34 + "5055",
        ["bb155100e8bc50002b425100" * 2 + "bb155100e8bc500007020300" + "00000100" * 23],
    ),
    "huffman": Exact(Huffman(), "00010203010003010001", "03123301010101", ["19171700"]),
}


def encoded(stage: Stage, src: bytes) -> spec_encoder.Encoded | None:
    made = stage.encode(np.frombuffer(src, np.uint8))
    return made and (made.header, [part.tobytes() for part in made.parts])


@pytest.mark.parametrize("name", EXACT)
def test_exact_bytes(name: str, each_target: str) -> None:
    exact = EXACT[name]
    src, header = bytes.fromhex(exact.src), bytes.fromhex(exact.header)
    parts = [bytes.fromhex(part) for part in exact.parts]
    assert encoded(exact.stage, src) == (header, parts)
    if exact.stage.id == Store.id:
        frame = spec_encoder.store(parts[0])
    else:
        frame = spec_encoder.node(exact.stage.id, header, [*map(spec_encoder.store, parts)])
    assert spec_decoder.decode_frame(frame, len(src)) == src


def test_every_stage_is_here() -> None:
    """All but zstd: its bytes depend on the version of libzstd."""
    assert {exact.stage.id for exact in EXACT.values()} | {Zstd.id} == {*STAGES} == {*spec_stages.STAGES}


def test_zstd_declares_nothing() -> None:
    src = bytes(range(256)) * 9
    made = encoded(Zstd(), src)
    assert made is not None
    header, (frame,) = made
    assert header == spec_encoder.varint(len(frame))
    assert frame[4] == 0, "content size, checksum, dictionary and single segment"
    assert spec_stages.unzstd(frame, len(src)) == src


# What the pages say that our encoder writes, against much input


@pytest.mark.parametrize("bits", [4, 5])
def test_rans_follows_its_page(bits: int, each_target: str) -> None:
    for seed in range(120):
        rng = np.random.default_rng(seed)
        weights = rng.random(1 << bits) ** rng.choice([0, 1, 4, 60])
        n = int(rng.choice([2, 31, 127, 128, 129, 500, 4_096, 20_000]))
        src = bytes(rng.choice(1 << bits, n, p=weights / weights.sum()).astype(np.uint8))
        expected = None
        if len(set(src)) > 1:
            expected = spec_encoder.rans(src, spec_encoder.rans_frequencies(src, bits))
        assert encoded(Rans(bits), src) == expected, seed


def test_huffman_follows_its_page(each_target: str) -> None:
    for seed in range(120):
        maker = spec_encoder.Maker(seed)
        src = maker.data(int(maker.pick(1, 2, 5, 300, 4_000)))
        if seed % 4 == 0:  # counts of Fibonacci, which want codes of more than 11 bits
            counts = [1, 1]
            while len(counts) < 18:
                counts.append(counts[-1] + counts[-2])
            values = maker.rng.permutation(256)[:18]
            src = bytes(maker.rng.permutation(np.repeat(values, counts)).astype(np.uint8))
        expected = spec_encoder.huffman(src, spec_encoder.huffman_lengths(src)) if len(set(src)) > 1 else None
        assert encoded(Huffman(), src) == expected, seed


@pytest.mark.parametrize("bits", [4, 5])
@pytest.mark.parametrize("fmt", FloatFormat)
def test_floatfields_follows_its_page(fmt: FloatFormat, bits: int, each_target: str) -> None:
    declined = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        n = int(rng.choice([1, 7, 8, 31, 32, 33, 64, 500, 3_000, 16_383, 16_384, 16_400, 20_001]))
        src = rng.bytes(fmt.width * n)
        if seed % 3:
            weights = (rng.standard_normal(n) * rng.choice([1, 1e-3, 1e3])).astype(
                {2: "<f2", 8: "<f8"}.get(fmt.width, "<f4")
            )
            src = bytes(weights)
            if fmt is FloatFormat.BF16:
                src = bytes(weights.astype("<f4").view("<u2")[1::2])
        base = spec_encoder.best_base(src, fmt.id)
        expected = spec_encoder.floatfields(src, fmt.id, bits, base)
        if len(expected[1][-1]) // 4 * 32 > n:
            declined += 1
            assert encoded(FloatFields(fmt, bits), src) is None, seed
        else:
            assert encoded(FloatFields(fmt, bits), src) == expected, seed
    assert 0 < declined < 60


def test_floatfields_whose_sample_misleads(each_target: str) -> None:
    """The most frequent exponent of the sample lies outside the best window, and yet few weights do."""
    e = np.full(16_384, 100, "<u2")
    looked_at = np.flatnonzero(np.arange(len(e)) % 512 < 64)
    e[looked_at] = 200
    e[looked_at[: 16 * 119]] = np.repeat(np.arange(100, 116), 119)
    src = bytes(e << 7)
    expected = spec_encoder.floatfields(src, 1, 4, 100)
    assert encoded(FloatFields(FloatFormat.BF16, 4), src) == expected
    assert max(expected[1][0]) == 15
