"""Header and trailer as bytes: docs/format.md 1.1 and 1.2."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

import xxhash

from pennyweight.errors import CorruptError, VersionError
from pennyweight.pipeline.container.limits import MAX_INDEX_BYTES

MAGIC: Final = b"\x89PWT\r\n\x1a\n"
END_MAGIC: Final = b"PWTEND\r\n"
VERSION: Final = (1, 0)
LOSSY: Final = 1 << 0
KNOWN_FEATURES: Final = LOSSY
_READS: Final = ".".join(map(str, VERSION))

_HEADER: Final = struct.Struct("<8sHHIQQ")
_TRAILER: Final = struct.Struct("<QQQQ")
_CHECKSUM: Final = struct.Struct("<Q")
HEADER_BYTES: Final = _HEADER.size + _CHECKSUM.size
TRAILER_BYTES: Final = _TRAILER.size + _CHECKSUM.size + len(END_MAGIC)


class Trailer(NamedTuple):
    """Where the index is. Sizes and offset in bytes."""

    offset: int
    stored: int
    raw: int
    xxh3_64: int


def pack_header(*, lossy: bool) -> bytes:
    """The first 40 bytes of a container."""
    head = _HEADER.pack(MAGIC, *VERSION, 0, LOSSY if lossy else 0, 0)
    return head + _CHECKSUM.pack(xxhash.xxh3_64_intdigest(head))


def unpack_header(data: bytes) -> int:
    """Check the header and return its required features.

    Raises:
        CorruptError: not a container, or a damaged one.
        VersionError: sound, but of another version or with an unknown feature.
    """
    if not data or not MAGIC.startswith(data[: len(MAGIC)]):
        raise CorruptError("not a Pennyweight container", offset=0)
    if len(data) < HEADER_BYTES:
        raise CorruptError("header: truncated", offset=len(data))
    (checksum,) = _CHECKSUM.unpack_from(data, _HEADER.size)
    if xxhash.xxh3_64_intdigest(data[: _HEADER.size]) != checksum:
        raise CorruptError("header: checksum does not match", offset=0)
    _, major, minor, reserved, required, _ = _HEADER.unpack_from(data)
    if (major, minor) != VERSION:
        word = "new" if (major, minor) > VERSION else "old"
        raise VersionError(f"container is too {word}: it needs format {major}.{minor}, this package reads {_READS}")
    if unknown := required & ~KNOWN_FEATURES:
        raise VersionError(f"container is too new: it needs features {unknown:#x}, which are not in format {_READS}")
    if reserved:
        raise CorruptError("header: reserved field is not 0", offset=12)
    return int(required)


def pack_trailer(trailer: Trailer) -> bytes:
    """The last 48 bytes of a container."""
    tail = _TRAILER.pack(*trailer)
    return tail + _CHECKSUM.pack(xxhash.xxh3_64_intdigest(tail)) + END_MAGIC


def unpack_trailer(data: bytes, file_bytes: int) -> Trailer:
    """Check the trailer of a container of `file_bytes`, so that its numbers can be used. Raises CorruptError."""
    at = file_bytes - TRAILER_BYTES
    if len(data) < TRAILER_BYTES or at < HEADER_BYTES:
        raise CorruptError("truncated: no trailer", offset=file_bytes)
    trailer = parse_trailer(data, at)
    if trailer.offset < HEADER_BYTES or trailer.offset + trailer.stored != at:
        raise CorruptError("trailer: the index does not end at the trailer", offset=at)
    return trailer


def parse_trailer(data: bytes, at: int) -> Trailer:
    """The 48 bytes of one that is at `at`, wherever it says that the index is. Raises CorruptError."""
    if data[-len(END_MAGIC) :] != END_MAGIC:
        raise CorruptError("trailer: end magic not found, the file is truncated or something follows it", offset=at)
    (checksum,) = _CHECKSUM.unpack_from(data, _TRAILER.size)
    if xxhash.xxh3_64_intdigest(data[: _TRAILER.size]) != checksum:
        raise CorruptError("trailer: checksum does not match", offset=at)
    trailer = Trailer(*_TRAILER.unpack_from(data))
    if max(trailer.stored, trailer.raw) > MAX_INDEX_BYTES:
        raise CorruptError("trailer: the index is larger than 64 MiB", offset=at)
    return trailer
