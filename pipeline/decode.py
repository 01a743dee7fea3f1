"""Decodes a container with all checks of docs/format.md 3. Reports damage and goes on: stopping is for the caller."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Final, NamedTuple

import numpy as np
import xxhash

from pennyweight.errors import CorruptError
from pennyweight.pipeline.blocks import TASK_BYTES, Task
from pennyweight.pipeline.container.description import check_description
from pennyweight.pipeline.container.frames import FrameReader
from pennyweight.pipeline.container.index import TensorRecord
from pennyweight.pipeline.container.reader import ContainerReader
from pennyweight.pipeline.digests import SegmentDigests
from pennyweight.pipeline.executor import decode_blocks
from pennyweight.pipeline.frame import read_frame
from pennyweight.pipeline.output import Sink
from pennyweight.pipeline.progress import Progress
from pennyweight.pipeline.window import Buffers, FollowUps, Stream, in_order, tasks_ahead, worker_pool

MAX_STORED_BYTES: Final = 4 * TASK_BYTES
"""Frames that are read at once, unless it is only one. Ours are never near it; a hostile container may be."""


class Damage(NamedTuple):
    """What is wrong, and where, as far as that is known: number of the tensor or gap, position and length in bytes."""

    reason: str
    segment: int | None = None
    tensor: str | None = None
    offset: int | None = None
    n_bytes: int | None = None

    def error(self) -> CorruptError:
        """The same to be raised."""
        return CorruptError(self.reason, tensor=self.tensor, offset=self.offset)


class Piece(NamedTuple):
    """A decoded task: its bytes are the first `task.n_bytes` of `memory`. They mean nothing where there is damage."""

    task: Task
    memory: Stream
    damage: list[Damage]

    @property
    def data(self) -> Stream:
        return self.memory[: self.task.n_bytes]


class FrameDecoder:
    """Reads, checks and decodes runs of frames. Thread-safe."""

    def __init__(self, container: FrameReader, buffers: Buffers) -> None:
        self._container = container
        self._buffers = buffers

    def check(self, first: int, last: int) -> list[Damage]:
        """Those whose digest is wrong."""
        middle = self._middle(first, last)
        if middle:
            return self.check(first, middle) + self.check(middle, last)
        _, _, wrong = self._read(first, last)
        return self._damage(wrong)

    def decode(self, first: int, last: int, out: Stream) -> list[Damage]:
        """Decode those blocks into `out`, which has their size. Raises VersionError for a stage that is not known."""
        middle = self._middle(first, last)
        if middle:
            cut = int(self._container.blocks.offsets[middle] - self._container.blocks.offsets[first])
            return self.decode(first, middle, out[:cut]) + self.decode(middle, last, out[cut:])
        src, lengths, wrong = self._read(first, last)
        sizes: list[int] = self._container.blocks.sizes[first:last].tolist()
        if not wrong:
            try:
                decode_blocks(src, lengths, sizes, out, self._container.side)
            except CorruptError:
                pass  # which blocks they are is found below
            else:
                return []
        at = to = 0
        for block, (length, size) in enumerate(zip(lengths, sizes, strict=True), first):
            if block not in wrong:
                try:
                    read_frame(src[at : at + length], size, self._container.side).decode(out[to : to + size])
                except CorruptError as error:
                    wrong[block] = error.reason
            at, to = at + length, to + size
        return self._damage(wrong)

    def _middle(self, first: int, last: int) -> int | None:
        """Where to halve a run that is too much to be read at once."""
        too_much = last - first > 1 and sum(self._container.frame_lengths(first, last)) > MAX_STORED_BYTES
        return (first + last) // 2 if too_much else None

    def _read(self, first: int, last: int) -> tuple[Stream, list[int], dict[int, str]]:
        """Bytes of the frames, valid until this thread's next call; their lengths; and what is wrong, by block."""
        lengths = self._container.frame_lengths(first, last)
        src = self._buffers.scratch(sum(lengths))
        view = src.data
        self._container.read_frames(first, last, view)
        wrong: dict[int, str] = {}
        at = 0
        digests = self._container.frames.digests[first:last].tolist()
        for block, (length, digest) in enumerate(zip(lengths, digests, strict=True), first):
            if xxhash.xxh3_64_intdigest(view[at : at + length]) != digest:
                wrong[block] = "a frame is damaged: its digest does not match"
            at += length
        return src, lengths, wrong

    def _damage(self, wrong: dict[int, str]) -> list[Damage]:
        """One for each segment that such a block holds bytes of: block after block, and in a block tensors first."""
        container = self._container
        found: list[Damage] = []
        for block, reason in sorted(wrong.items()):
            named = [(container.tensor_name(segment), segment) for segment in container.blocks.segments_in(block)]
            named.sort(key=lambda pair: pair[0] is None)
            offset = int(container.frames.begins[block])
            n_bytes = int(container.frames.ends[block]) - offset
            found += [Damage(reason, segment, name, offset, n_bytes) for name, segment in named]
        return found


def check_markers(container: ContainerReader, first: int, last: int) -> list[Damage]:
    """Those before batches of these blocks which are wrong. No tensor is, for that: they are of use to salvage only."""
    return [Damage(error.reason, offset=error.offset) for error in container.check_markers(first, last)]


def check_said_before(container: ContainerReader) -> Iterator[Damage]:
    """What is wrong with the description and the markers of side frames."""
    for wrong in (check_description(container.file, container.index), *container.check_side_markers()):
        if wrong:
            yield Damage(wrong.reason, offset=wrong.offset)


def check_head(container: ContainerReader, *, decode: bool) -> Iterator[Damage]:
    """What is wrong before the blocks: what is said there, and side frames (with `decode`, decoded)."""
    yield from check_said_before(container)
    for number in range(len(container.side)):
        try:
            error = container.side.check(number)
            if decode and error is None:
                container.side[number]
        except CorruptError as wrong:
            error = wrong
        if error is not None:
            yield Damage(error.reason, offset=error.offset)


class SegmentChecks:
    """Compares the digests of tensors and gaps with the index. Silent on those already known to be damaged."""

    def __init__(self, container: ContainerReader) -> None:
        self._index = container.index
        self._digests = SegmentDigests([(s.n_bytes, isinstance(s, TensorRecord)) for s in container.segments])
        self._damaged: set[int | None] = set()

    def update(self, data: Stream, known: list[Damage]) -> list[Damage]:
        """Take the next bytes of the original file and what is already known of them; returns what is new."""
        self._damaged.update(damage.segment for damage in known)
        found = []
        for segment, digest in self._digests.update(data):
            record = self._index.segments[segment]
            if isinstance(record, TensorRecord) and digest != record.xxh3_128 and segment not in self._damaged:
                found.append(Damage("decoded bytes do not match the tensor's digest", segment, record.name))
        return found

    def finish(self) -> list[Damage]:
        """What remains to be said when all bytes were taken."""
        found = self.update(np.empty(0, dtype=np.uint8), [])
        damaged = [self._index.segments[segment] for segment in self._damaged if segment is not None]
        gap_damaged = not all(isinstance(record, TensorRecord) for record in damaged)
        if self._digests.gaps != self._index.gaps_xxh3_128 and not gap_damaged:
            found.append(Damage("decoded bytes outside of the tensors do not match their digest"))
        return found


def decode_checked(
    container: ContainerReader,
    *,
    threads: int,
    sha256: bool,
    found: Callable[[Damage], None],
    also: Callable[[Task, Stream], list[Damage]] | None = None,
    sink: Sink | None = None,
    progress: Progress | None = None,
) -> None:
    """Decode every block and make the checks of the level `default`, or of `full` with `sha256`.

    Args:
        found: called with all damage, in order, by this thread. What it raises ends the work.
        also: called by the worker that decoded a task, in any order; what it finds is reported after other damage.
        sink: takes the bytes of every task that is not damaged.
    """
    depth = tasks_ahead(threads)
    buffers = Buffers()
    frames = FrameDecoder(container, buffers)
    checks = SegmentChecks(container)
    whole = hashlib.sha256()
    turn = threading.Lock()
    for damage in check_head(container, decode=True):
        found(damage)

    def work(task: Task) -> Piece:
        memory = buffers.take()
        data = memory[: task.n_bytes]
        damage = frames.decode(task.first, task.last, data) + check_markers(container, task.first, task.last)
        if sink and sink.any_order and not damage:
            with turn:  # a file system lets one in at a time anyway, and others would spin until then
                sink.write_at(task.offset, [data.data])
        return Piece(task, memory, damage + also(task, data) if also else damage)

    with ExitStack() as stack:
        pool = stack.enter_context(worker_pool(threads))
        hasher = stack.enter_context(worker_pool(1)) if sha256 else None
        follow_ups = FollowUps(depth)
        for piece in in_order(pool, work, container.blocks.tasks(), depth):
            for damage in piece.damage:
                found(damage)
            after = [hasher.submit(whole.update, piece.data.data)] if hasher else []
            if sink and not sink.any_order:
                sink.write_at(piece.task.offset, [piece.data.data])
            for damage in checks.update(piece.data, piece.damage):
                found(damage)
            follow_ups.add(after, partial(buffers.give, piece.memory))
            if progress:
                progress(piece.task.n_bytes)
        follow_ups.drain()
    for damage in checks.finish():
        found(damage)
    if sha256 and whole.hexdigest() != container.index.sha256:
        found(Damage("the rebuilt file does not match its SHA-256"))
