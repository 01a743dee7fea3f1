"""npz: a zip of npy files. Stored ones are tensors, under their names; deflated ones are gaps."""

from __future__ import annotations

from typing import Final

from pennyweight.pipeline.files import Reader
from pennyweight.pipeline.sources.glimpse import Glimpse
from pennyweight.pipeline.sources.npy import array_in
from pennyweight.pipeline.sources.segments import SourceMap, cover
from pennyweight.pipeline.sources.zip_members import stored_members

_SUFFIX: Final = ".npy"


def read(file: Reader) -> SourceMap | None:
    """None if it is no zip, or holds no stored array."""
    members = stored_members(file) or {}
    arrays = {name.removesuffix(_SUFFIX): extent for name, extent in members.items() if name.endswith(_SUFFIX)}
    glimpse = Glimpse(file)
    found = [array_in(glimpse, *extent, name) for name, extent in arrays.items()]
    tensors = [each for each in found if each]
    return cover("npz", file.size, tensors) if tensors else None
