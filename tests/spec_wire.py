"""What every part of the spec decoder stands on: a walk over bytes, what a header says, and how a rule is checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple


class SpecError(Exception):
    """The container breaks a rule of the format."""


class OtherVersionError(SpecError):
    """The container needs another version or feature: it is not corrupt."""


def need(holds: object, reason: str) -> None:
    """Raise SpecError(reason) unless `holds`."""
    if not holds:
        raise SpecError(reason)


class Cursor:
    """A walk over bytes, front to back, that never leaves them."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def left(self) -> int:
        return len(self.data) - self.at

    def take(self, n: int) -> bytes:
        need(n <= self.left(), "truncated")
        self.at += n
        return self.data[self.at - n : self.at]

    def rest(self) -> bytes:
        return self.take(self.left())

    def fixed(self, n: int) -> int:
        return int.from_bytes(self.take(n), "little")

    def varint(self) -> int:
        value = 0
        for group in range(9):  # 9 groups of 7 bits: below 2^63
            byte = self.fixed(1)
            value |= (byte & 0x7F) << (7 * group)
            if byte < 0x80:
                need(byte or not group, "varint longer than it must be")
                return value
        raise SpecError("varint of 2^63 or more")

    def end(self, what: str) -> None:
        need(self.at == len(self.data), f"{what}: bytes left over")


class Stage(NamedTuple):
    """What a header says: the decoded size of each part, and how the parts become the stream."""

    sizes: tuple[int, ...]
    undo: Callable[[list[bytes]], bytes]


Side = Sequence[bytes]
"""The decoded side frames of the file, by number."""

Read = Callable[[Cursor, int, Side], Stage]
"""A stage: from a header, the decoded size, and the side frames."""
