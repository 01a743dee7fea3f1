"""How much memory and time one input may take: what every target promises of inputs of up to 64 KiB."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

MAX_MEMORY: Final = 512 << 20
"""Bytes of addresses above what the process has already. Each thread takes eight MiB and more of it."""

MAX_SECONDS: Final = 5.0
"""Of the processor."""

_STATUS: Final = Path("/proc/self/statm")


@contextmanager
def bounded_memory() -> Iterator[None]:
    """MemoryError within where more is asked for, used or not. Elsewhere than on Linux nothing is bounded."""
    if not _STATUS.exists():
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_AS)
    now = int(_STATUS.read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + MAX_MEMORY, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@contextmanager
def bounded_time() -> Iterator[None]:
    """AssertionError at the end if it took longer."""
    start = time.process_time()
    yield
    took = time.process_time() - start
    assert took <= MAX_SECONDS, f"{took:.1f} seconds of the processor"
