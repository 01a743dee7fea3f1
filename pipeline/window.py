"""Many threads, results in order, and no more memory than a few tasks."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from pennyweight.errors import UsageError
from pennyweight.pipeline.blocks import BUFFER_BYTES

Stream = NDArray[np.uint8]
T = TypeVar("T")
R = TypeVar("R")


def thread_count(threads: int | None) -> int:
    """What to use where the caller said `threads`; None is every core this process may run on."""
    if threads is None:
        if hasattr(os, "process_cpu_count"):
            return os.process_cpu_count() or 1
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if isinstance(threads, bool) or not isinstance(threads, int) or not 1 <= threads <= 1024:
        raise UsageError(f"threads must be a whole number from 1 to 1024, not {threads!r}")
    return threads


def tasks_ahead(threads: int) -> int:
    """How many tasks may wait for their turn: enough that one slow task does not leave the other threads idle."""
    return 2 * threads + 2


@contextmanager
def worker_pool(threads: int) -> Iterator[ThreadPoolExecutor]:
    """A pool that, after any error or interrupt, drops what has not begun and is idle when the `with` ends."""
    pool = ThreadPoolExecutor(threads, thread_name_prefix="pennyweight")
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def in_order(pool: ThreadPoolExecutor, work: Callable[[T], R], items: Iterable[T], depth: int) -> Iterator[R]:
    """`map`, but never more than `depth` items ahead of the caller."""
    pending: deque[Future[R]] = deque()
    for item in items:
        if len(pending) == depth:
            yield pending.popleft().result()
        pending.append(pool.submit(work, item))
    while pending:
        yield pending.popleft().result()


class FollowUps:
    """Work that goes on with a task's memory after its turn. At most `depth` tasks; each is let go at its end."""

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._pending: deque[tuple[Sequence[Future[Any]], Callable[[], None]]] = deque()

    def add(self, futures: Sequence[Future[Any]], release: Callable[[], None]) -> None:
        """Remember one task; wait for the oldest if there are too many. Raises what its work raised."""
        self._pending.append((futures, release))
        while len(self._pending) > self._depth:
            self._finish_one()

    def drain(self) -> None:
        """Wait for all of them."""
        while self._pending:
            self._finish_one()

    def _finish_one(self) -> None:
        futures, release = self._pending.popleft()
        for future in futures:
            future.result()
        release()


class Buffers:
    """Memory for a task, raw or encoded, used again and again: touching fresh pages costs more than copying."""

    def __init__(self) -> None:
        self._free: list[Stream] = []
        self._own = threading.local()

    def take(self) -> Stream:
        """One that nobody uses. How many there are is bounded by who calls: see `in_order` and `FollowUps`."""
        try:
            return self._free.pop()
        except IndexError:
            return np.empty(BUFFER_BYTES, dtype=np.uint8)

    def give(self, *buffers: Stream) -> None:
        """Let them be taken again."""
        self._free.extend(buffers)

    def scratch(self, n_bytes: int) -> Stream:
        """Memory of this thread, valid until its next call. The caller has checked n_bytes."""
        held: Stream | None = getattr(self._own, "buffer", None)
        if held is None or len(held) < n_bytes:
            held = np.empty(max(n_bytes, BUFFER_BYTES), dtype=np.uint8)
            self._own.buffer = held
        return held[:n_bytes]
