"""OpenZL: a graph of typed nodes. It has no graph for checkpoints, so this is the one its parts suggest:
split floats into exponent and the rest, split the rest into byte planes, entropy-code each."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import openzl.ext as zl

from benchmarks.codecs import Codec, peer_version

CHUNK_BYTES = 8 << 20  # larger ones run out of its buffers' best sizes: measured slower, not smaller
SPLITS = {
    "BF16": (zl.nodes.BFloat16Deconstruct, np.uint16),
    "F16": (zl.nodes.Float16Deconstruct, np.uint16),
    "F32": (zl.nodes.Float32Deconstruct, np.uint32),
}


@dataclass(frozen=True)
class OpenZL:
    dtype: str
    entropy: str
    version: str = peer_version("openzl")

    @property
    def name(self) -> str:
        return f"openzl {self.entropy}"

    def _compressor(self) -> zl.Compressor:
        made = zl.Compressor()
        made.set_parameter(zl.CParam.FormatVersion, zl.MAX_FORMAT_VERSION)
        entropy = zl.graphs.Fse() if self.entropy == "fse" else zl.graphs.Huffman()
        planes = zl.nodes.TransposeSplit()(made, entropy)
        made.select_starting_graph(SPLITS[self.dtype][0]()(made, planes, entropy))
        return made

    def encode(self, src: bytearray) -> bytes:
        """Chunks, each after its u32 length: its own frames have no file around them."""
        compressor, whole = self._compressor(), np.frombuffer(src, SPLITS[self.dtype][1])
        step = CHUNK_BYTES // whole.itemsize
        parts: list[bytes] = []
        for at in range(0, len(whole), step):
            context = zl.CCtx()  # single use: a second compress through one context fails
            context.ref_compressor(compressor)
            frame = context.compress([zl.Input(zl.Type.Numeric, whole[at : at + step])])
            parts += [struct.pack("<I", len(frame)), frame]
        return b"".join(parts)

    def decode(self, src: bytes) -> bytes:
        parts: list[bytes] = []
        at = 0
        while at < len(src):
            (size,) = struct.unpack_from("<I", src, at)
            (output,) = zl.DCtx().decompress(src[at + 4 : at + 4 + size])
            parts.append(output.content.as_bytes())
            at += 4 + size
        return b"".join(parts)


def codecs(dtype: str) -> list[Codec]:
    return [OpenZL(dtype, "huffman"), OpenZL(dtype, "fse")] if dtype in SPLITS else []
