"""Real processes of the command line, at a small part of what starting an interpreter takes.

One process has everything imported and does nothing but fork; each child is one run, which may be killed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

_PARENT = """
import json, os, sys
import pennyweight.cli
for line in sys.stdin:
    arguments, errors = json.loads(line)
    pid = os.fork()
    if not pid:
        os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        os._exit(pennyweight.cli.main(arguments))
    print(pid, flush=True)
    sys.stdin.readline()
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


class Nursery:
    """One run at a time; for two at once take two."""

    def __init__(self, errors: Path) -> None:
        self._errors = errors
        self._parent = subprocess.Popen(
            [sys.executable, "-c", _PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._child = 0

    def start(self, *arguments: object) -> None:
        """Begin `pennyweight ARGUMENTS`."""
        self._say(json.dumps([list(map(str, arguments)), str(self._errors)]))
        self._child = int(self._hear())

    def kill_after(self, seconds: float) -> int:
        """Its exit code, or -9 if it was still running."""
        time.sleep(seconds)
        os.kill(self._child, signal.SIGKILL)  # it is there, perhaps as a zombie, until it is waited for
        return self.wait()

    def wait(self) -> int:
        """Its exit code."""
        self._say("")
        return int(self._hear())

    @property
    def errors(self) -> str:
        """What it said on stderr."""
        return self._errors.read_text()

    def _say(self, line: str) -> None:
        assert self._parent.stdin is not None
        self._parent.stdin.write(line + "\n")
        self._parent.stdin.flush()

    def _hear(self) -> str:
        assert self._parent.stdout is not None
        return self._parent.stdout.readline()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._parent.communicate(timeout=30)
