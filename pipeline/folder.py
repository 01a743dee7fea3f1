"""The verbs over a folder: weight files become containers with `.pwt` after their names, all else stays as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

from pennyweight.errors import InputError
from pennyweight.pipeline.blocks import TASK_BYTES
from pennyweight.pipeline.compress import compress_file
from pennyweight.pipeline.files import Reader
from pennyweight.pipeline.output import AtomicFile, check_space
from pennyweight.pipeline.policy import Preset
from pennyweight.pipeline.progress import Progress
from pennyweight.pipeline.report import Converted
from pennyweight.pipeline.restore import restore_file
from pennyweight.pipeline.sources import is_recognised
from pennyweight.pipeline.targets import SUFFIX, original_name, with_containers
from pennyweight.pipeline.tree import AtomicFolder, Place, walk
from pennyweight.pipeline.twins import Twins, counted_once
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


def compress_folder(
    src: Path, dst: Path, preset: Preset, *, threads: int, force: bool, sha256: bool, progress: Progress | None
) -> FolderResult:
    """Make `dst`, whole or not at all; equal files share a container.

    InputError if `src` holds no weights, or what could not be restored.
    """
    result = FolderResult([], 0, 0)
    with Place(src) as place, AtomicFolder(dst, source=src, force=force) as out:
        tree = walk(src)
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
        place.check_unmoved()
        out.commit()
    return result


def restore_folder(src: Path, dst: Path, *, threads: int, force: bool, progress: Progress | None) -> FolderResult:
    """The inverse of `compress_folder`."""
    result = FolderResult([], 0, 0)
    with Place(src) as place, AtomicFolder(dst, source=src, force=force) as out:
        tree = walk(src)
        targets = originals(src, tree.files)
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
        place.check_unmoved()
        out.commit()
    return result


def _is_weights(name: str, file: Reader) -> bool:
    # A file that is called .pwt already is wrapped again: restoring the folder then takes one .pwt from every one
    return Path(name).suffix.lower() in WEIGHT_SUFFIXES or name.endswith(SUFFIX) or is_recognised(file)


def originals(src: Path, files: list[str]) -> dict[str, str]:
    """The name of the original of each file. InputError if there is no container, or if two files would be one."""
    targets = {name: original_name(src, name) for name in with_containers(src, files)}
    seen: set[str] = set()
    for target in targets.values():
        if target in seen:
            raise InputError(f"{src / target}: is there both with and without {SUFFIX}")
        seen.add(target)
    return targets


def carry(file: Reader, target: Path, progress: Progress | None) -> None:
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


def _carried(result: FolderResult, file: Reader, target: Path, progress: Progress | None) -> FolderResult:
    carry(file, target, progress)
    return result._replace(n_carried=result.n_carried + 1, carried_bytes=result.carried_bytes + file.size)
