"""Clocks: a call on this thread, and a whole process with its peak memory.

As a script it is the launcher of one measured process: a small interpreter of its own, because Linux counts the memory
of the process that called exec into the peak of the one that comes out of it.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MEMORY_FOLDER = Path("/dev/shm")


@dataclass(frozen=True)
class Call:
    """One timed call: seconds on the wall and seconds of CPU in all threads."""

    wall: float
    cpu: float
    result: Any


@dataclass(frozen=True)
class Process:
    """One measured process. `work` is what it says of itself, without start-up and imports; None if it says nothing."""

    wall: float
    cpu: float
    peak_bytes: int
    work: float | None


def call(function: Callable[[], Any]) -> Call:
    wall, cpu = time.perf_counter(), time.process_time()
    result = function()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return Call(wall, cpu, result)


def process(argv: Sequence[str | Path]) -> Process:
    """Run a command to its end; RuntimeError with its last line of output if it fails."""
    launcher = [sys.executable, "-I", "-S", __file__, *map(str, argv)]
    run = subprocess.run(launcher, capture_output=True, text=True, cwd=Path(__file__).resolve().parent.parent)
    lines = run.stdout.strip().splitlines()
    if run.returncode:
        last = (run.stderr.strip() or run.stdout.strip()).splitlines()[-1:] or [f"exit code {run.returncode}"]
        raise RuntimeError(last[0])
    measured = json.loads(lines[-1])
    own = [json.loads(line)["work"] for line in lines[:-1] if line.startswith('{"work"')]
    return Process(**measured, work=own[-1] if own else None)


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def fast_folder(n_bytes: int) -> str | None:
    """A folder in memory if it and the machine have that much room; None stands for the usual temporary folder."""
    if MEMORY_FOLDER.is_dir() and min(shutil.disk_usage(MEMORY_FOLDER).free, free_memory()) > n_bytes:
        return str(MEMORY_FOLDER)
    return None


def free_memory() -> int:
    """Bytes of memory that programs could still take; 0 where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")), 0)


def scratch(n_bytes: int) -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="pennyweight-bench-", dir=fast_folder(n_bytes))


def _launch(argv: Sequence[str]) -> int:
    started = time.perf_counter()
    child = subprocess.Popen(argv)
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.perf_counter() - started
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    sys.stdout.flush()
    print(json.dumps({"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "peak_bytes": peak}))
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(_launch(sys.argv[1:]))
