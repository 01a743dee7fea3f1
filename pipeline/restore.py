"""One container back into its file."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from pennyweight.pipeline.container.reader import ContainerReader
from pennyweight.pipeline.decode import Damage, decode_checked
from pennyweight.pipeline.files import Reader, naming
from pennyweight.pipeline.output import check_space, check_target, sink
from pennyweight.pipeline.progress import Progress
from pennyweight.pipeline.report import Converted


def restore_file(
    src: Reader, dst: Path | BinaryIO, *, threads: int, force: bool = False, progress: Progress | None = None
) -> Converted:
    """Write the original file, and commit it only if every digest that the container holds is right.

    A binary file object gets each task when its frames are right, which is before the digest of its tensor is known:
    what was written to it counts only if this returns.

    Raises:
        CorruptError: the container breaks a rule of the format, or a digest does not match; it names tensor and place.
        VersionError: the container needs a newer version.
        InputError: the source cannot be read; the target exists (without `force`), has no room or cannot be written.
    """
    with naming(src.name):
        container = ContainerReader(src)
        index = container.index
        if isinstance(dst, Path):
            check_target(dst, force=force)
            check_space(dst, index.n_bytes)
        with sink(dst, force=force) as out:
            decode_checked(
                container,
                threads=threads,
                sha256=index.sha256 is not None,
                found=_stop,
                sink=out,
                progress=progress,
            )
            out.commit()
    return Converted(index, src.size)


def _stop(damage: Damage) -> None:
    raise damage.error()
