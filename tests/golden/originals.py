"""What the golden containers hold: small files of every dtype class, source and mode. Read by make.py only.

A container that already exists is the truth: what a file here held when it was written can be had from it.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import NamedTuple

import honest
import numpy as np
import samples
import spec_encoder
import spec_nodes
from fuzz import seeds_of_sources
from numpy.typing import NDArray
from spec_index import DTYPE_BITS
from spec_maker import Maker
from spec_nodes import CONSTANT, FLOATFIELDS, HUFFMAN, RANS, ZSTD, node, store

from pennyweight.stages.cells import OF_DTYPE
from pennyweight.testing.gguf import gguf_file, quantised_cells
from pennyweight.testing.hdf5 import HDF5Data, hdf5_file
from pennyweight.testing.torch import zip_file
from pennyweight.types import DType

RNG = np.random.default_rng(20_250_101)
OTHER_SEEDS = 5, 18, 36, 42, 78, 131, 139


class Golden(NamedTuple):
    """original is None where container holds what our encoder never writes."""

    name: str
    shows: str
    preset: str
    original: bytes | None
    container: bytes | None = None
    sha256: bool = True


def one(dtype: str, raw: bytes, shape: list[int] | None = None) -> bytes:
    bits = DTYPE_BITS[dtype]
    return spec_encoder.safetensors_file([("weight", dtype, shape or [len(raw) * 8 // bits], raw)])


def weights(n: int) -> NDArray[np.float64]:
    """Like trained ones, with what is rare in front: patches for NaN, infinities, zeros and subnormals."""
    values = RNG.standard_normal(n) * 0.02
    values[:6] = np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-42
    return values


def as_bytes(dtype: str, values: NDArray[np.float64]) -> bytes:
    """F8 as the upper bytes of wider floats: near enough to what they hold."""
    with np.errstate(over="ignore", invalid="ignore"):
        if dtype == "BF16":
            return bytes(values.astype("<f4").view("<u2")[1::2])
        if dtype.startswith("F8"):
            return bytes((values.astype("<f2").view("<u2") >> (7 if "E4M3" in dtype else 8)).astype("u1"))
        return bytes(values.astype({"F16": "<f2", "F32": "<f4", "C64": "<f4", "F64": "<f8"}[dtype]))


def floats(dtype: str, n: int) -> bytes:
    return as_bytes(dtype, weights(n))


def integers(n_bytes: int, n: int) -> bytes:
    return bytes((RNG.standard_normal(n) * 20).astype(f"<i{n_bytes}"))


def of_dtypes() -> Iterator[Golden]:
    sizes = {"BF16": 3_000, "F16": 3_000, "F32": 2_000, "F64": 1_200, "C64": 1_600}
    for preset in ("default", "fast", "high"):
        for dtype, n in sizes.items():
            yield Golden(f"{preset}-{dtype}", f"{dtype} weights", preset, one(dtype, floats(dtype, n)))
        for dtype in ("F8_E4M3", "F8_E5M2"):
            yield Golden(f"{preset}-{dtype}", f"{dtype} weights", preset, one(dtype, floats(dtype, 3_000)))
    for dtype in ("I8", "U8", "F8_E8M0", "F6_E2M3", "F4"):
        raw = integers(1, 3_000)
        yield Golden(f"default-{dtype}", f"{dtype}: bytes that are not uniform", "default", one(dtype, raw))
    for dtype, n_bytes in {"I16": 2, "U16": 2, "I32": 4, "U32": 4, "I64": 8, "U64": 8}.items():
        raw = integers(n_bytes, 1_500)
        yield Golden(f"default-{dtype}", f"{dtype}: small integers", "default", one(dtype, raw))
    mask = bytes((np.arange(4_000) // 97 % 2).astype(np.uint8))
    yield Golden("default-BOOL", "a mask with runs", "default", one("BOOL", mask))


def of_fields() -> Iterator[Golden]:
    """Every kind of symbols under every format, whatever the presets prefer."""
    every = {"BF16": 2_500, "F16": 2_500, "F32": 1_500, "F64": 800, "F8_E4M3": 3_000, "F8_E5M2": 3_000}
    for kind in (4, 5, 16):
        for dtype, n in every.items():
            preset = f"presets/symbols{kind}.toml"
            yield Golden(f"symbols-{kind}-{dtype}", f"{dtype}, symbols {kind}", preset, one(dtype, floats(dtype, n)))
    for dtype in ("BF16", "F16", "F32", "F64", "F8_E5M2"):
        n = every[dtype]
        values = RNG.standard_normal(n) * 2.0 ** np.where(RNG.random(n) < 0.8, 0, RNG.integers(-12, 14, n))
        shows = f"{dtype} of so many exponents that 32 are cheaper"
        yield Golden(f"symbols-6-{dtype}", shows, "presets/symbols5.toml", one(dtype, as_bytes(dtype, values)))


def of_exact() -> Iterator[Golden]:
    """Weights that were narrower once, and of few values."""
    for name, dtype, raw in samples.exact_tensors(1_200):
        yield Golden(f"exact-{name}", f"{dtype}: {name.replace('-', ' ')}", "default", one(dtype, raw))
    for dtype in ("BF16", "F32"):
        raw = samples.dequantised(dtype, 3_000)
        yield Golden(f"palette-{dtype}", f"{dtype} of 16 values", "default", one(dtype, raw))
    labels = RNG.choice(np.array([3, 1 << 40, 1 << 63], "<u8"), 1_000).tobytes()
    yield Golden("palette-U64", "three values of 64 bits", "presets/palette.toml", one("U64", labels))


def of_small_segments() -> Iterator[Golden]:
    for preset in ("default", "fast", "high"):
        yield Golden(f"{preset}-optimizer", "small moments in groups", preset, samples.optimizer())
    tensors = []
    for dtype, bits in DTYPE_BITS.items():
        for role in ("weight", *samples.ROLES):
            raw = RNG.bytes(8 * bits // 8)
            tensors.append((f"w.{dtype}.{role}", dtype, (8,), raw))
    several = spec_encoder.safetensors_file(tensors)
    yield Golden("group-of-64", "more kinds of segments than a group has parts", "default", several)


def of_scales() -> Iterator[Golden]:
    for dtype in ("BF16", "F16", "F32"):
        shows = f"{dtype} whose rows and columns have scales of their own"
        yield Golden(f"scaled-{dtype}", shows, "presets/scales.toml", samples.scaled_file(dtype))


def of_modes() -> Iterator[Golden]:
    bf16 = floats("BF16", 2_100)
    yield Golden("constant", "one weight repeated", "default", one("BF16", b"\x80\x3f" * 5_000))
    yield Golden("random", "nothing to save: stored", "default", one("U8", RNG.bytes(2_000)))
    nans = bytes(RNG.integers(1, 1 << 22, 900, "<u4") | 0x7F800000)
    yield Golden("all-nan", "every weight a NaN of its own", "default", one("F32", nans))
    yield Golden("no-sha256", "no SHA-256 is held", "default", one("BF16", bf16), sha256=False)
    preset = "presets/store.toml"
    yield Golden("store-joined", "1,024-byte blocks, the last joined to the one before", preset, one("BF16", bf16))
    yield Golden("store-own", "1,024-byte blocks, the last on its own", preset, one("BF16", bf16[:3_600]))
    planes = {"F32": floats("F32", 1_500), "C64": floats("C64", 1_500), "I32": integers(4, 1_500), "I64": bytes(4_000)}
    for dtype, raw in planes.items():
        yield Golden(f"planes-{dtype}", f"{dtype} as byte planes", "presets/planes.toml", one(dtype, raw))
    for dtype, n in {"BF16": 2_500, "F16": 2_500, "F32": 1_500, "F64": 1_000}.items():
        raw = floats(dtype, n)
        yield Golden(f"nested-{dtype}", f"coders on the streams of {dtype}", "presets/nested.toml", one(dtype, raw))


def of_sources() -> Iterator[Golden]:
    bf16 = floats("BF16", 600)
    header = {
        "__metadata__": {"format": "pt", "größe": "日本語"},
        "b": {"dtype": "BF16", "shape": [20, 30], "data_offsets": [2, 1_202]},
        "a": {"dtype": "F16", "shape": [], "data_offsets": [0, 2]},
        "empty": {"dtype": "F32", "shape": [0, 7], "data_offsets": [1_202, 1_202]},
    }
    text = json.dumps(header, ensure_ascii=False).encode() + b" " * 11
    several = struct.pack("<Q", len(text)) + text + b"\x00\x3c" + bf16
    shows = "metadata, padding, names out of order, a scalar, no elements"
    yield Golden("safetensors-several", shows, "default", several)
    yield Golden("safetensors-none", "a header and no tensor", "default", struct.pack("<Q", 2) + b"{}")
    yield Golden("opaque-lying-header", "a byte after the last tensor: opaque", "default", several + b"x")
    config = b'{"architectures": ["BertModel"]}\n' * 60
    yield Golden("opaque-text", "a file of no known format", "default", config)
    yield Golden("opaque-text-fast", "a file of no known format, fast", "fast", config)
    yield Golden("empty", "a file of no bytes", "default", b"")
    yield Golden("one-byte", "a file of one byte", "default", b"!")


def other(name: str, shows: str, frame: bytes, data: bytes, side: tuple[bytes, ...] = ()) -> Golden:
    return Golden(f"other-{name}", shows, "", None, spec_encoder.one_frame(frame, data, side).pack())


def of_others() -> Iterator[Golden]:
    """Valid, and nothing that our encoder writes."""
    yield other("eight-levels", "nodes eight deep", *honest.chain(8))
    for name, (frame, data, side) in honest.HONEST.items():
        yield other(name.replace(" ", "-"), f"{name}, all parts stored", frame, data, side)

    symbols = bytes([3] * 999 + [9])
    header, parts = spec_nodes.rans(symbols, [*[0] * 3, 4095, *[0] * 5, 1, *[0] * 22])
    under = honest.zstd_by_hand(parts[0], declared=len(parts[0]))
    frame = node(RANS, header, [node(ZSTD, spec_nodes.varint(len(under)), [store(under)])])
    yield other("rans-4095", "zstd under rans; frequencies 4095 and 1", frame, symbols)

    values = bytes(range(12)) * 60
    header, parts = spec_nodes.huffman(values, [*range(1, 12), 11])
    frame = node(HUFFMAN, header, [store(parts[0])])
    yield other("huffman-skew", "codes of 1 to 11 bits that do not fit the counts", frame, values)

    bf16 = floats("BF16", 300)
    header, parts = spec_nodes.floatfields(bf16, 1, 5, 240, 7)
    frame = node(FLOATFIELDS, header, [*map(store, parts)])
    yield other("patches", "nearly every weight a patch", frame, bf16)

    zeros = spec_encoder.one_frame(node(CONSTANT, bytes(16)), bytes(1_280))
    zeros.optional = (1 << 64) - 1
    zeros.metadata |= {"sha256": None, "encoder": "", "plans": {"gap": ["constant"]}}
    zeros.index_zstd |= {"write_checksum": True, "level": -7}
    yield Golden("other-features", "all optional features, an index with a checksum", "", None, zeros.pack())
    for seed in OTHER_SEEDS:
        made = Maker(seed, newest=False).container()[0]
        yield Golden(f"other-random-{seed}", f"spec_maker, seed {seed}", "", None, made)


def of_predictions() -> Iterator[Golden]:
    every = {"BF16": 2_500, "F16": 2_500, "F32": 1_500, "F64": 800, "F8_E4M3": 3_000}
    for dtype, n in every.items():
        preset = "presets/symbols17.toml"
        yield Golden(f"symbols-17-{dtype}", f"{dtype}, signed keys", preset, one(dtype, floats(dtype, n)))
    for archive, dtype, n in (("archive", "BF16", 3_000), ("archive", "F32", 2_000)):
        yield Golden(f"{archive}-{dtype}", f"{dtype} weights", archive, one(dtype, floats(dtype, n)))
    rows = RNG.standard_normal((1_024, 5)) @ RNG.standard_normal((5, 64)) + 0.05 * RNG.standard_normal((1_024, 64))
    coarse = (np.frombuffer(as_bytes("BF16", rows.reshape(-1)), "<u2") & 0xFFE0).astype("<u2")
    file = spec_encoder.safetensors_file([("w", "BF16", (1_024, 64), coarse.tobytes())])
    yield Golden("predicted-BF16", "rows that five numbers nearly make up", "archive", file)


def of_cells() -> Iterator[Golden]:
    for dtype, layout in OF_DTYPE.items():
        raw = quantised_cells(dtype, 2_000 // layout.cell_bytes + 1, layout.id)
        shape = (len(raw) // layout.cell_bytes, dtype.weights)
        file = gguf_file({"w": (dtype, shape, raw), "norm": (DType.F32, (32,), floats("F32", 32))})
        yield Golden(f"gguf-{dtype.label}", f"cells of {dtype.label}", "default", file)


def of_formats() -> Iterator[Golden]:
    """A file of every format that is read, and of none that has floats in it."""
    inside = hdf5_file([HDF5Data("a", DType.F32, (8, 8), floats("F32", 64))])
    chunked = HDF5Data("b", DType.F16, (8, 8), floats("F16", 64), chunk=(4, 8))
    files = {
        "torch-zip": seeds_of_sources.torch_zips()[0],
        "torch-legacy": seeds_of_sources.torch_legacies()[0],
        "torch-tar": seeds_of_sources.torch_tars()[0],
        "torch-dcp": seeds_of_sources.torch_dcps()[1],
        "npy": seeds_of_sources.npy()[0],
        "npz": seeds_of_sources.npz()[2],
        "tflite": seeds_of_sources.tflite()[1],
        "onnx": seeds_of_sources.onnx()[1],
        "hdf5": hdf5_file([HDF5Data("a", DType.F64, (9,), floats("F64", 9)), chunked]),
        "keras": zip_file({"config.json": b"{}", "model.weights.h5": inside}),
        "float-runs": b"no known format" + floats("F32", 2_000) + bytes(99) + floats("BF16", 2_000),
    }
    for name, file in files.items():
        yield Golden(f"source-{name}", f"a file of {name}", "default", file)


def goldens() -> list[Golden]:
    made = (
        *(of_dtypes, of_fields, of_exact, of_small_segments, of_scales, of_modes, of_sources, of_others),
        *(of_predictions, of_cells, of_formats),
    )
    return [golden for each in made for golden in each()]
