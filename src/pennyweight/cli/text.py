"""Numbers and tables for people, at most 80 columns wide."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

WIDTH = 80


def size(n_bytes: float) -> str:
    """`45.44 MB`: four digits, decimal units."""
    value, unit = float(n_bytes), "B"
    for larger in ("kB", "MB", "GB", "TB", "PB"):
        if value < 999.95:  # what would be shown as 1000 is the next unit's 1
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} B" if unit == "B" else f"{value:#.4g} {unit}"


def counted(n: int, noun: str) -> str:
    """`1 tensor`, `2 tensors`."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def percent(part: float, whole: float) -> str:
    """`66.03 %`, or `- %` of nothing."""
    return f"{100 * part / whole:.2f} %" if whole else "- %"


def one_line(text: str) -> str:
    """`text` with everything that could move the cursor spelled out: names come from files that somebody else made."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shortened(text: str, width: int) -> str:
    """`text` without its middle where it is longer than `width`: both ends of a tensor's name tell something."""
    if len(text) <= width:
        return text
    head = (width - 1) // 2
    return f"{text[:head]}…{text[len(text) - (width - 1 - head) :]}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, left: Sequence[int] = (0,), elastic: int = 0) -> str:
    """Aligned columns, two spaces apart.

    Args:
        left: columns aligned to the left; the others go to the right.
        elastic: the column that is shortened where a line would not fit the terminal. Nothing is shortened for a pipe.
    """
    lines = [list(header), *([one_line(cell) for cell in row] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    if sys.stdout.isatty():
        room = max(WIDTH, shutil.get_terminal_size().columns) - 2 * (len(widths) - 1)
        widths[elastic] = max(12, min(widths[elastic], room - sum(widths) + widths[elastic]))
    return "\n".join(
        "  ".join(
            shortened(cell, width).ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
