"""`compress` and `restore`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from pennyweight import api
from pennyweight.cli import options
from pennyweight.cli.outcome import SourceCommand, say
from pennyweight.cli.progress import bar, original_bytes, tree_bytes
from pennyweight.cli.text import counted, percent, size
from pennyweight.pipeline.report import CompressReport, RestoreReport


@click.command(cls=SourceCommand)
@options.source("a file, or a folder such as a Hugging Face repository on disk")
@options.output("DST", "where to write it; SRC.pwt by default")
@click.option("--preset", default="default", metavar="NAME|FILE.toml", help="fast, default, high, or your own file")
@options.threads
@click.option("--no-sha256", is_flag=True, help="do not keep the SHA-256 of the original: saves time, proves less")
@options.force
@options.as_json
@options.quiet
def compress(
    src: str,
    output: str | None,
    preset: str,
    threads: int | None,
    no_sha256: bool,
    force: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Make SRC smaller, and check that it comes back bit for bit."""
    with bar(lambda: tree_bytes(Path(src)), silent=quiet or as_json) as progress:
        report = api.compress(
            src, output, preset=preset, threads=threads, force=force, sha256=not no_sha256, progress=progress
        )
    if as_json:
        say(report.to_json())
    elif not quiet:
        saved = report.n_bytes - report.stored_bytes
        word = f"{size(saved)} saved" if saved >= 0 else f"{size(-saved)} more"
        ratio = percent(report.stored_bytes, report.n_bytes)
        show(report, f"{size(report.n_bytes)} -> {size(report.stored_bytes)}, {ratio}, {word}")


@click.command(cls=SourceCommand)
@options.source("a container, or a folder of them")
@options.output("DST", "where to write it; SRC without .pwt by default")
@options.threads
@options.force
@options.as_json
@options.quiet
def restore(src: str, output: str | None, threads: int | None, force: bool, as_json: bool, quiet: bool) -> None:
    """Give back the original of SRC, and check it."""
    with bar(lambda: original_bytes(src), silent=quiet or as_json) as progress:
        report = api.restore(src, output, threads=threads, force=force, progress=progress)
    if as_json:
        say(report.to_json())
    elif not quiet:
        show(report, f"{size(report.stored_bytes)} -> {size(report.n_bytes)}, every digest is right")


def show(report: CompressReport | RestoreReport, sizes: str) -> None:
    """Four lines for people."""
    speed = size(report.n_bytes / report.seconds) if report.seconds else "-"
    say(f"{os.path.normpath(report.path)} -> {report.output}")
    say(f"  {sizes}")
    amount = f"{counted(report.n_tensors, 'tensor')} in {counted(report.n_files, 'file')}"
    say(f"  {amount}, {report.seconds:.2f} s, {speed}/s, {counted(report.threads, 'thread')}")
    if report.sha256:
        say(f"  sha256 {report.sha256}")
