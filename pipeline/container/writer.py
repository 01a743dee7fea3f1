"""Writes a container front to back."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Final

import numpy as np
import xxhash
import zstandard

from pennyweight.errors import InputError
from pennyweight.pipeline.container import limits
from pennyweight.pipeline.container.index import FrameTable, Index, pack_index
from pennyweight.pipeline.container.layout import HEADER_BYTES, Trailer, pack_header, pack_trailer

_INDEX_LEVEL: Final = 3


class ContainerWriter:
    """Gives every frame its place and remembers what the index must say. Writing is left to the caller's threads.

    `offset` is where the next bytes belong.
    """

    def __init__(self) -> None:
        self.offset = 0
        self._lengths = array("I")
        self._digests = array("Q")

    def header(self, *, lossy: bool) -> bytes:
        """What stands at the start of the file."""
        self.offset = HEADER_BYTES
        return pack_header(lossy=lossy)

    def place(self, lengths: Sequence[int], digests: Sequence[int]) -> int:
        """Take the next frames, in order, and return the offset of the first."""
        at = self.offset
        self._lengths.extend(lengths)
        self._digests.extend(digests)
        self.offset += sum(lengths)
        return at

    def finish(self, index: Index) -> tuple[int, list[bytes]]:
        """The offset of index and trailer, and their bytes. InputError if the index is more than a reader takes."""
        frames = FrameTable(
            np.frombuffer(self._lengths, dtype=np.uint32) if self._lengths else np.empty(0, np.uint32),
            np.frombuffer(self._digests, dtype=np.uint64) if self._digests else np.empty(0, np.uint64),
        )
        raw = pack_index(index, frames)
        stored = zstandard.ZstdCompressor(level=_INDEX_LEVEL).compress(raw)
        if max(len(raw), len(stored)) > limits.MAX_INDEX_BYTES:
            raise InputError(f"an index of {len(raw)} bytes is more than readers take: {limits.MAX_INDEX_BYTES}")
        trailer = pack_trailer(Trailer(self.offset, len(stored), len(raw), xxhash.xxh3_64_intdigest(stored)))
        at = self.offset
        self.offset += len(stored) + len(trailer)
        return at, [stored, trailer]
