"""`verify` and `inspect`."""

from __future__ import annotations

from typing import Literal

import click

from pennyweight import api
from pennyweight.cli import listing, options, reports
from pennyweight.cli.outcome import SourceCommand, say
from pennyweight.cli.progress import bar, original_bytes
from pennyweight.cli.text import counted, one_line, size
from pennyweight.errors import VerificationError
from pennyweight.pipeline.report import VerifyReport

CHECKED = {
    "fast": "the digest of every frame is right",
    "default": "everything was decoded, and every digest is right",
    "full": "everything was decoded, and every digest is right, also that of the file",
}
MAX_SHOWN = 20


@click.command(cls=SourceCommand)
@options.source("a container, or a folder of them")
@click.option(
    "--against",
    type=click.Path(),
    metavar="ORIGINAL",
    help="compare with this, or with what it is a container of, byte for byte",
)
@click.option(
    "--manifest", type=click.Path(), metavar="FILE", help="compare with what `manifest` wrote; SRC may hold originals"
)
@click.option("--fast", "level", flag_value="fast", help="digests of frames only, nothing is decoded")
@click.option("--full", "level", flag_value="full", help="the SHA-256 of the whole file too")
@click.option(
    "--subset", metavar="N/T|P%", help="decode a part only: the Nth of T slices, or one of P percent by chance"
)
@options.threads
@click.option("--require-lossless", is_flag=True, help="fail if anything is stored with loss")
@click.option(
    "--report",
    "written",
    multiple=True,
    metavar="FORMAT=FILE",
    callback=lambda ctx, param, values: tuple(map(_report, values)),
    help="also write junit=FILE or sarif=FILE",
)
@options.as_json
@click.pass_context
def verify(
    ctx: click.Context,
    src: str,
    against: str | None,
    manifest: str | None,
    level: Literal["fast", "full"] | None,
    subset: str | None,
    threads: int | None,
    require_lossless: bool,
    written: tuple[tuple[str, str], ...],
    as_json: bool,
) -> None:
    """Prove that SRC gives back its original, without writing it."""
    with bar(lambda: None if subset else original_bytes(src), silent=as_json) as progress:
        report = api.verify(
            src,
            against=against,
            manifest=manifest,
            level=level or "default",
            subset=subset,
            require_lossless=require_lossless,
            threads=threads,
            progress=progress,
        )
    reports.write(report, written)
    reports.tell_github(report, MAX_SHOWN)
    if as_json:
        say(report.to_json())
    elif report.ok:
        _show_proof(report)
    for problem in report.problems[:MAX_SHOWN]:
        click.echo(one_line(f"pennyweight: {problem}"), err=True)
    if len(report.problems) > MAX_SHOWN:
        click.echo(f"pennyweight: {src}: and {len(report.problems) - MAX_SHOWN:,} more problems", err=True)
    if not report.ok:
        if report.subset and report.subset != subset:
            click.echo(f"pennyweight: {src}: again with --subset {report.subset}", err=True)
        ctx.exit(VerificationError.exit_code)


@click.command(cls=SourceCommand)
@options.source("a container, or a folder of them")
@click.option("--tensors", is_flag=True, help="list the tensors, and how each is stored")
@click.option("--gains", is_flag=True, help="list them with what scales and predictors gained: decodes their frames")
@options.as_json
def inspect(src: str, tensors: bool, gains: bool, as_json: bool) -> None:
    """Show what is in SRC, without decoding it."""
    tensors = tensors or gains
    report = api.inspect(src, plans=tensors, gains=gains)
    if as_json:
        say(report.to_json())
        return
    for number, container in enumerate(report.files):
        if number:
            say()
        say("\n".join(listing.container(container, tensors=tensors)))
    if len(report.files) > 1:
        say("\n" + listing.total(report))


def _report(value: str) -> tuple[str, str]:
    name, _, path = value.partition("=")
    if name not in reports.FORMATS or not path:
        raise click.BadParameter(f"{value!r} is not one of {', '.join(f'{name}=FILE' for name in reports.FORMATS)}")
    return name, path


def _show_proof(report: VerifyReport) -> None:
    lossy = ", but LOSSY: not bit for bit what it was made from" if report.fidelity == "lossy" else ""
    say(f"{report.path}: ok{lossy}")
    say(f"  {counted(report.n_tensors, 'tensor')} in {counted(report.n_files, 'file')}, {size(report.n_bytes)}")
    if report.subset:
        tensors, n_bytes = counted(report.n_checked_tensors, "tensor"), size(report.checked_bytes)
        say(f"  {tensors} of them, {n_bytes}, were decoded, and every digest is right: slice {report.subset}")
    else:
        say(f"  {CHECKED[report.level]}")
    if report.manifest is not None:
        say(f"  every file is that of {report.manifest}, by its SHA-256")
    if report.against is not None:
        say(f"  equal to {report.against}, byte for byte")
