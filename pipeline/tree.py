"""Folders: what is in one, and one that appears whole or not at all."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import NamedTuple, Self

from pennyweight.errors import InputError
from pennyweight.pipeline import filesystem
from pennyweight.pipeline.files import reason
from pennyweight.pipeline.output import in_the_way, make_last, temporary_name


class Place:
    """A folder that is read under its name, for longer than a moment.

    Held open, so that no other can get its inode's number meanwhile.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        try:
            self._fd = os.open(root, os.O_RDONLY)
        except OSError as error:
            raise InputError(f"{root}: {reason(error)}") from error

    def check_unmoved(self) -> None:
        """InputError if another folder has the name by now: what was read may be of both."""
        try:
            there = os.path.samestat(os.stat(self._root), os.fstat(self._fd))
        except OSError:
            there = False
        if not there:
            raise InputError(f"{self._root}: was replaced while it was read")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._fd)


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
    """A new folder beside its target, which takes the target's name in `commit` and is gone if that never happens.

    Readers see the old folder or the new one, whole, even if the machine loses power; but see `_move_away`.
    """

    def __init__(self, path: Path, *, source: Path, force: bool) -> None:
        """Make the temporary folder, `self.path`. InputError if the target is in the way or must not be replaced."""
        self._target = path
        self._force = force
        self._check(source)
        self.path = temporary_name(path)
        self._source, self._exists = source, True
        try:
            filesystem.system.make_folder(self.path)
        except OSError as error:
            self._exists = False
            raise InputError(f"{path}: cannot be written: {reason(error)}") from error

    def make(self, folders: list[str]) -> None:
        """Make folders in it: relative names, parents first."""
        try:
            for folder in folders:
                filesystem.system.make_folder(self.path / folder)
        except OSError as error:
            raise InputError(f"{self._target}: cannot be written: {reason(error)}") from error

    def commit(self) -> None:
        """Give it the target's name, make that last, and only then remove what had the name: `self.path` now."""
        try:
            for folder, _, _ in os.walk(self.path):  # its files are flushed already
                filesystem.system.flush_folder(Path(folder))
            self._check(self._source)
            self._take_name()
        except FileExistsError:  # since the check
            raise in_the_way(self._target) from None
        except OSError as error:
            raise InputError(f"{self._target}: cannot be written: {reason(error)}") from error
        try:
            make_last(self._target)
            self._remove_replaced()
        except InputError as error:
            self._exists = False  # to us: until the new name lasts, a loss of power may give it the name back
            if os.path.lexists(self.path):
                error.args = (f"{error}; what it replaced is {self.path}",)
            raise

    def discard(self) -> None:
        """Remove the temporary folder, if it is still there."""
        if self._exists:
            self._exists = False
            with contextlib.suppress(OSError):  # flushed first, as a signal may have come when names were just swapped
                filesystem.system.flush_folder(self.path.parent)
                filesystem.system.remove_tree(self.path)

    def _remove_replaced(self) -> None:
        try:
            if os.path.lexists(self.path):
                filesystem.system.remove_tree(self.path)
        except OSError as error:
            raise InputError(f"{self._target}: is written, but not all is removed: {reason(error)}") from error
        self._exists = False

    def _take_name(self) -> None:
        system = filesystem.system
        while True:
            try:
                return system.rename(self.path, self._target, replace=False)
            except FileExistsError:
                if not self._force:
                    raise
            try:
                if not system.exchange(self.path, self._target):
                    self._move_away()
                return None
            except FileNotFoundError:  # somebody took the old folder away, and now there is room
                if not self.path.exists():
                    raise

    def _move_away(self) -> None:
        """Where two names cannot be swapped, a process that is killed here leaves the name to nobody.

        Both folders are there then, whole: the old one as .NAME.pwt-0123abcd.old.
        """
        system = filesystem.system
        system.flush_folder(self._target.parent)
        old = temporary_name(self._target, "old")
        system.rename(self._target, old, replace=False)
        try:
            system.rename(self.path, self._target, replace=False)
        except BaseException:
            system.rename(old, self._target, replace=False)
            raise
        self.path = old

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
            raise in_the_way(target)
        if source.resolve().is_relative_to(whole) or Path.cwd().is_relative_to(whole):
            raise InputError(f"{target}: holds the source or the current folder, so it will not be replaced")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, value: BaseException | None, trace: object) -> None:
        if isinstance(value, InputError) and self._exists:  # say the name that the user knows
            value.args = (str(value).replace(str(self.path), str(self._target)),)
        self.discard()

    def __del__(self) -> None:
        """As in AtomicFile."""
        if hasattr(self, "_exists"):
            self.discard()
