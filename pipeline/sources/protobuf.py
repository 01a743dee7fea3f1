"""The fields of a protobuf message: keys and where their contents lie. Only keys, lengths and names are read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pennyweight.pipeline.files import Reader

MAX_FIELDS: Final = 4_000_000
"""Of a file, which is some three seconds; 500,000 tensors have as many."""

VARINT, BYTES = 0, 2
"""Wire types, which are the low three bits of a key."""

Field = tuple[int, int, int, int]
"""Its key; of a varint its value, or the bytes of its contents; where they begin and end. A tuple without names: there
are many."""

_FIXED: Final = {1: 8, 5: 4}
_AT_ONCE: Final = 16384
_MAX_VARINT: Final = 10


class BadWire(ValueError):
    """No protobuf, or too much of it."""


class Messages:
    """Walks messages of one file, each by its place. Counts the fields of all of them."""

    def __init__(self, file: Reader) -> None:
        self._file = file
        self._left = MAX_FIELDS
        self._begin, self._held = 0, b""

    def fields(self, begin: int, end: int) -> Iterator[Field]:
        """Those of the message at begin <= offset < end, in order. BadWire when a place is reached where it is none."""
        at = begin
        while at < end:
            self._left -= 1
            if self._left < 0:
                raise BadWire("too many fields")
            held, i = self._held, at - self._begin
            # Most keys are of one byte, and most lengths of one or two
            if 0 <= i < len(held) - 2 and (key := held[i]) < 0x80 and not key & 5:
                value = held[i + 1]
                at += 2
                if value > 0x7F:
                    if held[i + 2] < 0x80:
                        value += (held[i + 2] << 7) - 0x80
                        at += 1
                    else:
                        value, at = self._varint(at - 1)
            else:
                key, at = self._varint(at)
                value, at = (_FIXED[key & 7], at) if key & 7 in _FIXED else self._varint(at)
            contents = at
            if key & 7:
                if key & 7 not in (BYTES, *_FIXED):
                    raise BadWire("a group, or no wire type")
                at += value
            if key < 8:
                raise BadWire("a field without a number")
            if at > end:
                raise BadWire("a field goes on behind its message")
            yield key, value, contents, at

    def varints(self, begin: int, end: int) -> Iterator[int]:
        """Packed ones."""
        at = begin
        while at < end:
            value, at = self._varint(at)
            yield value
        if at > end:
            raise BadWire("a number goes on behind its field")

    def text(self, begin: int, end: int, max_bytes: int) -> str:
        """BadWire if it is longer; UnicodeDecodeError."""
        if end - begin > max_bytes:
            raise BadWire("a long name")
        at = begin - self._begin
        if at < 0 or end - self._begin > len(self._held):
            return self._file.pread(begin, end - begin).decode()
        return self._held[at : at + end - begin].decode()

    def _varint(self, offset: int) -> tuple[int, int]:
        """The number at that offset, and the offset behind it."""
        at = offset - self._begin
        if at < 0 or at + _MAX_VARINT > len(self._held):
            self._held = self._file.pread(offset, max(0, min(_AT_ONCE, self._file.size - offset)))
            self._begin, at = offset, 0
        value = 0
        for i, byte in enumerate(self._held[at : at + _MAX_VARINT]):
            value |= (byte & 0x7F) << 7 * i
            if byte < 0x80:
                return value, offset + i + 1
        raise BadWire("a number without an end")
