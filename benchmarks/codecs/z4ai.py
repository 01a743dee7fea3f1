"""z4ai: safetensors files, tensor by tensor. It compiles its core when it is installed."""

from __future__ import annotations

from dataclasses import dataclass

from z4ai import safetensors

from benchmarks.codecs import Codec, peer_version


@dataclass(frozen=True)
class Z4ai:
    name: str = "z4ai"
    version: str = peer_version("z4ai")

    def encode(self, src: bytearray) -> bytes:
        encoded: bytes = safetensors.compress_bytes(bytes(src), threads=1, workers=1)
        return encoded

    def decode(self, src: bytes) -> bytes:
        decoded: bytes = safetensors.decompress_bytes(src, workers=1)
        return decoded


def codecs(dtype: str) -> list[Codec]:
    return [Z4ai()] if dtype else []
