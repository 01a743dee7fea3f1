"""One file into one container."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from importlib.metadata import version
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

import numpy as np
import xxhash

from pennyweight.errors import InputError, LossyError
from pennyweight.pipeline.blocks import MAX_RUN_BYTES, TASK_BYTES, BlockTable, Task, block_sizes, count_blocks
from pennyweight.pipeline.container import limits
from pennyweight.pipeline.container.index import (
    ENTRY_BYTES,
    Described,
    DescribedTensor,
    Description,
    GapRecord,
    Index,
    Record,
    TensorRecord,
)
from pennyweight.pipeline.container.writer import ContainerWriter
from pennyweight.pipeline.digests import SegmentDigests
from pennyweight.pipeline.executor import encode_blocks, max_frames_bytes
from pennyweight.pipeline.files import Reader, naming
from pennyweight.pipeline.grouping import OWN_PART_BYTES, Member, kind_of
from pennyweight.pipeline.output import Sink, sink
from pennyweight.pipeline.plan import Plan, parse
from pennyweight.pipeline.policy import Plans, Preset, plan_texts
from pennyweight.pipeline.progress import Progress, TwoPasses
from pennyweight.pipeline.report import Converted
from pennyweight.pipeline.sources import Segment, SourceMap, TensorRange, find_source, opaque
from pennyweight.pipeline.training import Training, train
from pennyweight.pipeline.views import TRAINED
from pennyweight.pipeline.window import Buffers, FollowUps, Stream, in_order, tasks_ahead, worker_pool
from pennyweight.stages.protocol import Side
from pennyweight.types import Fidelity

_SIDE_PLANS: Final = (parse("zstd | rans | byteplane[width=2](*: zstd | rans)", None),)

_HEAD_BYTES: Final = 1 << 16
_RECORD_BYTES: Final = 192
_DIMENSION_BYTES: Final = 20
"""Upper bounds of what an index holds besides names and frames: in all, per segment, and per dimension of a shape."""


class _Piece(NamedTuple):
    """An encoded task: raw bytes at the start of `memory`, frames at the start of `encoded`."""

    task: Task
    memory: Stream
    encoded: Stream
    lengths: list[int]
    digests: list[int]


def compress_file(
    src: Reader,
    dst: Path | BinaryIO,
    preset: Preset,
    *,
    threads: int,
    force: bool = False,
    sha256: bool = True,
    progress: Progress | None = None,
) -> Converted:
    """Write the container of `src` to a new file, or to a binary file object. The same bytes for any number of threads.

    Raises:
        InputError: the source cannot be read, or changes meanwhile; the target is in the way or cannot be written.
        LossyError: a plan of the preset is lossy.
    """
    found = _source_map(src, preset.block_bytes)
    kinds = {segment.dtype for segment in found.segments}
    plans = preset.resolve()
    if any(plan.fidelity is Fidelity.LOSSY for kind in kinds for plan in plans[kind]):
        raise LossyError(f"preset {preset.name}: has a lossy plan")
    with naming(src.name), sink(dst, force=force) as out:
        passes = TwoPasses(src.size, progress)
        encoding = _Encoding(src, found.segments, preset.block_bytes, plans, threads=threads, passes=passes)
        described = {
            "n_bytes": src.size,
            "block_bytes": preset.block_bytes,
            "side": tuple(stream.size for stream in encoding.side),
        }
        segments = tuple(map(_described, found.segments))
        writer = ContainerWriter(Description(**described, segments=segments), lossy=False)
        out.write_at(0, [writer.head])
        tensors, gaps, whole = encoding.run(writer, out, threads=threads, sha256=sha256)
        src.check_unchanged()
        index = Index(
            **described,
            segments=tuple(_record(segment, tensors.get(i)) for i, segment in enumerate(segments)),
            encoder=f"pennyweight {version('pennyweight')}",
            preset=preset.name,
            plans={label: tuple(texts) for label, texts in plan_texts(encoding.plans, kinds).items()},
            fidelity="lossless",
            source=found.name,
            sha256=whole,
            gaps_xxh3_128=gaps,
            description_bytes=writer.description_bytes,
            description_xxh3_64=writer.description_xxh3_64,
        )
        out.write_at(*writer.finish(index))
        out.commit()
    return Converted(index, writer.offset)


def _source_map(src: Reader, block_bytes: int) -> SourceMap:
    """What the file is, or an opaque file where so many tensors would make an index that readers refuse."""
    for found in (find_source(src), opaque.read(src)):
        named = [segment for segment in found.segments if isinstance(segment, TensorRange)]
        names = sum(len(json.dumps(tensor.name, ensure_ascii=False).encode()) for tensor in named)
        sizes, cells = [segment.n_bytes for segment in found.segments], list(map(_cell_bytes, found.segments))
        n_blocks = count_blocks(sizes, block_bytes, cells)
        dimensions = sum(len(tensor.shape) for tensor in named)
        text = _HEAD_BYTES + names + _DIMENSION_BYTES * dimensions + _RECORD_BYTES * len(found.segments)
        if (
            len(found.segments) <= limits.MAX_SEGMENTS
            and text <= limits.MAX_JSON_BYTES
            and text + ENTRY_BYTES * n_blocks <= limits.MAX_INDEX_BYTES
        ):
            return found
    raise InputError(f"{src.name}: too large: its index would be more than {limits.MAX_INDEX_BYTES} bytes")


def _described(segment: Segment) -> Described:
    if not isinstance(segment, TensorRange):
        return GapRecord(segment.n_bytes)
    n_bytes, name, dtype, shape = segment
    return DescribedTensor(name, dtype.label, shape, n_bytes)


def _record(segment: Described, digest: str | None) -> Record:
    if isinstance(segment, GapRecord):
        return segment
    assert digest is not None
    return TensorRecord(segment.name, segment.dtype, segment.shape, segment.n_bytes, digest)


class _Encoding:
    """The frames of one file."""

    def __init__(
        self,
        src: Reader,
        segments: Sequence[Segment],
        block_bytes: int,
        plans: Plans,
        *,
        threads: int,
        passes: TwoPasses,
    ) -> None:
        self._src, self._segments, self._plans, self._passes = src, segments, plans, passes
        used = (plan for kind in {segment.dtype for segment in segments} for plan in plans[kind])
        self._training: Training | None = None
        if any(isinstance(stage, TRAINED) for plan in used for stage in plan.stages):
            with worker_pool(threads) as pool:
                ordered = partial(in_order, pool, depth=tasks_ahead(threads))
                self._training = train(src, segments, plans, block_bytes, passes, map=ordered)
        self.side: Side = self._training.side if self._training else ()
        self.plans = self._training.tried if self._training else plans
        self._block_bytes = block_bytes
        sizes, cells = [segment.n_bytes for segment in segments], list(map(_cell_bytes, segments))
        self._blocks = BlockTable.of(sizes, block_bytes, cells)
        self._digests = SegmentDigests([(segment.n_bytes, isinstance(segment, TensorRange)) for segment in segments])
        self._buffers = Buffers()

    def run(
        self, writer: ContainerWriter, out: Sink, *, threads: int, sha256: bool
    ) -> tuple[dict[int, str], str, str | None]:
        """Write all frames. Returns the digest of each tensor (by number of segment), of the gaps, and of the file."""
        depth = tasks_ahead(threads)
        tensors: dict[int, str] = {}
        whole = hashlib.sha256()
        with ExitStack() as stack:
            pool = stack.enter_context(worker_pool(threads))
            hasher = stack.enter_context(worker_pool(1)) if sha256 else None
            writing = stack.enter_context(worker_pool(1))
            follow_ups = FollowUps(depth)
            self._write_side(writer, out)
            for piece in in_order(pool, self._encode, self._blocks.tasks(), depth):
                raw = piece.memory[: piece.task.n_bytes]
                at, marker = writer.place(piece.lengths, piece.digests)
                after: list[Any] = [hasher.submit(whole.update, raw.data)] if hasher else []
                after.append(writing.submit(out.write_at, at, [marker, piece.encoded[: sum(piece.lengths)].data]))
                tensors.update(self._digests.update(raw))
                follow_ups.add(after, partial(self._buffers.give, piece.memory, piece.encoded))
                self._passes.encoded(piece.task.n_bytes)
            follow_ups.drain()
        tensors.update(self._digests.update(np.empty(0, dtype=np.uint8)))
        return tensors, self._digests.gaps, whole.hexdigest() if sha256 else None

    def _write_side(self, writer: ContainerWriter, out: Sink) -> None:
        """All side frames, in batches as large as those of blocks."""
        batch = list[Stream]()
        for stream in self.side:
            batch.append(_side_frame(stream))
            if len(batch) == limits.MAX_BATCH_FRAMES or sum(frame.size for frame in batch) >= TASK_BYTES:
                self._write_batch(writer, out, batch)
                batch = []
        if batch:
            self._write_batch(writer, out, batch)

    def _write_batch(self, writer: ContainerWriter, out: Sink, frames: list[Stream]) -> None:
        digests = [xxhash.xxh3_64_intdigest(frame.data) for frame in frames]
        at, marker = writer.place([frame.size for frame in frames], digests)
        out.write_at(at, [marker, *(frame.data for frame in frames)])

    def _encode(self, task: Task) -> _Piece:
        memory, encoded = self._buffers.take(), self._buffers.take()
        raw = memory[: task.n_bytes]
        self._src.pread_into(task.offset, raw.data)
        contents = [self._members(block) for block in range(task.first, task.last)]
        lengths = encode_blocks(raw, contents, encoded, self.side)
        if self._block_bytes > MAX_RUN_BYTES:
            lengths = self._shortened(task, raw, encoded, lengths)
        ends = accumulate(lengths)
        digests = [xxhash.xxh3_64_intdigest(encoded[end - n : end].data) for end, n in zip(ends, lengths, strict=True)]
        return _Piece(task, memory, encoded, lengths, digests)

    def _members(self, block: int) -> list[Member]:
        segments = self._blocks.segments_in(block)
        if len(segments) == 1:
            first = int(self._blocks.offsets[block] - self._blocks.starts[segments[0]])
            return [Member(int(self._blocks.sizes[block]), self._plans_at(segments[0], first))]
        return list(map(self._member, segments))

    def _shortened(self, task: Task, raw: Stream, encoded: Stream, lengths: list[int]) -> list[int]:
        """Lengths of the task's frames after each that is shorter in pieces was put in the place of the other."""
        shorter, read, written = list[int](), 0, 0
        for block, length in zip(range(task.first, task.last), lengths, strict=True):
            frame = encoded[read : read + length]
            if pieces := self._pieces(block):
                at, size = int(self._blocks.offsets[block]) - task.offset, int(self._blocks.sizes[block])
                other = np.empty(max_frames_bytes([size]), dtype=np.uint8)
                (n,) = encode_blocks(raw[at : at + size], [pieces], other, self.side)
                frame = other[:n] if n < length else frame
            encoded[written : written + frame.size] = frame
            shorter.append(frame.size)
            read, written = read + length, written + frame.size
        return shorter

    def _pieces(self, block: int) -> list[Member]:
        """Of a block as large as only predictions need it: what has none is often smaller in pieces. Else nothing."""
        size, segment = int(self._blocks.sizes[block]), int(self._blocks.segments[block])
        if size <= MAX_RUN_BYTES or (self._training is not None and self._training.predicts(segment)):
            return []
        sizes = block_sizes(size, MAX_RUN_BYTES, _cell_bytes(self._segments[segment]))
        begins = accumulate(sizes[:-1], initial=int(self._blocks.offsets[block] - self._blocks.starts[segment]))
        return [Member(n, self._plans_at(segment, at)) for n, at in zip(sizes, begins, strict=True)]

    def _member(self, number: int) -> Member:
        """A whole segment, in a block with others. What was learned of it is of use only where it is not mixed."""
        segment = self._segments[number]
        dtype, name = segment.dtype, segment.name if isinstance(segment, TensorRange) else ""
        alone = segment.n_bytes >= OWN_PART_BYTES
        return Member(segment.n_bytes, self._plans_at(number, 0) if alone else self._plans[dtype], kind_of(dtype, name))

    def _plans_at(self, segment: int, first: int) -> Sequence[Plan]:
        """Those for the block, or part, that begins at byte `first` of a segment."""
        if self._training is None:
            return self._plans[self._segments[segment].dtype]
        return self._training.plans(segment, first)


def _cell_bytes(segment: Segment) -> int:
    return segment.dtype.cell_bytes if isinstance(segment, TensorRange) else 1


def _side_frame(stream: Stream) -> Stream:
    frame = np.empty(max_frames_bytes([stream.size]), dtype=np.uint8)
    (n,) = encode_blocks(stream, [(Member(stream.size, _SIDE_PLANS),)], frame)
    return frame[:n]
