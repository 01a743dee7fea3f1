"""The index: what the frames are. docs/format.md 1.3 and 1.6 as models, 1.3 as bytes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal, NamedTuple, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, FailFast, Field, StringConstraints, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from pennyweight.errors import CorruptError, InputError
from pennyweight.pipeline.container import limits
from pennyweight.types import DType

Size = Annotated[int, Field(ge=0, le=limits.MAX_INT)]
Xxh128 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}\z")]
Xxh64 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}\z")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}\z")]

_STRICT: Final = ConfigDict(strict=True, extra="forbid")
_COLUMNS: Final = ("<u4", "<u8", "<u4")
ENTRY_BYTES: Final = 4 + 8 + 4
"""Of a frame in the index, at most: if every batch held one."""


@dataclass(frozen=True, slots=True, config=_STRICT)
class DescribedTensor:
    """A range of the original file that is a tensor, as far as that is known before its bytes were read."""

    name: str
    dtype: str
    shape: Annotated[tuple[Size, ...], Field(max_length=limits.MAX_RANK), FailFast()]
    n_bytes: Size


@dataclass(frozen=True, slots=True, config=_STRICT)
class TensorRecord(DescribedTensor):
    """And its digest."""

    xxh3_128: Xxh128

    @property
    def described(self) -> DescribedTensor:
        """The same without it."""
        return DescribedTensor(self.name, self.dtype, self.shape, self.n_bytes)


@dataclass(frozen=True, slots=True, config=_STRICT)
class GapRecord:
    """A range of the original file that is no tensor."""

    n_bytes: Annotated[int, Field(gt=0, le=limits.MAX_INT)]


Described = DescribedTensor | GapRecord
Record = TensorRecord | GapRecord


class Description(BaseModel):
    """The JSON of the description. Constructing one checks every rule that does not need the frames."""

    model_config = _STRICT | ConfigDict(frozen=True)

    n_bytes: Size
    block_bytes: Annotated[
        int, Field(ge=limits.MIN_BLOCK_BYTES, le=limits.MAX_BLOCK_BYTES, multiple_of=limits.BLOCK_MULTIPLE)
    ]
    side: Annotated[
        tuple[Annotated[int, Field(ge=1, le=limits.MAX_SIDE_BYTES)], ...],
        Field(max_length=limits.MAX_SIDE_FRAMES),
        FailFast(),
    ]
    segments: Annotated[
        tuple[Annotated[Described, Field(union_mode="left_to_right")], ...],
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
            if isinstance(segment, DescribedTensor):
                _check_tensor(segment)
                if segment.name in names:
                    raise ValueError(f"tensor name {segment.name!r} appears twice")
                names.add(segment.name)
        if total != self.n_bytes:
            raise ValueError(f"segments add up to {total} bytes, not {self.n_bytes}")
        return self

    @property
    def cut(self) -> tuple[list[int], int, list[int]]:
        """What decides the blocks: bytes of each segment, of a block, and of the cells of each segment."""
        cells = [DType[one.dtype].cell_bytes if isinstance(one, DescribedTensor) else 1 for one in self.segments]
        return [segment.n_bytes for segment in self.segments], self.block_bytes, cells


class Index(Description):
    """The JSON of the index: the description, and what is known only at the end."""

    segments: Annotated[
        tuple[Annotated[Record, Field(union_mode="left_to_right")], ...],
        Field(max_length=limits.MAX_SEGMENTS),
        FailFast(),
    ]
    encoder: str
    preset: str
    plans: dict[str, Annotated[tuple[str, ...], FailFast()]]
    fidelity: Literal["lossless", "lossy"]
    source: str
    sha256: Sha256 | None
    gaps_xxh3_128: Xxh128
    description_bytes: Annotated[int, Field(ge=0, le=limits.MAX_JSON_BYTES)]
    description_xxh3_64: Xxh64


def _check_tensor(tensor: DescribedTensor) -> None:
    dtype = DType.__members__.get(tensor.dtype)
    if dtype is None:
        raise ValueError(f"unknown dtype {tensor.dtype!r}")
    # 4 bytes per character is the longest UTF-8, so most names need not be encoded to know
    if len(tensor.name) * 4 > limits.MAX_NAME_BYTES and len(tensor.name.encode()) > limits.MAX_NAME_BYTES:
        raise ValueError("a tensor name is longer than 4,096 bytes")
    if dtype.n_bytes(tensor.shape) != tensor.n_bytes:
        raise ValueError(f"tensor {tensor.name!r}: {tensor.n_bytes} bytes do not fit its shape and dtype")


class FrameTable(NamedTuple):
    """Stored bytes (n,) u4 and XXH3-64 (n,) u8 of every frame, and frames (m,) u4 of every batch, in order."""

    lengths: NDArray[np.uint32]
    digests: NDArray[np.uint64]
    batches: NDArray[np.uint32]

    def pack(self) -> bytes:
        """As in the index."""
        columns: tuple[tuple[NDArray[Any], str], ...] = tuple(zip(self, _COLUMNS, strict=True))
        return b"".join(column.astype(kind, copy=False).tobytes() for column, kind in columns)

    @classmethod
    def unpack(cls, data: memoryview, n: int) -> Self:
        """The inverse: a view of `data`, of n frames. Raises CorruptError."""
        left = len(data) - (4 + 8) * n
        if left < 0 or left % 4 or left > 4 * n:
            raise CorruptError(f"index: its tables do not fit {n} frames")
        made = cls(*(np.frombuffer(part, kind) for part, kind in zip(_split(data, n), _COLUMNS, strict=True)))
        if int(made.batches.sum(dtype=np.int64)) != n or np.any((made.batches - 1) >= limits.MAX_BATCH_FRAMES):
            raise CorruptError(f"index: its batches do not hold the {n} frames")
        return made


def _split(data: memoryview, n: int) -> tuple[memoryview, memoryview, memoryview]:
    return data[: 4 * n], data[4 * n : 12 * n], data[12 * n :]


def pack_index(index: Index, frames: FrameTable) -> bytes:
    """The raw index, before compression. InputError if its JSON is more than a reader takes."""
    text = index.model_dump_json().encode()
    if len(text) > limits.MAX_JSON_BYTES:
        raise InputError(f"an index with {len(text)} bytes of JSON is more than readers take: {limits.MAX_JSON_BYTES}")
    return b"".join((len(text).to_bytes(8, "little"), text, frames.pack()))


def unpack_index(raw: bytes) -> tuple[Index, memoryview]:
    """The JSON, and the bytes of the frame table: how many frames there are the JSON decides. Raises CorruptError."""
    n_text = int.from_bytes(raw[:8], "little")
    if len(raw) < 8 or n_text > len(raw) - 8 or n_text > limits.MAX_JSON_BYTES:
        raise CorruptError("index: its parts do not fit its size")
    return parse(Index, raw[8 : 8 + n_text], "index"), memoryview(raw)[8 + n_text :]


Model = TypeVar("Model", bound=BaseModel)


def parse(model: type[Model], text: bytes, part: str) -> Model:
    """The JSON of that part of the container. Raises CorruptError."""
    try:
        # pydantic takes the last of equal keys without a word, so the standard parser looks for them first
        json.loads(text.decode(), object_pairs_hook=_refuse_duplicates)
        return model.model_validate_json(text)
    except ValidationError as error:
        raise CorruptError(f"{part}: {_first(error)}") from None
    except (ValueError, RecursionError) as error:
        raise CorruptError(f"{part}: not its JSON ({error})") from None


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
