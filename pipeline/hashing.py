"""SHA-256 of files: as they are, and as they are rebuilt."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np

from pennyweight.pipeline.blocks import TASK_BYTES
from pennyweight.pipeline.files import Bytes, Reader
from pennyweight.pipeline.window import Stream


class Hashing:
    """A sink, front to back, that keeps the SHA-256 alone."""

    any_order: ClassVar[bool] = False

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()

    def write_at(self, offset: int, parts: Sequence[Bytes]) -> None:
        for part in parts:
            self._sha256.update(part)

    def commit(self) -> None:
        """Nothing was kept."""

    def hexdigest(self) -> str:
        return self._sha256.hexdigest()


def pieces(file: Reader) -> Iterator[Stream]:
    """A file front to back; each piece is valid until the next. InputError if it changes meanwhile."""
    memory = np.empty(TASK_BYTES, dtype=np.uint8)
    for offset in range(0, file.size, TASK_BYTES):
        piece = memory[: min(TASK_BYTES, file.size - offset)]
        file.pread_into(offset, piece.data)
        yield piece
    file.check_unchanged()


def sha256_of(file: Reader) -> str:
    """Of a file as it is."""
    whole = hashlib.sha256()
    for piece in pieces(file):
        whole.update(piece.data)
    return whole.hexdigest()
