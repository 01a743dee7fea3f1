"""The bar on stderr: throughput and time left, for people only."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tqdm import tqdm

from pennyweight import api
from pennyweight.errors import PennyweightError


@contextmanager
def bar(total: Callable[[], int | None], *, silent: bool) -> Iterator[Callable[[int], None] | None]:
    """What to call with the bytes done since the last call, or None where nobody looks."""
    if silent or not sys.stderr.isatty():
        yield None
        return
    with tqdm(total=total(), unit="B", unit_scale=True, leave=False, file=sys.stderr, dynamic_ncols=True) as shown:

        def advance(n_bytes: int) -> None:
            shown.update(n_bytes)

        yield advance


def tree_bytes(path: Path) -> int | None:
    """Bytes of a file, or of all files in a folder. None where that is not known: the command will say why."""
    with suppress(OSError):
        return sum(p.stat().st_size for p in path.rglob("*") if p.is_file()) if path.is_dir() else path.stat().st_size
    return None


def original_bytes(src: str) -> int | None:
    """Bytes of what a container, or a folder of them, was made from. None where it cannot be opened."""
    with suppress(PennyweightError, OSError):
        return api.inspect(src).n_bytes
    return None
