"""Words shared by every layer: dtypes and fidelity. Imports nothing of ours."""

from __future__ import annotations

import enum
from math import prod


class Fidelity(enum.Enum):
    """What a stage, plan or container promises of decode(encode(x))."""

    LOSSLESS = "lossless"  # equal to x bit for bit: NaN payloads, -0.0, padding
    LOSSY = "lossy"  # within a stated bound, and idempotent


class DType(enum.Enum):
    """Element types of safetensors and GGUF, under the names of their formats.

    (name, bits, NumPy type of the same bits, weights). The quantised types of GGUF store cells of several weights with
    scales of their own; the bits are those of a cell.
    """

    BOOL = ("BOOL", 8, "?", 1)
    F4 = ("F4", 4, None, 1)
    F6_E2M3 = ("F6_E2M3", 6, None, 1)
    F6_E3M2 = ("F6_E3M2", 6, None, 1)
    U8 = ("U8", 8, "u1", 1)
    I8 = ("I8", 8, "i1", 1)
    F8_E5M2 = ("F8_E5M2", 8, "u1", 1)
    F8_E4M3 = ("F8_E4M3", 8, "u1", 1)
    F8_E8M0 = ("F8_E8M0", 8, "u1", 1)
    F8_E4M3FNUZ = ("F8_E4M3FNUZ", 8, "u1", 1)
    F8_E5M2FNUZ = ("F8_E5M2FNUZ", 8, "u1", 1)
    I16 = ("I16", 16, "<i2", 1)
    U16 = ("U16", 16, "<u2", 1)
    F16 = ("F16", 16, "<f2", 1)
    BF16 = ("BF16", 16, "<u2", 1)
    I32 = ("I32", 32, "<i4", 1)
    U32 = ("U32", 32, "<u4", 1)
    F32 = ("F32", 32, "<f4", 1)
    C64 = ("C64", 64, "<c8", 1)
    F64 = ("F64", 64, "<f8", 1)
    I64 = ("I64", 64, "<i8", 1)
    U64 = ("U64", 64, "<u8", 1)
    Q4_0 = ("Q4_0", 144, None, 32)
    Q4_1 = ("Q4_1", 160, None, 32)
    Q5_0 = ("Q5_0", 176, None, 32)
    Q5_1 = ("Q5_1", 192, None, 32)
    Q8_0 = ("Q8_0", 272, None, 32)
    Q2_K = ("Q2_K", 672, None, 256)
    Q3_K = ("Q3_K", 880, None, 256)
    Q4_K = ("Q4_K", 1152, None, 256)
    Q5_K = ("Q5_K", 1408, None, 256)
    Q6_K = ("Q6_K", 1680, None, 256)
    IQ4_NL = ("IQ4_NL", 144, None, 32)
    IQ4_XS = ("IQ4_XS", 1088, None, 256)
    MXFP4 = ("MXFP4", 136, None, 32)
    TQ1_0 = ("TQ1_0", 432, None, 256)
    TQ2_0 = ("TQ2_0", 528, None, 256)

    _value_: tuple[str, int, str | None, int]

    @property
    def label(self) -> str:
        return self._value_[0]

    @property
    def bits(self) -> int:
        """Bits of one element, or of one cell."""
        return self._value_[1]

    @property
    def numpy(self) -> str | None:
        """NumPy dtype of the same width; raw unsigned integers where NumPy has no such type; None below 8 bits."""
        return self._value_[2]

    @property
    def weights(self) -> int:
        """Of a cell: 1 where elements stand on their own."""
        return self._value_[3]

    @property
    def cell_bytes(self) -> int:
        """Bytes that no block is to tear apart: 1 where elements stand on their own."""
        return self.bits // 8 if self.weights > 1 else 1

    @classmethod
    def named(cls, label: str) -> DType:
        """The dtype of that name; KeyError if there is none."""
        return cls[label]

    def n_bytes(self, shape: tuple[int, ...]) -> int | None:
        """Bytes of a tensor of that shape, or None if it does not fill whole cells and bytes."""
        _, bits, _, weights = self._value_
        n_bits = prod(shape) * bits
        return None if n_bits % (8 * weights) else n_bits // (8 * weights)
