"""`bench`."""

from __future__ import annotations

import sys

import click

from pennyweight import bench as measure
from pennyweight.cli import options
from pennyweight.cli.outcome import SourceCommand, say
from pennyweight.cli.text import counted, percent, size, table

CLEAR_LINE = "\r\033[K"


@click.command(cls=SourceCommand)
@options.source("a file, best a safetensors model; of one above 1 GiB, the first tensors")
@options.as_json
def bench(src: str, as_json: bool) -> None:
    """Measure presets and zstd on SRC, next to a plain copy."""
    watched = sys.stderr.isatty() and not as_json
    try:
        report = measure.bench(src, progress=_tell if watched else None)
    finally:
        if watched:
            click.echo(CLEAR_LINE, nl=False, err=True)
    if as_json:
        say(report.to_json())
        return
    part = f"{size(report.measured_bytes)} of " if report.measured_bytes < report.n_bytes else ""
    say(f"{report.path}: {part}{size(report.n_bytes)}, in memory, {counted(report.threads, 'thread')}")
    say()
    say(_table(report))
    say()
    say(f"Speeds are of original bytes, medians of {report.rounds}; x is relative to memcpy.")
    say("Everything came back bit for bit; the presets check that as they compress.")


def _tell(name: str) -> None:
    click.echo(f"{CLEAR_LINE}measuring {name}", nl=False, err=True)


def _table(report: measure.BenchReport) -> str:
    def speed(seconds: float) -> tuple[str, str]:
        return f"{report.measured_bytes / seconds / 1e6:,.0f} MB/s", f"{report.memcpy_seconds / seconds:.2f} x"

    rows = [
        (
            row.name,
            size(row.stored_bytes),
            percent(row.stored_bytes, report.measured_bytes),
            *speed(row.compress_seconds),
            *speed(row.restore_seconds),
        )
        for row in report.rows
    ]
    rows.append(("memcpy", size(report.measured_bytes), percent(1, 1), *speed(report.memcpy_seconds), "", ""))
    return table(("", "size", "ratio", "compress", "", "restore", ""), rows)
