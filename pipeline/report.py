"""What the verbs return. `to_json` is stable: while the number after the slash stays, keys are only added."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from pennyweight.pipeline.container.index import Index, TensorRecord


@dataclass(frozen=True)
class Converted:
    """One file and its container: the container's index, and its size in bytes."""

    index: Index
    stored_bytes: int


class Total(NamedTuple):
    """Counts over the files of a run. `sha256` is None unless it was one file."""

    n_files: int
    n_tensors: int
    n_bytes: int
    stored_bytes: int
    ratio: float
    sha256: str | None
    fidelity: Literal["lossless", "lossy"]


def ratio(stored_bytes: int, n_bytes: int) -> float:
    """stored / original, 1 if there is nothing."""
    return stored_bytes / n_bytes if n_bytes else 1.0


def total_of(files: Sequence[Converted], n_carried: int = 0, carried_bytes: int = 0) -> Total:
    """Add up containers, and files that are the same on both sides."""
    n_bytes = sum(file.index.n_bytes for file in files) + carried_bytes
    stored = sum(file.stored_bytes for file in files) + carried_bytes
    return Total(
        n_files=len(files) + n_carried,
        n_tensors=sum(isinstance(segment, TensorRecord) for file in files for segment in file.index.segments),
        n_bytes=n_bytes,
        stored_bytes=stored,
        ratio=ratio(stored, n_bytes),
        sha256=files[0].index.sha256 if len(files) == 1 and not n_carried else None,
        fidelity="lossy" if any(file.index.fidelity == "lossy" for file in files) else "lossless",
    )


class _Report(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    schema_id: ClassVar[str]

    def to_json(self) -> str:
        """One JSON object on one line; its first key is `schema`."""
        return json.dumps({"schema": self.schema_id, **self.model_dump(mode="json")}, ensure_ascii=False)


class _Conversion(_Report):
    """Counts over all files of a run. For a folder, the files that are carried unchanged count too, on both sides.

    `path` is the source and `output` the target; `ratio` is stored / original bytes, 1 if the original is empty.
    """

    path: str
    output: str
    n_files: int
    n_tensors: int
    n_bytes: int
    stored_bytes: int
    ratio: float
    seconds: float
    threads: int
    sha256: str | None
    fidelity: Literal["lossless", "lossy"]


class CompressReport(_Conversion):
    """What `compress` did. `sha256` is that of the original file; None for a folder, or where it was not wanted."""

    schema_id = "pennyweight.compress/1"

    preset: str


class RestoreReport(_Conversion):
    """What `restore` did. `sha256` is that of the restored file, if the container held one, and was checked."""

    schema_id = "pennyweight.restore/1"


class Problem(_Report):
    """One thing wrong. `offset` is a position in bytes: in the container, or in the original where the two differ.

    `n_bytes` begin there: a frame, or all from the first byte that differs to the last, in the blocks next to it.
    """

    file: str
    tensor: str | None
    reason: str
    offset: int | None
    n_bytes: int | None

    def __str__(self) -> str:
        tensor = "" if self.tensor is None else f"tensor {self.tensor!r}: "
        return f"{self.file}: {tensor}{self.reason}" + ("" if self.offset is None else f" (at byte {self.offset})")


class VerifiedTensor(_Report):
    """Where a tensor lies in the original, in bytes, and whether nothing is wrong with it: None if nobody looked."""

    name: str
    offset: int
    n_bytes: int
    ok: bool | None


class VerifiedFile(_Report):
    """A container that was verified. `n_bytes`, of the original, is None for one that could not be opened."""

    file: str
    n_bytes: int | None
    stored_bytes: int
    tensors: tuple[VerifiedTensor, ...]


class VerifyReport(_Report):
    """What `verify` found. `level` is what was checked; counts are of what could be opened.

    `subset` is the slice, such as 2/7, if not all was looked at. Then `ok` says nothing of the rest: what was checked
    are `n_checked_tensors` of `checked_bytes` in all.
    """

    schema_id = "pennyweight.verify/1"

    path: str
    ok: bool
    level: Literal["fast", "default", "full"]
    against: str | None
    fidelity: Literal["lossless", "lossy"]
    n_files: int
    n_tensors: int
    n_bytes: int
    stored_bytes: int
    ratio: float
    seconds: float
    threads: int
    problems: tuple[Problem, ...]
    files: tuple[VerifiedFile, ...]
    subset: str | None
    n_checked_tensors: int
    checked_bytes: int
    manifest: str | None


class SalvagedTensor(_Report):
    """A tensor of a container that was salvaged. `reason`, and `offset` in the container, say why it is lost and where.

    `saved_as`: its name in the file of tensors. None where the original was written, or where it is lost.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    n_bytes: int
    saved: bool
    saved_as: str | None
    reason: str | None
    offset: int | None

    def __str__(self) -> str:
        return f"tensor {self.name!r}: {self.reason}" + ("" if self.offset is None else f" (at byte {self.offset})")


class SalvagedFile(_Report):
    """What `salvage` made of one container.

    Attributes:
        file: the container.
        output: what was written, by its name; None if no tensor is intact.
        listed: the list of tensors; None where the original was written.
        whole: everything is intact, so that is the original.
        proven: "tensors" if they have the digests of the index; "frames" if that is lost, and only the digests of their
            frames are known.
        wrong: what is lost that is no tensor.
        n_bytes, saved_bytes: of the original, and of it what was written.
        n_tensors, n_saved: how many it has, and how many were written.
    """

    schema_id = "pennyweight.salvaged/1"

    file: str
    output: str | None
    listed: str | None
    whole: bool
    proven: Literal["tensors", "frames"]
    wrong: str | None
    n_bytes: int
    saved_bytes: int
    n_tensors: int
    n_saved: int
    tensors: tuple[SalvagedTensor, ...]


class SalvageReport(_Report):
    """What `salvage` did. `ok`: everything was intact. Counts are of the containers of which something was found.

    `problems` are containers of which nothing was. Files of a folder that are no containers are carried, and not
    counted.
    """

    schema_id = "pennyweight.salvage/1"

    path: str
    output: str
    ok: bool
    n_bytes: int
    saved_bytes: int
    n_tensors: int
    n_saved: int
    seconds: float
    threads: int
    files: tuple[SalvagedFile, ...]
    problems: tuple[Problem, ...]


class TensorInfo(_Report):
    """A tensor of a container.

    `stored_bytes`: of the frames it is in; of one that holds several tensors, its share by raw bytes. `plans`: how many
    of these frames are which nest of stages, if that was asked for; of a frame of several, `group: ` and its part's.
    `gained_bits`: if that was asked for, bits for each weight that `scales` and `linear_predictor` are below what the
    same bits of the weights would take at order 0; None also where neither was used.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    n_bytes: int
    stored_bytes: int
    xxh3_128: str
    plans: dict[str, int] | None
    gained_bits: float | None


class ContainerInfo(_Report):
    """What one container says of itself. `plans`: those tried, by dtype; `salvage_bytes`: for `salvage`."""

    file: str
    format: str
    encoder: str
    preset: str
    fidelity: Literal["lossless", "lossy"]
    source: str
    n_bytes: int
    stored_bytes: int
    ratio: float
    index_bytes: int
    side_bytes: int
    salvage_bytes: int
    block_bytes: int
    n_blocks: int
    sha256: str | None
    plans: dict[str, tuple[str, ...]]
    gap_bytes: int
    gap_stored_bytes: int
    gap_plans: dict[str, int] | None
    tensors: tuple[TensorInfo, ...]


class InspectReport(_Report):
    """What `inspect` read: one entry for a file, one per container for a folder."""

    schema_id = "pennyweight.inspect/1"

    path: str
    n_files: int
    n_tensors: int
    n_bytes: int
    stored_bytes: int
    ratio: float
    fidelity: Literal["lossless", "lossy"]
    files: tuple[ContainerInfo, ...]
