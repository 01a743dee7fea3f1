"""A folder with what is left of a container, or of every container of another folder."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from pennyweight.errors import CorruptError
from pennyweight.pipeline.files import Reader
from pennyweight.pipeline.folder import carry, originals
from pennyweight.pipeline.progress import Progress
from pennyweight.pipeline.report import Problem, SalvagedFile
from pennyweight.pipeline.salvage import salvage_file
from pennyweight.pipeline.targets import SUFFIX
from pennyweight.pipeline.tree import AtomicFolder, Place, walk


class Salvaged(NamedTuple):
    """What was found, and the containers of which nothing was."""

    files: list[SalvagedFile]
    problems: list[Problem]


def salvage_alone(src: Path, dst: Path, *, threads: int, force: bool, progress: Progress | None) -> Salvaged:
    """One container. Raises what `salvage_file` does; then there is no new folder."""
    with AtomicFolder(dst, source=src, force=force) as out, Reader(src) as file:
        name = src.name.removesuffix(SUFFIX) or src.name
        done = salvage_file(file, out.path, name, threads=threads, progress=progress)
        out.commit()
    return Salvaged([done], [])


def salvage_folder(src: Path, dst: Path, *, threads: int, force: bool, progress: Progress | None) -> Salvaged:
    """Every container of a folder. One of which nothing is left is a problem; what is no container is copied."""
    found = Salvaged([], [])
    with Place(src) as place, AtomicFolder(dst, source=src, force=force) as out:
        tree = walk(src)
        targets = originals(src, tree.files)
        out.make(tree.folders)
        for name in tree.files:
            target = out.path / targets[name]
            with Reader(src / name) as file:
                if not name.endswith(SUFFIX):
                    carry(file, target, progress)
                    continue
                try:
                    found.files.append(
                        salvage_file(file, target.parent, target.name, threads=threads, progress=progress)
                    )
                except CorruptError as error:
                    lost = Problem(file=file.name, tensor=None, reason=error.reason, offset=error.offset, n_bytes=None)
                    found.problems.append(lost)
        place.check_unmoved()
        out.commit()
    return found
