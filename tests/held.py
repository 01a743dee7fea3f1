"""`python held.py WORK RUNS FOLDER`: by how much a process grows in so many runs; of its own, to be new and small."""

from __future__ import annotations

import ctypes
import gc
import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import samples

import pennyweight
from pennyweight.pipeline.files import Reader

WARM = 40
"""Runs that may grow it, by what is made once."""


MALLINFO2 = "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"


class Mallinfo2(ctypes.Structure):
    """mallinfo2(3)"""

    _fields_: ClassVar = [(name, ctypes.c_size_t) for name in MALLINFO2]


def held() -> dict[str, int]:
    """resident: pages of memory, bytes; allocated: those in use, where PYTHONMALLOC=malloc lets the C library know."""
    gc.collect()
    ask = ctypes.CDLL(None).mallinfo2
    ask.restype = Mallinfo2
    told = ask()
    return {
        "resident": int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE"),
        "allocated": told.uordblks + told.hblkhd,
        "files": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
    }


def every_verb(folder: Path) -> Callable[[], None]:
    model, packed = folder / "model", folder / "packed"
    model.write_bytes(samples.safetensors(("a", "BF16", (4_000,), samples.bf16(4_000)), ("b", "U8", (9,), bytes(9))))
    expected = samples.safetensors_raws(model.read_bytes())
    os.fsync = lambda fd: None

    def work() -> None:
        pennyweight.compress(model, packed, threads=2, force=True)
        pennyweight.restore(packed, folder / "back", threads=2, force=True)
        assert pennyweight.verify(packed, threads=2).ok
        with pennyweight.open(packed, threads=2) as checkpoint:
            assert {name: tensor.numpy().tobytes() for name, tensor in checkpoint.items()} == expected

    return work


def a_leak(folder: Path) -> Callable[[], None]:
    """100 kB, an open file and a thread in each run."""
    (folder / "file").write_bytes(b"x")
    kept: list[object] = []

    def work() -> None:
        kept.append((os.urandom(100_000), Reader(folder / "file")))
        threading.Thread(target=threading.Event().wait, daemon=True).start()

    return work


def main(work: str, runs: int, folder: Path) -> None:
    once = {"every_verb": every_verb, "a_leak": a_leak}[work](folder)
    for _ in range(WARM):
        once()
    before = held()
    for _ in range(runs):
        once()
    print(json.dumps({name: now - before[name] for name, now in held().items()}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
