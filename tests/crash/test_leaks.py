"""A process that converts a thousand files holds no more than after the first few."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

if not hasattr(ctypes.CDLL(None), "mallinfo2"):
    pytest.skip("the C library does not count what it allocated", allow_module_level=True)
HELD = Path(__file__).parents[1] / "held.py"
RUNS = max(80, 2 * int(os.environ.get("PENNYWEIGHT_CRASH_RUNS", "0")))
MAX_ALLOCATED, MAX_RESIDENT = 256 << 10, 8 << 20
"""Bytes of growth, whatever the number of runs. What is resident grows by fragments."""


def growth(work: str, runs: int, folder: Path) -> dict[str, int]:
    counted = {**os.environ, "PYTHONMALLOC": "malloc", "MALLOC_ARENA_MAX": "1"}
    arguments = [sys.executable, HELD, work, str(runs), folder]
    result = subprocess.run(arguments, capture_output=True, text=True, env=counted)
    assert result.returncode == 0, result.stderr
    found: dict[str, int] = json.loads(result.stdout)
    return found


def test_runs_leave_nothing_in_the_process(tmp_path: Path) -> None:
    grown = growth("every_verb", RUNS, tmp_path)
    print(f"\n{RUNS} runs of compress, restore, verify and open leave behind {grown}")
    assert grown["allocated"] < MAX_ALLOCATED
    assert grown["resident"] < MAX_RESIDENT
    assert (grown["files"], grown["threads"]) == (0, 0)


def test_the_measure_finds_a_leak(tmp_path: Path) -> None:
    grown = growth("a_leak", 60, tmp_path)
    assert grown["allocated"] > MAX_ALLOCATED
    assert (grown["files"], grown["threads"]) == (60, 60)
