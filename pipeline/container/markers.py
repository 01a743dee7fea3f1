"""Markers: what the next frames are, said again before each batch of them for `salvage`. docs/format.md 1.7."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple, TypeVar

import numpy as np
import xxhash
from numpy.typing import NDArray

from pennyweight.pipeline.container.limits import MAX_BATCH_FRAMES
from pennyweight.pipeline.container.search import find
from pennyweight.pipeline.files import Reader

MAGIC: Final = b"\x89PWM\r\n\x1a\n"
_HEAD: Final = struct.Struct("<8sQQI")
_CHECKSUM: Final = struct.Struct("<Q")
_FIXED_BYTES: Final = _HEAD.size + _CHECKSUM.size

N = TypeVar("N", int, NDArray[np.uint32])


def marker_bytes(n_frames: N) -> N:
    """Of one before so many frames."""
    return _FIXED_BYTES + 12 * n_frames


class Marker(NamedTuple):
    """Where it is, and of the frames from number `first` on, which begin where it ends: stored bytes, and XXH3-64."""

    offset: int
    first: int
    lengths: NDArray[np.uint32]
    digests: NDArray[np.uint64]

    @property
    def end(self) -> int:
        """Where its frames begin."""
        return self.offset + marker_bytes(len(self.lengths))


def pack_marker(description: int, first: int, lengths: NDArray[np.uint32], digests: NDArray[np.uint64]) -> bytes:
    """The bytes before a batch of a container whose description has that digest."""
    head = _HEAD.pack(MAGIC, description, first, len(lengths))
    marker = head + lengths.astype("<u4", copy=False).tobytes() + digests.astype("<u8", copy=False).tobytes()
    return marker + _CHECKSUM.pack(xxhash.xxh3_64_intdigest(marker))


def find_markers(file: Reader, description: int) -> Iterator[Marker]:
    """All sound ones of that container, in the order of the file, wherever they are. Damaged ones are passed over."""
    for at in find(file, MAGIC + description.to_bytes(8, "little")):
        if marker := _read(file, at):
            yield marker


def _read(file: Reader, offset: int) -> Marker | None:
    most = marker_bytes(MAX_BATCH_FRAMES)
    data = file.pread(offset, min(most, file.size - offset))
    if len(data) < _FIXED_BYTES:
        return None
    _, _, first, n = _HEAD.unpack_from(data)
    if not 1 <= n <= MAX_BATCH_FRAMES or len(data) < marker_bytes(n):
        return None
    digests = _HEAD.size + 4 * n
    end = digests + 8 * n
    if (xxhash.xxh3_64_intdigest(data[:end]),) != _CHECKSUM.unpack_from(data, end):
        return None
    return Marker(offset, first, np.frombuffer(data, "<u4", n, _HEAD.size), np.frombuffer(data, "<u8", n, digests))
