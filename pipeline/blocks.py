"""How segments become blocks (docs/format.md 1.4), cut or put together, and blocks tasks."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pennyweight.pipeline.container.limits import MAX_BLOCK_BYTES

TASK_BYTES: Final = 2 << 20
"""Raw bytes of a task at most, unless a single block has more: small enough for the caches, and so large that Python's
share of the time is small."""

MAX_TASK_BLOCKS: Final = 512
"""Keeps tasks of many tiny tensors among large ones short."""

MAX_RUN: Final = 1024
"""Small segments in a block."""

MAX_RUN_BYTES: Final = 524_288
"""Of them together, where blocks may be larger: whoever wants one of them decodes all."""

BUFFER_BYTES: Final = MAX_BLOCK_BYTES + MAX_BLOCK_BYTES // 2 + 2 * MAX_TASK_BLOCKS
"""Enough for a task, and for its frames if all are stored."""

Ints = NDArray[np.int64]


class Task(NamedTuple):
    """A run of blocks, first <= block < last, which are `n_bytes` of the original file from `offset` on."""

    first: int
    last: int
    offset: int
    n_bytes: int


@dataclass(frozen=True)
class BlockTable:
    """All blocks of a file, in order.

    Attributes:
        sizes: (n,) raw bytes of each block.
        offsets: (n + 1,) where each begins in the original file; the last is its size.
        starts: (n_segments + 1,) where each segment begins in the original file; the last is its size.
        segments: (n,) number of the first segment that each block holds bytes of.
    """

    sizes: Ints
    offsets: Ints
    starts: Ints
    segments: Ints

    @classmethod
    def of(cls, segment_bytes: Sequence[int], block_bytes: int, cell_bytes: Sequence[int] | int = 1) -> BlockTable:
        """Cut segments of these sizes. Where they come from a file, `count_blocks` must have been looked at before.

        cell_bytes: of each segment what no cut may tear apart, at most block_bytes.
        """
        n_bytes = np.array(segment_bytes, dtype=np.int64)
        whole = _whole_cells(n_bytes, block_bytes, cell_bytes)
        counts, last = _cut(n_bytes, block_bytes, whole)
        segments = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
        sizes = np.repeat(whole, counts)
        begun = counts > 0
        sizes[np.cumsum(counts)[begun] - 1] = last[begun]
        return cls(sizes, _starts(sizes), _starts(n_bytes), segments)

    def __len__(self) -> int:
        return len(self.sizes)

    def holding(self, segment: int) -> tuple[int, int]:
        """The blocks first <= block < last that hold bytes of that segment."""
        start, end = self.starts[segment], self.starts[segment + 1]
        if start == end:
            return 0, 0
        first = np.searchsorted(self.offsets, start, side="right") - 1
        return int(first), int(np.searchsorted(self.offsets, end, side="left"))

    def segments_in(self, block: int) -> list[int]:
        """The segments that block holds bytes of, in order: one, or several whole ones."""
        first, end = int(self.segments[block]), self.offsets[block + 1]
        if self.starts[first + 1] >= end:
            return [first]
        last = int(np.searchsorted(self.starts, end, side="left"))
        found: list[int] = (first + np.flatnonzero(np.diff(self.starts[first : last + 1]))).tolist()
        return found

    def tasks(self, first: int = 0, last: int | None = None) -> Iterator[Task]:
        """Runs of consecutive blocks that cover [first, last), of at most TASK_BYTES and MAX_TASK_BLOCKS, or of one."""
        end = len(self) if last is None else last
        while first < end:
            start = int(self.offsets[first])
            fits = int(np.searchsorted(self.offsets, start + TASK_BYTES, side="right")) - 1
            stop = max(first + 1, min(fits, first + MAX_TASK_BLOCKS, end))
            yield Task(first, stop, start, int(self.offsets[stop]) - start)
            first = stop

    def tasks_of(self, chosen: NDArray[np.bool_]) -> Iterator[Task]:
        """Those of the blocks that are chosen, (n,), and of no others."""
        edges = np.flatnonzero(np.diff(chosen, prepend=False, append=False))
        return (task for first, last in edges.reshape(-1, 2).tolist() for task in self.tasks(first, last))


def count_blocks(segment_bytes: Sequence[int], block_bytes: int, cell_bytes: Sequence[int] | int = 1) -> int:
    """Number of blocks, without making a table of them."""
    n_bytes = np.array(segment_bytes, dtype=np.int64)
    counts, _ = _cut(n_bytes, block_bytes, _whole_cells(n_bytes, block_bytes, cell_bytes))
    return int(counts.sum())


def block_sizes(n_bytes: int, block_bytes: int, cell_bytes: int = 1) -> list[int]:
    """Raw bytes of each block of one segment of `n_bytes` that stands alone."""
    sizes: list[int] = BlockTable.of([n_bytes], block_bytes, cell_bytes).sizes.tolist()
    return sizes


def _whole_cells(n_bytes: Ints, block_bytes: int, cell_bytes: Sequence[int] | int) -> Ints:
    """Per segment: the bytes of its blocks, but for the last, if it is not small."""
    return np.broadcast_to(block_bytes - block_bytes % np.array(cell_bytes, dtype=np.int64), n_bytes.shape)


def _cut(n_bytes: Ints, block_bytes: int, cut_bytes: Ints) -> tuple[Ints, Ints]:
    """Per segment: the number of blocks that begin in it, and the bytes of the last of them."""
    whole, rest = n_bytes // cut_bytes, n_bytes % cut_bytes
    own = (rest > 0) & ((2 * rest >= cut_bytes) | (whole == 0))
    counts, last = whole + own, np.where(own, rest, cut_bytes + rest)
    run_bytes = min(block_bytes, MAX_RUN_BYTES)
    small = (n_bytes > 0) & (n_bytes <= run_bytes // 4)
    if small.any():
        firsts, sums = _runs(n_bytes, small, run_bytes)
        counts[small] = 0
        counts[firsts] = 1
        last[firsts] = sums
    return counts, last


def _runs(n_bytes: Ints, small: NDArray[np.bool_], run_bytes: int) -> tuple[Ints, Ints]:
    """The runs of small segments: the number of the first segment of each, and their bytes."""
    numbers = np.flatnonzero(small)
    offsets = _starts(n_bytes[numbers])
    large_before = np.cumsum((n_bytes > 0) & ~small)[numbers]
    stretches = np.append(np.flatnonzero(np.diff(large_before)) + 1, len(numbers))  # where each ends
    # For each small segment, as if a run began with it, where that run would end.
    ends = np.searchsorted(offsets, offsets[:-1] + run_bytes, side="right") - 1
    np.minimum(ends, np.arange(MAX_RUN, len(numbers) + MAX_RUN), out=ends)
    np.minimum(ends, np.repeat(stretches, np.diff(stretches, prepend=0)), out=ends)
    firsts, at, jumps = array("q"), 0, ends.data
    while at < len(numbers):
        firsts.append(at)
        at = jumps[at]
    begins = np.frombuffer(firsts, dtype=np.int64)
    return numbers[begins], np.diff(offsets[begins], append=offsets[-1])


def _starts(counts: Ints) -> Ints:
    starts = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum(counts, out=starts[1:])
    return starts
