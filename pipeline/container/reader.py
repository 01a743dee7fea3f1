"""Opens a container: all checks of the level `open` (docs/format.md 3), then frames by number."""

from __future__ import annotations

from typing import Final

import numpy as np
import xxhash
import zstandard
from numpy.typing import NDArray

from pennyweight.errors import CorruptError
from pennyweight.pipeline.blocks import BlockTable, count_blocks
from pennyweight.pipeline.container import layout, limits
from pennyweight.pipeline.container.index import FrameTable, Index, Record, TensorRecord, unpack_index
from pennyweight.pipeline.container.side import SideFrames
from pennyweight.pipeline.files import Reader
from pennyweight.types import DType

_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"


class ContainerReader:
    """A container that keeps every rule which can be checked without reading its frames.

    Attributes:
        index: what it says of itself.
        blocks: how the original file is cut.
        offsets: (n_frames + 1,) where each frame begins in the container, those of the blocks first, then the side
            frames; the last is where the index begins.
        digests: (n_frames,) XXH3-64 of each frame.
        side: the side frames; none is read before it is needed.
        lossy: whether the header says so.
        index_bytes: stored bytes of the index.
    """

    def __init__(self, file: Reader) -> None:
        """Open it. Raises CorruptError or VersionError, without the name of the file, and InputError."""
        self.file = file
        required = layout.unpack_header(file.pread(0, min(file.size, layout.HEADER_BYTES)))
        self.lossy = bool(required & layout.LOSSY)
        n_tail = min(file.size, layout.TRAILER_BYTES)
        trailer = layout.unpack_trailer(file.pread(file.size - n_tail, n_tail), file.size)
        self.index_bytes = trailer.stored
        try:
            self.index, frames = unpack_index(_read_index(file, trailer))
            self.blocks, self.offsets = _lay_out(self.index, frames, trailer.offset)
        except CorruptError as error:
            raise CorruptError(error.reason, tensor=error.tensor, offset=trailer.offset) from None
        if (self.index.fidelity == "lossy") != self.lossy:
            raise CorruptError("index: fidelity does not agree with the header", offset=trailer.offset)
        self.digests: NDArray[np.uint64] = frames.digests
        n = len(self.blocks)
        self.side = SideFrames(file, self.index.side, self.offsets[n:], self.digests[n:])

    @property
    def segments(self) -> tuple[Record, ...]:
        """Tensors and gaps, in the order of the original file."""
        return self.index.segments

    @property
    def side_bytes(self) -> int:
        """Stored bytes of all side frames."""
        return int(self.offsets[-1] - self.offsets[len(self.blocks)])

    def tensor_name(self, segment: int) -> str | None:
        """Name of the tensor that is this segment; None for a gap."""
        record = self.segments[segment]
        return record.name if isinstance(record, TensorRecord) else None

    def n_frame_bytes(self, first: int, last: int) -> int:
        """Stored bytes of the frames first <= frame < last."""
        return int(self.offsets[last] - self.offsets[first])

    def read_frames(self, first: int, last: int, out: memoryview) -> None:
        """Read those frames, `n_frame_bytes` in all, with one call. They lie back to back. Thread-safe."""
        self.file.pread_into(int(self.offsets[first]), out)


def _read_index(file: Reader, trailer: layout.Trailer) -> bytes:
    stored = file.pread(trailer.offset, trailer.stored)
    if xxhash.xxh3_64_intdigest(stored) != trailer.xxh3_64:
        raise CorruptError("index: checksum does not match")
    try:
        # The declared size is compared before anything is decompressed: the library believes it over max_output_size
        declared = zstandard.get_frame_parameters(stored).content_size
        if stored[:4] != _ZSTD_MAGIC or declared != trailer.raw:
            raise CorruptError("index: its zstd frame does not declare the size that the trailer does")
        raw = zstandard.ZstdDecompressor().decompress(stored, max_output_size=trailer.raw, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise CorruptError(f"index: {error}") from None
    if len(raw) != trailer.raw:
        raise CorruptError("index: does not decompress to the size that the trailer says")
    return raw


def _lay_out(index: Index, frames: FrameTable, end: int) -> tuple[BlockTable, NDArray[np.int64]]:
    """Blocks and offsets of frames, after checking that they fit the index and end at `end`."""
    sizes = [segment.n_bytes for segment in index.segments]
    cells = [DType[one.dtype].cell_bytes if isinstance(one, TensorRecord) else 1 for one in index.segments]
    n_blocks = count_blocks(sizes, index.block_bytes, cells)
    if n_blocks + len(index.side) != len(frames.lengths):
        side = f" and {len(index.side)} side frames" if index.side else ""
        raise CorruptError(f"index: {len(frames.lengths)} frames for {n_blocks} blocks{side}")
    blocks = BlockTable.of(sizes, index.block_bytes, cells)
    offsets = np.zeros(len(frames.lengths) + 1, dtype=np.int64)
    np.cumsum(frames.lengths, dtype=np.int64, out=offsets[1:])
    offsets += layout.HEADER_BYTES
    if int(offsets[-1]) != end:
        raise CorruptError("index: the frames do not end where the index begins")
    if np.any(frames.lengths > limits.max_node_bytes(np.append(blocks.sizes, np.array(index.side, dtype=np.int64)))):
        raise CorruptError("index: a frame is far longer than its block")
    return blocks, offsets
