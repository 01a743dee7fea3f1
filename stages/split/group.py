"""`group`: a block of several small segments, like beside like; see group.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import ClassVar, NamedTuple, Self

import numpy as np

from pennyweight.errors import CorruptError, UsageError
from pennyweight.stages.protocol import Encoded, Side, Stream, StreamSpec, check_parts
from pennyweight.stages.wire import read_varint, varint
from pennyweight.types import Fidelity

MAX_PARTS, MAX_RUNS = 64, 1024


class Run(NamedTuple):
    """The next n_bytes of the stream, above 0, belong to that part."""

    part: int
    n_bytes: int


@dataclass(frozen=True)
class Group:
    """The runs follow from the segments of one block, so no plan can write them.

    Parts are numbered in the order of their first runs, and neighbours differ in theirs.
    """

    id: ClassVar[int] = 9
    name: ClassVar[str] = "group"
    since: ClassVar[tuple[int, int]] = (1, 0)
    fidelity: ClassVar[Fidelity] = Fidelity.LOSSLESS

    runs: tuple[Run, ...]

    @property
    def outputs(self) -> Mapping[str, StreamSpec]:
        return {f"part{j}": StreamSpec() for j in range(1 + max(run.part for run in self.runs))}

    @classmethod
    def bind(cls, spec: StreamSpec, params: Mapping[str, int]) -> Self:
        raise UsageError(f"{cls.name} is for blocks of several tensors, and not written in plans")

    def encode(self, src: Stream) -> Encoded | None:
        if src.size != sum(run.n_bytes for run in self.runs):
            return None
        pieces: list[list[Stream]] = [[] for _ in self.outputs]
        at = 0
        for part, n_bytes in self.runs:
            pieces[part].append(src[at : at + n_bytes])
            at += n_bytes
        header = varint(len(pieces)) + b"".join(varint(part) + varint(n_bytes) for part, n_bytes in self.runs)
        return Encoded(header, tuple(map(np.concatenate, pieces)))

    @classmethod
    def from_header(cls, header: bytes, n_bytes: int, side: Side = ()) -> GroupDecoder:
        k, at = read_varint(header, 0)
        if not 1 <= k <= MAX_PARTS:
            raise CorruptError(f"group: {k} parts, not 1 to {MAX_PARTS}")
        runs: list[Run] = []
        sizes: list[int] = []
        while at < len(header):
            part, at = read_varint(header, at)
            run_bytes, at = read_varint(header, at)
            if part >= k or part > len(sizes) or not run_bytes or len(runs) == MAX_RUNS:
                raise CorruptError("group: a run is out of range")
            if part == len(sizes):
                sizes.append(0)
            sizes[part] += run_bytes
            runs.append(Run(part, run_bytes))
        if len(sizes) != k or sum(sizes) != n_bytes:
            raise CorruptError(f"group: the runs do not fill {k} parts and {n_bytes} bytes")
        return GroupDecoder(tuple(runs), tuple(sizes))


@dataclass(frozen=True)
class GroupDecoder:
    runs: tuple[Run, ...]
    sizes: tuple[int, ...]

    def part_at(self, at: int) -> int:
        """Number of the part that holds the byte at that place of the decoded stream."""
        ends = accumulate(run.n_bytes for run in self.runs)
        return next(run.part for run, end in zip(self.runs, ends, strict=True) if at < end)

    def decode(self, parts: tuple[Stream, ...], out: Stream) -> None:
        check_parts(self, parts)
        taken = [0] * len(parts)
        at = 0
        for part, n_bytes in self.runs:
            begin = taken[part]
            out[at : at + n_bytes] = parts[part][begin : begin + n_bytes]
            taken[part] += n_bytes
            at += n_bytes
