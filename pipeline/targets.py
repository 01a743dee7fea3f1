"""What the two arguments of a verb are: file, folder or file object, and where the result goes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

from pennyweight.errors import InputError, UsageError
from pennyweight.pipeline.files import PathLike

SUFFIX: Final = ".pwt"
Source = PathLike | BinaryIO


def folder_of(thing: Source) -> Path | None:
    """It, if it is a folder."""
    if isinstance(thing, (str, os.PathLike)) and os.path.isdir(thing):
        return Path(thing)
    return None


def target_of(src: Source, dst: Source | None, default: Callable[[Path], Path]) -> Path | BinaryIO:
    """Where the result goes. UsageError if that cannot be known; InputError if it is the source itself."""
    if dst is None:
        if not isinstance(src, (str, os.PathLike)):
            raise UsageError("where a file object is the source, the target must be given")
        path = Path(src)
        return default(path if path.name not in ("", "..") else path.resolve())
    if not isinstance(dst, (str, os.PathLike)):
        if folder_of(src):
            raise UsageError("a folder cannot be written to a file object")
        return dst
    target = Path(dst)
    if isinstance(src, (str, os.PathLike)) and _same(src, target):
        raise InputError(f"{target}: source and target are the same")
    return target


def _same(src: PathLike, target: Path) -> bool:
    try:
        return os.path.samefile(src, target)
    except (OSError, ValueError):  # one of them is not there
        return False


def with_suffix(path: Path) -> Path:
    """`model.safetensors` -> `model.safetensors.pwt`"""
    return path.with_name(path.name + SUFFIX)


def without_suffix(path: Path) -> Path:
    """`model.safetensors.pwt` -> `model.safetensors`. UsageError for any other name."""
    stem = path.name.removesuffix(SUFFIX)
    if not stem or stem == path.name:
        raise UsageError(f"{path}: does not end in {SUFFIX}, so the target must be given (-o)")
    return path.with_name(stem)


def with_containers(src: Path, files: list[str]) -> list[str]:
    """The files of a folder. InputError if none of them is a container."""
    if not any(name.endswith(SUFFIX) for name in files):
        raise InputError(f"{src}: no {SUFFIX} file in this folder")
    return files


def original_name(src: Path, name: str) -> str:
    """What a file of the folder `src` is called in the original folder. InputError if that is no name."""
    original = name.removesuffix(SUFFIX)
    if not is_name(original):
        raise InputError(f"{src / name}: has no name without {SUFFIX}")
    return original


def is_name(name: str) -> bool:
    """Whether a relative name ends in one of a file."""
    return bool(Path(name).name) and not name.endswith(os.sep)
