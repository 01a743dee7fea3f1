"""Folders: what is in one, and one that appears whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from pathlib import Path
from typing import NamedTuple, Self

from pennyweight.errors import InputError
from pennyweight.pipeline.files import reason
from pennyweight.pipeline.output import sync_folder, temporary_name


class Tree(NamedTuple):
    """Relative names, sorted. Links to files are files."""

    folders: list[str]
    files: list[str]


def walk(root: Path) -> Tree:
    """Everything below `root`. InputError for what could not come back: links to folders, broken links, devices."""
    tree = Tree([], [])
    pending = [""]
    while pending:
        folder = pending.pop()
        try:
            with os.scandir(root / folder) as entries:
                for entry in entries:
                    name = os.path.join(folder, entry.name)
                    if _is_folder(entry):
                        tree.folders.append(name)
                        pending.append(name)
                    else:
                        tree.files.append(name)
        except OSError as error:
            raise InputError(f"{error.filename or root / folder}: {reason(error)}") from error
    tree.folders.sort()
    tree.files.sort()
    return tree


def _is_folder(entry: os.DirEntry[str]) -> bool:
    if entry.is_symlink() and not os.path.exists(entry.path):
        raise InputError(f"{entry.path}: is a broken link")
    mode = entry.stat().st_mode
    if stat.S_ISDIR(mode):
        if entry.is_symlink():
            raise InputError(f"{entry.path}: is a link to a folder, which could not be restored as one")
        return True
    if not stat.S_ISREG(mode):
        raise InputError(f"{entry.path}: is neither a file nor a folder")
    return False


class AtomicFolder:
    """A new folder beside its target, which takes the target's name in `commit` and is gone if that never happens."""

    def __init__(self, path: Path, *, source: Path, force: bool) -> None:
        """Make the temporary folder, `self.path`. InputError if the target is in the way or must not be replaced."""
        self._target = path
        self._force = force
        self._check(source)
        self.path = temporary_name(path)
        try:
            self.path.mkdir()
        except OSError as error:
            raise InputError(f"{path}: cannot be written: {reason(error)}") from error

    def make(self, folders: list[str]) -> None:
        """Make folders in it: relative names, parents first."""
        try:
            for folder in folders:
                (self.path / folder).mkdir()
        except OSError as error:
            raise InputError(f"{self._target}: cannot be written: {reason(error)}") from error

    def commit(self) -> None:
        """Give it the target's name. With `force`, a folder of that name is first renamed, and then removed."""
        try:
            for folder, _, _ in os.walk(self.path):
                sync_folder(Path(folder))
            if self._force and os.path.lexists(self._target):
                self._replace()
            else:
                os.rename(self.path, self._target)
            sync_folder(self._target.parent)
        except OSError as error:
            raise InputError(f"{self._target}: cannot be written: {reason(error)}") from error

    def _replace(self) -> None:
        old = temporary_name(self._target)
        os.rename(self._target, old)
        try:
            os.rename(self.path, self._target)
        except BaseException:
            os.rename(old, self._target)
            raise
        shutil.rmtree(old)

    def _check(self, source: Path) -> None:
        target, whole = self._target, self._target.resolve()
        if whole == source.resolve():
            raise InputError(f"{target}: source and target are the same folder")
        if whole.is_relative_to(source.resolve()):
            raise InputError(f"{target}: lies inside the source folder")
        if not os.path.lexists(target):
            return
        if target.is_symlink() or not target.is_dir():
            raise InputError(f"{target}: is not a folder, so it will not be replaced by one")
        if not self._force:
            raise InputError(f"{target}: exists already; force replaces it")
        if source.resolve().is_relative_to(whole) or Path.cwd().is_relative_to(whole):
            raise InputError(f"{target}: holds the source or the current folder, so it will not be replaced")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, value: BaseException | None, trace: object) -> None:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.path)
        if isinstance(value, InputError):  # say the name that the user knows
            value.args = (str(value).replace(str(self.path), str(self._target)),)
