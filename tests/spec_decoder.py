"""A second decoder, written from docs/format.md and the stage pages alone: the proof that they suffice.

Numbers in the headings are the sections of format.md; 1.3 to 1.5 are in spec_index.py, the stages in spec_stages.py. It
is clear rather than fast, checks every *must*, and imports nothing of the package. Reasons are short: the first rule
that is broken.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import xxhash
from spec_entropy import unzstd, zstd_extent
from spec_index import MAX_JSON_BYTES, block_sizes, parse_json, split_index
from spec_stages import STAGES
from spec_wire import Cursor, OtherVersionError, Side, SpecError, need

__all__ = ["OtherVersionError", "SpecError", "decode", "decode_frame", "read_frames", "read_index", "split_index"]


# 1. Layout


VERSION = (1, 0)
HEADER_BYTES, TRAILER_BYTES = 40, 48
MAX_INDEX_BYTES = 64 << 20
LOSSY = 1


def xxh3_64(data: bytes) -> int:
    return xxhash.xxh3_64_intdigest(data)


def decode(container: bytes) -> bytes:
    """The original file, after all checks of the level `full`."""
    metadata, stored = read_frames(container)
    n_side = len(metadata["side"])
    side = [decode_frame(*one) for one in zip(stored[:n_side], metadata["side"], strict=True)]
    blocks = block_sizes(metadata["segments"], metadata["block_bytes"])
    original = Cursor(b"".join(decode_frame(*one, side) for one in zip(stored[n_side:], blocks, strict=True)))

    gaps = bytearray()
    for segment in metadata["segments"]:
        raw = original.take(segment["n_bytes"])
        if "name" in segment:
            need(xxhash.xxh3_128_hexdigest(raw) == segment["xxh3_128"], "tensor digest")
        else:
            gaps += raw
    need(xxhash.xxh3_128_hexdigest(bytes(gaps)) == metadata["gaps_xxh3_128"], "gaps digest")
    if metadata["sha256"] is not None:
        need(hashlib.sha256(original.data).hexdigest() == metadata["sha256"], "SHA-256 of the file")
    return original.data


def read_frames(container: bytes) -> tuple[dict[str, Any], list[bytes]]:
    """The JSON of the index, and all frames, those at the side first: all that can be checked without decoding them."""
    features = check_header(container)
    offset, index = read_index(container)
    metadata, lengths, digests, batches = split_index(index)
    need((metadata["fidelity"] == "lossy") == bool(features & LOSSY), "fidelity and feature bit differ")
    parts = Cursor(container[HEADER_BYTES:offset])
    description = check_description(parts.take(metadata["description_bytes"]), metadata)
    frames = read_batches(parts, description, lengths, digests, batches)
    for frame, digest in zip(frames, digests, strict=True):
        need(xxh3_64(frame) == digest, "frame digest")
    return metadata, frames


# 1.1 Header


def check_header(container: bytes) -> int:
    """The required features."""
    header = Cursor(container[:HEADER_BYTES])
    need(header.take(8) == b"\x89PWT\r\n\x1a\n", "not a container")
    need(len(container) >= HEADER_BYTES + TRAILER_BYTES, "truncated")
    need(xxh3_64(container[:32]) == int.from_bytes(container[32:40], "little"), "header checksum")
    version = header.fixed(2), header.fixed(2)
    if version != VERSION:
        raise OtherVersionError("too new" if version > VERSION else "too old")
    reserved, required = header.fixed(4), header.fixed(8)
    if required & ~LOSSY:
        raise OtherVersionError("too new: unknown required feature")
    need(reserved == 0, "reserved field of the header")
    return required


# 1.2 Trailer


def read_index(container: bytes) -> tuple[int, bytes]:
    """Offset of the index, and the raw index."""
    stored_trailer = container[-TRAILER_BYTES:]
    need(stored_trailer[40:] == b"PWTEND\r\n", "end magic")
    trailer = Cursor(stored_trailer)
    offset, stored_bytes, raw_bytes, digest, checksum = (trailer.fixed(8) for _ in range(5))
    need(xxh3_64(stored_trailer[:32]) == checksum, "trailer checksum")
    need(offset + stored_bytes + TRAILER_BYTES == len(container), "index is not where the trailer says")
    need(max(stored_bytes, raw_bytes) <= MAX_INDEX_BYTES, "index too large")
    need(offset >= HEADER_BYTES, "index inside the header")
    stored = container[offset:-TRAILER_BYTES]
    need(xxh3_64(stored) == digest, "index checksum")
    need(zstd_extent(stored).declared == raw_bytes, "content size of the index")
    return offset, unzstd(stored, raw_bytes)


# 1.6 Description


DESCRIPTION_KEYS = {"n_bytes", "block_bytes", "side", "segments"}


def check_description(description: bytes, metadata: dict[str, Any]) -> int:
    """Its digest."""
    fields = Cursor(description)
    stored_bytes, raw_bytes, digest = fields.fixed(4), fields.fixed(4), fields.fixed(8)
    need(max(stored_bytes, raw_bytes) <= MAX_JSON_BYTES, "description too large")
    stored = fields.take(stored_bytes)
    fields.end("description")
    need(xxh3_64(stored) == digest == int(metadata["description_xxh3_64"], 16), "description checksum")
    need(zstd_extent(stored).declared == raw_bytes, "content size of the description")
    without = [{key: one[key] for key in one if key != "xxh3_128"} for one in metadata["segments"]]
    expected = {key: metadata[key] for key in DESCRIPTION_KEYS} | {"segments": without}
    said = parse_json(unzstd(stored, raw_bytes))
    # as text, since 1 and 1.0 and true are equal
    need(json.dumps(said, sort_keys=True) == json.dumps(expected, sort_keys=True), "description and index differ")
    return digest


# 1.7 Batches and markers


def read_batches(
    parts: Cursor, description: int, lengths: list[int], digests: list[int], batches: list[int]
) -> list[bytes]:
    """The frames, which end where the index begins."""
    frames = list[bytes]()
    for n in batches:
        begin = len(frames)
        end = begin + n
        marker = b"\x89PWM\r\n\x1a\n" + description.to_bytes(8, "little") + begin.to_bytes(8, "little")
        marker += n.to_bytes(4, "little") + np.array(lengths[begin:end], "<u4").tobytes()
        marker += np.array(digests[begin:end], "<u8").tobytes()
        need(parts.take(len(marker)) == marker, "marker")
        need(parts.fixed(8) == xxh3_64(marker), "marker checksum")
        frames += [parts.take(length) for length in lengths[begin:end]]
    parts.end("batches")
    return frames


# 2. Frames


MAX_DEPTH = 8


def decode_frame(frame: bytes, size: int, side: Side = ()) -> bytes:
    return decode_node(frame, size, side, 1, 2 * size + 1024)


def decode_node(data: bytes, size: int, side: Side, depth: int, limit: int) -> bytes:
    need(len(data) <= limit and size <= limit, "a node is more than its block allows")
    need(depth <= MAX_DEPTH, "nodes nest too deep")
    node = Cursor(data)
    stage_id = node.varint()
    if stage_id not in STAGES:
        raise OtherVersionError(f"too new: stage {stage_id}")
    name, read_header = STAGES[stage_id]
    header = Cursor(node.take(node.varint()))
    if read_header is None:  # store, id 0: the one stage whose bytes are no parts
        header.end(name)
        need(node.left() == size, "store: size")
        return node.rest()
    stage = read_header(header, size, side)
    header.end(name)
    parts = []
    for number, part_size in enumerate(stage.sizes, 1):
        part = node.rest() if number == len(stage.sizes) else node.take(node.varint())
        parts.append(decode_node(part, part_size, side, depth + 1, limit))
    node.end(name)
    stream = stage.undo(parts)
    need(len(stream) == size, f"{name}: decoded size")
    return stream
