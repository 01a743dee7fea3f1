"""The index: what the frames are. docs/format.md 1.3 as models and as bytes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, FailFast, Field, StringConstraints, ValidationError, model_validator

from pennyweight.errors import CorruptError
from pennyweight.pipeline.container import limits
from pennyweight.types import DType

Size = Annotated[int, Field(ge=0, le=limits.MAX_INT)]
Xxh128 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}\z")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}\z")]

_STRICT: Final = ConfigDict(strict=True, extra="forbid", frozen=True)
ENTRY_BYTES: Final = 4 + 8


class TensorRecord(BaseModel):
    """A range of the original file that is a tensor."""

    model_config = _STRICT

    name: str
    dtype: str
    shape: Annotated[tuple[Size, ...], Field(max_length=limits.MAX_RANK), FailFast()]
    n_bytes: Size
    xxh3_128: Xxh128


class GapRecord(BaseModel):
    """A range of the original file that is no tensor."""

    model_config = _STRICT

    n_bytes: Annotated[int, Field(gt=0, le=limits.MAX_INT)]


Record = TensorRecord | GapRecord


class Index(BaseModel):
    """The JSON of the index. Constructing one checks every rule that does not need the frames."""

    model_config = _STRICT

    encoder: str
    preset: str
    plans: dict[str, Annotated[tuple[str, ...], FailFast()]]
    fidelity: Literal["lossless", "lossy"]
    source: str
    n_bytes: Size
    sha256: Sha256 | None
    gaps_xxh3_128: Xxh128
    block_bytes: Annotated[
        int, Field(ge=limits.MIN_BLOCK_BYTES, le=limits.MAX_BLOCK_BYTES, multiple_of=limits.BLOCK_MULTIPLE)
    ]
    side: Annotated[
        tuple[Annotated[int, Field(ge=1, le=limits.MAX_SIDE_BYTES)], ...],
        Field(max_length=limits.MAX_SIDE_FRAMES),
        FailFast(),
    ]
    segments: Annotated[
        tuple[Annotated[Record, Field(union_mode="left_to_right")], ...],
        Field(max_length=limits.MAX_SEGMENTS),
        FailFast(),
    ]

    @model_validator(mode="after")
    def _numbers_agree(self) -> Self:
        if sum(self.side) > limits.MAX_ALL_SIDE_BYTES:
            raise ValueError(f"side frames of {sum(self.side)} bytes in all")
        names: set[str] = set()
        total = 0
        for segment in self.segments:
            total += segment.n_bytes
            if isinstance(segment, TensorRecord):
                _check_tensor(segment)
                if segment.name in names:
                    raise ValueError(f"tensor name {segment.name!r} appears twice")
                names.add(segment.name)
        if total != self.n_bytes:
            raise ValueError(f"segments add up to {total} bytes, not {self.n_bytes}")
        return self


def _check_tensor(tensor: TensorRecord) -> None:
    dtype = DType.__members__.get(tensor.dtype)
    if dtype is None:
        raise ValueError(f"unknown dtype {tensor.dtype!r}")
    # 4 bytes per character is the longest UTF-8, so most names need not be encoded to know
    if len(tensor.name) * 4 > limits.MAX_NAME_BYTES and len(tensor.name.encode()) > limits.MAX_NAME_BYTES:
        raise ValueError("a tensor name is longer than 4,096 bytes")
    if dtype.n_bytes(tensor.shape) != tensor.n_bytes:
        raise ValueError(f"tensor {tensor.name!r}: {tensor.n_bytes} bytes do not fit its shape and dtype")


class FrameTable(NamedTuple):
    """Stored bytes (n,) u4 and XXH3-64 (n,) u8 of every frame, in order."""

    lengths: NDArray[np.uint32]
    digests: NDArray[np.uint64]


def pack_index(index: Index, frames: FrameTable) -> bytes:
    """The raw index, before compression."""
    text = index.model_dump_json().encode()
    lengths, digests = frames.lengths.astype("<u4", copy=False), frames.digests.astype("<u8", copy=False)
    return b"".join((len(text).to_bytes(8, "little"), text, lengths.tobytes(), digests.tobytes()))


def unpack_index(raw: bytes) -> tuple[Index, FrameTable]:
    """The inverse of `pack_index`; the frame table is a view of `raw`. Raises CorruptError."""
    n_text = int.from_bytes(raw[:8], "little")
    table = len(raw) - 8 - n_text
    if len(raw) < 8 or table < 0 or table % ENTRY_BYTES:
        raise CorruptError("index: its parts do not fit its size")
    index = _parse(raw[8 : 8 + n_text])
    n = table // ENTRY_BYTES
    lengths = np.frombuffer(raw, dtype="<u4", count=n, offset=8 + n_text)
    digests = np.frombuffer(raw, dtype="<u8", count=n, offset=8 + n_text + 4 * n)
    return index, FrameTable(lengths, digests)


def _parse(text: bytes) -> Index:
    try:
        # pydantic takes the last of equal keys without a word, so the standard parser looks for them first
        json.loads(text.decode(), object_pairs_hook=_refuse_duplicates)
        return Index.model_validate_json(text)
    except ValidationError as error:
        raise CorruptError(f"index: {_first(error)}") from None
    except (ValueError, RecursionError) as error:
        raise CorruptError(f"index: not the JSON of an index ({error})") from None


def _refuse_duplicates(pairs: Iterable[tuple[str, Any]]) -> None:
    keys = [key for key, _ in pairs]
    if len(keys) > limits.MAX_KEYS:  # pydantic would make an error of each that it does not know
        raise ValueError(f"an object has more than {limits.MAX_KEYS} keys")
    if len(set(keys)) != len(keys):
        raise ValueError("an object has the same key twice")


def _first(error: ValidationError) -> str:
    """One line for the first thing wrong."""
    detail = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in detail["loc"])
    return f"{where}: {detail['msg']}" if where else detail["msg"].removeprefix("Value error, ")
