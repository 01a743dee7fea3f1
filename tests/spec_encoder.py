"""Writes containers from docs/format.md alone: what stands around the frames of spec_nodes.py."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import xxhash
import zstandard
from spec_nodes import node, store

__all__ = [
    "Container", "cut", "describe", "node", "one_frame", "safetensors_file", "store", "tensor",
]  # fmt: skip


def cut(segments: Sequence[int], block_bytes: int) -> list[list[tuple[int, int]]]:
    """Of each block, which segments it holds and how many bytes of each: section 1.4."""
    blocks: list[list[tuple[int, int]]] = []
    run: list[tuple[int, int]] = []
    most = min(block_bytes, 524_288)
    for number, n_bytes in enumerate(segments):
        if n_bytes == 0:
            continue
        small = n_bytes <= most / 4
        full = len(run) == 1_024 or sum(size for _, size in run) + n_bytes > most
        if run and (full or not small):
            blocks.append(run)
            run = []
        if small:
            run.append((number, n_bytes))
            continue
        sizes = [block_bytes] * (n_bytes // block_bytes)
        remainder = n_bytes % block_bytes
        if remainder and (remainder >= block_bytes / 2 or not sizes):
            sizes.append(remainder)
        elif remainder:
            sizes[-1] += remainder
        blocks += [[(number, size)] for size in sizes]
    return [*blocks, run] if run else blocks


@dataclass
class Container:
    """A container in pieces; `pack` puts right every digest and length that is not given. Tests of lies set them."""

    frames: list[bytes]
    metadata: dict[str, Any]
    version: tuple[int, int] = (0, 2)
    reserved: int = 0
    required: int = 0
    optional: int = 0
    lengths: list[int] | None = None
    digests: list[int] | None = None
    json_text: bytes | None = None
    index_tail: bytes = b""
    index_zstd: dict[str, Any] = field(default_factory=lambda: {"level": 3, "write_content_size": True})
    index_frame: bytes | None = None
    trailer: dict[str, int] = field(default_factory=dict)

    def raw_index(self) -> bytes:
        text = json.dumps(self.metadata).encode() if self.json_text is None else self.json_text
        lengths = [len(frame) for frame in self.frames] if self.lengths is None else self.lengths
        digests = [xxhash.xxh3_64_intdigest(frame) for frame in self.frames] if self.digests is None else self.digests
        table = struct.pack(f"<{len(lengths)}I", *lengths) + struct.pack(f"<{len(digests)}Q", *digests)
        return struct.pack("<Q", len(text)) + text + table + self.index_tail

    def pack(self) -> bytes:
        fields = (b"\x89PWT\r\n\x1a\n", *self.version, self.reserved, self.required, self.optional)
        header = struct.pack("<8sHHIQQ", *fields)
        header += struct.pack("<Q", xxhash.xxh3_64_intdigest(header))
        body, raw = b"".join(self.frames), self.raw_index()
        stored = self.index_frame
        if stored is None:
            stored = zstandard.ZstdCompressor(**self.index_zstd).compress(raw)
        where = {"offset": len(header) + len(body), "stored": len(stored), "raw": len(raw)} | self.trailer
        trailer = struct.pack("<4Q", where["offset"], where["stored"], where["raw"], xxhash.xxh3_64_intdigest(stored))
        trailer += struct.pack("<Q", xxhash.xxh3_64_intdigest(trailer)) + b"PWTEND\r\n"
        return header + body + stored + trailer


def tensor(name: str, dtype: str, shape: Sequence[int], raw: bytes) -> dict[str, Any]:
    digest = xxhash.xxh3_128_hexdigest(raw)
    return {"name": name, "dtype": dtype, "shape": list(shape), "n_bytes": len(raw), "xxh3_128": digest}


def describe(
    segments: Sequence[dict[str, Any]], raws: Sequence[bytes], block_bytes: int, side: Sequence[int] = ()
) -> dict[str, Any]:
    """The JSON of the index; `side`: decoded bytes of each side frame."""
    original = b"".join(raws)
    gaps = b"".join(raw for segment, raw in zip(segments, raws, strict=True) if "name" not in segment)
    return {
        "encoder": "spec_encoder",
        "preset": "none",
        "plans": {},
        "fidelity": "lossless",
        "source": "opaque",
        "n_bytes": len(original),
        "sha256": hashlib.sha256(original).hexdigest(),
        "gaps_xxh3_128": xxhash.xxh3_128_hexdigest(gaps),
        "block_bytes": block_bytes,
        "side": list(side),
        "segments": list(segments),
    }


def one_frame(frame: bytes, data: bytes, side: Sequence[bytes] = ()) -> Container:
    """A container of one gap in one block of any size that a block can have; side frames are stored."""
    block_bytes = min(524_288, max(1_024, -(-len(data) // 256) * 256))
    metadata = describe([{"n_bytes": len(data)}], [data], block_bytes, [*map(len, side)])
    return Container([frame, *map(store, side)], metadata)


def safetensors_file(tensors: Sequence[tuple[str, str, Sequence[int], bytes]], pad: int = 0) -> bytes:
    """(name, dtype, shape, raw) of each tensor, in the order of the file."""
    header, at = {}, 0
    for name, dtype, shape, raw in tensors:
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + len(raw)]}
        at += len(raw)
    text = json.dumps(header).encode() + b" " * pad
    return struct.pack("<Q", len(text)) + text + b"".join(raw for *_, raw in tensors)
