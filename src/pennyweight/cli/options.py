"""Options that several commands share."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TypeVar

import click

F = TypeVar("F", bound=Callable[..., object])


def source(help_text: str) -> Callable[[F], F]:
    """SRC, with a sentence about it in the command's help."""

    def add(command: F) -> F:
        command.__doc__ = f"{inspect.getdoc(command)}\n\nSRC: {help_text}."
        return click.argument("src", type=click.Path())(command)

    return add


def output(metavar: str, help_text: str) -> Callable[[F], F]:
    return click.option("-o", "--output", type=click.Path(), metavar=metavar, help=help_text)


threads = click.option("--threads", type=click.IntRange(1, 1024), metavar="N", help="all cores by default")
force = click.option("--force", is_flag=True, help="replace what is there")
as_json = click.option("--json", "as_json", is_flag=True, help="report as JSON on stdout, and no progress bar")
quiet = click.option("--quiet", is_flag=True, help="show nothing but errors")
