"""Opens a container: all checks of the level `open` (docs/format.md 3), then frames by number."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xxhash

from pennyweight.errors import CorruptError
from pennyweight.pipeline.blocks import BlockTable, count_blocks
from pennyweight.pipeline.container import layout, limits, markers
from pennyweight.pipeline.container.frames import FrameReader
from pennyweight.pipeline.container.index import FrameTable, Index, unpack_index
from pennyweight.pipeline.container.places import Ints, Places
from pennyweight.pipeline.container.zipped import unzip
from pennyweight.pipeline.files import Reader


class ContainerReader(FrameReader):
    """A container that keeps every rule which can be checked without reading its frames.

    Attributes:
        index: what it says of itself.
        segments: those of the index, whose tensors have digests.
        lossy: whether the header says so.
        index_bytes: stored bytes of the index.
    """

    def __init__(self, file: Reader) -> None:
        """Open it. Raises CorruptError or VersionError, without the name of the file, and InputError."""
        required = layout.unpack_header(file.pread(0, min(file.size, layout.HEADER_BYTES)))
        self.lossy = bool(required & layout.LOSSY)
        self._open(file)
        if (self.index.fidelity == "lossy") != self.lossy:
            raise CorruptError("index: fidelity does not agree with the header", offset=self._end)

    @classmethod
    def without_header(cls, file: Reader) -> ContainerReader:
        """For salvage: whatever the header says, or what is left of it."""
        container = cls.__new__(cls)
        container._open(file)
        container.lossy = container.index.fidelity == "lossy"
        return container

    def _open(self, file: Reader) -> None:
        n_tail = min(file.size, layout.TRAILER_BYTES)
        trailer = layout.unpack_trailer(file.pread(file.size - n_tail, n_tail), file.size)
        self.index_bytes, self._end = trailer.stored, trailer.offset
        try:
            self.index, tables = unpack_index(read_index(file, trailer))
            blocks, self._table = _cut(self.index, tables)
            begins = _begins(self.index, self._table, trailer.offset)
        except CorruptError as error:
            raise CorruptError(error.reason, tensor=error.tensor, offset=trailer.offset) from None
        self._firsts = np.cumsum(self._table.batches, dtype=np.int64) - self._table.batches
        places = Places(begins, begins + self._table.lengths, self._table.digests)
        super().__init__(file, self.index.segments, blocks, self.index.side, places)

    @property
    def side_bytes(self) -> int:
        """Stored bytes of all side frames."""
        return int(self._table.lengths[: len(self.side)].sum(dtype=np.int64))

    @property
    def salvage_bytes(self) -> int:
        """Of description and markers."""
        return self._end - layout.HEADER_BYTES - int(self._table.lengths.sum(dtype=np.int64))

    def check_markers(self, first: int, last: int) -> Iterator[CorruptError]:
        """Those before batches that begin with one of the frames of the blocks first <= block < last."""
        n_side = len(self.side)
        yield from self._check_markers(n_side + first, n_side + last)

    def check_side_markers(self) -> Iterator[CorruptError]:
        """Those before batches that begin with a side frame."""
        yield from self._check_markers(0, len(self.side))

    def _check_markers(self, first: int, last: int) -> Iterator[CorruptError]:
        digest = int(self.index.description_xxh3_64, 16)
        for batch in range(*np.searchsorted(self._firsts, (first, last)).tolist()):
            begin = int(self._firsts[batch])
            held = slice(begin, begin + int(self._table.batches[batch]))
            marker = markers.pack_marker(digest, begin, self._table.lengths[held], self._table.digests[held])
            at = int(self.places.begins[begin]) - len(marker)
            if self.file.pread(at, len(marker)) != marker:
                yield CorruptError("a marker does not agree with the index", offset=at)


def read_index(file: Reader, trailer: layout.Trailer) -> bytes:
    """The raw index. Raises CorruptError."""
    stored = file.pread(trailer.offset, trailer.stored)
    if xxhash.xxh3_64_intdigest(stored) != trailer.xxh3_64:
        raise CorruptError("index: checksum does not match")
    return unzip(stored, trailer.raw, "index")


def _cut(index: Index, tables: memoryview) -> tuple[BlockTable, FrameTable]:
    """The blocks and what is said of their frames, after checking that they are as many."""
    n_blocks = count_blocks(*index.cut)
    frames = FrameTable.unpack(tables, n_blocks + len(index.side))  # before so many blocks take memory
    blocks = BlockTable.of(*index.cut)
    if np.any(frames.lengths > limits.max_node_bytes(np.append(np.array(index.side, dtype=np.int64), blocks.sizes))):
        raise CorruptError("index: a frame is far longer than its block")
    return blocks, frames


def _begins(index: Index, frames: FrameTable, end: int) -> Ints:
    """(n,) where each frame begins in the container, after checking that the last of them ends at `end`."""
    steps = frames.lengths.astype(np.int64)
    steps[np.cumsum(frames.batches, dtype=np.int64) - frames.batches] += markers.marker_bytes(frames.batches)
    ends = np.cumsum(steps) + (layout.HEADER_BYTES + index.description_bytes)
    last = int(ends[-1]) if len(ends) else layout.HEADER_BYTES + index.description_bytes
    if last != end:
        raise CorruptError("index: the frames do not end where the index begins")
    return ends - frames.lengths
