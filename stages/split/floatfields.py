"""`floatfields`: sign, exponent and mantissa apart, the exponent as small symbols; see floatfields.md."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from pennyweight import native
from pennyweight.errors import CorruptError, UsageError
from pennyweight.stages.protocol import Encoded, Side, Stream, StreamSpec, check_parts
from pennyweight.stages.wire import read_varint, varint
from pennyweight.types import DType, Fidelity

PLAN_BITS = (4, 5, 16, 17)
KEYS = 16
SIGNED_KEYS = 17
WINDOW_BITS = {4: 4, 5: 4, 6: 5}  # log2 of the exponents in a window, by what a symbol is
_MAX_WEIGHTS, _MAX_KEYS = 2**21, 2**22  # exclusive: a patch has 21 bits for a position, keys have no patches
NO_LOW: Stream = np.empty(0, np.uint8)


class FloatFormat(enum.Enum):
    """(id on the wire, bytes of a weight, exponent bits, mantissa bits, low bytes)."""

    BF16 = (1, 2, 8, 7, 0)
    F16 = (2, 2, 5, 10, 1)
    F32 = (3, 4, 8, 23, 2)
    F64 = (4, 8, 11, 52, 6)
    F8_E4M3 = (5, 1, 4, 3, 0)
    F8_E5M2 = (6, 1, 5, 2, 0)

    def __init__(self, id: int, width: int, exponent_bits: int, mantissa_bits: int, low_bytes: int) -> None:
        self.id = id
        self.width = width
        self.exponent_bits = exponent_bits
        self.mantissa_bits = mantissa_bits
        self.low_bytes = low_bytes

    def key_bits(self, symbols: int) -> int:
        """Mantissa bits of a key."""
        return 2 if symbols == SIGNED_KEYS else min(3, self.mantissa_bits)

    def low(self, symbols: int) -> int:
        """Low bytes of a weight: the whole mantissa of F16 fits beside a key."""
        return 0 if symbols in (KEYS, SIGNED_KEYS) and self is FloatFormat.F16 else self.low_bytes

    def has(self, symbols: int) -> bool:
        """Whether there are such symbols of it: beside a signed key of F8_E5M2 nothing would be left."""
        return symbols in (*WINDOW_BITS, KEYS) or (symbols == SIGNED_KEYS and self is not FloatFormat.F8_E5M2)


FORMATS = {f.id: f for f in FloatFormat}
OF_DTYPE = {
    DType.BF16: FloatFormat.BF16,
    DType.F16: FloatFormat.F16,
    DType.F32: FloatFormat.F32,
    DType.F64: FloatFormat.F64,
    DType.C64: FloatFormat.F32,  # a pair of them
    DType.F8_E4M3: FloatFormat.F8_E4M3,
    DType.F8_E5M2: FloatFormat.F8_E5M2,
    DType.F8_E4M3FNUZ: FloatFormat.F8_E4M3,  # other values, the same fields
    DType.F8_E5M2FNUZ: FloatFormat.F8_E5M2,
}


def max_weights(symbols: int) -> int:
    """Exclusive, of a block."""
    return _MAX_KEYS if symbols in (KEYS, SIGNED_KEYS) else _MAX_WEIGHTS


@dataclass(frozen=True)
class FloatFields:
    """format follows from the dtype; bits is one of PLAN_BITS, in the plan. With 5, a block may take 6 instead."""

    id: ClassVar[int] = 3
    name: ClassVar[str] = "floatfields"
    since: ClassVar[tuple[int, int]] = (1, 0)
    fidelity: ClassVar[Fidelity] = Fidelity.LOSSLESS

    format: FloatFormat
    bits: int

    @property
    def outputs(self) -> Mapping[str, StreamSpec]:
        k = self.format.low(self.bits)
        keys = StreamSpec(width=2, mantissa_bits=self.format.key_bits(self.bits), signed=self.bits == SIGNED_KEYS)
        exponent = keys if self.bits in (KEYS, SIGNED_KEYS) else StreamSpec(symbol_bits=self.bits)
        low = {"low": StreamSpec(width=k)} if k else {}
        return {"exponent": exponent, "sign_mantissa": StreamSpec()} | low | {"patches": StreamSpec(width=4)}

    @classmethod
    def bind(cls, spec: StreamSpec, params: Mapping[str, int]) -> Self:
        if params.keys() != {"bits"} or params["bits"] not in PLAN_BITS:
            raise UsageError(f"{cls.name} takes one parameter, bits: 4, 5, 16 or 17")
        if spec.dtype not in OF_DTYPE:
            raise UsageError(f"{cls.name} needs a tensor of {', '.join(dtype.label for dtype in OF_DTYPE)}")
        if not OF_DTYPE[spec.dtype].has(params["bits"]):
            raise UsageError(f"{cls.name} has no signed keys of {spec.dtype.label}")
        return cls(OF_DTYPE[spec.dtype], params["bits"])

    def accepts(self, n_bytes: int) -> bool:
        """Whether a stream of that size can be split at all."""
        return n_bytes % self.format.width == 0 and 0 < n_bytes < max_weights(self.bits) * self.format.width

    def encode(self, src: Stream) -> Encoded | None:
        if not self.accepts(src.size):
            return None
        split = native.floatfields_split(src, self.format.id, self.bits)
        if split is None:
            return None
        symbols, base, exponent, sign_mantissa, low, patches = split
        header = bytes((self.format.id, symbols)) + varint(base) + varint(patches.size // 4)
        with_low = (low,) if self.format.low(self.bits) else ()
        parts = (exponent, sign_mantissa, *with_low, patches)
        return Encoded(header, parts)

    @classmethod
    def from_header(cls, header: bytes, n_bytes: int, side: Side = ()) -> FloatFieldsDecoder:
        if len(header) < 2 or header[0] not in FORMATS or not FORMATS[header[0]].has(header[1]):
            raise CorruptError("floatfields: unknown format or symbols")
        layout, symbols = FORMATS[header[0]], header[1]
        base, at = read_varint(header, 2)
        n_patches, at = read_varint(header, at)
        n, rest = divmod(n_bytes, layout.width)
        if at != len(header) or rest or n >= max_weights(symbols):
            raise CorruptError(f"floatfields: the header does not fit {n_bytes} bytes")
        keys = symbols in (KEYS, SIGNED_KEYS)
        if keys:
            outside = base or n_patches
        else:
            outside = base + (1 << WINDOW_BITS[symbols]) > 1 << layout.exponent_bits or n_patches > n
        if outside:
            raise CorruptError(f"floatfields: base {base} or {n_patches} patches out of range")
        k = layout.low(symbols)
        low = (n * k,) if k else ()
        return FloatFieldsDecoder(layout, symbols, base, (2 * n if keys else n, n, *low, 4 * n_patches))


@dataclass(frozen=True)
class FloatFieldsDecoder:
    format: FloatFormat
    symbols: int
    base: int
    sizes: tuple[int, ...]

    def decode(self, parts: tuple[Stream, ...], out: Stream) -> None:
        check_parts(self, parts)
        exponent, sign_mantissa, *low, patches = parts
        if not native.floatfields_merge(
            self.format.id, self.symbols, self.base, exponent, sign_mantissa, low[0] if low else NO_LOW, patches, out
        ):
            raise CorruptError("floatfields: a symbol, a sign_mantissa or a patch is out of range")
