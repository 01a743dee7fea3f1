"""A program of its own: where libhdf5 says that the data of an HDF5 file lie. `hdf5.py` runs it and doubts the answer.

libhdf5 is C over bytes that may be anybody's: here it may crash, hang or ask for all memory, and nothing else does. It
is given a part of a file by an open descriptor and bounds on memory, time and output, and loads no plugins.
"""

from __future__ import annotations

import io
import json
import os
import resource
import sys
from typing import Any, Final

MAX_RANGES: Final = 500_000
"""Data sets, and chunks of them."""

_MEMORY_BYTES: Final = 4 << 30
_CPU_SECONDS: Final = 60


class _Part(io.RawIOBase):
    """Bytes begin <= byte < begin + n of a descriptor, as h5py wants a file."""

    def __init__(self, fd: int, begin: int, n: int) -> None:
        self._fd, self._begin, self._n = fd, begin, n
        self._at = 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._n}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        n = min(len(view), max(0, self._n - self._at))
        done = os.preadv(self._fd, [view[:n]], self._begin + self._at)
        self._at += done
        return done


def _bound(answer_bytes: int) -> None:
    """What this process may use from here on."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (answer_bytes, answer_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _ranges(file: Any) -> list[tuple[str, str, list[int], int, int]]:
    """Name, dtype, shape, offset and bytes of each contiguous data set and of each chunk, if no filter changed them."""
    from h5py import h5d, h5o, h5t

    labels = {
        "F16": h5t.IEEE_F16LE,
        "F32": h5t.IEEE_F32LE,
        "F64": h5t.IEEE_F64LE,
        **{f"I{bits}": getattr(h5t, f"STD_I{bits}LE") for bits in (8, 16, 32, 64)},
        **{f"U{bits}": getattr(h5t, f"STD_U{bits}LE") for bits in (8, 16, 32, 64)},
    }
    found: list[tuple[str, str, list[int], int, int]] = []

    def look(path: bytes, about: Any) -> None:
        if about.type != h5o.TYPE_DATASET:
            return
        name, data = path.decode(), h5d.open(file.id, path)
        kind, made = data.get_type(), data.get_create_plist()
        label = next((label for label, plain in labels.items() if kind.equal(plain)), None)
        if label is None or made.get_nfilters():
            return
        if made.get_layout() == h5d.CONTIGUOUS:
            offset = data.get_offset()
            if offset is not None:
                found.append((name, label, list(data.shape), offset, data.get_storage_size()))
        elif made.get_layout() == h5d.CHUNKED:
            shape = list(made.get_chunk())

            def note(chunk: Any) -> None:
                place = ",".join(map(str, chunk.chunk_offset))
                found.append((f"{name}[{place}]", label, shape, chunk.byte_offset, chunk.size))
                _stop_at_the_limit()

            data.chunk_iter(note)
        _stop_at_the_limit()

    def _stop_at_the_limit() -> None:
        if len(found) > MAX_RANGES:
            sys.exit("too many data sets")

    h5o.visit(file.id, look, info=True)  # half the time of Group.visititems
    return found


def main(fd: int, begin: int, n_bytes: int, answer_bytes: int) -> None:
    """Write the ranges to standard output, as JSON."""
    import h5py

    _bound(answer_bytes)
    with h5py.File(_Part(fd, begin, n_bytes), "r") as file:
        json.dump(_ranges(file), sys.stdout)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
