"""A part of a container to be verified: one of several slices that together are all of it."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from heapq import heapreplace
from typing import Final, NamedTuple, Self

import numpy as np
import xxhash
from numpy.typing import NDArray

from pennyweight.errors import CorruptError, UsageError
from pennyweight.pipeline.blocks import Task
from pennyweight.pipeline.container.index import TensorRecord
from pennyweight.pipeline.container.reader import ContainerReader
from pennyweight.pipeline.decode import Damage, FrameDecoder, Piece, check_markers, check_said_before
from pennyweight.pipeline.digests import SegmentDigests
from pennyweight.pipeline.progress import Progress
from pennyweight.pipeline.window import Buffers, in_order, tasks_ahead, worker_pool

MAX_SLICES: Final = 10_000
Mask = NDArray[np.bool_]


class Slice(NamedTuple):
    """The slice of that number, from 1, of so many."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """`2/7`; or `10%`, which is any of the fewest slices that are at least so much each: one of ten, by chance.

        By chance, as the same tenth every night would leave nine that nobody ever looks at; and a slice, so that what
        was found can be found again.
        """
        if share := re.fullmatch(r"(\d{1,3}(?:\.\d{1,4})?)%", text, re.ASCII):
            percent = float(share[1])
            if 100 / MAX_SLICES <= percent <= 100:
                n = int(100 / percent + 1e-9)
                return cls(random.randint(1, n), n)
        elif slices := re.fullmatch(r"(\d{1,5})/(\d{1,5})", text, re.ASCII):
            number, n = int(slices[1]), int(slices[2])
            if 1 <= number <= n <= MAX_SLICES:
                return cls(number, n)
        raise UsageError(f"subset must be such as 2/7 (at most {MAX_SLICES:,}) or 10%, not {text!r}")

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def of_blocks(self, container: ContainerReader) -> Mask:
        """(n_blocks,) which are in it.

        Whatever shares blocks stays together; the largest is dealt first, each to the slice that has least. The deal
        depends on the container alone, so that those who take every slice in turn have seen all of it, and begins with
        another slice for each, so that in a folder of small ones the first does not get them all.
        """
        blocks = container.blocks
        begins = np.flatnonzero(np.diff(blocks.segments, prepend=-1))
        if not len(begins):
            return np.zeros(0, dtype=np.bool_)
        sizes = np.add.reduceat(blocks.sizes, begins)
        turn = xxhash.xxh3_64_intdigest(container.frames.digests.tobytes()) % self.of
        wanted = (self.number - 1 - turn) % self.of
        loads = [(0, i) for i in range(self.of)]
        chosen = np.zeros(len(begins), dtype=np.bool_)
        for group in np.argsort(-sizes, kind="stable").tolist():
            load, at = loads[0]
            heapreplace(loads, (load + int(sizes[group]), at))
            chosen[group] = at == wanted
        return np.repeat(chosen, np.diff(begins, append=len(blocks)))


def check_slice(
    container: ContainerReader, part: Slice, *, threads: int, found: Callable[[Damage], None], progress: Progress | None
) -> Mask:
    """Check its frames and, decoded, its tensors; nothing else is read but the description and what is at the side.

    The gaps have one digest, of all of them: only that of their frames is checked.

    Returns:
        (n_segments,) which were checked. A tensor without bytes always is.
    """
    blocks, records = container.blocks, container.segments
    chosen = part.of_blocks(container)
    checked: Mask = np.diff(blocks.starts) == 0
    held = np.flatnonzero(~checked)
    checked[held] = chosen[np.searchsorted(blocks.offsets, blocks.starts[held], side="right") - 1]
    for wrong in check_said_before(container):
        found(wrong)
    for number in range(part.number - 1, len(container.side), part.of):
        try:
            container.side[number]
        except CorruptError as error:
            found(Damage(error.reason, offset=error.offset))
    digests = SegmentDigests(
        [(one.n_bytes if own else 0, isinstance(one, TensorRecord)) for one, own in zip(records, checked, strict=True)]
    )
    buffers, damaged = Buffers(), set[int | None]()
    frames = FrameDecoder(container, buffers)

    def work(task: Task) -> Piece:
        memory = buffers.take()
        damage = frames.decode(task.first, task.last, memory[: task.n_bytes])
        return Piece(task, memory, damage + check_markers(container, task.first, task.last))

    def compare(data: NDArray[np.uint8]) -> None:
        for segment, digest in digests.update(data):
            record = records[segment]
            known = segment in damaged or not checked[segment]
            if not known and isinstance(record, TensorRecord) and digest != record.xxh3_128:
                found(Damage("decoded bytes do not match the tensor's digest", segment, record.name))

    with worker_pool(threads) as pool:
        for piece in in_order(pool, work, blocks.tasks_of(chosen), tasks_ahead(threads)):
            for damage in piece.damage:
                damaged.add(damage.segment)
                found(damage)
            compare(piece.data)
            buffers.give(piece.memory)
            if progress:
                progress(piece.task.n_bytes)
    compare(np.empty(0, dtype=np.uint8))
    return checked
