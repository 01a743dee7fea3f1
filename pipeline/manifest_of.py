"""Makes the manifest of a model. Everything is decoded and checked: who signs it should not sign what is not so."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np

from pennyweight.errors import InputError
from pennyweight.pipeline.container import layout
from pennyweight.pipeline.container.reader import ContainerReader
from pennyweight.pipeline.decode import Damage, decode_checked
from pennyweight.pipeline.digests import SegmentDigests
from pennyweight.pipeline.files import Reader, label, naming
from pennyweight.pipeline.hashing import Hashing, pieces, sha256_of
from pennyweight.pipeline.manifest import ContainerEntry, FileEntry, Manifest, TensorEntry, is_name_of_file, tensors_of
from pennyweight.pipeline.progress import Progress
from pennyweight.pipeline.sources import TensorRange, find_source
from pennyweight.pipeline.targets import SUFFIX
from pennyweight.pipeline.tree import walk
from pennyweight.pipeline.window import Stream


def manifest_of(src: Path, *, but: Sequence[Path], threads: int, progress: Progress | None) -> Manifest:
    """Of a container, a checkpoint, or everything in a folder `but` those files (and a `.git`).

    Raises:
        CorruptError, VersionError: of a container, as for `restore`.
        InputError: something cannot be read, a name is not UTF-8, or `x` is not what `x.pwt` holds.
    """
    if not src.is_dir():
        name = src.resolve().name if src.name in ("", "..") else src.name
        return Manifest(files=(_entry(src, name, None, threads, progress),))
    files: dict[str, FileEntry] = {}
    for name in names_in(src, but):
        made = _entry(src / name, name, name.endswith(SUFFIX), threads, progress)
        held = files.setdefault(made.name, made)
        if (held.n_bytes, held.sha256) != (made.n_bytes, made.sha256):
            raise InputError(f"{src / made.name}: is not what is in the {SUFFIX} beside it")
        if made.container:
            files[made.name] = made
    return Manifest(files=tuple(files[name] for name in sorted(files)))


def names_in(src: Path, but: Sequence[Path]) -> list[str]:
    """The files of a folder that belong to the model, by their relative names."""
    own = {path.absolute() for path in but}
    return [name for name in walk(src).files if Path(name).parts[0] != ".git" and (src / name).absolute() not in own]


def signature_of(manifest: Path) -> Path:
    """Where its signature lies."""
    return manifest.with_name(manifest.name + ".sig")


def is_container(file: Reader) -> bool:
    """By its name or its first bytes, whatever is wrong with the others."""
    return file.name.endswith(SUFFIX) or file.pread(0, min(file.size, len(layout.MAGIC))) == layout.MAGIC


def _entry(path: Path, name: str, packed: bool | None, threads: int, progress: Progress | None) -> FileEntry:
    with Reader(path) as file:
        if packed or (packed is None and is_container(file)):
            return _of_container(file, _posix(name.removesuffix(SUFFIX), path), threads, progress)
        return _of_plain(file, _posix(name, path), progress)


def _of_container(file: Reader, name: str, threads: int, progress: Progress | None) -> FileEntry:
    with naming(file.name):
        container = ContainerReader(file)
        original = Hashing()
        decode_checked(container, threads=threads, sha256=False, found=_stop, sink=original, progress=progress)
        if container.index.sha256 not in (None, original.hexdigest()):
            _stop(Damage("the rebuilt file does not match its SHA-256"))
    return FileEntry(
        name=name,
        n_bytes=container.index.n_bytes,
        sha256=original.hexdigest(),
        container=ContainerEntry(n_bytes=file.size, sha256=sha256_of(file)),
        tensors=tensors_of(container.index),
    )


def _of_plain(file: Reader, name: str, progress: Progress | None) -> FileEntry:
    segments = find_source(file).segments
    starts = list(accumulate((segment.n_bytes for segment in segments), initial=0))
    digests = SegmentDigests([(segment.n_bytes, isinstance(segment, TensorRange)) for segment in segments])
    whole = hashlib.sha256()
    tensors: list[TensorEntry] = []

    def take(piece: Stream) -> None:
        for i, digest in digests.update(piece):
            tensor = segments[i]
            assert isinstance(tensor, TensorRange)
            tensors.append(
                TensorEntry(
                    name=tensor.name,
                    dtype=tensor.dtype.label,
                    shape=tensor.shape,
                    offset=starts[i],
                    n_bytes=tensor.n_bytes,
                    xxh3_128=digest,
                )
            )

    for piece in pieces(file):
        whole.update(piece.data)
        take(piece)
        if progress:
            progress(len(piece))
    take(np.empty(0, dtype=np.uint8))
    return FileEntry(name=name, n_bytes=file.size, sha256=whole.hexdigest(), container=None, tensors=tuple(tensors))


def _posix(name: str, path: Path) -> str:
    posix = Path(name).as_posix()
    if not is_name_of_file(posix):
        raise InputError(f"{label(path)}: no manifest can name it: not UTF-8, or no name of a file elsewhere")
    return posix


def _stop(damage: Damage) -> None:
    raise damage.error()
