"""Every container of a folder, and one folder against another. Nothing is written, so files may share an original."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import NamedTuple

from pennyweight.pipeline.against import DIFFERS, first_difference
from pennyweight.pipeline.files import Reader, label
from pennyweight.pipeline.progress import Progress
from pennyweight.pipeline.report import Problem
from pennyweight.pipeline.subset import Slice
from pennyweight.pipeline.targets import SUFFIX, is_name, original_name, with_containers
from pennyweight.pipeline.tree import Tree, walk
from pennyweight.pipeline.verify import Level, Verified, verify_file


class FolderVerified(NamedTuple):
    """What was found in the containers of a folder, and between the trees."""

    containers: list[Verified]
    n_carried: int
    carried_bytes: int
    problems: list[Problem]


class _Other(NamedTuple):
    """A file of the other folder, and whether it is a container of what is to be compared."""

    path: Path
    packed: bool


def verify_folder(
    src: Path,
    *,
    level: Level,
    original: Path | None,
    subset: Slice | None,
    require_lossless: bool,
    threads: int,
    progress: Progress | None,
) -> FolderVerified:
    """Verify every container below `src`. With `original`, compare both trees: names, folders and every byte.

    Either may hold containers and originals. A file is compared with every file of its original name in the other
    folder; these are two where `x` and `x.pwt` lie beside each other there.
    """
    tree = walk(src)
    targets = {name: original_name(src, name) for name in with_containers(src, tree.files)}
    theirs = walk(original) if original else Tree([], [])
    others = _by_original(original, theirs.files, set(tree.files)) if original else {}
    found: list[Verified] = []
    problems: list[Problem] = []
    carried: list[int] = []
    for name in tree.files:
        with ExitStack() as stack:
            file = stack.enter_context(Reader(src / name))
            twins = [(stack.enter_context(Reader(other.path)), other.packed) for other in others.get(targets[name], ())]
            if original and not twins:
                problems.append(_problem(src / name, "has no file of its name in the original folder"))
            if name.endswith(SUFFIX):
                check = partial(verify_file, file, level=level, require_lossless=require_lossless, threads=threads)
                twin, packed = twins[0] if twins else (None, False)
                found.append(check(original=twin, packed=packed, subset=subset, progress=progress))
                problems += found[-1].problems
                for twin, packed in twins[1:]:
                    problems += check(original=twin, packed=packed).problems
                continue
            carried.append(file.size)
            for twin, packed in twins:
                if packed:
                    problems += verify_file(twin, level=level, original=file, packed=False, threads=threads).problems
                elif (at := first_difference(file, twin)) is not None:
                    problems.append(_problem(src / name, DIFFERS, at))
            if progress:
                progress(file.size)
    if original:
        named = set(targets.values())
        only = [other.path for target, same in others.items() if target not in named for other in same]
        only += [original / name for name in set(theirs.folders) - set(tree.folders)]
        problems += [_problem(path, "is in the original folder only") for path in sorted(only)]
        missing = sorted(set(tree.folders) - set(theirs.folders))
        problems += [_problem(src / name, "has no folder of its name in the original folder") for name in missing]
    return FolderVerified(found, len(carried), sum(carried), list(dict.fromkeys(problems)))


def containers(src: Path) -> Iterator[Path]:
    """The containers below a folder. InputError if there are none."""
    return (src / name for name in with_containers(src, walk(src).files) if name.endswith(SUFFIX))


def _by_original(root: Path, theirs: list[str], ours: set[str]) -> dict[str, list[_Other]]:
    """Their files by the name that each is compared under."""
    there = set(theirs)
    others: dict[str, list[_Other]] = defaultdict(list)
    for name in theirs:
        # A file that is called .pwt is an original where only ours wraps it once more
        wrapped = name + SUFFIX in ours and name + SUFFIX not in there
        original = name.removesuffix(SUFFIX)
        packed = name.endswith(SUFFIX) and not wrapped and is_name(original)
        others[original if packed else name].append(_Other(root / name, packed))
    return others


def _problem(path: Path, reason: str, offset: int | None = None) -> Problem:
    return Problem(file=label(path), tensor=None, reason=reason, offset=offset, n_bytes=None)
