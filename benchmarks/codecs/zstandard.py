"""zstd through its Python binding: the general-purpose compressor that everybody has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import zstandard

from benchmarks.codecs import Codec

LEVEL = 3


@dataclass(frozen=True)
class Zstd:
    level: int
    version: str = zstandard.__version__

    @property
    def name(self) -> str:
        return f"zstd -{self.level}"

    def encode(self, src: bytearray) -> bytes:
        return zstandard.ZstdCompressor(level=self.level).compress(src)

    def decode(self, src: bytes) -> bytes:
        return zstandard.ZstdDecompressor().decompress(src)


def codecs(dtype: str) -> list[Codec]:
    return [Zstd(LEVEL)]


def compress_file(src: Path, dst: Path, threads: int) -> None:
    with src.open("rb") as source, dst.open("wb") as target:
        zstandard.ZstdCompressor(level=LEVEL, threads=threads).copy_stream(source, target, size=src.stat().st_size)


def restore_file(src: Path, dst: Path, threads: int) -> None:
    """zstd decodes a stream on one thread whatever `threads` is."""
    with src.open("rb") as source, dst.open("wb") as target:
        zstandard.ZstdDecompressor().copy_stream(source, target)
