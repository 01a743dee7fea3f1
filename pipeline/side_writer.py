"""The side frames of a file while they are made (docs/format.md 1.5)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from pennyweight.stages.protocol import Stream

_FRAME_BYTES: Final = 2**20
_MAX_BYTES: Final = 2**26


class SideWriter:
    """Numbers frames in the order in which they are first asked for."""

    def __init__(self) -> None:
        self._frames: list[list[bytes]] = []
        self._known: dict[bytes, int] = {}
        self._open: dict[bool, int] = {}  # where small pieces go
        self._left = _MAX_BYTES

    def has_room(self, n_bytes: int) -> bool:
        return n_bytes <= self._left

    def frame(self, data: bytes) -> int:
        """A frame of its own."""
        self._left -= len(data)
        self._frames.append([data])
        return len(self._frames) - 1

    def shared(self, frames: Sequence[bytes]) -> int:
        """The first of consecutive frames, which are stored once however often they are asked for."""
        key = b"".join(frames)
        if key not in self._known:
            self._known[key] = len(self._frames)
            for frame in frames:
                self.frame(frame)
        return self._known[key]

    def piece(self, data: bytes, period: int) -> tuple[int, int]:
        """Frame and place in it: small pieces of many tensors share one, as frames of their own would cost more.

        What repeats itself after so many bytes stands apart from what is noise: each compresses as the other does not.
        """
        repeats = period < len(data) and data[period:] == data[:-period]
        number = self._open.get(repeats)
        if number is None or sum(map(len, self._frames[number])) + len(data) > _FRAME_BYTES:
            number = self._open[repeats] = self.frame(b"")
        at = sum(map(len, self._frames[number]))
        self._frames[number].append(data)
        self._left -= len(data)
        return number, at

    def frames(self) -> Iterator[Stream]:
        for pieces in self._frames:
            yield np.frombuffer(b"".join(pieces), np.uint8)
