"""Files of a folder that are equal: one container, which has the name of each (a hard link).

A container does not hold its file's name, so equal files would get equal containers; the second is not even written. On
a file system without hard links it is.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from pennyweight.pipeline import filesystem
from pennyweight.pipeline.against import first_difference
from pennyweight.pipeline.files import Reader
from pennyweight.pipeline.progress import Progress
from pennyweight.pipeline.report import Converted
from pennyweight.pipeline.targets import SUFFIX
from pennyweight.pipeline.verify import verify_file


class Twins:
    """The files that have a container so far."""

    def __init__(self, src: Path, dst: Path) -> None:
        self._src, self._dst = src, dst
        self._of_size: dict[int, list[tuple[str, Converted]]] = defaultdict(list)

    def add(self, name: str, done: Converted) -> None:
        """A file that got a container of its own."""
        self._of_size[done.index.n_bytes].append((name, done))

    def link(self, name: str, file: Reader, *, threads: int, progress: Progress | None) -> Converted | None:
        """Give it the container of an earlier file, if that decodes to this one's bytes. It takes no bytes then."""
        for earlier, done in self._of_size[file.size]:
            container = self._dst / (earlier + SUFFIX)
            if not self._are_equal(file, earlier, container, threads):
                continue
            file.check_unchanged()
            try:
                filesystem.system.link(container, self._dst / (name + SUFFIX))
            except OSError:
                return None
            if progress:
                progress(file.size)
            return replace(done, stored_bytes=0)
        return None

    def _are_equal(self, file: Reader, earlier: str, container: Path, threads: int) -> bool:
        # Shards are of one size and differ in their first bytes: most are not decoded
        with Reader(self._src / earlier) as other:
            if first_difference(file, other) is not None:
                return False
        with Reader(container) as made:
            found = verify_file(made, level="default", original=file, packed=False, threads=threads)
        return not found.problems


def counted_once(done: Converted, container: Path, counted: set[tuple[int, int]]) -> Converted:
    """The same, of no bytes if the container is among those counted; it is put there."""
    found = container.stat()
    key = found.st_dev, found.st_ino
    if key in counted:
        return replace(done, stored_bytes=0)
    counted.add(key)
    return done
