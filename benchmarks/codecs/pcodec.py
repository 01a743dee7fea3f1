"""pcodec: a compressor of numerical sequences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pcodec import ChunkConfig, standalone

from benchmarks.codecs import Codec, Data, peer_version

# It knows no BF16; read as float16 the same bits come out smaller than as uint16.
DTYPES = {"BF16": np.float16, "F16": np.float16, "F32": np.float32}


@dataclass(frozen=True)
class Pcodec:
    dtype: str
    level: int
    version: str = peer_version("pcodec")

    @property
    def name(self) -> str:
        return f"pcodec -{self.level}"

    def encode(self, src: bytearray) -> bytes:
        numbers = np.frombuffer(src, DTYPES[self.dtype])
        compressed: bytes = standalone.simple_compress(numbers, ChunkConfig(compression_level=self.level))
        return compressed

    def decode(self, src: bytes) -> Data:
        numbers: NDArray[Any] = standalone.simple_decompress(src)
        return numbers.data


def codecs(dtype: str) -> list[Codec]:
    return [Pcodec(dtype, 8), Pcodec(dtype, 12)] if dtype in DTYPES else []
