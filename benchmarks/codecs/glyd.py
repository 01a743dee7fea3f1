"""glyd: bytes in, bytes out; it finds the tensors of a safetensors file itself."""

from __future__ import annotations

from dataclasses import dataclass

import glyd

from benchmarks.codecs import Codec, peer_version


@dataclass(frozen=True)
class Glyd:
    """`max` is the level of its published figures. It decodes with as many threads as it likes: it has no option."""

    level: str
    version: str = peer_version("glyd")

    @property
    def name(self) -> str:
        return f"glyd {self.level}"

    def encode(self, src: bytearray) -> bytes:
        encoded: bytes = glyd.compress(src, level=self.level, threads=1)
        return encoded

    def decode(self, src: bytes) -> bytes:
        decoded: bytes = glyd.decompress(src)
        return decoded


def codecs(dtype: str) -> list[Codec]:
    return [Glyd("max")]
