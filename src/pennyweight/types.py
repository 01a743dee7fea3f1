"""Words shared by every layer: dtypes and fidelity. Imports nothing of ours."""

from __future__ import annotations

import enum


class Fidelity(enum.Enum):
    """What a stage, plan or container promises of decode(encode(x))."""

    LOSSLESS = "lossless"  # equal to x bit for bit: NaN payloads, -0.0, padding
    LOSSY = "lossy"  # within a stated bound, and idempotent


class DType(enum.Enum):
    """Element types of safetensors, under the names of its format: (name, bits, NumPy type of the same bits)."""

    BOOL = ("BOOL", 8, "?")
    F4 = ("F4", 4, None)
    F6_E2M3 = ("F6_E2M3", 6, None)
    F6_E3M2 = ("F6_E3M2", 6, None)
    U8 = ("U8", 8, "u1")
    I8 = ("I8", 8, "i1")
    F8_E5M2 = ("F8_E5M2", 8, "u1")
    F8_E4M3 = ("F8_E4M3", 8, "u1")
    F8_E8M0 = ("F8_E8M0", 8, "u1")
    F8_E4M3FNUZ = ("F8_E4M3FNUZ", 8, "u1")
    F8_E5M2FNUZ = ("F8_E5M2FNUZ", 8, "u1")
    I16 = ("I16", 16, "<i2")
    U16 = ("U16", 16, "<u2")
    F16 = ("F16", 16, "<f2")
    BF16 = ("BF16", 16, "<u2")
    I32 = ("I32", 32, "<i4")
    U32 = ("U32", 32, "<u4")
    F32 = ("F32", 32, "<f4")
    C64 = ("C64", 64, "<c8")
    F64 = ("F64", 64, "<f8")
    I64 = ("I64", 64, "<i8")
    U64 = ("U64", 64, "<u8")

    _value_: tuple[str, int, str | None]

    @property
    def label(self) -> str:
        return self._value_[0]

    @property
    def bits(self) -> int:
        """Bits of one element."""
        return self._value_[1]

    @property
    def numpy(self) -> str | None:
        """NumPy dtype of the same width; raw unsigned integers where NumPy has no such type; None below 8 bits."""
        return self._value_[2]

    @classmethod
    def named(cls, label: str) -> DType:
        """The dtype of that name; KeyError if there is none."""
        return cls[label]

    def n_bytes(self, shape: tuple[int, ...]) -> int | None:
        """Bytes of a tensor of that shape, or None if its bits do not fill whole bytes."""
        bits = self.bits
        for dim in shape:
            bits *= dim
        return None if bits % 8 else bits // 8
