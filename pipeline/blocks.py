"""How segments are cut into blocks (docs/format.md 1.4), and blocks put together to tasks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

TASK_BYTES: Final = 2 << 20
"""Raw bytes of a task at most: above the largest block (1.5 x 512 KiB), small enough for the caches, and so large that
Python's share of the time is small."""

MAX_TASK_BLOCKS: Final = 512
"""Keeps tasks of many tiny tensors short."""

BUFFER_BYTES: Final = TASK_BYTES + 2 * MAX_TASK_BLOCKS
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
        segments: (n,) number of the segment it is cut from.
        firsts: (n_segments + 1,) number of the first block of each segment.
    """

    sizes: Ints
    offsets: Ints
    segments: Ints
    firsts: Ints

    @classmethod
    def of(cls, segment_bytes: Sequence[int], block_bytes: int) -> BlockTable:
        """Cut segments of these sizes. Where they come from a file, `count_blocks` must have been looked at before."""
        _, counts, last = _cut(segment_bytes, block_bytes)
        firsts = _starts(counts)
        segments = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
        sizes = np.full(len(segments), block_bytes, dtype=np.int64)
        sizes[(firsts[1:] - 1)[counts > 0]] = last[counts > 0]
        return cls(sizes, _starts(sizes), segments, firsts)

    def __len__(self) -> int:
        return len(self.sizes)

    def tasks(self, first: int = 0, last: int | None = None) -> Iterator[Task]:
        """Runs of consecutive blocks, of at most TASK_BYTES and MAX_TASK_BLOCKS each, that cover [first, last)."""
        end = len(self) if last is None else last
        while first < end:
            start = int(self.offsets[first])
            fits = int(np.searchsorted(self.offsets, start + TASK_BYTES, side="right")) - 1
            stop = max(first + 1, min(fits, first + MAX_TASK_BLOCKS, end))
            yield Task(first, stop, start, int(self.offsets[stop]) - start)
            first = stop


def count_blocks(segment_bytes: Sequence[int], block_bytes: int) -> int:
    """Number of blocks, without making a table of them."""
    _, counts, _ = _cut(segment_bytes, block_bytes)
    return int(counts.sum())


def block_sizes(n_bytes: int, block_bytes: int) -> list[int]:
    """Raw bytes of each block of one segment of `n_bytes`."""
    sizes: list[int] = BlockTable.of([n_bytes], block_bytes).sizes.tolist()
    return sizes


def _cut(segment_bytes: Sequence[int], block_bytes: int) -> tuple[Ints, Ints, Ints]:
    """Per segment: its bytes, its number of blocks, the bytes of its last block."""
    n_bytes = np.array(segment_bytes, dtype=np.int64)
    whole, rest = n_bytes // block_bytes, n_bytes % block_bytes
    own = (rest > 0) & ((2 * rest >= block_bytes) | (whole == 0))
    return n_bytes, whole + own, np.where(own, rest, block_bytes + rest)


def _starts(counts: Ints) -> Ints:
    starts = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum(counts, out=starts[1:])
    return starts
