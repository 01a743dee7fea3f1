"""Runs `salvage` on bytes, and takes apart what it wrote."""

from __future__ import annotations

import io
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import samples

from pennyweight.pipeline.files import Reader
from pennyweight.pipeline.report import SalvagedFile
from pennyweight.pipeline.salvage import salvage_file

MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None


@dataclass(frozen=True)
class Salvaged:
    """What was found of a container. `original` is None unless it is whole; `tensors` are those of the other file."""

    file: SalvagedFile
    original: bytes | None
    tensors: dict[str, bytes]

    @property
    def lost(self) -> set[str]:
        return {tensor.name for tensor in self.file.tensors if not tensor.saved}


def salvage(container: bytes, threads: int = 1) -> Salvaged:
    """Raises what `salvage_file` does; then, nothing was written."""
    return salvage_from(Reader(io.BytesIO(container)), threads)


def salvage_from(file: Reader, threads: int = 1) -> Salvaged:
    with tempfile.TemporaryDirectory(dir=MEMORY) as made:
        folder = Path(made)
        try:
            found = salvage_file(file, folder, "x", threads=threads)
        except BaseException:
            assert not [*folder.iterdir()]
            raise
        written = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert written.keys() == {found.output, found.listed} - {None}
    assert found.listed is None or written[found.listed] == found.to_json().encode() + b"\n"
    if found.whole:
        return Salvaged(found, written["x"], {})
    return Salvaged(found, None, samples.safetensors_raws(written[found.output]) if found.output else {})
