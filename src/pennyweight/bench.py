"""What this tool would do to your own file: its presets and zstd, in memory, next to a plain copy."""

from __future__ import annotations

import io
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zstandard
from pydantic import BaseModel, ConfigDict

from pennyweight import api, native
from pennyweight.errors import InputError, PennyweightError
from pennyweight.pipeline.files import Reader
from pennyweight.pipeline.sources import TensorRange, find_source
from pennyweight.pipeline.window import thread_count

PRESETS = ("fast", "default")
ZSTD_LEVEL = 3
ROUNDS = 5
SAMPLE_BYTES = 1 << 30
"""Of a larger file only the first tensors are measured: original, container and copy lie in memory together."""


class Row(BaseModel):
    """One way to make the bytes smaller. Seconds are medians."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    stored_bytes: int
    compress_seconds: float
    restore_seconds: float


class BenchReport(BaseModel):
    """`measured_bytes` is less than `n_bytes` where only a sample of a large file was measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    n_bytes: int
    measured_bytes: int
    threads: int
    rounds: int
    memcpy_seconds: float
    rows: tuple[Row, ...]

    def to_json(self) -> str:
        """One JSON object on one line; its first key is `schema`."""
        return json.dumps({"schema": "pennyweight.bench/1"} | self.model_dump(mode="json"))


def bench(path: str | os.PathLike[str], *, progress: Callable[[str], None] | None = None) -> BenchReport:
    """Measure the presets and zstd on one file.

    Args:
        progress: called with the name of each row before it is measured.

    Raises:
        InputError: the file cannot be read, or is empty.
        PennyweightError: a row did not give back what it was given.
    """
    if Path(path).is_dir():
        raise InputError(f"{os.fspath(path)}: is a folder; bench takes one file")
    with Reader(path) as reader:
        if not reader.size:
            raise InputError(f"{os.fspath(path)}: is empty, there is nothing to measure")
        data, n_bytes = sample(reader), reader.size
    threads = thread_count(None)
    memory = io.BytesIO(bytes(len(data)))  # written over again and again: new pages cost more than what is measured
    rows = []
    for name, compress, restore in _contestants(threads):
        if progress:
            progress(name)
        rows.append(_measure(name, compress, restore, data, memory))
    return BenchReport(
        path=os.fspath(path),
        n_bytes=n_bytes,
        measured_bytes=len(data),
        threads=threads,
        rounds=ROUNDS,
        memcpy_seconds=_seconds(lambda: memory.write(data), memory),
        rows=tuple(rows),
    )


def sample(reader: Reader, limit: int = SAMPLE_BYTES) -> bytes:
    """The file, or of one larger than `limit` bytes: as many of its first tensors as fit, as a safetensors file."""
    if reader.size <= limit:
        return reader.pread(0, reader.size)
    header: dict[str, Any] = {}
    parts: list[bytes] = []
    offset = taken = 0
    for segment in find_source(reader).segments:
        if isinstance(segment, TensorRange) and taken + segment.n_bytes <= limit:
            offsets = [taken, taken + segment.n_bytes]
            plain = segment.dtype.weights == 1  # safetensors has no others
            label, shape = (segment.dtype.label, segment.shape) if plain else ("U8", (segment.n_bytes,))
            header[segment.name] = {"dtype": label, "shape": shape, "data_offsets": offsets}
            parts.append(reader.pread(offset, segment.n_bytes))
            taken += segment.n_bytes
        offset += segment.n_bytes
    if not parts:
        return reader.pread(0, limit)
    text = json.dumps(header).encode()
    return b"".join([len(text).to_bytes(8, "little"), text, *parts])


Work = Callable[[bytes, io.BytesIO], object]


def _contestants(threads: int) -> list[tuple[str, Work, Work]]:
    """(name, compress, restore) of each row."""

    def compress(preset: str) -> Work:
        return lambda src, dst: api.compress(io.BytesIO(src), dst, preset=preset, threads=threads, sha256=False)

    def restore(src: bytes, dst: io.BytesIO) -> None:
        api.restore(io.BytesIO(src), dst, threads=threads)

    def zstd(src: bytes, dst: io.BytesIO) -> None:
        compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL, threads=threads)
        compressor.copy_stream(io.BytesIO(src), dst, size=len(src))

    def unzstd(src: bytes, dst: io.BytesIO) -> None:
        zstandard.ZstdDecompressor().copy_stream(io.BytesIO(src), dst)

    rows: list[tuple[str, Work, Work]] = [(preset, compress(preset), restore) for preset in PRESETS]
    return [*rows, (f"zstd -{ZSTD_LEVEL}", zstd, unzstd)]


def _measure(name: str, compress: Work, restore: Work, data: bytes, memory: io.BytesIO) -> Row:
    compress_seconds = _seconds(lambda: compress(data, memory), memory)
    stored = bytes(memory.getbuffer()[: memory.tell()])
    restore_seconds = _seconds(lambda: restore(stored, memory), memory)
    if not native.equal(memory.getbuffer()[: memory.tell()], data):
        raise PennyweightError(f"{name}: what was restored differs from the file")
    return Row(name=name, stored_bytes=len(stored), compress_seconds=compress_seconds, restore_seconds=restore_seconds)


def _seconds(work: Callable[[], object], memory: io.BytesIO) -> float:
    """Median after one round that is not counted."""
    taken = []
    for _ in range(1 + ROUNDS):
        memory.seek(0)
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken[1:])
