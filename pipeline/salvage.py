"""What can still be had of a damaged container: the original, or a file of the tensors that are intact."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import numpy as np

from pennyweight.errors import InputError
from pennyweight.pipeline.blocks import Task
from pennyweight.pipeline.container.index import DescribedTensor, Index, TensorRecord
from pennyweight.pipeline.container.remains import find_remains
from pennyweight.pipeline.decode import Damage, FrameDecoder, Piece
from pennyweight.pipeline.digests import SegmentDigests
from pennyweight.pipeline.files import Reader, naming
from pennyweight.pipeline.output import AtomicFile, check_space
from pennyweight.pipeline.progress import Progress
from pennyweight.pipeline.report import SalvagedFile, SalvagedTensor
from pennyweight.pipeline.tensor_file import TensorFile
from pennyweight.pipeline.window import Buffers, in_order, tasks_ahead, worker_pool

TENSORS: Final = ".salvaged.safetensors"
LIST: Final = ".salvage.json"
"""What is added to the original's name for the tensors that are intact, and for the list of all."""


def salvage_file(
    src: Reader, folder: Path, name: str, *, threads: int, progress: Progress | None = None
) -> SalvagedFile:
    """Write what is left of `src` into `folder`: the original, as `name`, if that is everything.

    Else NAME.salvaged.safetensors, the tensors that are intact, if there are any, and NAME.salvage.json, the list of
    all. Everything is decoded to know what is intact, and what is intact again to be written; `progress` counts both.

    Raises:
        CorruptError: nothing is left that says what the frames are.
        VersionError: the container needs a newer version.
        InputError: it cannot be read, changes meanwhile, or something cannot be written.
    """
    with naming(src.name):
        salvage = _Salvage(src, threads=threads, progress=progress)
        salvage.examine()
        if salvage.whole:
            salvage.write_original(folder / name)
            return salvage.report(name, name)
        output = name + TENSORS if salvage.intact else None
        if output:
            salvage.write_tensors(folder / output)
        src.check_unchanged()
    report = salvage.report(name, output)
    with AtomicFile(folder / (name + LIST), force=False) as out:
        out.write_at(0, [report.to_json().encode() + b"\n"])
        out.commit()
    return report


def _wrong(index: Index, gaps: str, sha256: str) -> str | None:
    """What is, where no segment is."""
    if gaps != index.gaps_xxh3_128:
        return "decoded bytes outside of the tensors do not match their digest"
    return "the rebuilt file does not match its SHA-256" if index.sha256 not in (None, sha256) else None


class _Salvage:
    """One container.

    Attributes:
        lost: of each segment that is not intact, the first thing wrong with it.
        wrong: what else is, if all segments seem intact.
        intact: the numbers of the tensors that are.
    """

    def __init__(self, src: Reader, *, threads: int, progress: Progress | None) -> None:
        self._src, self._threads, self._progress = src, threads, progress
        self._frames, self._index = find_remains(src)
        self.lost: dict[int, Damage] = {}
        self.wrong: str | None = None
        self.intact: list[int] = []
        self._saved_as: dict[int, str] = {}

    @property
    def whole(self) -> bool:
        """Whether everything is intact, as far as there is something to compare it with."""
        return not self.lost and self.wrong is None

    def examine(self) -> None:
        """Decode everything: tensors are intact if their frames are, and if they have their digests where these are
        known."""
        segments = self._frames.segments
        digests = SegmentDigests([(one.n_bytes, isinstance(one, DescribedTensor)) for one in segments])
        sha256 = hashlib.sha256()
        for piece in self._decoded(self._frames.blocks.tasks()):
            for damage in piece.damage:
                if damage.segment is not None:
                    self.lost.setdefault(damage.segment, damage)
            if self._index:
                self._compare(digests.update(piece.data))
                if not self.lost:
                    sha256.update(piece.data.data)
        if self._index:
            self._compare(digests.update(np.empty(0, dtype=np.uint8)))
            if not self.lost:
                self.wrong = _wrong(self._index, digests.gaps, sha256.hexdigest())
        self.intact = [i for i, one in enumerate(segments) if isinstance(one, DescribedTensor) and i not in self.lost]

    def write_original(self, path: Path) -> None:
        """Only if `whole`."""
        check_space(path, int(self._frames.blocks.offsets[-1]))
        with AtomicFile(path, force=False) as out:
            for piece in self._again(self._frames.blocks.tasks()):
                out.write_at(piece.task.offset, [piece.data.data])
            self._src.check_unchanged()
            out.commit()

    def write_tensors(self, path: Path) -> None:
        """Those that are intact, as safetensors."""
        blocks, segments = self._frames.blocks, self._frames.segments
        file = TensorFile([segment for i in self.intact if isinstance(segment := segments[i], DescribedTensor)])
        begins = dict(zip(self.intact, file.begins, strict=True))
        self._saved_as = dict(zip(self.intact, file.names, strict=True))
        chosen = np.zeros(len(blocks), dtype=np.bool_)
        for i in self.intact:
            chosen[slice(*blocks.holding(i))] = True
        check_space(path, file.n_bytes)
        with AtomicFile(path, force=False) as out:
            out.write_at(0, [file.head])
            for piece in self._again(blocks.tasks_of(chosen)):
                for i, begin, end in self._inside(piece.task):
                    if i in begins:
                        at = begins[i] + begin - int(blocks.starts[i])
                        out.write_at(at, [piece.data[begin - piece.task.offset : end - piece.task.offset].data])
            self._src.check_unchanged()
            out.commit()

    def report(self, name: str, output: str | None) -> SalvagedFile:
        """What was found, and written as `output`."""
        segments, n_bytes = self._frames.segments, int(self._frames.blocks.starts[-1])
        tensors = tuple(self._told(i, one) for i, one in enumerate(segments) if isinstance(one, DescribedTensor))
        gap_lost = any(not isinstance(segments[i], DescribedTensor) for i in self.lost)
        return SalvagedFile(
            file=self._src.name,
            output=output,
            listed=None if self.whole else name + LIST,
            whole=self.whole,
            proven="tensors" if self._index else "frames",
            wrong="bytes outside of the tensors are lost" if gap_lost else self.wrong,
            n_bytes=n_bytes,
            saved_bytes=n_bytes if self.whole else sum(segments[i].n_bytes for i in self.intact),
            n_tensors=len(tensors),
            n_saved=len(self.intact),
            tensors=tensors,
        )

    def _told(self, number: int, tensor: DescribedTensor) -> SalvagedTensor:
        damage = self.lost.get(number)
        reason = offset = None
        if damage:
            there = damage.n_bytes != 0
            reason, offset = damage.reason if there else "a frame is not found", damage.offset if there else None
        return SalvagedTensor(
            name=tensor.name,
            dtype=tensor.dtype,
            shape=tensor.shape,
            n_bytes=tensor.n_bytes,
            saved=damage is None,
            saved_as=self._saved_as.get(number),
            reason=reason,
            offset=offset,
        )

    def _compare(self, ended: list[tuple[int, str]]) -> None:
        for i, digest in ended:
            record = self._frames.segments[i]
            if isinstance(record, TensorRecord) and digest != record.xxh3_128:
                self.lost.setdefault(i, Damage("decoded bytes do not match the tensor's digest", i, record.name))

    def _inside(self, task: Task) -> Iterator[tuple[int, int, int]]:
        """The segments that the task holds bytes of, and from where to where, in the original file."""
        starts, end = self._frames.blocks.starts, task.offset + task.n_bytes
        first = int(np.searchsorted(starts, task.offset, side="right")) - 1
        for i in range(first, int(np.searchsorted(starts, end, side="left"))):
            yield i, max(task.offset, int(starts[i])), min(end, int(starts[i + 1]))

    def _again(self, tasks: Iterable[Task]) -> Iterator[Piece]:
        """What was intact when it was decoded before."""
        for piece in self._decoded(tasks):
            if piece.damage:
                raise InputError(f"{self._src.name}: changed while it was read")
            yield piece

    def _decoded(self, tasks: Iterable[Task]) -> Iterator[Piece]:
        buffers = Buffers()
        decoder = FrameDecoder(self._frames, buffers)

        def work(task: Task) -> Piece:
            memory = buffers.take()
            return Piece(task, memory, decoder.decode(task.first, task.last, memory[: task.n_bytes]))

        with worker_pool(self._threads) as pool:
            for piece in in_order(pool, work, tasks, tasks_ahead(self._threads)):
                yield piece
                buffers.give(piece.memory)
                if self._progress:
                    self._progress(piece.task.n_bytes)
