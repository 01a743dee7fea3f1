"""ZipNN: byte groups and Huffman, whole buffers only. Needs torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import zipnn

from benchmarks.codecs import Codec, Data, peer_version

DTYPES = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}


@dataclass(frozen=True)
class ZipNN:
    """`encode` spoils its input: the library rotates the bits in the caller's buffer."""

    dtype: str
    threads: int = 1
    name: str = "zipnn"
    version: str = peer_version("zipnn")

    def _library(self) -> zipnn.ZipNN:
        return zipnn.ZipNN(input_format="byte", bytearray_dtype=DTYPES[self.dtype], threads=self.threads)

    def encode(self, src: bytes | bytearray) -> bytes:
        encoded: bytes = self._library().compress(src)
        return encoded

    def decode(self, src: bytes) -> Data:
        decoded: bytearray = self._library().decompress(src)
        return decoded


def codecs(dtype: str) -> list[Codec]:
    return [ZipNN(dtype)] if dtype in DTYPES else []


def compress_file(src: Path, dst: Path, threads: int) -> None:
    """The library has no files, so this is what its users write: read all, compress, write all."""
    dst.write_bytes(ZipNN("BF16", threads).encode(src.read_bytes()))


def restore_file(src: Path, dst: Path, threads: int) -> None:
    dst.write_bytes(ZipNN("BF16", threads).decode(src.read_bytes()))
