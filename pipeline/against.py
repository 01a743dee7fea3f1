"""What a container is compared with: its original, as a file or as another container. Nothing is held but a task."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from typing import ClassVar, Final, Literal

import numpy as np

from pennyweight import native
from pennyweight.pipeline.blocks import TASK_BYTES, Ints, Task
from pennyweight.pipeline.container.reader import ContainerReader
from pennyweight.pipeline.decode import Damage
from pennyweight.pipeline.files import Bytes, Reader
from pennyweight.pipeline.progress import Progress
from pennyweight.pipeline.window import Buffers, Stream, worker_pool

DIFFERS: Final = "differs from the original"


def first_difference(src: Reader, original: Reader) -> int | None:
    """Position of the first byte that differs, or that only one of them has; None if they are equal."""
    one, two = np.empty(TASK_BYTES, dtype=np.uint8), np.empty(TASK_BYTES, dtype=np.uint8)
    common = min(src.size, original.size)
    for offset in range(0, common, TASK_BYTES):
        n = min(TASK_BYTES, common - offset)
        a, b = one[:n], two[:n]
        src.pread_into(offset, a.data)
        original.pread_into(offset, b.data)
        if not native.equal(a, b):
            return offset + int(np.argmax(a != b))
    return None if src.size == original.size else common


class PlainOriginal:
    """Compares decoded tasks with a file. Thread-safe."""

    def __init__(self, container: ContainerReader, original: Reader) -> None:
        self._container, self._original = container, original
        self._buffers = Buffers()

    def __call__(self, task: Task, data: Stream) -> list[Damage]:
        n = max(0, min(task.n_bytes, self._original.size - task.offset))
        expected = self._buffers.scratch(n)
        self._original.pread_into(task.offset, expected.data)
        if native.equal(expected, data[:n]):
            return []
        return _by_segment(self._container, task.offset + np.flatnonzero(expected != data[:n]))


def decode_both(
    container: ContainerReader,
    found: Callable[[Damage], None],
    other: ContainerReader,
    found_in_other: Callable[[Damage], None],
    decode: Callable[..., None],
    progress: Progress | None,
) -> None:
    """Decode both, front to back, and compare; each with all threads, as whichever the other waits for has the cores.

    decode: `decode_checked`, with all that is the same for both. What it raises for either is raised.
    """
    meeting = _Meeting(container, other, found)

    def noted(damage: Damage) -> None:
        found_in_other(damage)
        meeting.damaged(damage)

    def decode_other() -> None:
        try:
            decode(other, noted, sink=meeting.theirs)
        finally:
            meeting.leave("theirs")

    with worker_pool(1) as pool:
        running = pool.submit(decode_other)
        try:
            decode(container, found, sink=meeting.ours, progress=progress)
        except BaseException:
            meeting.stop()
            raise
        meeting.leave("ours")
        running.result()


class _Meeting:
    """Where two containers bring their originals, each decoded front to back by a thread of its own, to be compared.

    Theirs waits until ours has looked at what it brought, so nothing is queued or copied, and whichever is behind has
    the cores to itself. (Decoding theirs where ours asks for it, in any order, would decode many blocks twice: the two
    need not have been cut alike.) Bytes of their tensors that are known to be damaged are not compared.

    Attributes:
        ours, theirs: where each is written, front to back.
    """

    def __init__(self, container: ContainerReader, other: ContainerReader, found: Callable[[Damage], None]) -> None:
        self.ours, self.theirs = _Side(self._look), _Side(self._bring)
        self._container, self._other, self._found = container, other, found
        self._damaged = np.zeros(len(other.segments), dtype=np.bool_)
        self._changed = threading.Condition()
        self._brought = np.empty(0, dtype=np.uint8)
        self._gone: set[str] = set()
        self._stopped = False

    def damaged(self, damage: Damage) -> None:
        """That is wrong with theirs."""
        if damage.segment is not None:
            self._damaged[damage.segment] = True

    def leave(self, side: Literal["ours", "theirs"]) -> None:
        """That side brings no more; the other need not wait for it."""
        with self._changed:
            self._gone.add(side)
            self._changed.notify_all()

    def stop(self) -> None:
        """Ours has failed: theirs is to end, too."""
        self._stopped = True
        self.leave("ours")

    def _bring(self, offset: int, data: Stream) -> None:
        with self._changed:
            self._brought = data
            self._changed.notify_all()
            self._changed.wait_for(lambda: not len(self._brought) or "ours" in self._gone)
        if self._stopped:
            raise CancelledError

    def _look(self, offset: int, data: Stream) -> None:
        differing: list[Ints] = []
        while len(data):
            with self._changed:
                self._changed.wait_for(lambda: len(self._brought) or "theirs" in self._gone)
                expected = self._brought[: len(data)]
                if not len(expected):
                    break
                if not native.equal(expected, data[: len(expected)]):
                    positions = offset + np.flatnonzero(expected != data[: len(expected)])
                    differing.append(positions[~self._damaged[_segments_at(self._other, positions)]])
                self._brought = self._brought[len(expected) :]
                self._changed.notify_all()
            offset, data = offset + len(expected), data[len(expected) :]
        if differing:
            for damage in _by_segment(self._container, np.concatenate(differing)):
                self._found(damage)


class _Side:
    """What is written is handed on."""

    any_order: ClassVar[bool] = False

    def __init__(self, take: Callable[[int, Stream], None]) -> None:
        self._take = take

    def write_at(self, offset: int, parts: Sequence[Bytes]) -> None:
        for part in parts:
            self._take(offset, np.frombuffer(part, dtype=np.uint8))
            offset += len(part)

    def commit(self) -> None:
        """Nothing was kept."""


def _segments_at(container: ContainerReader, positions: Ints) -> Ints:
    # tensors without bytes share their start with the next: the last that starts there is the one with the byte
    return np.searchsorted(container.blocks.starts, positions, side="right") - 1


def _by_segment(container: ContainerReader, positions: Ints) -> list[Damage]:
    """One for each segment that differs at some of these positions in the original, which are sorted."""
    segments, firsts = np.unique(_segments_at(container, positions), return_index=True)
    lasts = np.append(firsts, len(positions))[1:] - 1
    return [
        Damage(DIFFERS, segment, container.tensor_name(segment), first, last - first + 1)
        for segment, first, last in zip(
            segments.tolist(), positions[firsts].tolist(), positions[lasts].tolist(), strict=True
        )
    ]
