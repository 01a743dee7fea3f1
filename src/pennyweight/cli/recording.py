"""`manifest`."""

from __future__ import annotations

from pathlib import Path

import click

from pennyweight import api
from pennyweight.cli import options
from pennyweight.cli.outcome import SourceCommand, say
from pennyweight.cli.progress import bar, tree_bytes
from pennyweight.cli.text import counted
from pennyweight.pipeline.manifest_of import signature_of
from pennyweight.pipeline.output import AtomicFile, check_target


@click.command(cls=SourceCommand)
@options.source("a container, a checkpoint, or a folder of them")
@options.output("FILE", "where to write it; to stdout by default")
@options.threads
@options.force
def manifest(src: str, output: str | None, threads: int | None, force: bool) -> None:
    """Write down what the files and tensors of SRC are, to be signed.

    All of SRC is decoded and checked before. `verify --manifest` compares.
    """
    path = None if output is None else Path(output)
    if path:
        check_target(path, force=force)  # before the work
    with bar(lambda: tree_bytes(Path(src)), silent=False) as progress:
        made = api.manifest(
            src, leave_out=[path, signature_of(path)] if path else (), threads=threads, progress=progress
        )
    if path is None:
        say(made.to_json().rstrip())
        return
    with AtomicFile(path, force=force) as file:
        file.write_at(0, [made.to_json().encode()])
        file.commit()
    n_tensors = sum(len(entry.tensors) for entry in made.files)
    say(f"{path}: {counted(len(made.files), 'file')}, {counted(n_tensors, 'tensor')}")
