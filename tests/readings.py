"""What the sources make of bytes, for their tests."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import accumulate

import pennyweight
from pennyweight.pipeline.files import Reader
from pennyweight.pipeline.sources import SourceMap, TensorRange, find_source
from pennyweight.types import DType

Tensors = dict[str, tuple[DType, tuple[int, ...], bytes]]


def map_of(data: bytes) -> SourceMap:
    """The map of the whole file; it must cover it, and name no two tensors alike."""
    found = find_source(Reader(io.BytesIO(data)))
    assert sum(segment.n_bytes for segment in found.segments) == len(data)
    names = [segment.name for segment in found.segments if isinstance(segment, TensorRange)]
    assert len(set(names)) == len(names)
    return found


def tensors_in(data: bytes) -> Tensors:
    """dtype, shape and bytes of each tensor, by name."""
    segments = map_of(data).segments
    ends = accumulate(segment.n_bytes for segment in segments)
    return {
        segment.name: (segment.dtype, segment.shape, data[end - segment.n_bytes : end])
        for segment, end in zip(segments, ends, strict=True)
        if isinstance(segment, TensorRange)
    }


def restored(data: bytes) -> bytes:
    """What compress and restore make of a file."""
    container, target = io.BytesIO(), io.BytesIO()
    pennyweight.compress(io.BytesIO(data), container, threads=1)
    pennyweight.restore(container, target, threads=1)
    return target.getvalue()


def comes_back(data: bytes) -> bool:
    """Whether compress and restore give the same bytes."""
    return restored(data) == data


def flips(data: bytes) -> Iterator[bytes]:
    """Each byte in turn with another of its bits changed, and with all of them."""
    for at, byte in enumerate(data):
        for mask in (1 << at % 8, 0xFF):
            yield data[:at] + bytes((byte ^ mask,)) + data[at + 1 :]


def check_damaged(data: bytes) -> None:
    """Every proper prefix and every flip has a map, and some of both come back."""
    damaged = [*(data[:n] for n in range(len(data))), *flips(data)]
    for each in damaged:
        map_of(each)
    assert all(map(comes_back, damaged[:: -(-len(damaged) // 16)]))
