"""The second decoder's view of the index: sections 1.3 to 1.5 of docs/format.md, as clear and strict as the rest."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

import numpy as np
from spec_wire import Cursor, SpecError, need

MAX_JSON_BYTES = 32 << 20


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
    "segments", "description_bytes", "description_xxh3_64",
}  # fmt: skip
TENSOR_KEYS = {"name", "dtype", "shape", "n_bytes", "xxh3_128"}


def split_index(index: bytes) -> tuple[dict[str, Any], list[int], list[int], list[int]]:
    """The checked JSON, the length and the digest of each frame, and the number of frames in each batch."""
    fields = Cursor(index)
    n_text = fields.fixed(8)
    need(n_text <= MAX_JSON_BYTES, "JSON of the index too large")
    metadata = parse_json(fields.take(n_text))
    check_metadata(metadata)
    n = sum(count for count, _ in equal_blocks(metadata["segments"], metadata["block_bytes"])) + len(metadata["side"])
    lengths = np.frombuffer(fields.take(4 * n), "<u4").tolist()
    digests = np.frombuffer(fields.take(8 * n), "<u8").tolist()
    need(fields.left() % 4 == 0, "batches")
    batches = np.frombuffer(fields.rest(), "<u4").tolist()
    need(sum(batches) == n and all(1 <= batch <= 512 for batch in batches), "batches")
    return metadata, lengths, digests, batches


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
    need(
        is_count(metadata["description_bytes"]) and metadata["description_bytes"] <= MAX_JSON_BYTES, "description_bytes"
    )
    need(is_hex(metadata["description_xxh3_64"], 16), "description_xxh3_64")
    block_bytes, segments = metadata["block_bytes"], metadata["segments"]
    need(is_count(block_bytes) and block_bytes % 256 == 0 and 1_024 <= block_bytes <= 2_097_152, "block_bytes")
    check_side(metadata["side"])
    need(isinstance(segments, list) and len(segments) <= 1_000_000, "segments")
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
