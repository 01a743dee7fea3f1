"""The manifest of a model: what its files and tensors are, as one JSON document that can be signed. docs/ci.md

XXH3-128 of the tensors is for accidents: it says where they are. Against adversaries the SHA-256 of the files counts,
and only if the manifest is signed or comes from a place that is trusted. A SHA-256 of every tensor was weighed: it
would hash everything a second time (0.6 s for a GB) and prove nothing that the file's does not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path, PureWindowsPath
from typing import Annotated, Any, Final, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, FailFast, Field, ValidationError, model_validator

from pennyweight.errors import InputError, VersionError
from pennyweight.pipeline.container import limits
from pennyweight.pipeline.container.index import Index, Sha256, Size, TensorRecord, Xxh128
from pennyweight.pipeline.files import PathLike, Reader
from pennyweight.types import DType

SCHEMA: Final = "pennyweight.manifest/1"
OTHER_SHA256: Final = "the original has another SHA-256 in the manifest"
MAX_MANIFEST_BYTES: Final = 64 << 20
"""As of the index of a container."""

_MAX_KEYS: Final = 16
_FIELDS: Final = {"dtype": "dtype", "shape": "shape", "offset": "place", "xxh3_128": "digest"}
_STRICT: Final = ConfigDict(strict=True, extra="forbid", frozen=True)


class TensorEntry(BaseModel):
    """A tensor, `n_bytes` from `offset` on in the original file."""

    model_config = _STRICT

    name: str
    dtype: str
    shape: Annotated[tuple[Size, ...], Field(max_length=limits.MAX_RANK), FailFast()]
    offset: Size
    n_bytes: Size
    xxh3_128: Xxh128


class ContainerEntry(BaseModel):
    """A container as it is stored."""

    model_config = _STRICT

    n_bytes: Size
    sha256: Sha256


class FileEntry(BaseModel):
    """An original file: its name in the folder, with `/`, or its own; and its container if it has one."""

    model_config = _STRICT

    name: str
    n_bytes: Size
    sha256: Sha256
    container: ContainerEntry | None
    tensors: Annotated[tuple[TensorEntry, ...], FailFast()]

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        if not is_name_of_file(self.name):
            raise ValueError(f"{self.name[:80]!r} is no name of a file in a folder")
        at = 0
        for tensor in self.tensors:
            dtype = DType.__members__.get(tensor.dtype)
            if dtype is None or dtype.n_bytes(tensor.shape) != tensor.n_bytes:
                raise ValueError(f"tensor {tensor.name!r}: its bytes do not fit its shape and dtype")
            if tensor.offset < at:
                raise ValueError(f"tensor {tensor.name!r}: out of order")
            at = tensor.offset + tensor.n_bytes
        if at > self.n_bytes:
            raise ValueError(f"{self.name!r}: its tensors reach beyond its end")
        if len({tensor.name for tensor in self.tensors}) != len(self.tensors):
            raise ValueError(f"{self.name!r}: a tensor's name appears twice")
        return self


class Manifest(BaseModel):
    """Every file, sorted by name."""

    model_config = ConfigDict(**_STRICT, populate_by_name=True)

    schema_id: Annotated[Literal["pennyweight.manifest/1"], Field(alias="schema")] = SCHEMA
    files: Annotated[tuple[FileEntry, ...], FailFast()]

    @model_validator(mode="after")
    def _is_sorted(self) -> Self:
        names = [file.name for file in self.files]
        if names != sorted(set(names)):
            raise ValueError("files are not sorted by name, each once")
        return self

    def to_json(self) -> str:
        """The document, a line for each file and tensor: the same for the same model, whenever and wherever."""
        files = []
        for file in self.files:
            head = json.dumps(file.model_dump(mode="json", exclude={"tensors"})).removesuffix("}")
            rows = ",".join("\n  " + json.dumps(tensor.model_dump(mode="json")) for tensor in file.tensors)
            files.append(f'\n {head}, "tensors": [{rows}]}}')
        return f'{{"schema": "{SCHEMA}", "files": [{",".join(files)}\n]}}\n'


class Held(NamedTuple):
    """A manifest and what it was read from."""

    manifest: Manifest
    path: Path


def read_manifest(path: PathLike) -> Held:
    """Parse a file that anybody may have made. InputError if it is no manifest, VersionError for a newer one."""
    with Reader(path) as file:
        if file.size > MAX_MANIFEST_BYTES:
            raise InputError(f"{file.name}: {file.size:,} bytes are too many for a manifest")
        text = file.pread(0, file.size)
        try:
            # pydantic takes the last of equal keys without a word, so the standard parser looks for them first
            found = json.loads(text.decode(), object_pairs_hook=_few_and_once)
            schema = found.get("schema") if isinstance(found, dict) else None
            if schema != SCHEMA:
                if isinstance(schema, str) and re.fullmatch(r"pennyweight\.manifest/[0-9]{1,9}", schema):
                    raise VersionError(f"{file.name}: is {schema}, this package reads {SCHEMA}")
                raise ValueError(f"its schema is not {SCHEMA}")
            return Held(Manifest.model_validate_json(text), Path(path))
        except ValidationError as error:
            detail = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, detail["loc"]))
            raise InputError(f"{file.name}: not a manifest: {where}: {detail['msg']}") from None
        except (ValueError, RecursionError) as error:
            raise InputError(f"{file.name}: not a manifest: {error}") from None


def is_name_of_file(name: str) -> bool:
    """Whether it is relative, leads nowhere else on any system, and can be written."""
    try:
        n_bytes = len(name.encode())
    except UnicodeEncodeError:
        return False
    odd = {"", ".", ".."} & set(name.split("/")) or {"\\", "\0"} & set(name) or PureWindowsPath(name).drive
    return not odd and n_bytes <= limits.MAX_NAME_BYTES


def tensors_of(index: Index) -> tuple[TensorEntry, ...]:
    """The tensors of a container."""
    entries, offset = [], 0
    for record in index.segments:
        if isinstance(record, TensorRecord):
            entries.append(TensorEntry(offset=offset, **asdict(record)))
        offset += record.n_bytes
    return tuple(entries)


def differences(index: Index, entry: FileEntry) -> Iterator[tuple[str | None, str]]:
    """What a container says of its original that the manifest does not: tensor and reason."""
    if index.n_bytes != entry.n_bytes:
        yield None, f"holds {index.n_bytes} bytes, and {entry.n_bytes} by the manifest"
    held, listed = ({tensor.name: tensor for tensor in tensors} for tensors in (tensors_of(index), entry.tensors))
    for name, tensor in held.items():
        if name not in listed:
            yield name, "is not in the manifest"
        elif tensor != listed[name]:
            what = next(field for field in _FIELDS if getattr(tensor, field) != getattr(listed[name], field))
            yield name, f"has another {_FIELDS[what]} in the manifest"
    for name in listed:
        if name not in held:
            yield name, "is in the manifest only"


def _few_and_once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    pairs = list(pairs)
    if len(pairs) > _MAX_KEYS:  # pydantic would make an error of each that it does not know
        raise ValueError("an object has more keys than any in a manifest")
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has the same key twice")
    return found
