"""What a stage is, and the words that stages and plans share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple, Protocol, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pennyweight.errors import CorruptError, UsageError
from pennyweight.types import DType, Fidelity

Stream: TypeAlias = NDArray[np.uint8]
"""Bytes: one-dimensional, contiguous. A stage never writes to a stream it is given to encode."""

Side: TypeAlias = Sequence[Stream]
"""The decoded side frames of a file, by number: what many of its frames need (docs/format.md 1.5)."""


class StreamSpec(NamedTuple):
    """What is known of a stream before its bytes are seen, so that a plan need not write it."""

    width: int = 1
    """Bytes of one element."""
    dtype: DType | None = None
    """Set where the elements are those of a tensor."""
    symbol_bits: int | None = None
    """1 to 8. Set where each byte is a symbol below 2 ** symbol_bits."""
    mantissa_bits: int | None = None
    """Set where each u16 is a key: an exponent field followed by that many mantissa bits."""
    signed: bool = False
    """Whether a key has the sign as its bit 15."""

    @classmethod
    def of(cls, dtype: DType | None) -> StreamSpec:
        """The stream of a tensor's bytes, or of a gap's (None). Types below a byte and cells are taken as bytes."""
        if dtype is None or dtype.weights > 1:
            return cls(dtype=dtype)
        return cls(width=max(1, dtype.bits // 8), dtype=dtype)


class Encoded(NamedTuple):
    """header: all that decode needs besides the size; parts: one stream per output."""

    header: bytes
    parts: tuple[Stream, ...]


class Decoder(Protocol):
    """A header that was read and bounded."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """Bytes of each part. Derived from the node's own size, so that it is safe to allocate them."""
        ...

    def decode(self, parts: tuple[Stream, ...], out: Stream) -> None:
        """Fill out, which has the size given to from_header, or raise CorruptError and leave it undefined."""
        ...


class Stage(Protocol):
    """One reversible step with its parameters: a frozen dataclass, hashable, used by many threads at once."""

    id: ClassVar[int]
    """On the wire; stable forever, never reused."""
    name: ClassVar[str]
    """In plans and presets."""
    since: ClassVar[tuple[int, int]]
    """First format version that may hold it: a literal, never a constant that moves."""
    fidelity: ClassVar[Fidelity]

    @property
    def outputs(self) -> Mapping[str, StreamSpec]:
        """Its output streams in order: empty for a leaf, the one name "" where one stream becomes one."""
        ...

    @classmethod
    def bind(cls, spec: StreamSpec, params: Mapping[str, int]) -> Self:
        """The stage for such a stream with the parameters that a plan writes. UsageError where that makes no sense."""
        ...

    def encode(self, src: Stream) -> Encoded | None:
        """Take src apart, or None: not applicable to these bytes, or known not to pay."""
        ...

    @classmethod
    def from_header(cls, header: bytes, n_bytes: int, side: Side = ()) -> Decoder:
        """Read and bound the header of a node that decodes to n_bytes. CorruptError where it breaks its page.

        A number of a side frame that the header names must be below len(side), and its size must be what the page says.
        """
        ...


def check_parts(decoder: Decoder, parts: tuple[Stream, ...]) -> None:
    """CorruptError unless the parts have the sizes that the header says. Native code relies on it."""
    if tuple(part.size for part in parts) != decoder.sizes:
        raise CorruptError(f"parts of {[part.size for part in parts]} bytes where {list(decoder.sizes)} are due")


def no_params(stage: str, params: Mapping[str, int]) -> None:
    """UsageError if a plan writes parameters for a stage that has none."""
    if params:
        raise UsageError(f"{stage} takes no parameters")
