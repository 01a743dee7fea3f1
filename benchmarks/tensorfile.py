"""Safetensors files as bytes: read a header, write one, make a large file of a small one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

WRITE_BYTES = 1 << 24


@dataclass(frozen=True)
class Tensor:
    """One tensor of a safetensors file; `start` and `stop` are bytes from the start of the data."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


class Named(NamedTuple):
    """A tensor with its bytes, on the way into a file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    data: bytes


def read_header(data: bytes | NDArray[np.uint8]) -> tuple[list[Tensor], int, dict[str, str] | None]:
    """(tensors in the order of the header, byte at which the data starts, metadata) of a safetensors file."""
    start = 8 + int.from_bytes(bytes(data[:8]), "little")
    header: dict[str, Any] = json.loads(bytes(data[8:start]))
    metadata = header.pop("__metadata__", None)
    rows = [Tensor(k, v["dtype"], tuple(v["shape"]), *v["data_offsets"]) for k, v in header.items()]
    return rows, start, metadata


def read_tensors(data: bytes) -> Iterator[Named]:
    """Every tensor of a safetensors file, in the order of the header."""
    tensors, start, _ = read_header(data)
    for t in tensors:
        yield Named(t.name, t.dtype, t.shape, data[start + t.start : start + t.stop])


def make_header(tensors: list[Tensor], metadata: dict[str, str] | None) -> bytes:
    """Length and JSON header of a safetensors file: keys in the order given, padded with spaces to 8 bytes."""
    header: dict[str, Any] = {} if metadata is None else {"__metadata__": metadata}
    for tensor in tensors:
        offsets = [tensor.start, tensor.stop]
        header[tensor.name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": offsets}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=True).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def make_file(tensors: Iterable[Named], metadata: dict[str, str] | None) -> bytes:
    """A safetensors file of these tensors, back to back in the order given: the same bytes for the same tensors."""
    rows: list[Tensor] = []
    parts: list[bytes] = []
    position = 0
    for t in tensors:
        rows.append(Tensor(t.name, t.dtype, t.shape, position, position + len(t.data)))
        parts.append(t.data)
        position += len(t.data)
    return make_header(rows, metadata) + b"".join(parts)


def repeat(path: Path, copies: int, target: Path) -> int:
    """Write one valid safetensors file that holds every tensor `copies` times, under new names; its size in bytes."""
    data = path.read_bytes()
    tensors, start, metadata = read_header(data)
    body = memoryview(data)[start:]
    many = list(_repeated(tensors, copies, len(body)))
    with target.open("wb") as file:
        file.write(make_header(many, metadata))
        for _ in range(copies):
            for at in range(0, len(body), WRITE_BYTES):
                file.write(body[at : at + WRITE_BYTES])
    return target.stat().st_size


def _repeated(tensors: list[Tensor], copies: int, n_bytes: int) -> Iterator[Tensor]:
    for copy in range(copies):
        shift = copy * n_bytes
        for t in tensors:
            yield Tensor(f"copy{copy:02}.{t.name}", t.dtype, t.shape, t.start + shift, t.stop + shift)
