"""`piecewise`: a stream of symbols whose statistics change along the way; see piecewise.md."""

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
MAX_PIECES = 1024
GROUP = 128
STATES_BYTES = 32 * 4


@dataclass(frozen=True)
class Piecewise:
    """bits: log2 of the alphabet, 4, 5 or 8. Every byte it encodes must be below 2 ** bits, as its parent says."""

    id: ClassVar[int] = 14
    name: ClassVar[str] = "piecewise"
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
        coded = native.piecewise_encode(src, self.bits) if src.size else None
        if coded is None:
            return None
        groups, frequencies, payload = coded
        n_words = (payload.size - STATES_BYTES) // 2
        fields = (n_words, len(groups), *groups[:-1])
        return Encoded(bytes((self.bits,)) + b"".join(map(varint, fields)) + frequencies, (payload,))

    @classmethod
    def from_header(cls, header: bytes, n_bytes: int, side: Side = ()) -> PiecewiseDecoder:
        if not header or header[0] not in ALPHABET_BITS:
            raise CorruptError("piecewise: the alphabet must have 16, 32 or 256 symbols")
        n_words, at = read_varint(header, 1)
        n_pieces, at = read_varint(header, at)
        if n_words > n_bytes or not 1 <= n_pieces <= MAX_PIECES:
            raise CorruptError(f"piecewise: {n_words} words or {n_pieces} pieces of {n_bytes} symbols")
        left, groups = -(-n_bytes // GROUP), list[int]()
        for _ in range(n_pieces - 1):
            n_groups, at = read_varint(header, at)
            groups.append(n_groups)
            left -= n_groups
        if left < 1 or 0 in groups:
            raise CorruptError("piecewise: an empty piece, or pieces that leave nothing for the last")
        return PiecewiseDecoder(header[0], (*groups, left), header[at:], (STATES_BYTES + 2 * n_words,))


@dataclass(frozen=True)
class PiecewiseDecoder:
    bits: int
    groups: tuple[int, ...]
    frequencies: bytes
    sizes: tuple[int, ...]

    def decode(self, parts: tuple[Stream, ...], out: Stream) -> None:
        check_parts(self, parts)
        if not native.piecewise_decode(self.groups, self.frequencies, parts[0], self.bits, out):
            raise CorruptError("piecewise: the frequencies, states or words do not decode")
