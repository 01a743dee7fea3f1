"""`huffman`: a canonical prefix code over bytes, in four streams; see huffman.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from pennyweight import native
from pennyweight.errors import CorruptError
from pennyweight.stages.protocol import Encoded, Side, Stream, StreamSpec, check_parts, no_params
from pennyweight.stages.wire import read_varint, varint
from pennyweight.types import Fidelity

MAX_CODE_BITS = 11
N_STREAMS = 4


@dataclass(frozen=True)
class Huffman:
    id: ClassVar[int] = 5
    name: ClassVar[str] = "huffman"
    since: ClassVar[tuple[int, int]] = (1, 0)
    fidelity: ClassVar[Fidelity] = Fidelity.LOSSLESS

    @property
    def outputs(self) -> Mapping[str, StreamSpec]:
        return {"": StreamSpec()}

    @classmethod
    def bind(cls, spec: StreamSpec, params: Mapping[str, int]) -> Self:
        no_params(cls.name, params)
        return cls()

    def encode(self, src: Stream) -> Encoded | None:
        coded = native.huffman_encode(src) if src.size else None
        if coded is None:
            return None
        lengths, sizes, payload = coded
        return Encoded(_pack(lengths.rstrip(b"\0")) + b"".join(map(varint, sizes)), (payload,))

    @classmethod
    def from_header(cls, header: bytes, n_bytes: int, side: Side = ()) -> HuffmanDecoder:
        lengths, at = _unpack(header)
        sizes = []
        for _ in range(N_STREAMS):
            size, at = read_varint(header, at)
            sizes.append(size)
        if at != len(header):
            raise CorruptError("huffman: the header is too long")
        quarter = -(-n_bytes // N_STREAMS)
        for j, size in enumerate(sizes):
            count = max(0, min(n_bytes, (j + 1) * quarter) - j * quarter)
            if size > (MAX_CODE_BITS * count + 7) // 8:
                raise CorruptError(f"huffman: {size} bytes are more than {count} codes can fill")
        return HuffmanDecoder(lengths, (sizes[0], sizes[1], sizes[2], sizes[3]))


def _pack(lengths: bytes) -> bytes:
    """Highest byte value with a code, then two lengths to a byte, the lower value in the low half."""
    even, odd = lengths[::2], lengths[1::2].ljust((len(lengths) + 1) // 2, b"\0")
    return bytes((len(lengths) - 1,)) + bytes(low | high << 4 for low, high in zip(even, odd, strict=True))


def _unpack(header: bytes) -> tuple[bytes, int]:
    """256 checked code lengths, and the position after them."""
    count = header[0] + 1 if header else 0
    at = 1 + (count + 1) // 2
    lengths = bytes(half for pair in header[1:at] for half in (pair & 15, pair >> 4))
    if not header or len(header) < at or any(lengths[count:]) or not lengths[count - 1]:
        raise CorruptError("huffman: the code lengths are cut or do not end where they say")
    used = [length for length in lengths if length]
    if max(used) > MAX_CODE_BITS or sum(1 << MAX_CODE_BITS - length for length in used) != 1 << MAX_CODE_BITS:
        raise CorruptError("huffman: the code lengths are no complete prefix code")
    return lengths[:count].ljust(256, b"\0"), at


@dataclass(frozen=True)
class HuffmanDecoder:
    lengths: bytes
    stream_bytes: tuple[int, int, int, int]

    @property
    def sizes(self) -> tuple[int, ...]:
        return (sum(self.stream_bytes),)

    def decode(self, parts: tuple[Stream, ...], out: Stream) -> None:
        check_parts(self, parts)
        if not native.huffman_decode(self.lengths, self.stream_bytes, parts[0], out):
            raise CorruptError("huffman: a stream does not end with its last code")
