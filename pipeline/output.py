"""Writing: a file that appears whole or not at all, or a binary file object in order."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, ClassVar, Protocol, Self

from pennyweight.errors import InputError, UsageError
from pennyweight.pipeline import filesystem
from pennyweight.pipeline.files import Bytes, label, reason


class Sink(Protocol):
    """Somewhere to write bytes.

    One thread at a time: file systems let only one write to a file, and a second would burn its core waiting.
    """

    any_order: ClassVar[bool]
    """Whether it takes offsets in any order, or only front to back."""

    def write_at(self, offset: int, parts: Sequence[Bytes]) -> None:
        """Write all of `parts` from `offset` on; unless `any_order`, that is where the last call ended."""

    def commit(self) -> None:
        """Everything is written, and right."""


@contextlib.contextmanager
def sink(dst: Path | BinaryIO, *, force: bool) -> Iterator[Sink]:
    """Where a result goes. Commit is the caller's to say; a file that was not committed is gone after the `with`."""
    if isinstance(dst, Path):
        with AtomicFile(dst, force=force) as file:
            yield file
    else:
        yield StreamWriter(dst)


class AtomicFile:
    """A new file beside its target, which takes the target's name in `commit` and is gone if that never happens.

    Readers see the old file or the new one, whole, even if the machine loses power.
    """

    any_order: ClassVar[bool] = True

    def __init__(self, path: Path, *, force: bool, mode: int | None = None) -> None:
        """Make the temporary file. InputError if the target exists without `force`, or nothing can be written there.

        Args:
            mode: permission bits; None is those of the file that is replaced, or the usual ones of a new file.
        """
        self.name = label(path)
        self._path, self._force = path, force
        replaced = check_target(path, force=force)
        self._mode = replaced if mode is None else mode
        self._temporary = temporary_name(path)
        self._exists = True
        self._fd: int | None = None
        try:
            self._fd = filesystem.system.create(self._temporary)
        except OSError as error:
            self._exists = False
            raise InputError(f"{self.name}: cannot be written: {reason(error)}") from error

    def write_at(self, offset: int, parts: Sequence[Bytes]) -> None:
        """Write all of `parts` from `offset` on. InputError names file and reason."""
        assert self._fd is not None
        views = [memoryview(part) for part in parts]
        try:
            while views:
                written = filesystem.system.write(self._fd, views, offset)
                offset += written
                views = _after(views, written)
        except OSError as error:
            raise InputError(f"{self.name}: cannot be written: {reason(error)}") from error

    def commit(self) -> None:
        """Give it the target's name, and make that last. InputError says whether it was only the last that failed."""
        assert self._fd is not None
        system = filesystem.system
        try:
            if self._mode is not None:
                system.set_mode(self._fd, self._mode)
            system.flush(self._fd)
            self._close()
            check_target(self._path, force=self._force)
            system.rename(self._temporary, self._path, replace=self._force)
            self._exists = False
        except FileExistsError:  # since the check
            raise in_the_way(self._path) from None
        except OSError as error:
            raise InputError(f"{self.name}: cannot be written: {reason(error)}") from error
        finally:
            self.discard()
        make_last(self._path)

    def discard(self) -> None:
        """Remove the temporary file, if it is still there."""
        with contextlib.suppress(OSError):
            self._close()
        if self._exists:
            self._exists = False
            with contextlib.suppress(OSError):
                filesystem.system.remove(self._temporary)

    def _close(self) -> None:
        if self._fd is not None:
            fd, self._fd = self._fd, None
            filesystem.system.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.discard()

    def __del__(self) -> None:
        """A signal may come between the making of the file and the `with` that would discard it."""
        if hasattr(self, "_fd"):
            self.discard()


class StreamWriter:
    """A binary file object, which need not be seekable. What was written before an error stays written."""

    any_order: ClassVar[bool] = False

    def __init__(self, dst: BinaryIO) -> None:
        if not hasattr(dst, "write") or hasattr(dst, "encoding"):
            raise UsageError(f"target must be a path or a binary file object, not {type(dst).__name__}")
        self.name = label(dst)
        self._dst = dst
        self._at = 0

    def write_at(self, offset: int, parts: Sequence[Bytes]) -> None:
        """Write all of `parts`; `offset` must be where the last call ended."""
        assert offset == self._at, "a stream is written front to back"
        try:
            for part in parts:
                view = memoryview(part).cast("B")
                self._at += len(view)
                while view:
                    # raw files may take less than they are given; None is a non-blocking file that takes nothing now
                    written = self._dst.write(view)
                    if written is None:
                        raise InputError(f"{self.name}: takes no more bytes now: it must be in blocking mode")
                    view = view[written:]
        except OSError as error:
            raise InputError(f"{self.name}: cannot be written: {reason(error)}") from error

    def commit(self) -> None:
        """Push what the file object holds back."""
        if hasattr(self._dst, "flush"):
            self._dst.flush()


def check_target(path: Path, *, force: bool) -> int | None:
    """The permission bits of the file to replace, or None if there is none. InputError if it must not be replaced."""
    try:
        held = os.lstat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"{path}: {reason(error)}") from error
    except ValueError as error:  # a NUL in the name
        raise InputError(f"{str(path)!r}: {error}") from error
    if stat.S_ISDIR(held.st_mode):
        raise InputError(f"{path}: is a folder")
    if not (stat.S_ISREG(held.st_mode) or stat.S_ISLNK(held.st_mode)):
        raise InputError(f"{path}: not a regular file, so it will not be replaced")
    if not force:
        raise in_the_way(path)
    return held.st_mode & 0o777 if stat.S_ISREG(held.st_mode) else None


def in_the_way(path: Path) -> InputError:
    """What to raise where a target exists and must not be replaced."""
    return InputError(f"{path}: exists already; force replaces it")


def check_space(path: Path, n_bytes: int) -> None:
    """InputError if the disk of a file to be written has less room than that."""
    try:
        free = shutil.disk_usage(path.parent).free
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {reason(error)}") from error
    if free < n_bytes:
        raise InputError(f"{path}: needs {n_bytes:,} bytes, but only {free:,} are free on its disk")


def temporary_name(path: Path, kind: str = "tmp") -> Path:
    """A name in the same folder that nobody has: hidden, and known for ours. What is called .tmp may be removed."""
    # Names have at most 255 bytes; ours adds 18
    stem = os.fsdecode(os.fsencode(path.name)[:230])
    return path.with_name(f".{stem}.pwt-{secrets.token_hex(4)}.{kind}")


def make_last(path: Path) -> None:
    """Flush the folder of a target that has its name. InputError: the target stays, but a loss of power may undo it."""
    try:
        filesystem.system.flush_folder(path.parent)
    except OSError as error:
        raise InputError(f"{path}: is written, but it may not outlive a loss of power: {reason(error)}") from error


def _after(views: list[memoryview], written: int) -> list[memoryview]:
    """What is left of `views` after their first `written` bytes."""
    for i, view in enumerate(views):
        if written < view.nbytes:
            return [view.cast("B")[written:], *views[i + 1 :]]
        written -= view.nbytes
    return []
