"""A second decoder, written from docs/format.md and the stage pages alone: the proof that they suffice.

Numbers in the headings are the sections of format.md; the stages are in spec_stages.py. It is clear rather than fast,
checks every *must*, and imports nothing of the package. Reasons are short: the first rule that is broken.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

import numpy as np
import xxhash
from spec_entropy import unzstd, zstd_extent
from spec_stages import STAGES
from spec_wire import Cursor, OtherVersionError, Side, SpecError, need

__all__ = ["OtherVersionError", "SpecError", "decode", "decode_frame", "read_index", "split_index"]


# 1. Layout


VERSION = (0, 2)
HEADER_BYTES, TRAILER_BYTES = 40, 48
MAX_INDEX_BYTES = 64 << 20
LOSSY = 1


def xxh3_64(data: bytes) -> int:
    return xxhash.xxh3_64_intdigest(data)


def decode(container: bytes) -> bytes:
    """The original file, after all checks of the level `full`."""
    features = check_header(container)
    offset, index = read_index(container)
    metadata, lengths, digests = split_index(index)
    need(sum(lengths) == offset - HEADER_BYTES, "frame lengths do not add up")
    need((metadata["fidelity"] == "lossy") == bool(features & LOSSY), "fidelity and feature bit differ")

    frames, each = Cursor(container[HEADER_BYTES:offset]), zip(lengths, digests, strict=True)
    stored = []
    for length, digest in each:
        stored.append(frames.take(length))
        need(xxh3_64(stored[-1]) == digest, "frame digest")
    blocks = block_sizes(metadata["segments"], metadata["block_bytes"])
    side = [decode_frame(*one) for one in zip(stored[len(blocks) :], metadata["side"], strict=True)]
    original = Cursor(b"".join(decode_frame(*one, side) for one in zip(stored, blocks, strict=False)))

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


# 1.3 Index


DTYPE_BITS = {
    "BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32,
    "C64": 64, "F64": 64, "I64": 64, "U64": 64,
}  # fmt: skip

CELLS = {
    "Q4_0": (32, 18), "Q4_1": (32, 20), "Q5_0": (32, 22), "Q5_1": (32, 24), "Q8_0": (32, 34), "Q2_K": (256, 84),
    "Q3_K": (256, 110), "Q4_K": (256, 144), "Q5_K": (256, 176), "Q6_K": (256, 210), "IQ4_NL": (32, 18),
    "IQ4_XS": (256, 136), "MXFP4": (32, 17), "TQ1_0": (256, 54), "TQ2_0": (256, 66),
}  # fmt: skip
"""Weights and bytes of a cell."""

INDEX_KEYS = {
    "encoder", "preset", "plans", "fidelity", "source", "n_bytes", "sha256", "gaps_xxh3_128", "block_bytes", "side",
    "segments",
}  # fmt: skip
TENSOR_KEYS = {"name", "dtype", "shape", "n_bytes", "xxh3_128"}


def split_index(index: bytes) -> tuple[dict[str, Any], list[int], list[int]]:
    """The checked JSON, the length of each frame, and the digest of each frame."""
    fields = Cursor(index)
    metadata = parse_json(fields.take(fields.fixed(8)))
    check_metadata(metadata)
    n = sum(count for count, _ in equal_blocks(metadata["segments"], metadata["block_bytes"])) + len(metadata["side"])
    lengths = np.frombuffer(fields.take(4 * n), "<u4").tolist()
    digests = np.frombuffer(fields.take(8 * n), "<u8").tolist()
    fields.end("index")
    return metadata, lengths, digests


def parse_json(text: bytes) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = dict(pairs)
        need(len(keys) == len(pairs), "duplicate key")
        need(len(keys) <= 256, "more than 256 keys")
        return keys

    def refuse(constant: str) -> NoReturn:
        raise SpecError(f"{constant} in the JSON")

    try:
        parsed = json.loads(text.decode(), object_pairs_hook=once, parse_constant=refuse)
        json.dumps(parsed, ensure_ascii=False).encode()  # escapes of lone surrogates are no UTF-8
    except (ValueError, RecursionError) as error:
        raise SpecError("JSON of the index") from error
    return parsed


def is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def is_hex(value: object, digits: int) -> bool:
    return isinstance(value, str) and len(value) == digits and set(value) <= set("0123456789abcdef")


def check_metadata(metadata: Any) -> None:
    need(isinstance(metadata, dict) and set(metadata) == INDEX_KEYS, "keys of the index")
    need(all(isinstance(metadata[key], str) for key in ("encoder", "preset", "source")), "a string of the index")
    need(isinstance(metadata["plans"], dict), "plans")
    for plans in metadata["plans"].values():
        need(isinstance(plans, list) and all(isinstance(plan, str) for plan in plans), "plans")
    need(metadata["fidelity"] in ("lossless", "lossy"), "fidelity")
    need(metadata["sha256"] is None or is_hex(metadata["sha256"], 64), "sha256")
    need(is_hex(metadata["gaps_xxh3_128"], 32), "gaps_xxh3_128")
    block_bytes, segments = metadata["block_bytes"], metadata["segments"]
    need(is_count(block_bytes) and block_bytes % 256 == 0 and 1_024 <= block_bytes <= 2_097_152, "block_bytes")
    check_side(metadata["side"])
    need(isinstance(segments, list) and len(segments) <= 10_000_000, "segments")
    for segment in segments:
        check_segment(segment)
    names = [segment["name"] for segment in segments if "name" in segment]
    need(len(set(names)) == len(names), "duplicate names")
    need(is_count(metadata["n_bytes"]), "n_bytes")
    need(sum(segment["n_bytes"] for segment in segments) == metadata["n_bytes"], "segments do not add up")


def check_segment(segment: Any) -> None:
    need(isinstance(segment, dict) and is_count(segment.get("n_bytes")), "segment")
    if set(segment) == {"n_bytes"}:
        need(segment["n_bytes"] > 0, "empty gap")
        return
    need(set(segment) == TENSOR_KEYS, "keys of a tensor")
    need(isinstance(segment["name"], str) and len(segment["name"].encode()) <= 4_096, "name")
    dtype = segment["dtype"]
    need(isinstance(dtype, str) and (dtype in DTYPE_BITS or dtype in CELLS), "dtype")
    shape = segment["shape"]
    need(isinstance(shape, list) and len(shape) <= 64 and all(map(is_count, shape)), "shape")
    n = 1
    for dimension in shape:
        n *= dimension
    weights, cell_bytes = CELLS.get(dtype, (1, 0))
    need(n % weights == 0, "weights do not fill cells")
    bits = DTYPE_BITS.get(dtype, 8 * cell_bytes)
    need(n // weights * bits == 8 * segment["n_bytes"], "shape and n_bytes differ")
    need(is_hex(segment["xxh3_128"], 32), "xxh3_128")


# 1.4 Blocks


def equal_blocks(segments: Iterable[dict[str, Any]], block_bytes: int) -> Iterator[tuple[int, int]]:
    """(how many, bytes of each), in order: never longer than the segments, whatever these claim."""
    joined = n_joined = 0
    run_bytes = min(block_bytes, 524_288)
    for segment in segments:
        n_bytes = segment["n_bytes"]
        if not n_bytes:
            continue
        small = 4 * n_bytes <= run_bytes
        if n_joined and not (small and n_joined < 1_024 and joined + n_bytes <= run_bytes):
            yield 1, joined
            joined = n_joined = 0
        if small:
            joined, n_joined = joined + n_bytes, n_joined + 1
            continue
        cut = block_bytes - block_bytes % CELLS.get(segment.get("dtype", ""), (1, 1))[1]
        whole, remainder = divmod(n_bytes, cut)
        if remainder and (2 * remainder >= cut or not whole):
            yield from ((whole, cut), (1, remainder))
        else:
            yield from ((whole - 1, cut), (1, cut + remainder))
    if n_joined:
        yield 1, joined


def block_sizes(segments: Iterable[dict[str, Any]], block_bytes: int) -> list[int]:
    return [size for count, size in equal_blocks(segments, block_bytes) for _ in range(count)]


# 1.5 Side frames


def check_side(side: Any) -> None:
    need(isinstance(side, list) and len(side) <= 1_000_000 and all(map(is_count, side)), "side")
    need(all(1 <= size <= 1 << 20 for size in side), "size of a side frame")
    need(sum(side) <= 64 << 20, "side frames of more than 64 MiB")


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
