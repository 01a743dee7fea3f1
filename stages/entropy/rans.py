"""`rans`: a stream of symbols or bytes, near its order-0 entropy; see rans.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from pennyweight import native
from pennyweight.errors import CorruptError
from pennyweight.stages.protocol import Encoded, Side, Stream, StreamSpec, check_parts, no_params
from pennyweight.stages.wire import read_varint, varint
from pennyweight.types import Fidelity

ALPHABET_BITS = (4, 5, 8)
STATES_BYTES = 32 * 4


@dataclass(frozen=True)
class Rans:
    """bits: log2 of the alphabet, 4, 5 or 8. Every byte it encodes must be below 2 ** bits, as its parent says."""

    id: ClassVar[int] = 4
    name: ClassVar[str] = "rans"
    since: ClassVar[tuple[int, int]] = (1, 0)
    fidelity: ClassVar[Fidelity] = Fidelity.LOSSLESS

    bits: int = 8

    @property
    def outputs(self) -> Mapping[str, StreamSpec]:
        return {"": StreamSpec()}

    @classmethod
    def bind(cls, spec: StreamSpec, params: Mapping[str, int]) -> Self:
        no_params(cls.name, params)
        return cls(next(bits for bits in ALPHABET_BITS if bits >= (spec.symbol_bits or 8)))

    def encode(self, src: Stream) -> Encoded | None:
        coded = native.rans_encode(src, self.bits) if src.size else None
        if coded is None:
            return None
        frequencies, payload = coded
        n_words = (payload.size - STATES_BYTES) // 2
        return Encoded(bytes((self.bits,)) + varint(n_words) + frequencies, (payload,))

    def price(self, src: Stream) -> int | None:
        """Bytes that header and part would take, within a few dozen; None where encode gives None. Much cheaper."""
        return native.rans_price(src, self.bits) if src.size else None

    @classmethod
    def from_header(cls, header: bytes, n_bytes: int, side: Side = ()) -> RansDecoder:
        if not header or header[0] not in ALPHABET_BITS:
            raise CorruptError("rans: the alphabet must have 16, 32 or 256 symbols")
        n_words, at = read_varint(header, 1)
        if n_words > n_bytes:
            raise CorruptError(f"rans: {n_words} words are more than {n_bytes} symbols")
        return RansDecoder(header[0], header[at:], (STATES_BYTES + 2 * n_words,))


@dataclass(frozen=True)
class RansDecoder:
    bits: int
    frequencies: bytes
    sizes: tuple[int, ...]

    def decode(self, parts: tuple[Stream, ...], out: Stream) -> None:
        check_parts(self, parts)
        if not native.rans_decode(self.frequencies, parts[0], self.bits, out):
            raise CorruptError("rans: the frequencies, states or words do not decode")
