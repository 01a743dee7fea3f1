"""Small reads of a file, most of them near the one before."""

from __future__ import annotations

from typing import Final

from pennyweight.pipeline.files import Reader

_AT_ONCE: Final = 16_384


class Glimpse:
    """Reads ahead a little: headers of small tensors stand so close that each would cost a system call else."""

    def __init__(self, file: Reader) -> None:
        self._file = file
        self._begin, self._held = 0, b""

    def read(self, offset: int, n: int) -> bytes:
        """Bytes from `offset` on: n of them, or as many as the file has."""
        at = offset - self._begin
        if at < 0 or at + n > len(self._held):
            self._held = self._file.pread(offset, max(0, min(max(n, _AT_ONCE), self._file.size - offset)))
            self._begin, at = offset, 0
        return self._held[at : at + n]
