"""lmz: a compressor of checkpoint files, from file to file only. It compiles its core with `cc` on first use."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import lmz

from benchmarks.codecs import Codec, peer_version
from benchmarks.measure import fast_folder


@dataclass(frozen=True)
class Lmz:
    """Its times include writing and reading the two files, in memory where the system has such a folder."""

    name: str = "lmzip"
    version: str = peer_version("lmzip")

    def encode(self, src: bytearray) -> bytes:
        with tempfile.TemporaryDirectory(dir=fast_folder(4 * len(src))) as folder:
            source, target = Path(folder, "model.safetensors"), Path(folder, "model.lmz")
            source.write_bytes(src)
            source.chmod(0o644)  # the archive records the mode: the same bytes under any umask
            compress_file(source, target, 1)
            return target.read_bytes()

    def decode(self, src: bytes) -> bytes:
        with tempfile.TemporaryDirectory(dir=fast_folder(4 * len(src))) as folder:
            source, target = Path(folder, "model.lmz"), Path(folder, "model.safetensors")
            source.write_bytes(src)
            restore_file(source, target, 1)
            return target.read_bytes()


def codecs(dtype: str) -> list[Codec]:
    return [Lmz()]


def compress_file(src: Path, dst: Path, threads: int) -> None:
    """Without its search for equal tensors, which would find that the large file is one model many times over."""
    lmz.compress(str(src), str(dst), workers=threads, dedup=False, delta=False)


def restore_file(src: Path, dst: Path, threads: int) -> None:
    lmz.decompress(str(src), str(dst), workers=threads)
