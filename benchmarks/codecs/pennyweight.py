"""Pennyweight through its public face: a whole container, verified as it is written, in memory."""

from __future__ import annotations

import io
from dataclasses import dataclass

import pennyweight
from benchmarks.codecs import Codec, peer_version

PRESETS = ("fast", "default", "high", "archive")


@dataclass(frozen=True)
class Pennyweight:
    preset: str
    version: str = peer_version("pennyweight")

    @property
    def name(self) -> str:
        return f"pennyweight {self.preset}"

    def encode(self, src: bytearray) -> bytes:
        target = io.BytesIO()
        pennyweight.compress(io.BytesIO(src), target, preset=self.preset, threads=1, sha256=False)
        return target.getvalue()

    def decode(self, src: bytes) -> memoryview:
        target = io.BytesIO()
        pennyweight.restore(io.BytesIO(src), target, threads=1)
        return target.getbuffer()


def codecs(dtype: str) -> list[Codec]:
    return [Pennyweight(preset) for preset in PRESETS]
