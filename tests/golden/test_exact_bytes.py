"""The bytes of each stage for a tiny input, worked out from its page.

The literals change only with a new format version.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pytest
import spec_decoder
import spec_encoder
import spec_entropy
import spec_nodes
import spec_stages

from pennyweight.stages.cells import OF_DTYPE
from pennyweight.stages.constant import Constant
from pennyweight.stages.entropy.huffman import Huffman
from pennyweight.stages.entropy.linear_predictor import LinearPredictor, Predictor, PredictorModel
from pennyweight.stages.entropy.piecewise import Piecewise
from pennyweight.stages.entropy.rans import Rans
from pennyweight.stages.entropy.scales import Scales, ScalesModel
from pennyweight.stages.entropy.zstd import Zstd
from pennyweight.stages.matrix import Geometry
from pennyweight.stages.protocol import Stage
from pennyweight.stages.registry import STAGES
from pennyweight.stages.split.bitpack import BitPack
from pennyweight.stages.split.byteplane import BytePlane
from pennyweight.stages.split.floatfields import FloatFields, FloatFormat
from pennyweight.stages.split.ggml import Ggml
from pennyweight.stages.split.group import Group, Run
from pennyweight.stages.split.palette import Palette
from pennyweight.stages.split.transpose import Transpose
from pennyweight.stages.store import Store
from pennyweight.types import DType

BF16 = "803f00c0003f494000bcc03fe0bf803ec842"
F16 = "003c00c00038484200a0003e00bf00344056"
F32 = "cdcc8c3fcdcc0cc0cdcc0c3f9a195d40cdcc0cbc3433d33f6766f6bfcdcc8c3e0000dc42"
F64 = (
    "9a9999999999f13f9a999999999901c09a9999999999e13f3433333333a30b409a999999999981bf"
    "676666666666fa3fceccccccccccfebf9a9999999999d13f0100000000805b40"
)
E4M3, E5M2 = "38c03047a03cbe284f", "3cc03842a03ebf345e"
WIDE = (  # a weight of each exponent from 100 to 131
    "743299b23e33e3b30834adb45235f7b51c36c1b666378bb73038d5b87a399fb9"
    "443ae9ba0e3bb3bb583cfdbc223dc7bd6c3e91be363fdbbf0040a5c04a41efc1"
)
PATCHED = "c17f" + "803f" * 31 + "c0bf"  # a NaN that needs a patch, 1.0, -1.5
WINDOWS = "090a080a020909070f"
AND_TOP_BIT = "121410150413130e1f"
F32_LOW = "cdcccdcccdcc9a19cdcc34336766cdcc0000"
F64_LOW = "9a99999999999a99999999999a99999999993433333333a39a9999999999676666666666cecccccccccc9a9999999999010000000080"


# Two columns, the second of an octave more, and all symbols as frequent in every phase.
SCALED_SIDE = [np.full(128, 1_024, "<u2").view(np.uint8), np.array([0, 8], np.uint8)]
SCALED = Scales(0, ScalesModel(Geometry(2, 2, 1), SCALED_SIDE[0].tobytes(), 0, SCALED_SIDE[1].tobytes(), (1, 0)), 0)

# Bands of two keys, of which the second is the first less 5/1024; all symbols as frequent in every context.
SIDE = [
    *SCALED_SIDE,
    *(np.frombuffer(frame, np.uint8) for frame in (b"\x80\0" * 96 * 128, b"\0\0", b"\0\0\xfb\xff\x40")),
]
PREDICTED = LinearPredictor(
    PredictorModel(
        Geometry(2, 2, 2),
        SIDE[2].tobytes(),
        2,
        predictor=Predictor(2, SIDE[4].tobytes(), SIDE[3].tobytes(), triangles_at=4, residuals_at=(3, 0)),
    ),
    0,
)


class Exact(NamedTuple):
    stage: Stage
    src: str
    header: str
    parts: Sequence[str]


EXACT = {
    "store": Exact(Store(), "616263", "", ["616263"]),
    "constant": Exact(Constant(3), "616263616263", "616263", []),
    "byteplane": Exact(BytePlane(3), "616263646566", "03", ["6164", "6265", "6366"]),
    "BF16, 4": Exact(FloatFields(FloatFormat.BF16, 4), BF16, "01047600", [WINDOWS, "008000498040e00048", ""]),
    "BF16, 5": Exact(FloatFields(FloatFormat.BF16, 5), BF16, "01057600", [AND_TOP_BIT, "004000094000600008", ""]),
    "BF16, 16": Exact(
        FloatFields(FloatFormat.BF16, 16),
        BF16,
        "01100000",
        ["f8030004f0030404c003fc03fe03e8032c04", "001000091000100008", ""],
    ),
    "BF16, 17": Exact(
        FloatFields(FloatFormat.BF16, 17),
        BF16,
        "01110000",
        ["fc010082f8010202e081fe01ff81f4011602", "000000090000000008", ""],
    ),
    "F16, 4": Exact(
        FloatFields(FloatFormat.F16, 4), F16, "02040600", [WINDOWS, "000400020402070002", "000000480000000040", ""]
    ),
    "F16, 5": Exact(
        FloatFields(FloatFormat.F16, 5), F16, "02050600", [AND_TOP_BIT, "000200000200030000", "000000480000000040", ""]
    ),
    "F16, 16": Exact(
        FloatFields(FloatFormat.F16, 16),
        F16,
        "02100000",
        ["780080007000840040007c007e006800ac00", "008000488000800040", ""],
    ),
    "F16, 17": Exact(
        FloatFields(FloatFormat.F16, 17),
        F16,
        "02110000",
        ["3c0040803800420020803e003f8034005600", "000000480000000040", ""],
    ),
    "F32, 4": Exact(FloatFields(FloatFormat.F32, 4), F32, "03047600", [WINDOWS, "0c8c0c5d8c53f60c5c", F32_LOW, ""]),
    "F32, 5": Exact(FloatFields(FloatFormat.F32, 5), F32, "03057600", [AND_TOP_BIT, "0c4c0c1d4c13760c1c", F32_LOW, ""]),
    "F32, 16": Exact(
        FloatFields(FloatFormat.F32, 16),
        F32,
        "03100000",
        ["f8030004f0030504c003fd03ff03e8032d04", "0c1c0c0d1c03160c0c", F32_LOW, ""],
    ),
    "F64, 4": Exact(FloatFields(FloatFormat.F64, 4), F64, "0404f60700", [WINDOWS, "0111010b110a1e010b", F64_LOW, ""]),
    "F64, 5": Exact(
        FloatFields(FloatFormat.F64, 5), F64, "0405f60700", [AND_TOP_BIT, "0109010309020e0103", F64_LOW, ""]
    ),
    "F64, 16": Exact(
        FloatFields(FloatFormat.F64, 16),
        F64,
        "04100000",
        ["f81f0020f01f0520c01ffd1fff1fe81f2d20", "010301010300020101", F64_LOW, ""],
    ),
    "F64, 17": Exact(
        FloatFields(FloatFormat.F64, 17),
        F64,
        "04110000",
        ["fc0f0090f80f0210e08ffe0fff8ff40f1610", "010101030102020103", F64_LOW, ""],
    ),
    "F8_E4M3, 4": Exact(
        FloatFields(FloatFormat.F8_E4M3, 4), E4M3, "05040000", ["070806080407070509", "0008000708040e0007", ""]
    ),
    "F8_E4M3, 17": Exact(
        FloatFields(FloatFormat.F8_E4M3, 17),
        E4M3,
        "05110000",
        ["1c0020801800230010801e001f8014002700", "000000010000000001", ""],
    ),
    "F8_E4M3, 5": Exact(
        FloatFields(FloatFormat.F8_E4M3, 5), E4M3, "05050000", ["0e100c11080f0f0a13", "000400030400060003", ""]
    ),
    "F8_E4M3, 16": Exact(
        FloatFields(FloatFormat.F8_E4M3, 16),
        E4M3,
        "05100000",
        ["380040003000470020003c003e0028004f00", "000100000100010000", ""],
    ),
    "F8_E5M2, 4": Exact(
        FloatFields(FloatFormat.F8_E5M2, 4), E5M2, "06040800", ["07080608000707050f", "000400020402070002", ""]
    ),
    "F8_E5M2, 5": Exact(
        FloatFields(FloatFormat.F8_E5M2, 5), E5M2, "06050800", ["0e100c11000f0f0a1f", "000200000200030000", ""]
    ),
    "F8_E5M2, 16": Exact(
        FloatFields(FloatFormat.F8_E5M2, 16),
        E5M2,
        "06100000",
        ["3c0040003800420020003e003f0034005e00", "000100000100010000", ""],
    ),
    "32 exponents": Exact(
        FloatFields(FloatFormat.BF16, 5),
        WIDE,
        "01066400",
        [bytes(range(32)).hex(), "74993ee308ad52f71cc1668b30d57a9f44e90eb358fd22c76c9136db00a54aef", ""],
    ),
    "patch, 4": Exact(
        FloatFields(FloatFormat.BF16, 4), PATCHED, "01047001", ["0f" * 33, "41" + "00" * 31 + "c0", "ff000000"]
    ),
    "patch, 5": Exact(
        FloatFields(FloatFormat.BF16, 5),
        PATCHED,
        "01057001",
        ["1f" + "1e" * 31 + "1f", "01" + "00" * 31 + "40", "ff000000"],
    ),
    "turned": Exact(Transpose(2, None, 2), "010203040506070809100a0b", "0202", ["010207080304091005060a0b"]),
    "turned, 3 bytes": Exact(Transpose(3, None, 3), "010203040506070809", "0303", ["010203040506070809"]),
    "bits above": Exact(BitPack(1), "010203", "01020001", ["39"]),
    "bits below": Exact(BitPack(2), "1000f00f2001", "020c0401", ["01ff12"]),
    "bits of four bytes": Exact(BitPack(4), "0000803f000000c0", "04201701", ["7f0003"]),
    "bits of three bytes": Exact(BitPack(3), "000010ff0f00", "03150001", ["0000f0ff0100"]),
    "no bits": Exact(BitPack(1), "0000", "01010101", [""]),
    "two groups": Exact(BitPack(2), "0800" * 128 + "0300" * 2, "020403010001", ["ff" * 16 + "33"]),
    "palette": Exact(
        Palette(2), "80bf" + "803f" * 7 + "0000" * 4, "0203", ["0000803f80bf", "02" + "01" * 7 + "00" * 4]
    ),
    "group": Exact(
        Group((Run(0, 2), Run(1, 1), Run(0, 3), Run(2, 1))),
        "61616263636364",
        "030002010100030201",
        ["6161636363", "62", "64"],
    ),
    "rans, 16 symbols": Exact(
        Rans(4),
        "000102030405060708090a0b0c0d0e0f" * 2 + "00" * 8,
        "0406ea1f99d8c42636b1894d6c62139bd8c42636b1894d6c02",
        [
            "30146f7d746b0200786b02007c6b020030146f7d746b0200786b02007c6b02001004040110040401"
            + "00000100" * 22
            + "6506a90a1d126506a90a1d12"
        ],
    ),
    "rans, 32 symbols": Exact(
        Rans(5),
        "1f0007" * 11,
        "05006b150000c0560500000000000000000000005b15",
        ["bb155100e8bc50002b425100" * 2 + "bb155100e8bc500007020300" + "00000100" * 23],
    ),
    "rans, 256 symbols": Exact(
        Rans(8),
        "000102030405" * 2 + "c8c8c8",
        "08002a4245a80815a1225404" + "00" * 96 + "80d204" + "00" * 27,
        ["0ef3750c8d68750c4eff700ce0087b00" + "00000100" * 28],
    ),
    "scales": Exact(
        SCALED,
        "6400" + "6500" + "6800" + "6900",
        "000002" + "0201" + "a406" + "00020000" + "01",
        ["0111", "", "0b000100" + "00000100" * 31 + "bb0b"],
    ),
    "linear_predictor": Exact(
        PREDICTED,
        "9001" + "9281" + "0000" + "9001",
        "00020202" + "9806" + "0200" + "0502010300" + "0000",
        ["0601", "", "2c370040" + "00380040" + "00000100" * 30],
    ),
    "ggml, Q4_1": Exact(
        Ggml(OF_DTYPE[DType.Q4_1]),
        "003c00c0" + "5203646f" + "65" * 12,
        "0300001e",
        ["", "003c", "8010", "", "", "1103", "020304" + "05" * 13 + "06" * 14, ""],
    ),
    "ggml, Q8_0": Exact(
        Ggml(OF_DTYPE[DType.Q8_0]),
        "0020" + "05" * 30 + "817f",
        "088040001f",
        ["", "0020", "", "", "", "1e", "10" * 30 + "1f", "05" * 30 + "07"],
    ),
    "piecewise": Exact(
        Piecewise(4),
        "00" * 512 + "03" * 128,
        "04000204" + ("fcff" + "00" * 8) + ("00c0ff0f" + "00" * 6),
        ["fb0c0100" * 32],
    ),
    "huffman": Exact(Huffman(), "00010203010003010001", "03123301010101", ["19171700"]),
}


def encoded(stage: Stage, src: bytes) -> spec_nodes.Encoded | None:
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
    assert spec_decoder.decode_frame(frame, len(src), [side.tobytes() for side in SIDE]) == src


def test_every_stage_is_here() -> None:
    """All but zstd: its bytes depend on the version of libzstd."""
    assert {exact.stage.id for exact in EXACT.values()} | {Zstd.id} == {*STAGES} == {*spec_stages.STAGES}


def test_zstd_declares_nothing() -> None:
    src = bytes(range(256)) * 9
    made = encoded(Zstd(), src)
    assert made is not None
    header, (frame,) = made
    assert header == spec_nodes.varint(len(frame))
    assert frame[4] == 0, "content size, checksum, dictionary and single segment"
    assert spec_entropy.unzstd(frame, len(src)) == src
