"""HDF5, Keras' `.h5` among it, and the weights in a `.keras`: what libhdf5 says, by h5py, in a process of its own.

Needs the extra `hdf5`, and a file that has a descriptor: without them the file is unknown bytes. So it is if the
process dies, takes too long, or says what cannot be.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from pennyweight.pipeline.files import Reader
from pennyweight.pipeline.sources.segments import SourceMap, TensorRange, cover
from pennyweight.pipeline.sources.zip_members import stored_members
from pennyweight.types import DType

SECONDS: Final = 300
"""Where so many have gone by, something hangs: the walk itself may use 60 of the processor."""

_SIGNATURE: Final = b"\x89HDF\r\n\x1a\n"
_WALK: Final = Path(__file__).with_name("hdf5_walk.py")
_MAX_ANSWER_BYTES: Final = 64 << 20
_KERAS_WEIGHTS: Final = "model.weights.h5"
_ENVIRONMENT: Final = {
    "HDF5_PLUGIN_PRELOAD": "::",  # no plugins
    "HDF5_USE_FILE_LOCKING": "FALSE",
    "OPENBLAS_NUM_THREADS": "1",  # NumPy's would each take of the memory
}


def read(file: Reader) -> SourceMap | None:
    """The map of a HDF5 file with a data set that is stored as it is, at least."""
    found = _tensors(file, 0, file.size)
    return cover("hdf5", file.size, found) if found else None


def read_keras(file: Reader) -> SourceMap | None:
    """That of a zip with such a file, stored, as its weights."""
    weights = (stored_members(file) or {}).get(_KERAS_WEIGHTS)
    found = _tensors(file, *weights) if weights else None
    return cover("keras", file.size, found) if found else None


def _tensors(file: Reader, begin: int, n_bytes: int) -> list[tuple[int, TensorRange]] | None:
    """Of those bytes of the file, with offsets in the whole file."""
    if n_bytes < len(_SIGNATURE) or file.pread(begin, len(_SIGNATURE)) != _SIGNATURE:
        return None
    answer = _ask(file.descriptor, begin, n_bytes)
    if answer is None:
        return None
    try:
        return [_tensor(begin, n_bytes, each) for each in json.loads(answer)]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _ask(fd: int | None, begin: int, n_bytes: int) -> bytes | None:
    if fd is None or not sys.executable or importlib.util.find_spec("h5py") is None:
        return None
    numbers = map(str, (fd, begin, n_bytes, _MAX_ANSWER_BYTES))
    with tempfile.TemporaryFile() as answer:
        try:
            subprocess.run(
                [sys.executable, "-I", str(_WALK), *numbers],
                stdin=subprocess.DEVNULL,
                stdout=answer,
                stderr=subprocess.DEVNULL,
                env=os.environ | _ENVIRONMENT,
                pass_fds=(fd,),
                timeout=SECONDS,
                check=True,
            )
        except (OSError, subprocess.SubprocessError):
            return None
        answer.seek(0)
        return answer.read(_MAX_ANSWER_BYTES)


def _tensor(begin: int, n_bytes: int, said: Any) -> tuple[int, TensorRange]:
    """ValueError and such, where it is not what `hdf5_walk` writes, or lies without."""
    name, label, shape, offset, size = said
    numbers = (*shape, offset, size)
    if not isinstance(name, str) or not all(type(number) is int and number >= 0 for number in numbers):
        raise ValueError("no name or no numbers")
    if offset + size > n_bytes:
        raise ValueError("behind the file")
    return begin + offset, TensorRange(size, name, DType[label], tuple(shape))
