"""Results as Markdown tables of at most 100 columns, and the goals they are held against."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.files import Direction, FileRow
from benchmarks.goals import Goal, goals
from benchmarks.memory import MemoryRow, Speed
from benchmarks.sizes import Size
from benchmarks.stages import StageRow

WIDTH = 100
FILES_ACROSS = 4  # columns of the table of sizes


@dataclass
class FileRun:
    """Rows of files.py and what they were taken on."""

    n_bytes: int
    where: str
    rows: list[FileRow]


@dataclass
class Results:
    """Everything of one run; written as JSON as it stands."""

    machine: dict[str, str]
    sizes: list[Size] = field(default_factory=list)
    memory: dict[str, list[MemoryRow]] = field(default_factory=dict)  # "BF16, 45 MB" -> rows
    stages: list[StageRow] = field(default_factory=list)
    files: list[FileRun] = field(default_factory=list)


def markdown(results: Results) -> str:
    """The whole report."""
    parts = ["# Benchmark", "", *_list([f"{key}: {value}" for key, value in results.machine.items()]), ""]
    if results.sizes:
        parts += ["## Sizes, % of the original file", "", *_sizes(results.sizes), ""]
    for size, memory in results.memory.items():
        parts += [f"## In memory, one thread, {size}", "", *_memory(memory), ""]
    if results.stages:
        parts += ["## Each stage alone, one thread", "", *_stages(results.stages), ""]
    for run in results.files:
        taken_on = f"{_bytes(run.n_bytes)}, {run.where}, two threads; MB is peak memory"
        parts += [f"## File to file, {taken_on}", "", *_files(run.rows), ""]
    large = [run.rows for run in results.files if run.n_bytes >= 1e9]  # start-up decides the times of small files
    parts += ["## Goals", "", *_goals(goals(results.sizes, results.memory, large)), ""]
    return "\n".join(parts)


def _sizes(rows: list[Size]) -> list[str]:
    files = list(dict.fromkeys(row.file for row in rows))
    codecs = list(dict.fromkeys(row.codec for row in rows if row.n_bytes is not None))
    found = {(row.codec, row.file): row.ratio for row in rows}
    skipped = [f"{row.codec} on {row.file}: {row.note}" for row in rows if row.n_bytes is None]
    tables: list[str] = []
    for part in (files[at : at + FILES_ACROSS] for at in range(0, len(files), FILES_ACROSS)):
        heads = ["codec", *(file.removesuffix(".safetensors") for file in part)]
        lines = [[codec, *(_percent(found.get((codec, file))) for file in part)] for codec in codecs]
        tables += [*_table(heads, lines), ""]
    return [*tables[:-1], *_not_run(skipped)]


def _memory(rows: list[MemoryRow]) -> list[str]:
    heads = ["rows", "codec", "target", "size %", "encode GB/s", "x memcpy", "decode GB/s", "x memcpy"]
    run = [row for row in rows if row.decode is not None]
    lines = [[r.kind, r.name, r.target, _percent(r.ratio), *_speed(r.encode), *_speed(r.decode)] for r in run]
    return [*_table(heads, lines), *_not_run([f"{_label(r)}: {r.note}" for r in rows if r.decode is None])]


def _files(rows: list[FileRow]) -> list[str]:
    heads = ["tool", "size %", "compress s", "x cp", "MB", "restore s", "x cp", "MB", "verify s", "x cp"]
    run = [row for row in rows if row.compress is not None]
    lines = [
        [
            row.name,
            _percent(row.ratio),
            *_direction(row.compress),
            *_direction(row.restore),
            *_direction(row.verify)[:2],
        ]
        for row in run
    ]
    return [*_table(heads, lines), *_not_run([f"{r.name}: {r.note}" for r in rows if r.compress is None])]


def _stages(rows: list[StageRow]) -> list[str]:
    heads = ["stage", "on", "target", "size %", "encode GB/s", "decode GB/s"]
    run = [row for row in rows if row.encode is not None and row.decode is not None]
    lines = [[r.stage, r.data, r.target, _percent(r.ratio), _rate(r.encode), _rate(r.decode)] for r in run]
    return [*_table(heads, lines), *_not_run([f"{r.stage}: {r.note}" for r in rows if r.encode is None])]


def _goals(rows: list[Goal]) -> list[str]:
    """Those of sizes beside the best peer of the run; those of speed with what more would be welcome."""
    sizes = [[g.name, g.text(g.must), g.text(g.measured), g.verdict(), g.peer] for g in rows if g.unit == "%"]
    speeds = [
        [g.name, g.text(g.must), g.text(g.stretch), g.text(g.measured), g.verdict()] for g in rows if g.unit != "%"
    ]
    return [
        *_table(["goal", "must", "measured", "", "best peer"], sizes),
        "",
        *_table(["goal", "must", "stretch", "measured", ""], speeds),
    ]


def _label(row: MemoryRow) -> str:
    return " ".join(filter(None, (row.kind, row.name, row.target)))


def _speed(speed: Speed | None) -> tuple[str, str]:
    return ("", "") if speed is None else (f"{speed.bytes_per_second / 1e9:.2f}", f"{speed.of_memcpy:.3f}")


def _rate(bytes_per_second: float | None) -> str:
    return "" if bytes_per_second is None else f"{bytes_per_second / 1e9:.2f}"


def _direction(one: Direction | None) -> tuple[str, str, str]:
    return ("", "", "") if one is None else (f"{one.work:.2f}", f"{one.of_cp:.2f}", f"{one.peak_bytes / 1e6:.0f}")


def _percent(ratio: float | None) -> str:
    return "-" if ratio is None else f"{100 * ratio:.2f}"


def _bytes(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.2f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.0f} MB"


def _not_run(lines: list[str]) -> list[str]:
    return ["", *_list([f"not run: {line}" for line in lines])] if lines else []


def _list(lines: list[str]) -> list[str]:
    return [part for line in lines for part in textwrap.wrap(f"- {line}", WIDTH, subsequent_indent="  ")]


def _table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table that is aligned as plain text too: words to the left, numbers to the right."""
    columns = list(zip(heads, *lines, strict=True))
    widths = [max(3, *map(len, column)) for column in columns]
    numeric = [any(cell[:1].isdigit() for cell in column[1:]) for column in columns]
    rule = [("-" * (width - 1) + ":") if right else "-" * width for width, right in zip(widths, numeric, strict=True)]
    rows = [heads, rule, *lines]
    return ["| " + " | ".join(_cell(*each) for each in zip(row, widths, numeric, strict=True)) + " |" for row in rows]


def _cell(text: str, width: int, right: bool) -> str:
    return text.rjust(width) if right else text.ljust(width)
