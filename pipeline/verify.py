"""Checks one container, and compares it with the original if there is one. Finds everything that is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import Final, Literal

import numpy as np

from pennyweight import native
from pennyweight.errors import CorruptError
from pennyweight.pipeline.blocks import TASK_BYTES, Task
from pennyweight.pipeline.container.index import Index, TensorRecord
from pennyweight.pipeline.container.reader import ContainerReader
from pennyweight.pipeline.decode import Damage, FrameDecoder, check_side, decode_checked
from pennyweight.pipeline.files import Reader, naming
from pennyweight.pipeline.progress import Progress
from pennyweight.pipeline.report import Problem, VerifiedFile, VerifiedTensor
from pennyweight.pipeline.window import Buffers, Stream, in_order, tasks_ahead, worker_pool

Level = Literal["fast", "default", "full"]
DIFFERS: Final = "differs from the original"


@dataclass(frozen=True)
class Verified:
    """What was found. `index` is None if the container could not be opened; the size is the container's, bytes."""

    file: str
    index: Index | None
    stored_bytes: int
    problems: list[Problem]

    def report(self) -> VerifiedFile:
        """The same, tensor by tensor."""
        segments = self.index.segments if self.index else ()
        wrong = {problem.tensor for problem in self.problems}
        starts = accumulate((segment.n_bytes for segment in segments), initial=0)
        return VerifiedFile(
            file=self.file,
            n_bytes=self.index.n_bytes if self.index else None,
            stored_bytes=self.stored_bytes,
            tensors=tuple(
                VerifiedTensor(name=one.name, offset=start, n_bytes=one.n_bytes, ok=one.name not in wrong)
                for one, start in zip(segments, starts, strict=False)
                if isinstance(one, TensorRecord)
            ),
        )


def verify_file(
    src: Reader,
    *,
    level: Level = "default",
    original: Reader | None = None,
    require_lossless: bool = False,
    threads: int,
    progress: Progress | None = None,
) -> Verified:
    """Check `src` on that level of docs/format.md 3. `original` is compared byte by byte on every level but `fast`.

    At most one problem is reported for each tensor: the first.

    Raises:
        VersionError: it needs a newer version, so nothing can be said.
        InputError: a file cannot be read.
    """
    with naming(src.name):
        try:
            container = ContainerReader(src)
        except CorruptError as error:
            problem = Problem(file=src.name, tensor=None, reason=error.reason, offset=error.offset, n_bytes=None)
            return Verified(src.name, None, src.size, [problem])
        found = _Found(src.name)
        index = container.index
        if require_lossless and container.lossy:
            found(Damage("is lossy"))
        if level == "full" and index.sha256 is None:
            found(Damage("holds no SHA-256 to check"))
        if level == "fast":
            _check_frames(container, threads, found, progress)
            return Verified(src.name, index, src.size, found.problems)
        comparison = _Comparison(container, original) if original else None
        if original and original.size != index.n_bytes:
            found(Damage(f"{DIFFERS}: holds {index.n_bytes} bytes, which has {original.size}"))
        decode_checked(
            container,
            threads=threads,
            sha256=level == "full" and index.sha256 is not None,
            found=found,
            also=comparison,
            progress=progress,
        )
    if original:
        original.check_unchanged()
    return Verified(src.name, index, src.size, found.problems)


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


class _Found:
    """Collects problems, the first of each segment."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._segments: set[int] = set()
        self.problems: list[Problem] = []

    def __call__(self, damage: Damage) -> None:
        if damage.segment is not None:
            if damage.segment in self._segments:
                return
            self._segments.add(damage.segment)
        _, _, tensor, offset, n_bytes = damage
        self.problems.append(
            Problem(file=self._file, tensor=tensor, reason=damage.reason, offset=offset, n_bytes=n_bytes)
        )


class _Comparison:
    """Compares decoded tasks with the original. Thread-safe."""

    def __init__(self, container: ContainerReader, original: Reader) -> None:
        self._container, self._original = container, original
        self._buffers = Buffers()
        self._starts = container.blocks.starts

    def __call__(self, task: Task, data: Stream) -> list[Damage]:
        n = max(0, min(task.n_bytes, self._original.size - task.offset))
        expected = self._buffers.scratch(n)
        self._original.pread_into(task.offset, expected.data)
        if native.equal(expected, data[:n]):
            return []
        positions = task.offset + np.flatnonzero(expected != data[:n])
        # tensors without bytes share their start with the next: the last that starts there is the one with the byte
        segments, firsts = np.unique(np.searchsorted(self._starts, positions, side="right") - 1, return_index=True)
        lasts = [*(firsts[1:] - 1).tolist(), len(positions) - 1]
        return [
            Damage(DIFFERS, segment, self._container.tensor_name(segment), int(first), int(last - first) + 1)
            for segment, first, last in zip(segments.tolist(), positions[firsts], positions[lasts], strict=True)
        ]


def _check_frames(container: ContainerReader, threads: int, found: _Found, progress: Progress | None) -> None:
    frames = FrameDecoder(container, Buffers())
    for damage in check_side(container, decode=False):
        found(damage)

    def work(task: Task) -> tuple[Task, list[Damage]]:
        return task, frames.check(task.first, task.last)

    with worker_pool(threads) as pool:
        for task, wrong in in_order(pool, work, container.blocks.tasks(), tasks_ahead(threads)):
            for damage in wrong:
                found(damage)
            if progress:
                progress(task.n_bytes)
