"""One peer, one file to file run, as a process of its own.

    python -m benchmarks.filework PEER compress|restore SRC DST THREADS

Prints the seconds of the work alone, so that a peer is not charged for what it imports.
"""

from __future__ import annotations

import json
import sys
import time
from importlib import import_module
from pathlib import Path


def main(peer: str, direction: str, src: str, dst: str, threads: str) -> None:
    work = getattr(import_module(f"benchmarks.codecs.{peer}"), f"{direction}_file")
    started = time.perf_counter()
    work(Path(src), Path(dst), int(threads))
    print(json.dumps({"work": time.perf_counter() - started}))


if __name__ == "__main__":
    main(*sys.argv[1:])
