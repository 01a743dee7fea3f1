"""The one place where files and folders are made, written, renamed and removed. Reading is in `files.py`.

Tests put another file system here: one that fails where it is told to, and one that knows what a loss of power would
leave (docs/adr/0006-one-file-system.md).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_PWRITEV: Final = getattr(os, "pwritev", None)  # not on Windows
_AT_FDCWD: Final = -100
_NOREPLACE, _EXCHANGE = 1, 2  # renameat2(2)
_NOT_HERE: Final = frozenset((errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP))
"""What a file system answers that does not know an operation, or a flag of it."""


class FileSystem(Protocol):
    """What a new file or folder takes. All raise OSError, but never InterruptedError: a signal is waited out.

    Contents last once the file is flushed, and names once their folder is. Until then a loss of power may keep any of
    them and drop any other; each rename and each exchange is kept whole or dropped whole.
    """

    def create(self, path: Path) -> int:
        """A new empty file, open for writing: its descriptor. FileExistsError if the name is taken."""

    def write(self, file: int, parts: Sequence[memoryview], offset: int) -> int:
        """Write the first bytes of `parts`, one behind the other. Returns how many: perhaps not all."""

    def set_mode(self, file: int, mode: int) -> None:
        """Permission bits."""

    def flush(self, file: int) -> None:
        """Make the file's contents last."""

    def close(self, file: int) -> None:
        """The descriptor is gone, also after an error."""

    def make_folder(self, path: Path) -> None:
        """Its parent is there already."""

    def link(self, path: Path, new: Path) -> None:
        """Another name of a file."""

    def rename(self, path: Path, new: Path, *, replace: bool) -> None:
        """Within a folder. With `replace` a file of the name `new` is replaced, else that is a FileExistsError."""

    def exchange(self, path: Path, other: Path) -> bool:
        """Two names of one folder are swapped, in one step. False where the system cannot do that."""

    def remove(self, path: Path) -> None:
        """A file's name."""

    def remove_tree(self, path: Path) -> None:
        """A folder and all that is in it; links are removed, not followed."""

    def flush_folder(self, path: Path) -> None:
        """Make the names in a folder last."""


class SystemCalls:
    """The file system of the operating system."""

    def __init__(self) -> None:
        self._seeking = threading.Lock()

    def create(self, path: Path) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        return _uninterrupted(os.open, path, flags, 0o666)

    def write(self, file: int, parts: Sequence[memoryview], offset: int) -> int:
        if _PWRITEV is not None:
            return int(_uninterrupted(_PWRITEV, file, parts, offset))
        with self._seeking:
            os.lseek(file, offset, os.SEEK_SET)
            return _uninterrupted(os.write, file, next((part for part in parts if part.nbytes), b""))

    def set_mode(self, file: int, mode: int) -> None:
        if hasattr(os, "fchmod"):
            _uninterrupted(os.fchmod, file, mode)

    def flush(self, file: int) -> None:
        _uninterrupted(os.fsync, file)

    def close(self, file: int) -> None:
        with contextlib.suppress(InterruptedError):  # and not again: the number may be another file's by now
            os.close(file)

    def make_folder(self, path: Path) -> None:
        _uninterrupted(os.mkdir, path)

    def link(self, path: Path, new: Path) -> None:
        _uninterrupted(os.link, path, new)

    def rename(self, path: Path, new: Path, *, replace: bool) -> None:
        if replace:
            _uninterrupted(os.replace, path, new)
        elif not _uninterrupted(_renameat2, path, new, _NOREPLACE):
            # Another process may take the name between these two, which is then replaced
            if os.path.lexists(new):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fspath(new))
            _uninterrupted(os.rename, path, new)

    def exchange(self, path: Path, other: Path) -> bool:
        return _uninterrupted(_renameat2, path, other, _EXCHANGE)

    def remove(self, path: Path) -> None:
        _uninterrupted(os.unlink, path)

    def remove_tree(self, path: Path) -> None:
        _uninterrupted(shutil.rmtree, path)

    def flush_folder(self, path: Path) -> None:
        try:
            fd = _uninterrupted(os.open, path, os.O_RDONLY)
        except PermissionError:  # Windows opens no folder; others none that may be written to but not read
            return
        try:
            _uninterrupted(os.fsync, fd)
        except OSError as error:
            if error.errno not in _NOT_HERE:
                raise
        finally:
            self.close(fd)


def _uninterrupted(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Python calls again by itself where POSIX has EINTR; network file systems have it elsewhere, too."""
    while True:
        with contextlib.suppress(InterruptedError):
            return call(*args, **kwargs)


def _find_renameat2() -> Any:
    """Linux only, and there not in every C library; Python has no name for it."""
    try:
        return ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        return None


_RENAMEAT2: Final = _find_renameat2()


def _renameat2(path: Path, new: Path, flag: int) -> bool:
    """False if it cannot be done here: the system, or this file system, does not know the flag."""
    if _RENAMEAT2 is None:
        return False
    if _RENAMEAT2(_AT_FDCWD, os.fsencode(path), _AT_FDCWD, os.fsencode(new), flag) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NOT_HERE:
        return False
    raise OSError(number, os.strerror(number), os.fspath(path), None, os.fspath(new))


system: FileSystem = SystemCalls()
"""What everybody writes with."""
