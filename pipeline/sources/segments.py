"""The words between a source and the pipeline."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
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


class Names:
    """Makes names of tensors differ: `a`, then `a#2`. ValueError where they get longer than an index may be."""

    def __init__(self) -> None:
        self._given: dict[str, int] = {}
        self._left = limits.MAX_INDEX_BYTES

    def give(self, name: str) -> str:
        self._left -= len(name)
        if self._left < 0:
            raise ValueError("names longer than an index")
        n = self._given[name] = self._given.get(name, 0) + 1
        return name if n == 1 else f"{name}#{n}"


def cover(name: str, n_bytes: int, tensors: Iterable[tuple[int, TensorRange]]) -> SourceMap | None:
    """The map of a file of n_bytes with tensors at those offsets, in any order; what is between them is gaps.

    None for a lie: tensors overlap, reach beyond the file, bear one name, break a limit of the index, or their bytes do
    not fit shape and dtype. Tensors of no bytes are left out.
    """
    segments: list[Segment] = []
    names: set[str] = set()
    at = 0
    for offset, tensor in sorted(tensors, key=itemgetter(0)):
        n_tensor, its_name, dtype, shape = tensor
        if not n_tensor:
            continue
        if offset < at or its_name in names or not _is_name(its_name):
            return None
        if len(shape) > limits.MAX_RANK or _n_bytes(dtype, shape) != n_tensor:
            return None
        names.add(its_name)
        if offset > at:
            segments.append(Gap(offset - at))
        segments.append(tensor)
        at = offset + n_tensor
    if at > n_bytes:
        return None
    if at < n_bytes:
        segments.append(Gap(n_bytes - at))
    return SourceMap(name, tuple(segments)) if len(segments) <= limits.MAX_SEGMENTS else None


def _is_name(name: str) -> bool:
    try:
        return (len(name) if name.isascii() else len(name.encode())) <= limits.MAX_NAME_BYTES
    except UnicodeEncodeError:  # a lone surrogate
        return False


@lru_cache  # a model has few shapes
def _n_bytes(dtype: DType, shape: tuple[int, ...]) -> int | None:
    """None, too, for numbers that are no sizes."""
    return dtype.n_bytes(shape) if all(0 <= dim <= limits.MAX_INT for dim in shape) else None
