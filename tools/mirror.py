"""The package as one tree of links, under build/typing, as it looks once installed.

The rooms of the house (`pipeline`, `stages`, `configs`) lie beside `src/`, and an editable install joins them by an
import hook that static tools do not follow. They are given this tree instead.
"""

from __future__ import annotations

import shutil
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
ROOMS = ("pipeline", "stages", "configs")


def lay_mirror(into: Path = CHECKOUT / "build" / "typing") -> Path:
    """Lay the tree anew and return `into`, the folder to put on a path: it holds `pennyweight`."""
    package = into / "pennyweight"
    shutil.rmtree(package, ignore_errors=True)
    package.mkdir(parents=True)
    for entry in (CHECKOUT / "src" / "pennyweight").iterdir():
        (package / entry.name).symlink_to(entry)
    for room in ROOMS:
        (package / room).symlink_to(CHECKOUT / room)
    return into


def python_files(package: Path) -> list[Path]:
    """Every module of the tree, stubs in place of compiled modules; links are followed."""
    found: list[Path] = []
    for entry in sorted(package.iterdir()):
        if entry.is_dir():
            found += python_files(entry)
        elif entry.suffix in (".py", ".pyi"):
            found.append(entry)
    return found
