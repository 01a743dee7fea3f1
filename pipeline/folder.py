"""The verbs over a folder: weight files become containers with `.pwt` after their names, all else stays as it is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple

from pennyweight.errors import InputError
from pennyweight.pipeline.blocks import TASK_BYTES
from pennyweight.pipeline.compress import compress_file
from pennyweight.pipeline.files import Reader, label
from pennyweight.pipeline.output import AtomicFile, check_space
from pennyweight.pipeline.policy import Preset
from pennyweight.pipeline.progress import Progress
from pennyweight.pipeline.report import Converted, Problem
from pennyweight.pipeline.restore import restore_file
from pennyweight.pipeline.sources import is_recognised
from pennyweight.pipeline.targets import SUFFIX
from pennyweight.pipeline.tree import AtomicFolder, walk
from pennyweight.pipeline.twins import Twins, counted_once
from pennyweight.pipeline.verify import DIFFERS, Level, Verified, first_difference, verify_file
from pennyweight.pipeline.window import Buffers

WEIGHT_SUFFIXES: Final = frozenset(
    (
        *(".bin", ".ckpt", ".data", ".distcp", ".gguf", ".h5", ".hdf5", ".keras", ".msgpack", ".npy", ".npz"),
        *(".onnx", ".onnx_data", ".pt", ".pth", ".safetensors", ".tflite"),
    )
)


class FolderResult(NamedTuple):
    """What was done with the files of a folder: those that are containers on one side, and the others."""

    containers: list[Converted]
    n_carried: int
    carried_bytes: int


class FolderVerified(NamedTuple):
    """What was found in the containers of a folder, and between the trees."""

    containers: list[Verified]
    n_carried: int
    carried_bytes: int
    problems: list[Problem]


def compress_folder(
    src: Path, dst: Path, preset: Preset, *, threads: int, force: bool, sha256: bool, progress: Progress | None
) -> FolderResult:
    """Make `dst`, whole or not at all; equal files share a container.

    InputError if `src` holds no weights, or what could not be restored.
    """
    tree = walk(src)
    result = FolderResult([], 0, 0)
    with AtomicFolder(dst, source=src, force=force) as out:
        out.make(tree.folders)
        twins = Twins(src, out.path)
        for name in tree.files:
            with Reader(src / name) as file:
                if _is_weights(name, file):
                    done = twins.link(name, file, threads=threads, progress=progress)
                    if done is None:
                        target = out.path / (name + SUFFIX)
                        done = compress_file(file, target, preset, threads=threads, sha256=sha256, progress=progress)
                        twins.add(name, done)
                    result.containers.append(done)
                else:
                    result = _carried(result, file, out.path / name, progress)
        if not result.containers:
            raise InputError(f"{src}: no weights in this folder")
        out.commit()
    return result


def restore_folder(src: Path, dst: Path, *, threads: int, force: bool, progress: Progress | None) -> FolderResult:
    """The inverse of `compress_folder`."""
    tree = walk(src)
    targets = _originals(src, tree.files)
    result = FolderResult([], 0, 0)
    with AtomicFolder(dst, source=src, force=force) as out:
        out.make(tree.folders)
        counted: set[tuple[int, int]] = set()
        for name in tree.files:
            target = out.path / targets[name]
            with Reader(src / name) as file:
                if name.endswith(SUFFIX):
                    done = restore_file(file, target, threads=threads, progress=progress)
                    result.containers.append(counted_once(done, src / name, counted))
                else:
                    result = _carried(result, file, target, progress)
        out.commit()
    return result


def verify_folder(
    src: Path,
    *,
    level: Level,
    original: Path | None,
    require_lossless: bool,
    threads: int,
    progress: Progress | None,
) -> FolderVerified:
    """Verify every container below `src`. With `original`, compare both trees: names, folders and every byte."""
    tree = walk(src)
    targets = _originals(src, tree.files)
    result = FolderVerified([], 0, 0, [])
    theirs = walk(original) if original else None
    known = set(theirs.files) if theirs else set()
    for name in tree.files:
        with ExitStack() as stack:
            file = stack.enter_context(Reader(src / name))
            twin = None
            if original and targets[name] in known:
                twin = stack.enter_context(Reader(original / targets[name]))
            elif original:
                result.problems.append(_problem(src / name, "has no file of its name in the original folder"))
            if name.endswith(SUFFIX):
                found = verify_file(
                    file,
                    level=level,
                    original=twin,
                    require_lossless=require_lossless,
                    threads=threads,
                    progress=progress,
                )
                result.containers.append(found)
                result.problems.extend(found.problems)
                continue
            result = result._replace(n_carried=result.n_carried + 1, carried_bytes=result.carried_bytes + file.size)
            at = first_difference(file, twin) if twin else None
            if at is not None:
                result.problems.append(_problem(src / name, DIFFERS, at))
            if progress:
                progress(file.size)
    if original and theirs:
        result.problems.extend(
            _problem(original / name, "is in the original folder only")
            for name in [*sorted(known - set(targets.values())), *sorted(set(theirs.folders) - set(tree.folders))]
        )
        result.problems.extend(
            _problem(src / name, "has no folder of its name in the original folder")
            for name in sorted(set(tree.folders) - set(theirs.folders))
        )
    return result


def containers(src: Path) -> Iterator[Path]:
    """The containers below a folder. InputError if there are none."""
    files = walk(src).files
    _originals(src, files)
    return (src / name for name in files if name.endswith(SUFFIX))


def _is_weights(name: str, file: Reader) -> bool:
    # A file that is called .pwt already is wrapped again: restoring the folder then takes one .pwt from every one
    return Path(name).suffix.lower() in WEIGHT_SUFFIXES or name.endswith(SUFFIX) or is_recognised(file)


def _originals(src: Path, files: list[str]) -> dict[str, str]:
    """The name of the original of each file. InputError if there is no container, or if two files would be one."""
    targets = {name: name.removesuffix(SUFFIX) for name in files}
    if not any(name.endswith(SUFFIX) for name in files):
        raise InputError(f"{src}: no {SUFFIX} file in this folder")
    seen: set[str] = set()
    for name, target in targets.items():
        if not Path(target).name or target.endswith(os.sep):
            raise InputError(f"{src / name}: has no name without {SUFFIX}")
        if target in seen:
            raise InputError(f"{src / target}: is there both with and without {SUFFIX}")
        seen.add(target)
    return targets


def _carried(result: FolderResult, file: Reader, target: Path, progress: Progress | None) -> FolderResult:
    """Copy a file, contents and permissions."""
    check_space(target, file.size)
    buffers = Buffers()
    with AtomicFile(target, force=False, mode=file.mode) as out:
        for offset in range(0, file.size, TASK_BYTES):
            piece = buffers.scratch(min(TASK_BYTES, file.size - offset))
            file.pread_into(offset, piece.data)
            out.write_at(offset, [piece.data])
        file.check_unchanged()
        out.commit()
    if progress:
        progress(file.size)
    return result._replace(n_carried=result.n_carried + 1, carried_bytes=result.carried_bytes + file.size)


def _problem(path: Path, reason: str, offset: int | None = None) -> Problem:
    return Problem(file=label(path), tensor=None, reason=reason, offset=offset, n_bytes=None)
