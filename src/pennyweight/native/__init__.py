"""The one Python door to the compiled core; `_core.pyi` says what is behind it."""

from __future__ import annotations

from pennyweight.native._core import (
    bitpack_pack,
    bitpack_part_bytes,
    bitpack_unpack,
    byteplane_merge,
    byteplane_split,
    decode_blocks,
    encode_float_blocks,
    equal,
    floatfields_merge,
    floatfields_split,
    huffman_decode,
    huffman_encode,
    is_constant,
    palette_merge,
    palette_split,
    rans_decode,
    rans_encode,
    set_target,
    target,
    targets,
)

__all__ = [
    "bitpack_pack",
    "bitpack_part_bytes",
    "bitpack_unpack",
    "byteplane_merge",
    "byteplane_split",
    "decode_blocks",
    "encode_float_blocks",
    "equal",
    "floatfields_merge",
    "floatfields_split",
    "huffman_decode",
    "huffman_encode",
    "is_constant",
    "palette_merge",
    "palette_split",
    "rans_decode",
    "rans_encode",
    "set_target",
    "target",
    "targets",
]
