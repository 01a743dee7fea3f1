"""The words between a source and the pipeline."""

from __future__ import annotations

from typing import NamedTuple

from pennyweight.types import DType


class TensorRange(NamedTuple):
    """The next `n_bytes` of a file are a tensor."""

    n_bytes: int
    name: str
    dtype: DType
    shape: tuple[int, ...]


class Gap(NamedTuple):
    """The next `n_bytes` of a file, at least one, are no tensor: a header, padding."""

    n_bytes: int


Segment = TensorRange | Gap


class SourceMap(NamedTuple):
    """A whole file, in order and without holes. `name` is that of the format."""

    name: str
    segments: tuple[Segment, ...]
