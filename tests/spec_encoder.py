"""Writes containers from docs/format.md alone: what stands around the frames of spec_nodes.py."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import xxhash
import zstandard
from spec_nodes import node, store

__all__ = [
    "Container", "cut", "describe", "description_of", "marker", "node", "one_frame", "safetensors_file", "store",
    "tensor",
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
    """A container in pieces; `pack` puts right every digest and length that is not given. Tests of lies set them.

    Frames are in the order of the file, those at the side first; so are `lengths` and `digests`, which index and
    markers say. `batches` are the frames behind each marker, by default `batch` each; frames of no batch stand behind
    the last. `description` are keys that differ in it, and `markers` changes those of that number.
    """

    frames: list[bytes]
    metadata: dict[str, Any]
    version: tuple[int, int] = (1, 0)
    reserved: int = 0
    required: int = 0
    optional: int = 0
    description: dict[str, Any] = field(default_factory=dict)
    description_text: bytes | None = None
    description_zstd: dict[str, Any] = field(default_factory=lambda: {"level": 3})
    description_frame: bytes | None = None
    description_sizes: tuple[int, int] | None = None
    description_digest: int | None = None
    batch: int = 512
    batches: list[int] | None = None
    markers: dict[int, Callable[[bytes], bytes]] = field(default_factory=dict)
    lengths: list[int] | None = None
    digests: list[int] | None = None
    json_text: bytes | None = None
    index_tail: bytes = b""
    index_zstd: dict[str, Any] = field(default_factory=lambda: {"level": 3, "write_content_size": True})
    index_frame: bytes | None = None
    trailer: dict[str, int] = field(default_factory=dict)

    def said_lengths(self) -> list[int]:
        return [*map(len, self.frames)] if self.lengths is None else self.lengths

    def said_digests(self) -> list[int]:
        return [*map(xxhash.xxh3_64_intdigest, self.frames)] if self.digests is None else self.digests

    def said_batches(self) -> list[int]:
        n = len(self.said_lengths())
        equal = [min(self.batch, n - at) for at in range(0, n, self.batch)]
        return equal if self.batches is None else self.batches

    def described(self) -> tuple[bytes, int]:
        """The description, and its digest."""
        raw = self.description_text
        if raw is None:
            raw = json.dumps(description_of(self.metadata) | self.description).encode()
        stored = self.description_frame
        if stored is None:
            stored = zstandard.ZstdCompressor(**self.description_zstd).compress(raw)
        sizes = self.description_sizes or (len(stored), len(raw))
        digest = xxhash.xxh3_64_intdigest(stored) if self.description_digest is None else self.description_digest
        return struct.pack("<IIQ", *sizes, digest) + stored, digest

    def whole_metadata(self) -> dict[str, Any]:
        """And what is said of the description, where nothing is."""
        description, digest = self.described()
        return {"description_bytes": len(description), "description_xxh3_64": f"{digest:016x}"} | self.metadata

    def raw_index(self) -> bytes:
        text = json.dumps(self.whole_metadata()).encode() if self.json_text is None else self.json_text
        tables = b"".join(
            struct.pack(f"<{len(column)}{kind}", *column)
            for column, kind in ((self.said_lengths(), "I"), (self.said_digests(), "Q"), (self.said_batches(), "I"))
        )
        return struct.pack("<Q", len(text)) + text + tables + self.index_tail

    def body(self, description: int) -> Iterator[bytes]:
        """Markers and frames."""
        lengths, digests, at = self.said_lengths(), self.said_digests(), 0
        for number, n in enumerate(self.said_batches()):
            held = lengths[at : at + n], digests[at : at + n]
            yield self.markers.get(number, bytes)(marker(description, at, *held))
            yield from self.frames[at : at + n]
            at += n
        yield from self.frames[at:]

    def pack(self) -> bytes:
        fields = (b"\x89PWT\r\n\x1a\n", *self.version, self.reserved, self.required, self.optional)
        header = struct.pack("<8sHHIQQ", *fields)
        header += struct.pack("<Q", xxhash.xxh3_64_intdigest(header))
        description, digest = self.described()
        front = header + description + b"".join(self.body(digest))
        raw, stored = self.raw_index(), self.index_frame
        if stored is None:
            stored = zstandard.ZstdCompressor(**self.index_zstd).compress(raw)
        where = {"offset": len(front), "stored": len(stored), "raw": len(raw)} | self.trailer
        trailer = struct.pack("<4Q", where["offset"], where["stored"], where["raw"], xxhash.xxh3_64_intdigest(stored))
        trailer += struct.pack("<Q", xxhash.xxh3_64_intdigest(trailer)) + b"PWTEND\r\n"
        return front + stored + trailer


def description_of(metadata: dict[str, Any]) -> dict[str, Any]:
    """What stands in the description: section 1.6. Of whatever the index says, lies too."""
    said = {key: metadata[key] for key in ("n_bytes", "block_bytes", "side", "segments") if key in metadata}
    if isinstance(said.get("segments"), list):
        said["segments"] = [
            {key: value for key, value in one.items() if key != "xxh3_128"} if isinstance(one, dict) else one
            for one in said["segments"]
        ]
    return said


def marker(description: int, first: int, lengths: Sequence[int], digests: Sequence[int]) -> bytes:
    """Section 1.7."""
    n = len(lengths)
    made = struct.pack("<8sQQI", b"\x89PWM\r\n\x1a\n", description, first, n)
    made += struct.pack(f"<{n}I{n}Q", *lengths, *digests)
    return made + struct.pack("<Q", xxhash.xxh3_64_intdigest(made))


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
    return Container([*map(store, side), frame], metadata)


def safetensors_file(tensors: Sequence[tuple[str, str, Sequence[int], bytes]], pad: int = 0) -> bytes:
    """(name, dtype, shape, raw) of each tensor, in the order of the file."""
    header, at = {}, 0
    for name, dtype, shape, raw in tensors:
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + len(raw)]}
        at += len(raw)
    text = json.dumps(header).encode() + b" " * pad
    return struct.pack("<Q", len(text)) + text + b"".join(raw for *_, raw in tensors)
