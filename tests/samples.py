"""Small files that several test files compress."""

from __future__ import annotations

import io
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


def small() -> bytes:
    """Two tensors of a few blocks of 1,024 bytes."""
    return safetensors(
        ("a", "BF16", (1500,), bf16(1500)), ("b", "U8", (3, 700), bytes(i * i % 97 for i in range(2100)))
    )


def mixed() -> bytes:
    """Every dtype, tensors of no bytes, scalars, NaN payloads and -0.0, and a tensor of several tasks."""
    random = np.random.default_rng(1)
    tensors: list[tuple[str, str, tuple[int, ...], bytes]] = [
        (f"all.{dtype.label}", dtype.label, (5, 24), random.bytes(5 * 24 * dtype.bits // 8)) for dtype in DType
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


FILES = {
    "empty": b"",
    "one byte": b"\x00",
    "text": b"no weights here\n" * 400,
    "no tensors": safetensors(),
    "small": small(),
    "mixed": mixed(),
    "thousands": thousands(),
}


def packed(data: bytes, **options: Any) -> bytes:
    """The container of a file, through file objects; options are those of `pennyweight.compress`."""
    target = io.BytesIO()
    pennyweight.compress(io.BytesIO(data), target, **options)
    return target.getvalue()
