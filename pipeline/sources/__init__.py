"""What the bytes of a file are: one module per checkpoint format."""

from __future__ import annotations

from pennyweight.pipeline.files import Reader
from pennyweight.pipeline.sources import opaque, safetensors
from pennyweight.pipeline.sources.segments import Gap, Segment, SourceMap, TensorRange

__all__ = ["Gap", "Segment", "SourceMap", "TensorRange", "find_source", "is_recognised"]


def find_source(file: Reader) -> SourceMap:
    """Read it as the first format whose every rule it keeps; `opaque` takes any file."""
    return safetensors.read(file) or opaque.read(file)


def is_recognised(file: Reader) -> bool:
    """Whether it is of a format that says what its tensors are."""
    return safetensors.read(file) is not None
