"""This tool's frames of float tensors, without file and container: the cases behind the first rows of memory.py."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from benchmarks.tensorfile import Named
from pennyweight import native
from pennyweight.pipeline import executor
from pennyweight.pipeline.blocks import BlockTable, Task
from pennyweight.pipeline.executor import decode_blocks, encode_blocks, max_frames_bytes
from pennyweight.pipeline.files import Reader
from pennyweight.pipeline.grouping import Member
from pennyweight.pipeline.policy import load_preset
from pennyweight.pipeline.progress import TwoPasses
from pennyweight.pipeline.sources import TensorRange
from pennyweight.pipeline.training import train
from pennyweight.pipeline.views import TRAINED
from pennyweight.types import DType

Buffer = NDArray[np.uint8]
PRESETS = ("fast", "default", "high", "archive")
KERNEL_PRESETS = ("fast", "default")  # what the others do has no fast path
POISON = 0x5A
CACHED_BYTES = 32 << 20  # results larger than this are written around the cache, as memcpy does
LEAST_BYTES = 1 << 17  # of a tensor: smaller ones share blocks, and are a thousandth of a model


class Tensors:
    """Tensors of one dtype back to back, and memory for their frames and what comes back."""

    def __init__(self, tensors: Sequence[Named]) -> None:
        self.dtype = DType.named(tensors[0].dtype)
        self.segments = [TensorRange(len(t.data), t.name, self.dtype, t.shape) for t in tensors]
        self.body = np.concatenate([np.frombuffer(t.data, np.uint8) for t in tensors])
        self.out = np.zeros_like(self.body)
        smallest = BlockTable.of([t.n_bytes for t in self.segments], 1 << 18)
        self.frames = np.zeros(max_frames_bytes(smallest.sizes.tolist()), np.uint8)

    @cached_property
    def reader(self) -> Reader:
        """The tensors as a file, for a preset that learns from one first."""
        return Reader(io.BytesIO(self.body.data))

    @staticmethod
    def of(memory: Buffer, task: Task) -> Buffer:
        return memory[task.offset : task.offset + task.n_bytes]


@dataclass(frozen=True)
class Frames:
    """Frames of one task back to back, and the bytes of each."""

    joined: Buffer
    lengths: list[int]


class BlockCase:
    """`encode_blocks` and `decode_blocks` on one target, in tasks of 2 MiB as for a file.

    encode learns first what the preset needs of the tensors, and decodes every frame again before it returns it.
    """

    kind = "blocks"

    def __init__(self, tensors: Tensors, preset: str, target: str, digests: dict[str, str]) -> None:
        self.name, self.target, self.n_bytes = f"pennyweight {preset}", target, tensors.body.nbytes
        self._tensors, self._digests, self._preset = tensors, digests, preset
        self._around_cache = self.n_bytes > CACHED_BYTES

    def prepare(self) -> None:
        self._default = native.target()
        native.set_target(self.target)
        preset = load_preset(self._preset)
        self._plans, self._block_bytes = preset.resolve(), preset.block_bytes
        plans = self._plans[self._tensors.dtype]
        self._learns = any(isinstance(stage, TRAINED) for plan in plans for stage in plan.stages)
        self._blocks = BlockTable.of([t.n_bytes for t in self._tensors.segments], preset.block_bytes)
        self._tasks = list(self._blocks.tasks())
        self._tensors.out.fill(POISON)

    def finish(self) -> None:
        native.set_target(self._default)  # of the whole process: the cases after this one must not see it

    def encode(self) -> list[list[int]]:
        """Frames of all tasks, back to back."""
        t, blocks, at = self._tensors, self._blocks, 0
        training = None
        if self._learns:
            training = train(t.reader, t.segments, self._plans, self._block_bytes, TwoPasses(t.reader.size, None))
        self._side = list(training.side) if training else []
        lengths: list[list[int]] = []
        for task in self._tasks:
            contents: list[list[Member]] = []
            for block in range(task.first, task.last):
                segment = int(blocks.segments[block])
                place = int(blocks.offsets[block] - blocks.starts[segment])
                plans = training.plans(segment, place) if training else self._plans[t.dtype]
                contents.append([Member(int(blocks.sizes[block]), plans)])
            made = encode_blocks(t.of(t.body, task), contents, t.frames[at:], self._side)
            at += sum(made)
            lengths.append(made)
        return lengths

    def pack(self, encoded: list[list[int]]) -> list[Frames]:
        ends = np.cumsum([sum(lengths) for lengths in encoded])
        joined = np.split(self._tensors.frames[: ends[-1]], ends[:-1])
        return [Frames(part, lengths) for part, lengths in zip(joined, encoded, strict=True)]

    def n_packed(self, packed: list[Frames]) -> int:
        return sum(frames.joined.nbytes for frames in packed) + sum(stream.nbytes for stream in self._side)

    def decode(self, packed: list[Frames]) -> None:
        t, sizes = self._tensors, self._blocks.sizes
        for task, frames in zip(self._tasks, packed, strict=True):
            raw = sizes[task.first : task.last].tolist()
            decode_blocks(frames.joined, frames.lengths, raw, t.of(t.out, task), self._side, stream=self._around_cache)

    def check(self, packed: list[Frames], decoded: None) -> None:
        """RuntimeError where the tensors did not come back, or the frames depend on the target."""
        if not np.array_equal(self._tensors.out, self._tensors.body):
            raise RuntimeError("decodes to other bytes")
        digest = hashlib.sha256()
        for frames in packed:
            digest.update(frames.joined.data)
        if self._digests.setdefault(self.name, digest.hexdigest()) != digest.hexdigest():
            raise RuntimeError("writes other frames than another target")


class KernelCase:
    """The compiled core on full blocks: encoding without the check of every frame, and without Python.

    Only on the blocks that it takes, which are nearly all: it leaves a block that needs a decision to the staged path.
    """

    kind = "kernel"

    def __init__(self, tensors: Tensors, preset: str, target: str) -> None:
        self.name, self.target = f"pennyweight {preset}", target
        self._preset, self._tensors = preset, tensors
        self._sizes: list[int] = []
        self.n_bytes = 0

    def prepare(self) -> None:
        self._default = native.target()
        native.set_target(self.target)
        if not self._sizes:
            self._take_blocks()
        self._out.fill(POISON)

    def _take_blocks(self) -> None:
        """Choose the blocks: those that the core does not leave to the staged path."""
        t, preset = self._tensors, load_preset(self._preset)
        fused = next(filter(None, map(executor._fused, preset.resolve()[t.dtype])), None)
        if fused is None:
            raise RuntimeError("its plans have no fast path")
        self._layout = (fused.stage.format.id, fused.stage.bits, fused.sign_mantissa, fused.low)
        every: list[int] = BlockTable.of([segment.n_bytes for segment in t.segments], preset.block_bytes).sizes.tolist()
        taken = self._encode_all(t.body, every)
        self._sizes = [size for size, length in zip(every, taken, strict=True) if length]
        if 2 * len(self._sizes) < len(every):
            raise RuntimeError(f"takes {len(self._sizes)} of {len(every)} blocks")
        blocks = np.split(t.body, np.cumsum(every)[:-1])
        self._body = np.concatenate([block for block, length in zip(blocks, taken, strict=True) if length])
        self._out = t.out[: self._body.nbytes]
        self.n_bytes = self._body.nbytes

    def _encode_all(self, body: Buffer, sizes: list[int]) -> list[int]:
        return native.encode_float_blocks(body, sizes, *self._layout, self._tensors.frames)

    def finish(self) -> None:
        native.set_target(self._default)  # of the whole process: the cases after this one must not see it

    def encode(self) -> list[int]:
        return self._encode_all(self._body, self._sizes)

    def pack(self, encoded: list[int]) -> Frames:
        return Frames(self._tensors.frames[: sum(encoded)], encoded)

    def n_packed(self, packed: Frames) -> int:
        return packed.joined.nbytes

    def decode(self, packed: Frames) -> None:
        """What the core does not decode takes the staged path, and the row says how slow that is."""
        decode_blocks(packed.joined, packed.lengths, self._sizes, self._out, stream=True)

    def check(self, packed: Frames, decoded: None) -> None:
        if not np.array_equal(self._out, self._body):
            raise RuntimeError("decodes to other bytes")


def block_cases(tensors: list[Named], copies: int) -> list[BlockCase | KernelCase]:
    """Every preset on every target. For one copy also the core alone; for many only what has a kernel, not scalar."""
    whole = Tensors([t for t in tensors if len(t.data) >= LEAST_BYTES] * copies)
    digests: dict[str, str] = {}
    if copies > 1:
        return [BlockCase(whole, p, t, digests) for t in native.targets()[:0:-1] for p in KERNEL_PRESETS]
    targets = native.targets()[::-1]
    cases: list[BlockCase | KernelCase] = [BlockCase(whole, p, t, digests) for t in targets for p in PRESETS]
    return cases + [KernelCase(whole, p, t) for t in targets for p in KERNEL_PRESETS]
