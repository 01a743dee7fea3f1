"""How a command ends: an exit code, and one line on stderr if it is not 0."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

import click

from pennyweight.cli.text import one_line
from pennyweight.errors import InputError, PennyweightError

PIPE_CLOSED = 141  # as a shell reports SIGPIPE; click's own 1 would say that a verification failed


class Stopped(BaseException):
    """A signal asked for the end of the process. No Exception: only the clean-up on the way out may see it."""

    def __init__(self, number: int) -> None:
        self.number = number


class SourceCommand(click.Command):
    """A command on SRC. Whatever fails below without naming a file is given SRC's name."""

    def invoke(self, ctx: click.Context) -> Any:
        src = ctx.params["src"]
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise InputError(f"{_text(error.filename or src)}: {error.strerror or error}") from error
        except MemoryError as error:
            raise InputError(f"{src}: not enough memory") from error


def say(text: str = "") -> None:
    """Print results. Flushed each time, so that a full disk behind stdout is found here and not by the interpreter."""
    try:
        click.echo(text)
    except BrokenPipeError:
        raise
    except OSError as error:
        _abandon_stdout()
        raise InputError(f"standard output: {error.strerror or error}") from error


def run_command(commands: click.Group, arguments: Sequence[str] | None) -> int:
    """Run one command of the group and return its exit code. Shows every error as one line, never a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a tensor may have any name, a terminal any encoding
    try:
        with _signals_unwind():
            return _invoke(commands, sys.argv[1:] if arguments is None else list(arguments))
    except click.UsageError as error:
        where = error.ctx.command_path.partition(" ")[2] if error.ctx else ""
        return _failed(f"{where}: {error.format_message()}" if where else error.format_message(), 2)
    except PennyweightError as error:
        return _failed(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _failed("interrupted", 128 + signal.SIGINT)
    except Stopped as stop:
        return _failed(f"stopped by {signal.Signals(stop.number).name}", 128 + stop.number)
    except BrokenPipeError:
        _abandon_stdout()
        return PIPE_CLOSED
    except Exception as error:
        if sys.flags.dev_mode:
            raise
        hint = "a fault of pennyweight; `python -X dev -m pennyweight ...` shows where"
        return _failed(f"{type(error).__name__}: {error} ({hint})", 3)


def _invoke(commands: click.Group, arguments: list[str]) -> int:
    # Not commands.main(): it would print errors, and exit, in its own ways.
    try:
        with commands.make_context("pennyweight", arguments) as context:
            commands.invoke(context)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    return 0


def _failed(reason: str, code: int) -> int:
    print(one_line(f"pennyweight: {reason}"), file=sys.stderr)
    return code


def _text(name: object) -> str:
    return os.fsdecode(name) if isinstance(name, bytes) else str(name)


def _abandon_stdout() -> None:
    """Send what is still buffered nowhere: the interpreter flushes stdout on its way out, and would complain again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def _signals_unwind() -> Iterator[None]:
    """SIGTERM and SIGHUP as exceptions, as SIGINT is already, so that temporary files are removed on the way out."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped(number)

    before: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():  # no other may set handlers
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)  # Windows has no SIGHUP
            if number and signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                before[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
