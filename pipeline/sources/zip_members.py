"""Where the stored members of a zip file lie. Nothing is inflated.

A file is a zip here only if it begins and ends as one and its directory agrees with itself and with the header before
each stored member: no reader of another habit shall see other members than we do. Zip64 is read; what stands before or
behind the archive, and archives in several parts, are not.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from pennyweight.pipeline.files import Reader
from pennyweight.pipeline.sources.glimpse import Glimpse

MAX_DIRECTORY_BYTES: Final = 64 << 20
_MAX_COMMENT: Final = 65_535

_LOCAL: Final = struct.Struct("<4s2xHH8xIIHH")  # flags, method, stored bytes, raw bytes, bytes of name and of extra
_CENTRAL: Final = struct.Struct("<4s4xHH8xIIHHH8xI")  # the same, bytes of the comment, offset of the local header
_END: Final = struct.Struct("<4sHHHHIIH")  # disks, entries, bytes and offset of the directory, bytes of the comment
_LOCATOR: Final = struct.Struct("<4s4xQ4x")
_END64: Final = struct.Struct("<4s20xQQQQ")  # entries, entries, bytes and offset of the directory
_FIELD: Final = struct.Struct("<HH")

_ENCRYPTED: Final = 0x2041  # bits: the data, strongly, the directory
_STREAMED: Final = 0x0008  # sizes stand behind the data, and here too or 0
_ESCAPE: Final = 0xFFFFFFFF  # the number is in the Zip64 field
_ZIP64: Final = 1


class Extent(NamedTuple):
    """Bytes of the file."""

    offset: int
    n_bytes: int


class _Lie(ValueError):
    """The directory breaks a rule."""


def stored_members(
    file: Reader, begin: int = 0, end: int | None = None, *, holding: bytes = b""
) -> dict[str, Extent] | None:
    """The data of each stored member by name, in the order of the directory.

    None if the bytes begin <= byte < end of the file are not a zip file; offsets are those of the whole file.
    holding: what the directory must name, or it is None at once: zips of 100,000 members are of several formats.
    """
    end = file.size if end is None else end
    if end - begin < _END.size or file.pread(begin, 4) != b"PK\3\4":
        return None
    try:
        directory = _directory(file, begin, end)
        listed = file.pread(*directory)
        if holding not in listed:
            return None
        entries = list(_entries(listed))
        glimpse = Glimpse(file)
        found = {name.decode(): _data(glimpse, name, begin + at, n, directory.offset) for name, at, n in entries}
    except (ValueError, struct.error):  # of ours, of UTF-8
        return None
    return found if len(found) == len(entries) else None


def last_archive(file: Reader, end: int) -> int | None:
    """Where the archive with an end of Zip64 and without a comment begins that ends at byte `end`, by what it says."""
    n_ends = _END64.size + _LOCATOR.size + _END.size
    if end < n_ends:
        return None
    ends = file.pread(end - n_ends, n_ends)
    locator, last = ends[_END64.size : -_END.size], ends[-_END.size :]
    begin = end - n_ends - int(_LOCATOR.unpack(locator)[1])
    signed = ends.startswith(b"PK\6\6") and locator.startswith(b"PK\6\7") and last.startswith(b"PK\5\6")
    return begin if signed and begin >= 0 else None


def _directory(file: Reader, begin: int, end: int) -> Extent:
    """The central directory."""
    n_tail = min(end - begin, _MAX_COMMENT + _END.size + _LOCATOR.size)
    tail = file.pread(end - n_tail, n_tail)
    at = tail.rfind(b"PK\5\6", 0, len(tail) - _END.size + 4)
    if at < 0:
        raise _Lie("no end")
    _, disk, first, n, total, n_bytes, offset, n_comment = _END.unpack_from(tail, at)
    if disk or first or n != total or at + _END.size + n_comment != len(tail):
        raise _Lie("several parts, or something behind the end")
    behind = end - n_tail + at - begin  # the directory, from `begin` on
    if at >= _LOCATOR.size and tail[at - _LOCATOR.size : at].startswith(b"PK\6\7"):
        behind -= _LOCATOR.size + _END64.size
        if _LOCATOR.unpack_from(tail, at - _LOCATOR.size)[1] != behind:
            raise _Lie("the end of Zip64 is not before its locator")
        signature, n, total, n_bytes, offset = _END64.unpack(file.pread(begin + behind, _END64.size))
        if signature != b"PK\6\6" or n != total:
            raise _Lie("no end of Zip64")
    if n_bytes > MAX_DIRECTORY_BYTES or offset + n_bytes != behind or n * _CENTRAL.size > n_bytes:
        raise _Lie("the directory is not where it must be")
    return Extent(begin + offset, n_bytes)


def _entries(directory: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name, offset of the local header and bytes of each stored member; the others are passed over."""
    at = 0
    while at < len(directory):
        signature, flags, method, stored, raw, n_name, n_extra, n_comment, offset = _CENTRAL.unpack_from(directory, at)
        name = at + _CENTRAL.size
        extra = name + n_name
        at = extra + n_extra + n_comment
        if signature != b"PK\1\2" or at > len(directory):
            raise _Lie("no entry where one must be")
        if _ESCAPE in (raw, stored, offset):
            raw, stored, offset = _widened(directory[extra : extra + n_extra], raw, stored, offset)
        if method or flags & _ENCRYPTED:
            continue
        if stored != raw:
            raise _Lie("stored, but of another size")
        yield directory[name:extra], offset, stored


def _widened(extra: bytes, *numbers: int) -> Iterator[int]:
    """Numbers too large for 32 bits from the field of Zip64."""
    at = 0
    kind, n_field = _FIELD.unpack_from(extra)
    while kind != _ZIP64:
        at += _FIELD.size + n_field
        kind, n_field = _FIELD.unpack_from(extra, at)
    at += _FIELD.size
    for number in numbers:
        if number == _ESCAPE:
            number = int.from_bytes(extra[at : at + 8], "little")
            at += 8
        yield number
    if at > len(extra):
        raise _Lie("the field of Zip64 is too short")


def _data(glimpse: Glimpse, name: bytes, offset: int, n_bytes: int, end: int) -> Extent:
    """Behind the local header, which must tell of the same member. All data lies before `end`."""
    header = glimpse.read(offset, _LOCAL.size + len(name))
    signature, flags, method, stored, raw, n_name, n_extra = _LOCAL.unpack_from(header)
    sizes = (n_bytes, _ESCAPE, 0 if flags & _STREAMED else n_bytes)
    if signature != b"PK\3\4" or method or flags & _ENCRYPTED or stored not in sizes or raw not in sizes:
        raise _Lie("the local header says something else")
    if n_name != len(name) or header[_LOCAL.size :] != name:
        raise _Lie("another name")
    begin = offset + _LOCAL.size + n_name + n_extra
    if begin + n_bytes > end:
        raise _Lie("it goes on into the directory")
    return Extent(begin, n_bytes)
