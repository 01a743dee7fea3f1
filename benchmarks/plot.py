"""Ratio against speed of one run, as a picture: decode left, encode right, better is up and to the right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")  # no display needed, or looked for

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

from benchmarks.memory import MemoryRow

OURS, PEER, GRAY = "#b3261e", "#2f5d8a", "#9a9a9a"
MARGIN = 0.12  # of a percent, around the upper panel
# Where a label may stand, in points from its dot, best first: the text's anchor follows from the signs.
PLACES = ((0, 8), (0, -8), (9, 0), (-9, 0), (8, 8), (-8, 8), (8, -8), (-8, -8), (0, 20), (0, -20), (0, 32), (0, -32))


@dataclass(frozen=True)
class Point:
    """One codec in one direction; `speed` in memcpys, `saved` in % of the original."""

    label: str
    speed: float
    saved: float
    ours: bool
    tensors_only: bool


def plot(rows: Sequence[MemoryRow], title: str, path: Path) -> None:
    """Write a PNG of the whole-file rows and of this tool's `blocks` rows.

    General compressors save so much less than the rest that they get a narrow panel of their own below.
    """
    figure, axes = plt.subplots(2, 2, figsize=(13, 6.6), sharex="col", height_ratios=[6, 1], layout="constrained")
    for column, way in enumerate(("decode", "encode")):
        upper, lower = axes[0][column], axes[1][column]
        points = _points(rows, way)
        cut = max(point.saved for point in points) - 2
        near, far = [p for p in points if p.saved > cut], [p for p in points if p.saved <= cut]
        upper.set_ylim(min(p.saved for p in near) - MARGIN, max(p.saved for p in near) + MARGIN)
        lower.set_ylim(min([p.saved for p in far], default=cut) - 1, max([p.saved for p in far], default=cut) + 1)
        upper.set_xscale("log")
        upper.set_xlim(0.5 * min(p.speed for p in points), 1.6)
        upper.set_title(f"{way.capitalize()}, one thread", loc="left", fontweight="bold")
        lower.set_xlabel("speed as a part of memcpy")
        lower.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        for axis, shown in ((upper, near), (lower, far)):
            _dress(axis)
            _front(axis, points)
            _draw(axis, shown)
    axes[0][0].set_ylabel("saved, % of the original")
    figure.suptitle(title, x=0.01, ha="left", fontsize=10, color="#444444")
    figure.canvas.draw()  # the layout must be final before labels are placed in it
    for axis in axes.flat:
        _place_labels(axis)
    figure.set_layout_engine("none")
    figure.savefig(path, dpi=140)
    plt.close(figure)


def _points(rows: Sequence[MemoryRow], way: str) -> list[Point]:
    points: list[Point] = []
    for row in rows:
        speed = row.decode if way == "decode" else row.encode
        if row.kind not in ("file", "blocks") or speed is None or row.ratio is None:
            continue
        tensors_only, ours = row.kind == "blocks", row.name.startswith("pennyweight")
        label = f"{row.name.removeprefix('pennyweight ')} {row.target}" if tensors_only else row.name
        points.append(Point(label, speed.of_memcpy, 100 * (1 - row.ratio), ours, tensors_only))
    return points


def _dress(axis: Axes) -> None:
    axis.axvline(1, color=GRAY, lw=1)
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)


def _draw(axis: Axes, points: list[Point]) -> None:
    for point in points:
        color = OURS if point.ours else PEER
        face = "white" if point.tensors_only else color
        axis.scatter(point.speed, point.saved, s=46, facecolor=face, edgecolor=color, linewidth=1.6, zorder=3)
        where = (point.speed, point.saved)
        axis.annotate(point.label, where, PLACES[0], textcoords="offset points", fontsize=8, color=color)


def _front(axis: Axes, points: list[Point]) -> None:
    """The line through the whole-file points that no other beats in both."""
    best: list[Point] = []
    for point in sorted((p for p in points if not p.tensors_only), key=lambda p: (-p.speed, -p.saved)):
        if not best or point.saved > best[-1].saved:
            best.append(point)
    axis.step([p.speed for p in best], [p.saved for p in best], where="post", color=GRAY, lw=1, ls="--", zorder=1)


def _place_labels(axis: Axes) -> None:
    """Give each label the first place where it covers no dot and no label that stands already."""
    labels = [text for text in axis.texts if isinstance(text, Annotation)]
    dots = [axis.transData.transform(label.xy) for label in labels]
    taken = [Bbox.from_bounds(x - 7, y - 7, 14, 14) for x, y in dots]
    for label in labels:
        for dx, dy in PLACES:
            label.set_position((dx, dy))
            label.set_horizontalalignment("left" if dx > 0 else "right" if dx < 0 else "center")
            label.set_verticalalignment("bottom" if dy > 0 else "top" if dy < 0 else "center")
            box = label.get_window_extent()
            if not any(box.overlaps(other) for other in taken):
                break
        taken.append(label.get_window_extent())
