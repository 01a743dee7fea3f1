"""What is left of a container whose parts are damaged, moved or missing: docs/format.md 1.7."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

import numpy as np
import xxhash

from pennyweight.errors import CorruptError
from pennyweight.pipeline.blocks import BlockTable, count_blocks
from pennyweight.pipeline.container import layout, limits
from pennyweight.pipeline.container.description import read_description
from pennyweight.pipeline.container.frames import FrameReader
from pennyweight.pipeline.container.index import Description, Index, unpack_index
from pennyweight.pipeline.container.markers import Marker, find_markers
from pennyweight.pipeline.container.places import Ints, Places
from pennyweight.pipeline.container.reader import ContainerReader, read_index
from pennyweight.pipeline.container.search import find
from pennyweight.pipeline.files import Reader

_MAX_INDEXES: Final = 4
"""Of those that end in a sound trailer, the last so many are looked at: containers may be stored in containers."""

_MAX_PASSES: Final = 4
"""Frames are read, to be compared with their digests, at most so many times the size of the file: an honest one needs
one, or a little more where bytes are missing and a marker's frames run into the next."""


def find_remains(file: Reader) -> tuple[FrameReader, Index | None]:
    """The frames: where the index says that they are, or else where a marker does. And the index, if it is left.

    Raises:
        CorruptError: neither index nor description is left, so nothing says what the frames are.
        VersionError: the header is sound, and of another version.
    """
    with suppress(CorruptError):  # it says nothing that is needed
        layout.unpack_header(file.pread(0, min(file.size, layout.HEADER_BYTES)))
    try:
        container = ContainerReader.without_header(file)
    except CorruptError as error:
        return _by_markers(file, error)
    return _with_markers(container), container.index


def _with_markers(container: ContainerReader) -> FrameReader:
    """With frames that are not where they should be where a marker says: of a file that was put together wrongly."""
    places = container.places
    lost = np.array(
        [not _is_there(container.file, *place) for place in zip(*map(np.ndarray.tolist, places), strict=True)]
    )
    if not lost.any():
        return container
    index = container.index
    found = _found(container.file, _described_in(index), _sizes(index, container.blocks))
    use = lost & (found.ends > 0) & (found.digests == places.digests)
    moved = Places(*(np.where(use, one, other) for one, other in zip(found, places, strict=True)))
    return FrameReader(container.file, container.segments, container.blocks, index.side, moved)


def _by_markers(file: Reader, damage: CorruptError) -> tuple[FrameReader, Index | None]:
    """Of the first that says what the container held and of which a frame is found; of the first, if none is."""
    first: tuple[FrameReader, Index | None] | None = None
    described: int | None = None
    try:
        description, packed = read_description(file)
    except CorruptError as error:
        damage = CorruptError(f"{damage.reason}; {error.reason}: nothing is left that says what it held")
    else:
        described = packed.xxh3_64
        index = next((index for index in _indexes(file) if _described_in(index) == described), None)
        first = _frames_found(file, described, index or description), index
        if first[0].places.ends.any():
            return first
    # Nothing of it is here, as where it came from another file; the index of one stored in this would be behind it
    for index in _indexes(file):
        if (digest := _described_in(index)) != described:
            frames = _frames_found(file, digest, index)
            if frames.places.ends.any():
                return frames, index
            first = first or (frames, index)
    if first is None:
        raise damage
    return first


def _described_in(index: Index) -> int:
    return int(index.description_xxh3_64, 16)


def _frames_found(file: Reader, digest: int, known: Description) -> FrameReader:
    n_blocks = count_blocks(*known.cut)
    if n_blocks > limits.MAX_FRAMES:
        raise CorruptError(f"description: {n_blocks} blocks are more than an index has room for")
    blocks = BlockTable.of(*known.cut)
    places = _found(file, digest, _sizes(known, blocks))
    return FrameReader(file, known.segments, blocks, known.side, places)


def _sizes(known: Description, blocks: BlockTable) -> Ints:
    """Decoded bytes of all frames."""
    return np.append(np.array(known.side, dtype=np.int64), blocks.sizes)


def _indexes(file: Reader) -> Iterator[Index]:
    """Sound ones that end in a sound trailer, wherever these are by now: the last of the file first."""
    tails = deque[layout.Trailer](maxlen=_MAX_INDEXES)
    for end in find(file, layout.END_MAGIC):
        at = end + len(layout.END_MAGIC) - layout.TRAILER_BYTES
        if at < layout.HEADER_BYTES:
            continue
        try:
            trailer = layout.parse_trailer(file.pread(at, layout.TRAILER_BYTES), at)
        except CorruptError:
            continue
        if trailer.stored <= at:
            tails.append(trailer._replace(offset=at - trailer.stored))
    for trailer in reversed(tails):
        try:
            yield unpack_index(read_index(file, trailer))[0]
        except CorruptError:
            continue


def _found(file: Reader, description: int, sizes: Ints) -> Places:
    """Where the frames are, of streams of these sizes, that markers name and that have the digests named there."""
    begins, ends = np.zeros_like(sizes), np.zeros_like(sizes)
    digests = np.full(sizes.shape, ~np.uint64(xxhash.xxh3_64_intdigest(b"")))  # that no bytes do not have
    left = _MAX_PASSES * file.size
    for marker in find_markers(file, description):
        for number, begin, end, digest in _frames_of(marker, sizes, file.size):
            left -= end - begin
            if left < 0:
                return Places(begins, ends, digests)
            if begins[number] == 0 and _is_there(file, begin, end, digest):
                begins[number], ends[number], digests[number] = begin, end, digest
    return Places(begins, ends, digests)


def _is_there(file: Reader, begin: int, end: int, digest: int) -> bool:
    return xxhash.xxh3_64_intdigest(file.pread(begin, end - begin)) == digest


def _frames_of(marker: Marker, sizes: Ints, file_bytes: int) -> Iterator[tuple[int, int, int, int]]:
    """Number, begin, end and digest of its frames, as far as the file goes. None if there are no such frames."""
    last = marker.first + len(marker.lengths)
    if last > len(sizes) or np.any(marker.lengths > limits.max_node_bytes(sizes[marker.first : last])):
        return
    if not marker.lengths.all():  # no frame is, and here it is one that was not found
        return
    begin = marker.end
    for number, length, digest in zip(
        range(marker.first, last), marker.lengths.tolist(), marker.digests.tolist(), strict=True
    ):
        if begin + length > file_bytes:
            return
        yield number, begin, begin + length, digest
        begin += length
