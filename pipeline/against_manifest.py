"""A model against its manifest: containers, restored originals, or some of each."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pennyweight.pipeline.decode import Damage
from pennyweight.pipeline.digests import SegmentDigests
from pennyweight.pipeline.files import Reader, label
from pennyweight.pipeline.hashing import pieces
from pennyweight.pipeline.manifest import OTHER_SHA256, FileEntry, Held, TensorEntry
from pennyweight.pipeline.manifest_of import is_container, names_in, signature_of
from pennyweight.pipeline.progress import Progress
from pennyweight.pipeline.report import Problem, VerifiedFile, VerifiedTensor
from pennyweight.pipeline.targets import SUFFIX, Source, folder_of
from pennyweight.pipeline.verify import Level, Verified, verify_file


class ModelVerified(NamedTuple):
    """What was found in the containers and the other files of a model, and between it and its manifest."""

    containers: list[Verified]
    plain: list[VerifiedFile]
    problems: list[Problem]


def verify_with_manifest(
    src: Source, held: Held, *, level: Level, require_lossless: bool, threads: int, progress: Progress | None
) -> ModelVerified:
    """Verify every container of `src`, and compare all there is with the manifest. No name in it is ever opened.

    A file may be there as it was or as a container, or both. The manifest itself and its signature (`.sig` added) may
    lie in the folder. A single file may have any name if the manifest has but one.
    """
    check = partial(_verify_one, level=level, require_lossless=require_lossless, threads=threads, progress=progress)
    listed = {entry.name: entry for entry in held.manifest.files}
    result = ModelVerified([], [], [])
    folder = folder_of(src)
    if folder is None:
        with Reader(src) as file:
            packed = is_container(file)
            name = Path(file.name).name
            only = held.manifest.files[0] if len(listed) == 1 else None
            check(result, file, packed, listed.get(name.removesuffix(SUFFIX) if packed else name, only))
        return result
    missing = dict(listed)
    for name in names_in(folder, [held.path, signature_of(held.path)]):
        packed = name.endswith(SUFFIX)
        original = Path(name.removesuffix(SUFFIX)).as_posix()
        missing.pop(original, None)
        with Reader(folder / name) as file:
            check(result, file, packed, listed.get(original))
    for name in missing:
        result.problems.append(_problem(label(folder / name), Damage("is missing: it is in the manifest")))
    return result


def _verify_one(
    result: ModelVerified,
    file: Reader,
    packed: bool,
    entry: FileEntry | None,
    *,
    level: Level,
    require_lossless: bool,
    threads: int,
    progress: Progress | None,
) -> None:
    if entry is None:
        result.problems.append(_problem(file.name, Damage("is not in the manifest")))
    if packed:
        found = verify_file(
            file, level=level, entry=entry, require_lossless=require_lossless, threads=threads, progress=progress
        )
        result.containers.append(found)
        result.problems.extend(found.problems)
        return
    damage = list(_plain_differences(file, entry, progress)) if entry else []
    result.problems.extend(_problem(file.name, one) for one in damage)
    wrong = {one.tensor for one in damage}
    tensors = tuple(
        VerifiedTensor(name=one.name, offset=one.offset, n_bytes=one.n_bytes, ok=one.name not in wrong)
        for one in (entry.tensors if entry else ())
    )
    result.plain.append(VerifiedFile(file=file.name, n_bytes=file.size, stored_bytes=file.size, tensors=tensors))


def _plain_differences(file: Reader, entry: FileEntry, progress: Progress | None) -> Iterator[Damage]:
    """Of an original. Its tensors are looked for where the manifest says: nothing in the file need be parsed."""
    segments = list(_segments(entry))
    digests = SegmentDigests([(n_bytes, tensor is not None) for n_bytes, tensor in segments])
    whole, n_ended = hashlib.sha256(), 0
    if file.size != entry.n_bytes:
        yield Damage(f"has {file.size} bytes, and {entry.n_bytes} by the manifest")
    for piece in chain(pieces(file), [np.empty(0, dtype=np.uint8)]):
        whole.update(piece.data)
        for i, digest in digests.update(piece):
            tensor = segments[i][1]
            n_ended += 1
            if tensor and digest != tensor.xxh3_128:
                yield Damage("has another digest in the manifest", None, tensor.name, tensor.offset, tensor.n_bytes)
        if progress:
            progress(len(piece))
    for tensor in entry.tensors[n_ended:]:
        yield Damage("lies beyond the end of the file", None, tensor.name, tensor.offset, tensor.n_bytes)
    if whole.hexdigest() != entry.sha256:
        yield Damage(OTHER_SHA256)


def _segments(entry: FileEntry) -> Iterator[tuple[int, TensorEntry | None]]:
    """Bytes of each tensor, and of what is between them."""
    at = 0
    for tensor in entry.tensors:
        yield tensor.offset - at, None
        yield tensor.n_bytes, tensor
        at = tensor.offset + tensor.n_bytes
    yield entry.n_bytes - at, None


def _problem(file: str, damage: Damage) -> Problem:
    return Problem(file=file, tensor=damage.tensor, reason=damage.reason, offset=damage.offset, n_bytes=damage.n_bytes)
