"""Reading: a path or a seekable binary file object, from many threads at once. Writing is in `output.py`."""

from __future__ import annotations

import io
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, Self

from pennyweight.errors import InputError, PennyweightError, UsageError

PathLike = str | os.PathLike[str]
Bytes = bytes | bytearray | memoryview
"""Contiguous bytes."""

_PREADV: Final = getattr(os, "preadv", None)  # not on Windows


def label(thing: PathLike | BinaryIO) -> str:
    """Its name for messages and reports. Bytes of a path that are not UTF-8 are spelled out."""
    if isinstance(thing, (str, os.PathLike)):
        return os.fspath(thing).encode("utf-8", "backslashreplace").decode()
    return str(getattr(thing, "name", None) or "<file object>")


def reason(error: OSError) -> str:
    """What the system says, without the number and the file name that str() would add."""
    return error.strerror or str(error)


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Put the file's name before the text of errors that come from its contents; the others have one already."""
    try:
        yield
    except (InputError, UsageError):
        raise
    except PennyweightError as error:
        error.args = (f"{name}: {error}",)
        raise


class Reader:
    """One file to read: all of it, from its start. A file object stays open and its position is not kept.

    Attributes:
        name: for messages.
        path: None for a file object.
        size: bytes, when it was opened.
    """

    def __init__(self, src: PathLike | BinaryIO) -> None:
        self.name = label(src)
        self.path: Path | None = None
        self._file: BinaryIO | io.FileIO
        if isinstance(src, (str, os.PathLike)):
            self.path = Path(src)
            self._file = _open_regular(self.path, self.name)
        else:
            self._file = _seekable(src)
        # Only these are known to be the file of their descriptor: a gzip file has one too, and it is another file's
        own = isinstance(src, (str, os.PathLike)) or type(src) in (io.FileIO, io.BufferedReader)
        self._fd = self._file.fileno() if own and _PREADV else None
        self._lock = threading.Lock()
        self.size = self._file.seek(0, os.SEEK_END)
        self._changed = self._stamp()

    def pread_into(self, offset: int, view: memoryview) -> None:
        """Fill `view` (bytes) from `offset`. Any number of threads may call this. InputError if it cannot be filled."""
        done, n = 0, len(view)
        while done < n:
            got = self._read_some(offset + done, view[done:] if done else view)
            if not got:
                raise InputError(f"{self.name}: changed while it was read: it ends at byte {offset + done}")
            done += got

    def pread(self, offset: int, n: int) -> bytes:
        """`n` bytes from `offset`; the caller has checked n."""
        data = bytearray(n)
        self.pread_into(offset, memoryview(data))
        return bytes(data)

    def check_unchanged(self) -> None:
        """InputError if size or time of change are not those of the opening."""
        if self._stamp() != self._changed:
            raise InputError(f"{self.name}: changed while it was read")

    @property
    def descriptor(self) -> int | None:
        """The open file, for another process; None if it has none, or cannot be read at any place."""
        return self._fd

    @property
    def mode(self) -> int | None:
        """Permission bits, if they are known."""
        return None if self._fd is None else os.fstat(self._fd).st_mode & 0o777

    def close(self) -> None:
        """Close what was opened here."""
        if self.path is not None:
            self._file.close()

    def _read_some(self, offset: int, view: memoryview) -> int:
        try:
            if self._fd is not None and _PREADV is not None:
                return int(_PREADV(self._fd, [view], offset))
            with self._lock:
                self._file.seek(offset)
                if hasattr(self._file, "readinto"):
                    return int(self._file.readinto(view) or 0)
                data = self._file.read(len(view))
                view[: len(data)] = data
                return len(data)
        except OSError as error:
            raise InputError(f"{self.name}: {reason(error)}") from error

    def _stamp(self) -> tuple[int, int]:
        if self._fd is not None:
            now = os.fstat(self._fd)
            return now.st_size, now.st_mtime_ns
        with self._lock:
            return self._file.seek(0, os.SEEK_END), 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _open_regular(path: Path, name: str) -> io.FileIO:
    try:
        # A named pipe would block the opening for ever
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise InputError(f"{name}: not a regular file")
        return io.FileIO(path, "rb")
    except OSError as error:
        raise InputError(f"{name}: {reason(error)}") from error
    except ValueError as error:  # a NUL in the name
        raise InputError(f"{name!r}: {error}") from error


def _seekable(src: BinaryIO) -> BinaryIO:
    if not hasattr(src, "read") or hasattr(src, "encoding"):
        raise UsageError(f"source must be a path or a binary file object, not {type(src).__name__}")
    if not (hasattr(src, "seekable") and src.seekable()):
        raise UsageError("source file object must be seekable: a stream can only be written to")
    return src
