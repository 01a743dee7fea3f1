"""Small files that several test files compress."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import spec_encoder
from numpy.typing import NDArray

import pennyweight
from pennyweight.types import DType

SMALL_BLOCKS = """
name = "small"
description = "Many blocks in a small file."
block_bytes = 1024
[plans]
BF16 = ["constant", "floatfields[bits=5](exponent: rans)"]
"*" = ["huffman"]
gap = ["zstd"]
"""
"""A preset."""


def bf16(n: int, seed: int = 0) -> bytes:
    """n trained-looking weights."""
    weights = np.random.default_rng(seed).standard_normal(n).astype("<f4") * np.float32(0.02)
    high: NDArray[Any] = weights.view("<u4") >> np.uint32(16)
    return high.astype("<u2").tobytes()


def safetensors(*tensors: tuple[str, str, tuple[int, ...], bytes]) -> bytes:
    """(name, dtype, shape, raw) of each tensor."""
    return spec_encoder.safetensors_file(tensors)


def safetensors_raws(data: bytes) -> dict[str, bytes]:
    """Bytes of each tensor of such a file, in its order."""
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    header.pop("__metadata__", None)
    spans = {name: entry["data_offsets"] for name, entry in header.items()}
    ordered = sorted(spans, key=lambda name: spans[name])
    return {name: data[start + spans[name][0] : start + spans[name][1]] for name in ordered}


def small() -> bytes:
    """Two tensors of a few blocks of 1,024 bytes."""
    return safetensors(
        ("a", "BF16", (1500,), bf16(1500)), ("b", "U8", (3, 700), bytes(i * i % 97 for i in range(2100)))
    )


def mixed() -> bytes:
    """Every dtype, tensors of no bytes, scalars, NaN payloads and -0.0, and a tensor of several tasks."""
    random = np.random.default_rng(1)
    tensors: list[tuple[str, str, tuple[int, ...], bytes]] = [
        (f"all.{dtype.label}", dtype.label, (5, 24), random.bytes(5 * 24 * dtype.bits // 8))
        for dtype in DType
        if dtype.weights == 1
    ]
    specials = np.array([0x7FC1, 0xFFFF, 0x8000, 0x0001, 0x7F80, 0xFF80], "<u2")
    return safetensors(
        ("big", "BF16", (2500, 1000), bf16(2_500_000)),
        *tensors,
        ("nothing", "F32", (0, 4), b""),
        ("scalar", "BF16", (), b"\x80\x3f"),
        ("specials", "BF16", (3, 2), specials.tobytes()),
        ("zeros", "F32", (300, 300), bytes(360_000)),
        ("last nothing", "F4", (0,), b""),
    )


def thousands(n: int = 5000) -> bytes:
    """Tiny tensors."""
    raws = np.random.default_rng(2).integers(0, 65536, (n, 4), dtype="<u2")
    return safetensors(*((f"layer.{i}.bias", "BF16", (4,), raws[i].tobytes()) for i in range(n)))


ROLES = "exp_avg", "exp_avg_sq", "max_exp_avg_sq"


def optimizer(n: int = 60) -> bytes:
    """Small weights, biases and moments of two dtypes, some of no elements, with a scalar step for each."""
    random = np.random.default_rng(3)
    tensors: list[tuple[str, str, tuple[int, ...], bytes]] = []
    for i in range(n // 6):
        for role in ("weight", "bias", *ROLES):
            dtype, size = ("BF16", "F32")[role in ROLES], int(random.integers(0, 90))
            values = random.standard_normal(size) * 0.02
            raw = (values**2 if "sq" in role else values).astype("<f4")
            data = raw.view("<u2")[1::2].tobytes() if dtype == "BF16" else raw.tobytes()
            tensors.append((f"state.layer.{i}.{role}", dtype, (size,), data))
        tensors.append((f"state.layer.{i}.step", "I64", (), i.to_bytes(8, "little")))
    return safetensors(*tensors)


def exact_tensors(n: int) -> list[tuple[str, str, bytes]]:
    """(what, dtype, raw) of weights that a narrower type holds: all of them, or row by row."""
    random = np.random.default_rng(4)
    wide = random.standard_normal(n) * 0.02
    single = wide.astype("<f4")
    high = (single.view("<u4") & np.uint32(0xFFFF0000)).view("<f4")
    rows = single.copy()
    for at in range(0, n, 256):  # every other row of 128
        rows[at : at + 128] = rows[at : at + 128].astype("<f2")
    return [
        ("bf16", "F32", high.tobytes()),
        ("rows-of-f16", "F32", rows.tobytes()),
        ("f32", "F64", single.astype("<f8").tobytes()),
        ("bf16-of-f64", "F64", high.astype("<f8").tobytes()),
        ("bf16-of-c64", "C64", high[: n // 2 * 2].tobytes()),
        ("integers", "F64", random.integers(0, 1000, n).astype("<f8").tobytes()),
    ]


def dequantised(dtype: str, n: int) -> bytes:
    """Of 16 values."""
    random = np.random.default_rng(5)
    values = (random.choice(np.linspace(-0.1, 0.1, 16), n)).astype("<f4")
    return values.view("<u2")[1::2].tobytes() if dtype == "BF16" else values.tobytes()


def scaled(dtype: str, rows: int, columns: int, seed: int = 6) -> bytes:
    """A matrix each of whose rows and columns has a scale of its own."""
    random = np.random.default_rng(seed)
    values = random.standard_normal((rows, columns)) * 0.02
    values *= 2.0 ** random.normal(0, 1.5, (rows, 1)) * 2.0 ** random.normal(0, 1.0, (1, columns))
    if dtype == "BF16":
        return values.astype("<f4").view("<u2")[:, 1::2].tobytes()
    return values.astype({"F16": "<f2", "F32": "<f4", "F64": "<f8"}[dtype]).tobytes()


def scaled_file(dtype: str, rows: int = 132, columns: int = 128) -> bytes:
    """As many weights as training wants; those of F32 are BF16's."""
    raw = scaled(dtype, rows, columns)
    if dtype == "F32":
        raw = (np.frombuffer(raw, "<u4") & np.uint32(0xFFFF0000)).tobytes()
    return safetensors(("w", dtype, (rows, columns), raw))


def exact() -> bytes:
    """Weights of few bits and of few values."""
    tensors = [
        (name, dtype, (len(raw) // (4 if dtype == "F32" else 8),), raw) for name, dtype, raw in exact_tensors(20_000)
    ]
    few = [(f"few.{dtype}", dtype, (40_000,), dequantised(dtype, 40_000)) for dtype in ("BF16", "F32")]
    return safetensors(*tensors, *few)


def matrices() -> bytes:
    """Some with scales to be learned."""
    return safetensors(
        *((f"w.{dtype}", dtype, (600, 300), scaled(dtype, 600, 300)) for dtype in ("BF16", "F16", "F32"))
    )


FILES = {
    "empty": b"",
    "one byte": b"\x00",
    "text": b"no weights here\n" * 400,
    "no tensors": safetensors(),
    "small": small(),
    "mixed": mixed(),
    "thousands": thousands(),
    "optimizer": optimizer(600),
    "exact": exact(),
    "matrices": matrices(),
}


def packed(data: bytes, **options: Any) -> bytes:
    """The container of a file, through file objects; options are those of `pennyweight.compress`."""
    target = io.BytesIO()
    pennyweight.compress(io.BytesIO(data), target, **options)
    return target.getvalue()
