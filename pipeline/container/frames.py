"""Frames by number, wherever they are in a container."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pennyweight.pipeline.blocks import BlockTable
from pennyweight.pipeline.container.index import Described, DescribedTensor
from pennyweight.pipeline.container.places import Places
from pennyweight.pipeline.container.side import SideFrames
from pennyweight.pipeline.files import Reader


class FrameReader:
    """What is known of a file, and the frames that it is decoded from.

    Attributes:
        file: the container.
        segments: tensors and gaps, in the order of the original file.
        blocks: how the original file is cut.
        places: where all frames are, those at the side first. One that is lost has no bytes.
        frames: where those of the blocks are.
        side: the side frames; none is read before it is needed.
    """

    def __init__(
        self, file: Reader, segments: Sequence[Described], blocks: BlockTable, side_bytes: Sequence[int], places: Places
    ) -> None:
        n_side = len(side_bytes)
        self.file, self.segments, self.blocks, self.places = file, segments, blocks, places
        self.frames = places.part(n_side)
        self.side = SideFrames(file, side_bytes, places.part(0, n_side))

    def tensor_name(self, segment: int) -> str | None:
        """Name of the tensor that is this segment; None for a gap."""
        record = self.segments[segment]
        return record.name if isinstance(record, DescribedTensor) else None

    def frame_lengths(self, first: int, last: int) -> list[int]:
        """Stored bytes of each of the blocks first <= block < last."""
        lengths: list[int] = (self.frames.ends[first:last] - self.frames.begins[first:last]).tolist()
        return lengths

    def read_frames(self, first: int, last: int, out: memoryview) -> None:
        """Read the frames of those blocks back to back into `out`, which has their size. Thread-safe."""
        begins, ends, _ = self.frames.part(first, last)
        joints = np.flatnonzero(begins[1:] != ends[:-1]) + 1
        at = 0
        for run in np.split(np.arange(last - first), joints) if last > first else ():
            begin, end = int(begins[run[0]]), int(ends[run[-1]])
            self.file.pread_into(begin, out[at : at + end - begin])
            at += end - begin
