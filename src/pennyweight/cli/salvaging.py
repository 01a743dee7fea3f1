"""`salvage`."""

from __future__ import annotations

import click

from pennyweight import api
from pennyweight.cli import options
from pennyweight.cli.outcome import SourceCommand, say
from pennyweight.cli.progress import bar
from pennyweight.cli.text import counted, one_line, size
from pennyweight.errors import VerificationError
from pennyweight.pipeline.report import SalvagedFile

PROVEN = {
    "tensors": "every tensor saved has its digest",
    "frames": "the index is lost: the digests of frames are right, those of tensors unknown",
}
MAX_SHOWN = 20


@click.command(cls=SourceCommand)
@options.source("a damaged container, or a folder of them")
@click.option(
    "-o", "--output", type=click.Path(), metavar="DIR", required=True, help="new folder for what is left, and the list"
)
@options.threads
@options.force
@options.as_json
@click.pass_context
def salvage(ctx: click.Context, src: str, output: str, threads: int | None, force: bool, as_json: bool) -> None:
    """Save what is intact in a damaged SRC, also where its index or its end is lost."""
    with bar(lambda: None, silent=as_json) as progress:
        report = api.salvage(src, output, threads=threads, force=force, progress=progress)
    if as_json:
        say(report.to_json())
    else:
        say(one_line(f"{report.path} -> {report.output}"))
        for file in report.files:
            say("\n".join(map(one_line, _shown(file))))
    lines = [str(problem) for problem in report.problems] + [line for file in report.files for line in _lost(file)]
    for line in lines[:MAX_SHOWN]:
        click.echo(one_line(f"pennyweight: {line}"), err=True)
    if len(lines) > MAX_SHOWN:
        click.echo(one_line(f"pennyweight: {src}: and {len(lines) - MAX_SHOWN:,} more: see the list"), err=True)
    if not report.ok:
        ctx.exit(VerificationError.exit_code)


def _shown(file: SalvagedFile) -> list[str]:
    if file.whole:
        return [f"  {file.output}: the original, {size(file.n_bytes)}: nothing is lost", f"  {_proof(file)}"]
    saved = f"{file.n_saved:,} of {counted(file.n_tensors, 'tensor')}, {size(file.saved_bytes)}"
    lines = [f"  {file.output}: {saved}", f"  {_proof(file)}"] if file.output else [f"  {file.file}: {saved}"]
    return [*lines, f"  {file.listed}: the list of all, with what is lost and why"]


def _proof(file: SalvagedFile) -> str:
    return "every digest is right" if file.whole and file.proven == "tensors" else PROVEN[file.proven]


def _lost(file: SalvagedFile) -> list[str]:
    wrong = [f"{file.file}: {file.wrong}"] if file.wrong else []
    return wrong + [f"{file.file}: {tensor}" for tensor in file.tensors if not tensor.saved]
