"""The words between a source and the pipeline."""

from __future__ import annotations

from collections.abc import Iterable
from operator import itemgetter
from typing import NamedTuple

from pennyweight.pipeline.container import limits
from pennyweight.types import DType


class TensorRange(NamedTuple):
    """The next `n_bytes` of a file are a tensor."""

    n_bytes: int
    name: str
    dtype: DType
    shape: tuple[int, ...]


class Gap(NamedTuple):
    """The next `n_bytes` of a file, at least one, are no tensor: a header, padding. dtype: what they may well be."""

    n_bytes: int
    dtype: DType | None = None


Segment = TensorRange | Gap


class SourceMap(NamedTuple):
    """A whole file, in order and without holes. `name` is that of the format."""

    name: str
    segments: tuple[Segment, ...]


def cover(name: str, n_bytes: int, tensors: Iterable[tuple[int, TensorRange]]) -> SourceMap | None:
    """The map of a file of n_bytes with tensors at those offsets, in any order; what is between them is gaps.

    None for a lie: tensors overlap, reach beyond the file, bear one name, break a limit of the index, or their bytes do
    not fit shape and dtype. Tensors of no bytes are left out.
    """
    segments: list[Segment] = []
    names: set[str] = set()
    at = 0
    for offset, tensor in sorted((pair for pair in tensors if pair[1].n_bytes), key=itemgetter(0)):
        if offset < at or not _fits(tensor) or tensor.name in names:
            return None
        names.add(tensor.name)
        if offset > at:
            segments.append(Gap(offset - at))
        segments.append(tensor)
        at = offset + tensor.n_bytes
    if at > n_bytes:
        return None
    if at < n_bytes:
        segments.append(Gap(n_bytes - at))
    return SourceMap(name, tuple(segments)) if len(segments) <= limits.MAX_SEGMENTS else None


def _fits(tensor: TensorRange) -> bool:
    n_bytes, name, dtype, shape = tensor
    try:
        n_name = len(name) if name.isascii() else len(name.encode())
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return (
        n_name <= limits.MAX_NAME_BYTES
        and len(shape) <= limits.MAX_RANK
        and (not shape or (min(shape) >= 0 and max(shape) <= limits.MAX_INT))
        and dtype.n_bytes(shape) == n_bytes
    )
