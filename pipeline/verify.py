"""Checks one container, and compares it with the original if there is one. Finds everything that is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, repeat
from typing import Literal

from pennyweight.errors import CorruptError
from pennyweight.pipeline.against import DIFFERS, PlainOriginal, decode_both, first_difference
from pennyweight.pipeline.blocks import Task
from pennyweight.pipeline.container import layout
from pennyweight.pipeline.container.index import Index, TensorRecord
from pennyweight.pipeline.container.reader import ContainerReader
from pennyweight.pipeline.decode import Damage, FrameDecoder, check_head, check_markers, decode_checked
from pennyweight.pipeline.files import Reader, naming
from pennyweight.pipeline.hashing import Hashing, sha256_of
from pennyweight.pipeline.manifest import OTHER_SHA256, FileEntry, differences
from pennyweight.pipeline.output import Sink
from pennyweight.pipeline.progress import Progress
from pennyweight.pipeline.report import Problem, VerifiedFile, VerifiedTensor
from pennyweight.pipeline.subset import Mask, Slice, check_slice
from pennyweight.pipeline.window import Buffers, in_order, tasks_ahead, worker_pool

Level = Literal["fast", "default", "full"]


@dataclass(frozen=True)
class Verified:
    """What was found. `index` is None if the container could not be opened; the size is the container's, bytes.

    Among the problems are those of a container that it was compared with.
    """

    file: str
    index: Index | None
    stored_bytes: int
    problems: list[Problem]
    checked: Mask | None = None  # (n_segments,), where it was not all of them

    def report(self) -> VerifiedFile:
        """The same, tensor by tensor."""
        segments = self.index.segments if self.index else ()
        wrong = {problem.tensor for problem in self.problems if problem.file == self.file}
        checked = repeat(True) if self.checked is None else self.checked.tolist()
        starts = accumulate((segment.n_bytes for segment in segments), initial=0)
        return VerifiedFile(
            file=self.file,
            n_bytes=self.index.n_bytes if self.index else None,
            stored_bytes=self.stored_bytes,
            tensors=tuple(
                VerifiedTensor(
                    name=one.name, offset=start, n_bytes=one.n_bytes, ok=one.name not in wrong if looked else None
                )
                for one, start, looked in zip(segments, starts, checked, strict=False)
                if isinstance(one, TensorRecord)
            ),
        )


def verify_file(
    src: Reader,
    *,
    level: Level = "default",
    original: Reader | None = None,
    packed: bool | None = None,
    subset: Slice | None = None,
    entry: FileEntry | None = None,
    require_lossless: bool = False,
    threads: int,
    progress: Progress | None = None,
) -> Verified:
    """Check `src` on that level of docs/format.md 3. `original` is compared byte by byte on every level but `fast`.

    At most one problem is reported for each tensor: the first.

    Args:
        packed: whether `original` is a container of what is to be compared. Its damage is a problem as well, under its
            own name. None: see for yourself.
        subset: check no more than this, on the level `default` and without an original.
        entry: what the manifest says, to be compared; without an original.

    Raises:
        VersionError: a container needs a newer version, so nothing can be said.
        InputError: a file cannot be read.
    """
    found = _Found(src.name)
    container = _opened(src, found)
    if container is None:
        return Verified(src.name, None, src.size, found.problems)
    index = container.index
    if require_lossless and container.lossy:
        found(Damage("is lossy"))
    if level == "full" and index.sha256 is None:
        found(Damage("holds no SHA-256 to check"))
    if entry:
        _compare_entry(container, entry, level, found)
    if level == "fast":
        with naming(src.name):
            _check_frames(container, threads, found, progress)
        return Verified(src.name, index, src.size, found.problems)
    if subset:
        with naming(src.name):
            checked = check_slice(container, subset, threads=threads, found=found, progress=progress)
        return Verified(src.name, index, src.size, found.problems, checked)
    decode = partial(_decode, threads=threads, full=level == "full")
    if entry:
        whole = Hashing()
        decode(container, found, sink=whole, progress=progress)
        if whole.hexdigest() != entry.sha256:
            found(Damage(OTHER_SHA256))
    elif original:
        _compare(container, original, packed, found, decode, progress)
        original.check_unchanged()
    else:
        decode(container, found, progress=progress)
    return Verified(src.name, index, src.size, found.problems)


def _compare_entry(container: ContainerReader, entry: FileEntry, level: Level, found: _Found) -> None:
    """What can be compared with the manifest without decoding anything."""
    file, listed = container.file, entry.container
    if listed and (file.size, sha256_of(file)) != (listed.n_bytes, listed.sha256):
        found(Damage("is another container than that of the manifest: its SHA-256 is not the same"))
    if level == "fast" and not listed:
        found(Damage("has no container in the manifest, so that only decoding it can prove anything"))
    for tensor, reason in differences(container.index, entry):
        found(Damage(reason, tensor=tensor))


def _compare(
    container: ContainerReader,
    original: Reader,
    packed: bool | None,
    found: _Found,
    decode: Callable[..., None],
    progress: Progress | None,
) -> None:
    """Decode it, and compare with the original: a file, or what another container decodes to."""
    n_bytes = container.index.n_bytes
    if not (_is_container_of(original, container.index) if packed is None else packed):
        found.compare_sizes(n_bytes, original.size)
        decode(container, found, also=PlainOriginal(container, original), progress=progress)
        return
    if first_difference(container.file, original) is None:
        # What is equal decodes to what is equal, and has the same damage
        decode(container, found, progress=progress)
        if original.name != container.file.name:
            found.problems += [problem.model_copy(update={"file": original.name}) for problem in found.problems]
        return
    theirs = _Found(original.name)
    if other := _opened(original, theirs):
        found.compare_sizes(n_bytes, other.index.n_bytes)
        decode_both(container, found, other, theirs, decode, progress)
    else:
        decode(container, found, progress=progress)
    found.problems += theirs.problems


def _opened(src: Reader, found: _Found) -> ContainerReader | None:
    with naming(src.name):
        try:
            return ContainerReader(src)
        except CorruptError as error:
            found(Damage(error.reason, offset=error.offset))
            return None


def _is_container_of(original: Reader, index: Index) -> bool:
    """Whether it is to be decoded first. One of the very size of the original is that itself: `src` wraps it."""
    begins = original.pread(0, min(original.size, len(layout.MAGIC)))
    return begins == layout.MAGIC and original.size != index.n_bytes


def _decode(
    container: ContainerReader,
    found: Callable[[Damage], None],
    *,
    threads: int,
    full: bool,
    also: PlainOriginal | None = None,
    sink: Sink | None = None,
    progress: Progress | None = None,
) -> None:
    with naming(container.file.name):
        decode_checked(
            container,
            threads=threads,
            sha256=full and container.index.sha256 is not None,
            found=found,
            also=also,
            sink=sink,
            progress=progress,
        )


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

    def compare_sizes(self, n_bytes: int, original_bytes: int) -> None:
        """Of the originals of the two."""
        if n_bytes != original_bytes:
            self(Damage(f"{DIFFERS}: holds {n_bytes} bytes, which has {original_bytes}"))


def _check_frames(container: ContainerReader, threads: int, found: _Found, progress: Progress | None) -> None:
    frames = FrameDecoder(container, Buffers())
    for damage in check_head(container, decode=False):
        found(damage)

    def work(task: Task) -> tuple[Task, list[Damage]]:
        return task, frames.check(task.first, task.last) + check_markers(container, task.first, task.last)

    with worker_pool(threads) as pool:
        for task, wrong in in_order(pool, work, container.blocks.tasks(), tasks_ahead(threads)):
            for damage in wrong:
                found(damage)
            if progress:
                progress(task.n_bytes)
