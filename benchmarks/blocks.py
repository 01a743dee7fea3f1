"""This tool's frames of BF16 tensors, without file and container: the cases behind the first rows of memory.py."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pennyweight import native
from pennyweight.pipeline.blocks import BlockTable, Task
from pennyweight.pipeline.executor import decode_blocks, encode_blocks, max_frames_bytes
from pennyweight.pipeline.policy import load_preset
from pennyweight.types import DType

Buffer = NDArray[np.uint8]
PRESETS = {"fast": 4, "default": 5}  # preset -> symbol bits of its first plan for BF16
BF16_FORMAT = 1  # in the header of `floatfields`
POISON = 0x5A
CACHED_BYTES = 32 << 20  # results larger than this are written around the cache, as memcpy does


class Tensors:
    """BF16 tensors back to back, their blocks in tasks of 2 MiB as for a file, memory for frames and result."""

    def __init__(self, body: Buffer, table: BlockTable) -> None:
        self.body, self.out = body, np.zeros_like(body)
        self.tasks: list[Task] = list(table.tasks())
        self.sizes: list[list[int]] = [table.sizes[task.first : task.last].tolist() for task in self.tasks]
        self.frames = np.zeros(max_frames_bytes(table.sizes.tolist()), np.uint8)

    def of(self, memory: Buffer, task: Task) -> Buffer:
        return memory[task.offset : task.offset + task.n_bytes]


@dataclass(frozen=True)
class Frames:
    """Frames of one task back to back, and the bytes of each."""

    joined: Buffer
    lengths: list[int]


class BlockCase:
    """`encode_blocks` and `decode_blocks` on one target. encode decodes every frame again before it returns it."""

    kind = "blocks"

    def __init__(self, tensors: Tensors, preset: str, target: str, digests: dict[str, str]) -> None:
        self.name, self.target, self.n_bytes = f"pennyweight {preset}", target, tensors.body.nbytes
        self._tensors, self._digests = tensors, digests
        self._plans = load_preset(preset).resolve()
        self._around_cache = self.n_bytes > CACHED_BYTES

    def prepare(self) -> None:
        self._default = native.target()
        native.set_target(self.target)
        self._tensors.out.fill(POISON)

    def finish(self) -> None:
        native.set_target(self._default)  # of the whole process: the cases after this one must not see it

    def encode(self) -> list[list[int]]:
        """Frames of all tasks, back to back."""
        t, at = self._tensors, 0
        lengths: list[list[int]] = []
        for task, sizes in zip(t.tasks, t.sizes, strict=True):
            made = encode_blocks(t.of(t.body, task), sizes, [DType.BF16] * len(sizes), self._plans, t.frames[at:])
            at += sum(made)
            lengths.append(made)
        return lengths

    def pack(self, encoded: list[list[int]]) -> list[Frames]:
        ends = np.cumsum([sum(lengths) for lengths in encoded])
        joined = np.split(self._tensors.frames[: ends[-1]], ends[:-1])
        return [Frames(part, lengths) for part, lengths in zip(joined, encoded, strict=True)]

    def n_packed(self, packed: list[Frames]) -> int:
        return sum(frames.joined.nbytes for frames in packed)

    def decode(self, packed: list[Frames]) -> None:
        t = self._tensors
        for task, sizes, frames in zip(t.tasks, t.sizes, packed, strict=True):
            decode_blocks(frames.joined, frames.lengths, sizes, t.of(t.out, task), stream=self._around_cache)

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
    """The compiled core on full blocks: encoding without the check of every frame, and without Python."""

    kind = "kernel"

    def __init__(self, tensors: Tensors, preset: str, target: str) -> None:
        self.name, self.target = f"pennyweight {preset}", target
        self._bits, self._tensors = PRESETS[preset], tensors
        self._sizes = [size for sizes in tensors.sizes for size in sizes]
        self.n_bytes = tensors.body.nbytes

    def prepare(self) -> None:
        self._default = native.target()
        native.set_target(self.target)
        self._tensors.out.fill(POISON)

    def finish(self) -> None:
        native.set_target(self._default)  # of the whole process: the cases after this one must not see it

    def encode(self) -> list[int]:
        return native.encode_float_blocks(
            self._tensors.body, self._sizes, BF16_FORMAT, self._bits, self._tensors.frames
        )

    def pack(self, encoded: list[int]) -> Frames:
        return Frames(self._tensors.frames[: sum(encoded)], encoded)

    def n_packed(self, packed: Frames) -> int:
        return packed.joined.nbytes

    def decode(self, packed: Frames) -> list[bool]:
        return native.decode_blocks(packed.joined, packed.lengths, self._sizes, self._tensors.out, True)

    def check(self, packed: Frames, decoded: Sequence[bool]) -> None:
        if not all(decoded) or not np.array_equal(self._tensors.out, self._tensors.body):
            raise RuntimeError("decodes to other bytes")


def block_cases(tensors: list[Buffer], copies: int) -> list[BlockCase | KernelCase]:
    """Every preset on every target. For one copy also the core alone; for many not scalar, which would take minutes."""
    block_bytes = load_preset("default").block_bytes
    whole = _tensors(tensors * copies, block_bytes)
    targets = native.targets()[::-1] if copies == 1 else native.targets()[:0:-1]
    digests: dict[str, str] = {}
    cases: list[BlockCase | KernelCase] = [BlockCase(whole, p, t, digests) for t in targets for p in PRESETS]
    if copies == 1:
        full = _tensors([tensor for tensor in tensors if tensor.nbytes >= block_bytes], block_bytes)
        cases += [KernelCase(full, p, t) for t in targets for p in PRESETS]
    return cases


def _tensors(parts: list[Buffer], block_bytes: int) -> Tensors:
    return Tensors(np.concatenate(parts), BlockTable.of([part.nbytes for part in parts], block_bytes))
