"""How far a file has come, for who looks on."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int], None]
"""Called with the number of original bytes done since the last call."""


class TwoPasses:
    """A file's bytes as training and encoding get through them: each takes a part, and both together all.

    Half of a predicted tensor is told while it is trained, about the time that it takes; an eighth of one that has only
    scales.
    """

    def __init__(self, n_bytes: int, progress: Progress | None) -> None:
        self._n_bytes, self._progress = n_bytes, progress
        self._told = self._trained = self._encoded = 0

    def trained(self, n_bytes: int) -> None:
        """So many more are done, before any is encoded."""
        self._trained += n_bytes
        self._tell(self._trained)

    def encoded(self, n_bytes: int) -> None:
        """So many more, of all bytes, are encoded."""
        self._encoded += n_bytes
        self._tell(self._trained + (self._n_bytes - self._trained) * self._encoded // self._n_bytes)

    def _tell(self, done: int) -> None:
        if self._progress and done > self._told:
            self._progress(done - self._told)
        self._told = done
