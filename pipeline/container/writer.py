"""Writes a container front to back."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np
import xxhash

from pennyweight.errors import InputError
from pennyweight.pipeline.container import limits
from pennyweight.pipeline.container.description import pack_description
from pennyweight.pipeline.container.index import Description, FrameTable, Index, pack_index
from pennyweight.pipeline.container.layout import Trailer, pack_header, pack_trailer
from pennyweight.pipeline.container.markers import pack_marker
from pennyweight.pipeline.container.zipped import zip_raw


class ContainerWriter:
    """Gives every frame its place and remembers what the index must say. Writing is left to the caller's threads.

    Attributes:
        head: what stands at the start of the file: header and description.
        description_bytes: of the description, for the index.
        description_xxh3_64: its digest, likewise.
        offset: where the next bytes belong.
    """

    def __init__(self, description: Description, *, lossy: bool) -> None:
        part, self._description = pack_description(description)
        self.head = pack_header(lossy=lossy) + part
        self.description_bytes, self.description_xxh3_64 = len(part), f"{self._description:016x}"
        self.offset = len(self.head)
        self._lengths, self._digests, self._batches = array("I"), array("Q"), array("I")

    def place(self, lengths: Sequence[int], digests: Sequence[int]) -> tuple[int, bytes]:
        """Take the next batch of frames, side frames first, and return its offset and the marker that begins it."""
        assert 1 <= len(lengths) <= limits.MAX_BATCH_FRAMES
        at, first = self.offset, len(self._lengths)
        marker = pack_marker(self._description, first, np.array(lengths, np.uint32), np.array(digests, np.uint64))
        self._lengths.extend(lengths)
        self._digests.extend(digests)
        self._batches.append(len(lengths))
        self.offset += len(marker) + sum(lengths)
        return at, marker

    def finish(self, index: Index) -> tuple[int, list[bytes]]:
        """The offset of index and trailer, and their bytes. InputError if the index is more than a reader takes."""
        frames = FrameTable(
            np.array(self._lengths, dtype=np.uint32),
            np.array(self._digests, dtype=np.uint64),
            np.array(self._batches, dtype=np.uint32),
        )
        raw = pack_index(index, frames)
        stored = zip_raw(raw)
        if max(len(raw), len(stored)) > limits.MAX_INDEX_BYTES:
            raise InputError(f"an index of {len(raw)} bytes is more than readers take: {limits.MAX_INDEX_BYTES}")
        trailer = pack_trailer(Trailer(self.offset, len(stored), len(raw), xxhash.xxh3_64_intdigest(stored)))
        at = self.offset
        self.offset += len(stored) + len(trailer)
        return at, [stored, trailer]
