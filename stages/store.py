"""`store`: the stream as it is. The leaf of every branch of a plan; see store.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from pennyweight.errors import CorruptError
from pennyweight.stages.protocol import Encoded, Side, Stream, StreamSpec, check_parts, no_params
from pennyweight.types import Fidelity


@dataclass(frozen=True)
class Store:
    """Its one part is no node but the body of its own node, so it has no outputs to plan."""

    id: ClassVar[int] = 0
    name: ClassVar[str] = "store"
    since: ClassVar[tuple[int, int]] = (1, 0)
    fidelity: ClassVar[Fidelity] = Fidelity.LOSSLESS

    @property
    def outputs(self) -> Mapping[str, StreamSpec]:
        return {}

    @classmethod
    def bind(cls, spec: StreamSpec, params: Mapping[str, int]) -> Self:
        no_params(cls.name, params)
        return cls()

    def encode(self, src: Stream) -> Encoded:
        return Encoded(b"", (src,))

    @classmethod
    def from_header(cls, header: bytes, n_bytes: int, side: Side = ()) -> StoreDecoder:
        if header:
            raise CorruptError("store: the header must be empty")
        return StoreDecoder((n_bytes,))


@dataclass(frozen=True)
class StoreDecoder:
    sizes: tuple[int, ...]

    def decode(self, parts: tuple[Stream, ...], out: Stream) -> None:
        check_parts(self, parts)
        out[:] = parts[0]
