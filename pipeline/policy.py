"""Presets: which plans are tried on which dtype. Data in configs/*.toml, or in a file of the user's."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pennyweight.errors import UsageError
from pennyweight.pipeline.plan import Plan, parse
from pennyweight.types import DType

GAP = "gap"
OTHERS = "*"
CELLS = "cells"

Plans: TypeAlias = Mapping[DType | None, tuple[Plan, ...]]
"""Plans to try, in order, for each dtype and for gaps (None). The first that makes a block smaller wins, or `store`."""


class Preset(BaseModel):
    """A preset as its file says it.

    `cells` stands for every dtype of cells that has no row, and `*` for every other; `gap` for bytes of no tensor.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", defer_build=True)

    name: Annotated[str, Field(min_length=1, max_length=64)]
    description: str
    block_bytes: Annotated[int, Field(ge=1024, le=2097152, multiple_of=256)]
    plans: dict[str, list[str]]

    def resolve(self) -> Plans:
        """Every dtype and None, each with its parsed plans. UsageError: unknown dtype, or a plan that does not fit."""
        unknown = self.plans.keys() - {dtype.label for dtype in DType} - {GAP, CELLS, OTHERS}
        if unknown:
            raise UsageError(f"no dtype {min(unknown)!r}")
        return {dtype: tuple(parse(text, dtype) for text in self._texts(dtype)) for dtype in (*DType, None)}

    def _texts(self, dtype: DType | None) -> list[str]:
        if dtype is None:
            return self.plans.get(GAP, [])
        if dtype.weights > 1 and CELLS in self.plans:
            return self.plans.get(dtype.label, self.plans[CELLS])
        return self.plans.get(dtype.label, self.plans.get(OTHERS, []))


def plan_texts(plans: Plans, used: Iterable[DType | None]) -> dict[str, list[str]]:
    """The `plans` of a container's index: those of the dtypes it holds (None: gaps), as text, in a stable order."""
    present = set(used)
    rows = {GAP if dtype is None else dtype.label: plans[dtype] for dtype in (*DType, None) if dtype in present}
    return {label: [str(plan) for plan in row] for label, row in rows.items()}


def load_preset(name_or_path: str | os.PathLike[str]) -> Preset:
    """A preset of this package by name, or a .toml file. UsageError with the file and the reason."""
    path = Path(name_or_path)
    if path.suffix == ".toml":
        try:
            return _read(path.read_bytes(), str(path))
        except OSError as error:
            raise UsageError(f"preset {path}: {error.strerror or error}") from None
    shipped = resources.files("pennyweight.configs")
    names = sorted(entry.name.removesuffix(".toml") for entry in shipped.iterdir() if entry.name.endswith(".toml"))
    if name_or_path not in names:
        raise UsageError(f"no preset {os.fspath(name_or_path)!r}: there are {', '.join(names)}, or give a .toml file")
    return _read(shipped.joinpath(f"{name_or_path}.toml").read_bytes(), f"{name_or_path}.toml")


def _read(data: bytes, where: str) -> Preset:
    try:
        preset = Preset.model_validate(tomllib.loads(data.decode()))
        preset.resolve()  # so that a plan that cannot work is said at once, not when the first such tensor comes
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"preset {where}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError, UsageError) as error:
        raise UsageError(f"preset {where}: {error}") from None
    return preset
