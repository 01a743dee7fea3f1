"""The face: compress, restore, verify, salvage, inspect, open. The only door for users; the command line uses it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from pennyweight.errors import UsageError
from pennyweight.pipeline.against_manifest import verify_with_manifest
from pennyweight.pipeline.checkpoint import Checkpoint
from pennyweight.pipeline.compress import compress_file
from pennyweight.pipeline.files import PathLike, Reader, label
from pennyweight.pipeline.folder import compress_folder, restore_folder
from pennyweight.pipeline.inspect import inspect_file
from pennyweight.pipeline.manifest import Manifest, read_manifest
from pennyweight.pipeline.manifest_of import manifest_of
from pennyweight.pipeline.policy import load_preset
from pennyweight.pipeline.progress import Progress
from pennyweight.pipeline.report import (
    CompressReport,
    Converted,
    InspectReport,
    RestoreReport,
    SalvageReport,
    VerifiedFile,
    VerifyReport,
    ratio,
    total_of,
)
from pennyweight.pipeline.restore import restore_file
from pennyweight.pipeline.salvage_folder import salvage_alone, salvage_folder
from pennyweight.pipeline.subset import Slice
from pennyweight.pipeline.targets import Source, folder_of, target_of, with_suffix, without_suffix
from pennyweight.pipeline.tree import Place
from pennyweight.pipeline.verify import Level, verify_file
from pennyweight.pipeline.verify_folder import containers, verify_folder
from pennyweight.pipeline.window import thread_count


def compress(
    src: Source,
    dst: Source | None = None,
    *,
    preset: PathLike = "default",
    threads: int | None = None,
    force: bool = False,
    sha256: bool = True,
    progress: Progress | None = None,
) -> CompressReport:
    """Make a container of a file, or a folder of containers of a folder. Lossless: `restore` gives back every byte.

    Args:
        src: path of a file or folder, or a seekable binary file object, which is read whole. Never changed.
        dst: path, or a binary file object, which is written in order; by default `src` with `.pwt` added.
        preset: name, or path of a .toml file.
        threads: by default as many as this process may use cores. The container is the same for any number.
        force: replace `dst` if it exists.
        sha256: hash the whole original, for `verify` on the level "full".
        progress: called, by this thread, with the number of original bytes done since the last call.

    Raises:
        UsageError: no such preset, or `dst` is missing where it has no default.
        InputError: something cannot be read or written, or is in the way. Then nothing is left at `dst`.
    """
    begun, n_threads, chosen = time.perf_counter(), thread_count(threads), load_preset(preset)
    folder = folder_of(src)
    target = target_of(src, dst, with_suffix)
    if folder:
        assert isinstance(target, Path)
        result = compress_folder(
            folder, target, chosen, threads=n_threads, force=force, sha256=sha256, progress=progress
        )
        total = total_of(result.containers, result.n_carried, result.carried_bytes)
    else:
        with Reader(src) as file:
            total = total_of(
                [compress_file(file, target, chosen, threads=n_threads, force=force, sha256=sha256, progress=progress)]
            )
    return CompressReport(
        path=label(src),
        output=label(target),
        **total._asdict(),
        seconds=time.perf_counter() - begun,
        threads=n_threads,
        preset=chosen.name,
    )


def restore(
    src: Source,
    dst: Source | None = None,
    *,
    threads: int | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> RestoreReport:
    """Give back the original file or folder, after checking every digest on the way.

    Args:
        src: path of a container or of a folder that `compress` made, or a seekable binary file object.
        dst: path, or a binary file object, whose contents count only if this returns; by default `src` without `.pwt`.
        threads, force, progress: as in `compress`.

    Raises:
        UsageError: `dst` is missing and `src` does not end in `.pwt`.
        CorruptError: the container is damaged; names the tensor. Then nothing is left at `dst`.
        VersionError: the container needs a newer version of this package.
        InputError: something cannot be read or written, or is in the way. Then nothing is left at `dst`.
    """
    begun, n_threads = time.perf_counter(), thread_count(threads)
    folder = folder_of(src)
    target = target_of(src, dst, without_suffix)
    if folder:
        assert isinstance(target, Path)
        result = restore_folder(folder, target, threads=n_threads, force=force, progress=progress)
        total = total_of(result.containers, result.n_carried, result.carried_bytes)
    else:
        with Reader(src) as file:
            total = total_of([restore_file(file, target, threads=n_threads, force=force, progress=progress)])
    return RestoreReport(
        path=label(src),
        output=label(target),
        **total._asdict(),
        seconds=time.perf_counter() - begun,
        threads=n_threads,
    )


def verify(
    src: Source,
    *,
    against: Source | None = None,
    manifest: PathLike | None = None,
    level: Level = "default",
    subset: str | None = None,
    require_lossless: bool = False,
    threads: int | None = None,
    progress: Progress | None = None,
) -> VerifyReport:
    """Check a container, or every container of a folder. Damage is reported, not raised: look at `ok` and `problems`.

    Args:
        against: the original file or folder, compared byte by byte, names and missing files too. It may be a container
            itself, or a folder that holds some: then both are decoded, and what is wrong with the other is a problem.
        manifest: of `manifest`: each of its files is there, as it was or as a container, with the same SHA-256 and
            tensors, and no other. `src` may be a folder of originals, then, or an original.
        level: "fast" checks the digests of stored frames; "default" decodes and checks every tensor; "full" also the
            SHA-256 of the original file.
        subset: "2/7" is the second of seven slices, which together are everything, each about a seventh of the work;
            "10%" one of ten by chance: the report says which. Whole tensors are in it or not. The SHA-256 and the bytes
            between the tensors cannot be checked so.
        require_lossless: a lossy container is a problem.

    Raises:
        UsageError: an unknown level or subset, `against` on the level "fast", which decodes nothing to compare, a
            subset with another level than "default", or two of `against`, `manifest` and `subset`.
        VersionError: a container needs a newer version of this package.
        InputError: a file cannot be read, a folder holds no container, or the manifest is none.
    """
    begun, n_threads = time.perf_counter(), thread_count(threads)
    if level not in ("fast", "default", "full"):
        raise UsageError(f"no level {level!r}: there are fast, default and full")
    if level == "fast" and against is not None:
        raise UsageError("level 'fast' decodes nothing, so there is nothing to compare with the original")
    part = None if subset is None else Slice.parse(subset)
    if part and (level != "default" or against is not None or manifest is not None):
        raise UsageError("a subset is checked on the level 'default', and not compared with anything")
    if against is not None and manifest is not None:
        raise UsageError("compared is either with an original or with a manifest")
    folder, other = folder_of(src), None if against is None else folder_of(against)
    if against is not None and bool(folder) != bool(other):
        raise UsageError("a file can only be verified against a file, and a folder against a folder")
    n_carried = carried_bytes = 0
    plain: Sequence[VerifiedFile] = ()
    if manifest is not None:
        model = verify_with_manifest(
            src,
            read_manifest(manifest),
            level=level,
            require_lossless=require_lossless,
            threads=n_threads,
            progress=progress,
        )
        found, plain, problems = model
        n_carried, carried_bytes = len(plain), sum(file.stored_bytes for file in plain)
    elif folder:
        with Place(folder) as place:
            tree = verify_folder(
                folder,
                level=level,
                original=other,
                subset=part,
                require_lossless=require_lossless,
                threads=n_threads,
                progress=progress,
            )
            place.check_unmoved()
        found, problems, n_carried, carried_bytes = tree.containers, tree.problems, tree.n_carried, tree.carried_bytes
    else:
        with ExitStack() as stack:
            file = stack.enter_context(Reader(src))
            original = None if against is None else stack.enter_context(Reader(against))
            one = verify_file(
                file,
                level=level,
                original=original,
                subset=part,
                require_lossless=require_lossless,
                threads=n_threads,
                progress=progress,
            )
        found, problems = [one], one.problems
    total = total_of([Converted(one.index, one.stored_bytes) for one in found if one.index], n_carried, carried_bytes)
    unread = [one for one in found if one.index is None]
    stored = total.stored_bytes + sum(one.stored_bytes for one in unread)
    files = (*(one.report() for one in found), *plain)
    checked = [tensor for file in files for tensor in file.tensors if tensor.ok is not None]
    return VerifyReport(
        path=label(src),
        ok=not problems,
        level=level,
        against=None if against is None else label(against),
        fidelity=total.fidelity,
        n_files=total.n_files + len(unread),
        n_tensors=sum(len(file.tensors) for file in files),
        n_bytes=total.n_bytes,
        stored_bytes=stored,
        ratio=ratio(stored, total.n_bytes),
        seconds=time.perf_counter() - begun,
        threads=n_threads,
        problems=tuple(problems),
        files=files,
        subset=None if part is None else str(part),
        n_checked_tensors=len(checked),
        checked_bytes=sum(tensor.n_bytes for tensor in checked),
        manifest=None if manifest is None else label(manifest),
    )


def salvage(
    src: PathLike,
    dst: PathLike,
    *,
    threads: int | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> SalvageReport:
    """Write what is left of a damaged container, or of those of a folder, into the new folder `dst`.

    Where everything is intact, that is the original; else NAME.salvaged.safetensors, the tensors that are, and
    NAME.salvage.json, a list of all with what is lost and why. Works also where the index, or the end of the file, is
    lost: docs/salvage.md. Look at `ok`.

    Args:
        progress: called, by this thread, with the bytes decoded since the last call: to see what is intact, and to
            write that.

    Raises:
        CorruptError: nothing is left that says what the container held. Then nothing is left at `dst`.
        VersionError, InputError: as in `restore`.
    """
    begun, n_threads = time.perf_counter(), thread_count(threads)
    source, target = Path(src), Path(dst)
    run = salvage_folder if folder_of(src) else salvage_alone
    files, problems = run(source, target, threads=n_threads, force=force, progress=progress)
    return SalvageReport(
        path=label(src),
        output=label(target),
        ok=not problems and all(file.whole for file in files),
        n_bytes=sum(file.n_bytes for file in files),
        saved_bytes=sum(file.saved_bytes for file in files),
        n_tensors=sum(file.n_tensors for file in files),
        n_saved=sum(file.n_saved for file in files),
        seconds=time.perf_counter() - begun,
        threads=n_threads,
        files=tuple(files),
        problems=tuple(problems),
    )


def manifest(
    src: PathLike,
    *,
    leave_out: Sequence[PathLike] = (),
    threads: int | None = None,
    progress: Progress | None = None,
) -> Manifest:
    """What the files and tensors of a container, a checkpoint, or a folder are: a document to be signed.

    Everything is decoded and checked. `to_json` is the same for the same model, whenever and wherever it is made.

    Args:
        leave_out: files of the folder that are no part of the model, such as an older manifest. `.git` never is.

    Raises:
        CorruptError, VersionError, InputError: as in `restore`.
    """
    return manifest_of(Path(src), but=list(map(Path, leave_out)), threads=thread_count(threads), progress=progress)


def inspect(src: Source, *, plans: bool = False, gains: bool = False) -> InspectReport:
    """What a container, or each container of a folder, says of itself: nothing is decoded unless gains are asked for.

    Args:
        plans: count, for every tensor, which nests of stages its frames are; for that every frame is read.
        gains: say what scales and predictors gained of every tensor; for that the frames that have them are decoded.

    Raises:
        CorruptError, VersionError, InputError: as in `restore`.
    """
    folder = folder_of(src)
    files = []
    for path in containers(folder) if folder else [src]:
        with Reader(path) as file:
            files.append(inspect_file(file, plans=plans, gains=gains))
    n_bytes, stored = sum(info.n_bytes for info in files), sum(info.stored_bytes for info in files)
    return InspectReport(
        path=label(src),
        n_files=len(files),
        n_tensors=sum(len(info.tensors) for info in files),
        n_bytes=n_bytes,
        stored_bytes=stored,
        ratio=ratio(stored, n_bytes),
        fidelity="lossy" if any(info.fidelity == "lossy" for info in files) else "lossless",
        files=tuple(files),
    )


def open(src: Source, *, threads: int | None = None) -> Checkpoint:
    """The tensors of one container, by name, decoded when they are asked for. Close it, or use it in a `with`.

    Raises:
        CorruptError, VersionError, InputError: as in `restore`.
    """
    n_threads = thread_count(threads)
    file = Reader(src)
    try:
        return Checkpoint(file, threads=n_threads)
    except BaseException:
        file.close()
        raise
