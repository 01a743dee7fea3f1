"""What the bytes of a file are: one module per checkpoint format."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from pennyweight.pipeline.files import Reader
from pennyweight.pipeline.sources import (
    gguf,
    guess,
    hdf5,
    npy,
    npz,
    onnx,
    safetensors,
    tflite,
    torch_dcp,
    torch_legacy,
    torch_tar,
    torch_zip,
)
from pennyweight.pipeline.sources.segments import Gap, Segment, SourceMap, TensorRange

__all__ = ["Gap", "Segment", "SourceMap", "TensorRange", "find_source", "is_recognised"]


_FORMATS: Final = (
    safetensors.read,
    gguf.read,
    torch_zip.read,
    torch_dcp.read,
    torch_legacy.read,
    torch_tar.read,
    npy.read,
    npz.read,
    hdf5.read,
    hdf5.read_keras,
    tflite.read,
    onnx.read,
)
"""Each a function from a file to its map, or None where it is not of that format or lies about itself."""


def find_source(file: Reader) -> SourceMap:
    """Read it as the first format whose every rule it keeps; `guess` takes any file."""
    return _known(file) or guess.read(file)


def is_recognised(file: Reader) -> bool:
    """Whether it is of a format that says what its tensors are."""
    return _known(file) is not None


def _known(file: Reader) -> SourceMap | None:
    with _collector_at_rest():
        return next((found for read in _FORMATS if (found := read(file)) is not None), None)


@contextmanager
def _collector_at_rest() -> Iterator[None]:
    """Half of the time of 100,000 tensors would go to looking for cycles among objects that are all in use."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
