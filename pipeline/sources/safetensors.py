"""safetensors: u64 length, JSON header, tensors back to back.

A file is read as safetensors only if its header keeps every rule of the format. One that lies (overlap, hole, overflow,
duplicate names) is left to `opaque`: it comes back byte for byte all the same, and nothing is made of what it says.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from pennyweight.pipeline.container import limits
from pennyweight.pipeline.files import Reader
from pennyweight.pipeline.sources.segments import Gap, Segment, SourceMap, TensorRange
from pennyweight.types import DType

MAX_HEADER_BYTES: Final = 100_000_000
_LENGTH_BYTES: Final = 8
_METADATA: Final = "__metadata__"
_KEYS: Final = {"dtype", "shape", "data_offsets"}
_DTYPES: Final = {dtype.label: dtype for dtype in DType if dtype.weights == 1}


class _Entry(NamedTuple):
    """One tensor of the header: its range in the data, and what it is."""

    begin: int
    end: int
    tensor: TensorRange


class _Lie(ValueError):
    """The header breaks a rule."""


def read(file: Reader) -> SourceMap | None:
    """The header as a gap, then the tensors in the order of the file. None if it is not a safetensors file."""
    if file.size < _LENGTH_BYTES + len("{}"):
        return None
    n_header = int.from_bytes(file.pread(0, _LENGTH_BYTES), "little")
    # The first byte is looked at before the header is: most files that are not safetensors end here
    if n_header > min(MAX_HEADER_BYTES, file.size - _LENGTH_BYTES) or file.pread(_LENGTH_BYTES, 1) != b"{":
        return None
    data = _LENGTH_BYTES + n_header
    try:
        header = _parse(file.pread(_LENGTH_BYTES, n_header))
        tensors = _in_file_order(header, file.size - data)
    except (ValueError, RecursionError):  # of ours, of JSON, of UTF-8
        return None
    segments: list[Segment] = [Gap(data), *tensors]
    return SourceMap("safetensors", tuple(segments)) if len(segments) <= limits.MAX_SEGMENTS else None


def _parse(text: bytes) -> dict[str, Any]:
    header = json.loads(text.decode("utf-8"), object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    if not isinstance(header, dict):
        raise _Lie("the header is no object")
    header.pop(_METADATA, None)
    return header


def _no_duplicates(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    items = list(pairs)
    made = dict(items)
    if len(made) != len(items):
        raise _Lie("a name appears twice")
    return made


def _no_constant(word: str) -> None:
    raise _Lie(f"{word} is not JSON")


def _in_file_order(header: dict[str, Any], n_data: int) -> list[TensorRange]:
    """The tensors, which must cover the data without hole or overlap."""
    # Stable: tensors of no bytes at one place stay in the header's order
    entries = sorted((_entry(name, value) for name, value in header.items()), key=lambda entry: entry[:2])
    at = 0
    for entry in entries:
        if entry.begin != at:
            raise _Lie("a hole or an overlap")
        at = entry.end
    if at != n_data:
        raise _Lie("the tensors do not end where the file does")
    return [entry.tensor for entry in entries]


def _entry(name: str, value: Any) -> _Entry:
    if not isinstance(value, dict) or not value.keys() >= _KEYS:
        raise _Lie("no dtype, shape or data_offsets")
    dtype = _DTYPES.get(value["dtype"]) if isinstance(value["dtype"], str) else None
    shape, offsets = _sizes(value["shape"]), _sizes(value["data_offsets"])
    if dtype is None or len(shape) > limits.MAX_RANK or len(offsets) != 2:
        raise _Lie("unknown dtype, or not two offsets")
    begin, end = offsets
    if dtype.n_bytes(shape) != end - begin:
        raise _Lie("offsets do not fit shape and dtype")
    if len(name.encode("utf-8")) > limits.MAX_NAME_BYTES:  # a lone surrogate raises
        raise _Lie("the name is too long")
    return _Entry(begin, end, TensorRange(end - begin, name, dtype, shape))


def _sizes(values: Any) -> tuple[int, ...]:
    # bool is an int to Python
    if not isinstance(values, list) or not all(type(value) is int and 0 <= value <= limits.MAX_INT for value in values):
        raise _Lie("not a list of sizes")
    return tuple(values)
