"""bigsmall: safetensors files, from file to file, in Python. It gives back equal tensors under another header."""

from __future__ import annotations

import os
import struct
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path

os.environ["BIGSMALL_DISABLE_VERSION_CHECK"] = "1"  # it would ask the network when imported

import bigsmall

from benchmarks.codecs import Codec, peer_version
from benchmarks.measure import fast_folder
from benchmarks.tensorfile import read_header


@dataclass(frozen=True)
class Bigsmall:
    """Its archive after the file's own header, deflated: without it the bytes of the file could not be had back."""

    name: str = "bigsmall"
    version: str = peer_version("bigsmall")

    def encode(self, src: bytearray) -> bytes:
        _, start, _ = read_header(bytes(src))
        header = zlib.compress(bytes(src[:start]), 9)
        with tempfile.TemporaryDirectory(dir=fast_folder(4 * len(src))) as folder:
            source, target = Path(folder, "model.safetensors"), Path(folder, "model.bs")
            source.write_bytes(src)
            bigsmall.compress(source, target, workers=1, progress=False)
            return struct.pack("<I", len(header)) + header + target.read_bytes()

    def decode(self, src: bytes) -> bytes:
        end = 4 + struct.unpack_from("<I", src)[0]
        header = zlib.decompress(src[4:end])
        with tempfile.TemporaryDirectory(dir=fast_folder(4 * len(src))) as folder:
            source, target = Path(folder, "model.bs"), Path(folder, "model.safetensors")
            source.write_bytes(src[end:])
            bigsmall.decompress(source, target, progress=False)
            return header + _in_order(header, target.read_bytes())


def _in_order(header: bytes, restored: bytes) -> bytes:
    """The tensors' bytes, put where the file's own header says."""
    tensors, start, _ = read_header(restored)
    found = {t.name: restored[start + t.start : start + t.stop] for t in tensors}
    wanted, _, _ = read_header(header)
    return b"".join(found[t.name] for t in sorted(wanted, key=lambda t: t.start))


def codecs(dtype: str) -> list[Codec]:
    return [Bigsmall()] if dtype else []
