"""Side frames: what many frames of a container need, stored once. docs/format.md 1.5."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import xxhash

from pennyweight.errors import CorruptError
from pennyweight.pipeline.container.places import Places
from pennyweight.pipeline.files import Reader
from pennyweight.pipeline.frame import read_frame
from pennyweight.stages.protocol import Stream


class SideFrames(Sequence[Stream]):
    """The decoded side frames by number. Thread-safe.

    Each is read, checked and decoded when it is first asked for, and kept: all of them together are at most 64 MiB. One
    that is damaged raises CorruptError whenever it is asked for, so that frames which need others still decode.

    Args:
        file: the container.
        sizes: decoded bytes of each.
        places: where they are in it, and their digests.
    """

    def __init__(self, file: Reader, sizes: Sequence[int], places: Places) -> None:
        self._file, self._sizes, self._places = file, sizes, places
        self._decoded: dict[int, Stream | CorruptError] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._sizes)

    def __getitem__(self, number: Any) -> Any:
        """The stream of that number, read-only. CorruptError names the number and the place."""
        if not 0 <= number < len(self):
            raise IndexError(number)
        with self._lock:
            found = self._decoded.get(number)
            if found is None:
                found = self._decoded[number] = self._decode(number)
        if isinstance(found, CorruptError):
            raise CorruptError(found.reason, offset=found.offset)
        return found

    def check(self, number: int) -> CorruptError | None:
        """What is wrong with its digest, without decoding it."""
        return self._read(number)[1]

    def _decode(self, number: int) -> Stream | CorruptError:
        frame, error = self._read(number)
        if error is not None:
            return error
        out = np.empty(self._sizes[number], dtype=np.uint8)
        try:
            read_frame(frame, out.size).decode(out)  # without side frames: none may name another
        except CorruptError as wrong:
            return self._error(number, wrong.reason)
        out.flags.writeable = False
        return out

    def _read(self, number: int) -> tuple[Stream, CorruptError | None]:
        begin, end = int(self._places.begins[number]), int(self._places.ends[number])
        frame = np.empty(end - begin, dtype=np.uint8)
        self._file.pread_into(begin, frame.data)
        if xxhash.xxh3_64_intdigest(frame.data) != int(self._places.digests[number]):
            return frame, self._error(number, "its digest does not match")
        return frame, None

    def _error(self, number: int, reason: str) -> CorruptError:
        return CorruptError(f"side frame {number}: {reason}", offset=int(self._places.begins[number]))
