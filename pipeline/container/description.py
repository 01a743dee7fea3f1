"""The description: what the frames hold, said before the first of them for `salvage`. docs/format.md 1.6."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

import xxhash

from pennyweight.errors import CorruptError
from pennyweight.pipeline.container import limits
from pennyweight.pipeline.container.index import Description, GapRecord, Index, parse
from pennyweight.pipeline.container.layout import HEADER_BYTES
from pennyweight.pipeline.container.zipped import unzip, zip_raw
from pennyweight.pipeline.files import Reader

_HEAD: Final = struct.Struct("<IIQ")


class Packed(NamedTuple):
    """The part of the container, and the digest that names it: XXH3-64 of its stored JSON."""

    part: bytes
    xxh3_64: int


def pack_description(description: Description) -> Packed:
    """As it stands behind the header."""
    raw = description.model_dump_json().encode()
    stored = zip_raw(raw)
    digest = xxhash.xxh3_64_intdigest(stored)
    return Packed(_HEAD.pack(len(stored), len(raw), digest) + stored, digest)


def read_description(file: Reader) -> tuple[Description, Packed]:
    """That of a container, whatever else of it is damaged. Raises CorruptError."""
    try:
        part = file.pread(HEADER_BYTES, max(0, min(file.size - HEADER_BYTES, _HEAD.size)))
        if len(part) < _HEAD.size:
            raise CorruptError("description: truncated")
        n_stored, n_raw, digest = _HEAD.unpack(part)
        at = HEADER_BYTES + _HEAD.size
        if max(n_stored, n_raw) > limits.MAX_JSON_BYTES:
            raise CorruptError("description: larger than 32 MiB")
        if n_stored > file.size - at:
            raise CorruptError("description: truncated")
        stored = file.pread(at, n_stored)
        if xxhash.xxh3_64_intdigest(stored) != digest:
            raise CorruptError("description: checksum does not match")
        return parse(Description, unzip(stored, n_raw, "description"), "description"), Packed(part + stored, digest)
    except CorruptError as error:
        raise CorruptError(error.reason, offset=HEADER_BYTES) from None


def description_of(index: Index) -> Description:
    """What it must say if the index is right."""
    segments = tuple(segment if isinstance(segment, GapRecord) else segment.described for segment in index.segments)
    return Description(n_bytes=index.n_bytes, block_bytes=index.block_bytes, side=index.side, segments=segments)


def check_description(file: Reader, index: Index) -> CorruptError | None:
    """What is wrong with that of a container whose index is sound."""
    try:
        description, packed = read_description(file)
    except CorruptError as error:
        return error
    same = (len(packed.part), f"{packed.xxh3_64:016x}") == (index.description_bytes, index.description_xxh3_64)
    if not same or description != description_of(index):
        return CorruptError("description: does not agree with the index", offset=HEADER_BYTES)
    return None
