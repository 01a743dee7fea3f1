"""Texts that a user writes or is given: plans, presets, manifests, the name of a slice."""

from __future__ import annotations

import io
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import samples

import pennyweight
from pennyweight.api import manifest as manifest_of
from pennyweight.errors import PennyweightError, UsageError
from pennyweight.pipeline.container.reader import ContainerReader
from pennyweight.pipeline.files import Reader
from pennyweight.pipeline.frame import encode_frame, read_frame
from pennyweight.pipeline.manifest import SCHEMA, read_manifest
from pennyweight.pipeline.plan import parse
from pennyweight.pipeline.policy import load_preset
from pennyweight.pipeline.subset import MAX_SLICES, Slice
from pennyweight.types import DType

_DTYPES = [None, *DType]
_MAX_TREE = 1000
"""Characters of a plan as it is written out, above which it is not tried on a block."""


@cache
def _written(suffix: str) -> Path:
    """A file to write texts to, as their readers take paths."""
    return Path(tempfile.mkdtemp(prefix="pennyweight-fuzz-")) / f"text{suffix}"


def check_plan(data: bytes) -> None:
    """A byte, which dtype, and a plan: it is written as it is read, and a block comes back that it encoded."""
    dtype = _DTYPES[data[0] % len(_DTYPES)] if data else None
    try:
        plan = parse(data[1:].decode(errors="replace"), dtype)
    except UsageError:
        return
    assert parse(str(plan), dtype) == plan
    if len(str(plan)) > _MAX_TREE:
        return
    n = 4 * (dtype.cell_bytes if dtype else 1) * 64
    for block in (np.frombuffer(samples.bf16(n), np.uint8)[:n], np.zeros(n, np.uint8)):
        out = np.empty(n, np.uint8)
        read_frame(encode_frame([plan], block), n).decode(out)
        assert np.array_equal(out, block)


def plans() -> list[bytes]:
    """Of all shipped presets, each with the first dtype that has it."""
    texts: dict[str, int] = {}
    for name in ("fast", "default", "high", "archive"):
        for dtype, row in load_preset(name).resolve().items():
            for plan in row:
                texts.setdefault(str(plan), _DTYPES.index(dtype))
    return [bytes((number,)) + text.encode() for text, number in texts.items()]


def check_preset(data: bytes) -> None:
    path = _written(".toml")
    path.write_bytes(data)
    try:
        preset = load_preset(path)
    except UsageError:
        return
    assert set(preset.resolve()) == {*DType, None}


def presets() -> list[bytes]:
    shipped = Path(pennyweight.__file__).parent / "configs"
    if not shipped.is_dir():
        shipped = Path(__file__).parents[2] / "configs"
    return [samples.SMALL_BLOCKS.encode(), *(path.read_bytes() for path in sorted(shipped.glob("*.toml")))]


def check_manifest(data: bytes) -> None:
    """It is written as it was read."""
    path = _written(".json")
    path.write_bytes(data)
    try:
        manifest = read_manifest(path).manifest
    except PennyweightError:
        return
    path.write_text(manifest.to_json())
    assert read_manifest(path).manifest == manifest


def manifests() -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.safetensors")
        path.write_bytes(samples.small())
        plain = manifest_of(path)
        pennyweight.compress(path)
        packed = manifest_of(Path(f"{path}.pwt"))
    return [plain.to_json().encode(), packed.to_json().encode(), f'{{"schema": "{SCHEMA}", "files": []}}'.encode()]


@cache
def _container() -> ContainerReader:
    return ContainerReader(Reader(io.BytesIO(samples.packed(samples.small(), preset="fast"))))


def check_subset(data: bytes) -> None:
    """A slice is named as it was read; all of them together are everything, once."""
    try:
        part = Slice.parse(data.decode(errors="replace"))
    except UsageError:
        return
    assert Slice.parse(str(part)) == part
    assert 1 <= part.number <= part.of <= MAX_SLICES
    if part.of <= 16:
        taken = [Slice(number, part.of).of_blocks(_container()) for number in range(1, part.of + 1)]
        assert (np.sum(taken, axis=0) == 1).all()


def subsets() -> list[bytes]:
    return [b"2/7", b"1/10000", b"10%", b"0.01%", b"100%", b"33.3333%"]
