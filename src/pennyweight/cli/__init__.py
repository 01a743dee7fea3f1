"""The command line: `pennyweight`, or `pwt`. Options in, one call of the api, text out."""

from __future__ import annotations

from collections.abc import Sequence

import click

from pennyweight.cli import benching, checking, converting, extracting, recording, salvaging
from pennyweight.cli.outcome import run_command


@click.group(
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)
@click.version_option(package_name="pennyweight", prog_name="pennyweight", message="%(prog)s %(version)s")
@click.pass_context
def commands(ctx: click.Context) -> None:
    """Make neural-network checkpoints smaller without changing a bit.

    Exit codes: 0 ok, 1 verification failed, 2 usage, 3 could not run,
    4 the file needs a newer version.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


for command in (
    converting.compress,
    converting.restore,
    checking.verify,
    salvaging.salvage,
    checking.inspect,
    extracting.extract,
    recording.manifest,
    benching.bench,
):
    commands.add_command(command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; `arguments` defaults to those of the process."""
    return run_command(commands, arguments)
