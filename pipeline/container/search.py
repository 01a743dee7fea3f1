"""Looks for bytes in a whole file, wherever they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pennyweight.pipeline.files import Reader

_CHUNK_BYTES: Final = 4 << 20


def find(file: Reader, sought: bytes) -> Iterator[int]:
    """Where they begin, in order."""
    for begin in range(0, file.size, _CHUNK_BYTES):
        chunk = file.pread(begin, min(_CHUNK_BYTES + len(sought) - 1, file.size - begin))
        at = chunk.find(sought)
        while at >= 0:
            yield begin + at
            at = chunk.find(sought, at + 1)
