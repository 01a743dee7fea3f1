"""Places and scales of rows and columns of a matrix, as entropy/scales.md has them, for the stages that need them."""

from __future__ import annotations

from dataclasses import dataclass

from pennyweight.errors import CorruptError
from pennyweight.stages.protocol import Side, Stream

MAX_POSITION = 2**48  # exclusive: of the key behind a block's last
MAX_BASE = 24_576  # exclusive: so that a level fits in 16 bits


@dataclass(frozen=True)
class Geometry:
    """What shares a scale, in keys: rows of d, row scales of s in it, column scales of g."""

    d: int
    s: int
    g: int

    @property
    def n_columns(self) -> int:
        return -(-self.d // self.g)


def side_frame(stage: str, side: Side, number: int) -> Stream:
    """A side frame that a stage's header names, or CorruptError."""
    if number >= len(side):
        raise CorruptError(f"{stage}: there is no side frame {number}")
    return side[number]


def side_part(stage: str, side: Side, number: int, at: int, n_bytes: int) -> Stream:
    """So many bytes of one from `at` on, or CorruptError."""
    part = side_frame(stage, side, number)[at : at + n_bytes]
    if part.size != n_bytes:
        raise CorruptError(f"{stage}: {n_bytes} scales do not fit their side frame")
    return part
