"""Small GGUF files, made without the package: magic, counts, metadata, tensors, data."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np

from pennyweight.stages.cells import OF_DTYPE
from pennyweight.types import DType

_TYPES: Final = {
    DType.F32: 0,
    DType.F16: 1,
    DType.I8: 24,
    DType.I16: 25,
    DType.I32: 26,
    DType.I64: 27,
    DType.F64: 28,
    DType.BF16: 30,
} | {dtype: layout.id for dtype, layout in OF_DTYPE.items()}
"""The number of each dtype that such a file can hold."""

_U32, _STRING, _ARRAY = 4, 8, 9


def gguf_string(text: str | bytes) -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(raw)) + raw


def gguf_pair(key: str, kind: int, value: bytes) -> bytes:
    """A key of the metadata and its value, of that type."""
    return gguf_string(key) + struct.pack("<I", kind) + value


def gguf_array(kind: int, n: int, items: bytes) -> bytes:
    return struct.pack("<IQ", kind, n) + items


def gguf_info(name: str | bytes, dims: Sequence[int], kind: int, offset: int) -> bytes:
    """A tensor of the header; dims in GGUF's order, and its offset in the data."""
    return gguf_string(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, offset)


def gguf_header(
    infos: Iterable[bytes],
    pairs: Iterable[bytes] = (),
    *,
    version: int = 3,
    alignment: int = 32,
    counts: tuple[int, int] | None = None,
) -> bytes:
    """All before the data. counts: of tensors and pairs, where they are not those given."""
    tensors, metadata = list(infos), list(pairs)
    n_tensors, n_pairs = counts or (len(tensors), len(metadata))
    header = b"GGUF" + struct.pack("<IQQ", version, n_tensors, n_pairs) + b"".join(metadata) + b"".join(tensors)
    return header + bytes(-len(header) % alignment)


def gguf_file(tensors: Mapping[str, tuple[DType, tuple[int, ...], bytes]], *, alignment: int = 32) -> bytes:
    """A whole file: dtype, shape and bytes of each tensor, by name, and a little metadata of every shape."""
    infos, data = [], b""
    for name, (dtype, shape, raw) in tensors.items():
        infos.append(gguf_info(name, shape[::-1], _TYPES[dtype], len(data)))
        data += raw + bytes(-len(raw) % alignment)
    words = b"".join(map(gguf_string, ("<s>", "", "größe")))
    pairs = [
        gguf_pair("general.architecture", _STRING, gguf_string("llama")),
        gguf_pair("general.alignment", _U32, struct.pack("<I", alignment)),
        gguf_pair("tokenizer.ggml.tokens", _ARRAY, gguf_array(_STRING, 3, words)),
        gguf_pair("tokenizer.ggml.token_type", _ARRAY, gguf_array(_U32, 3, bytes(12))),
    ]
    return gguf_header(infos, pairs, alignment=alignment) + data


def quantised_cells(dtype: DType, n: int, seed: int = 0) -> bytes:
    """n cells as quantising weights makes them: quants in a bell, an extreme one in most groups, scales that differ."""
    layout, rng = OF_DTYPE[dtype], np.random.default_rng(seed)
    cells = rng.integers(0, 256, (n, layout.cell_bytes), np.uint8)
    n_groups, top = n * layout.n_groups, (1 << layout.bits) - 1
    quants = np.clip(np.rint(rng.normal(top / 2, top / 5, (n_groups, layout.group))), 0, top).astype(np.uint8)
    for extremes in layout.extremes:
        quants[np.arange(n_groups), rng.integers(0, layout.group, n_groups)] = rng.choice(extremes, n_groups)
    layout.put_quants(cells, quants.reshape(-1))
    scales = np.exp2(rng.normal(-8, 0.7, n)).astype("<f2")
    d = scales.view("<u2").astype(np.int64) if layout.wide else rng.integers(110, 125, n)
    below = 1 if layout.n_sub_mins else -1  # whether mins are taken away or added
    m = (scales * below * rng.uniform(6, 9, n)).astype("<f2").view("<u2").astype(np.int64) & ~7
    layout.put_scales(cells, d, m)
    return cells.tobytes()
