"""The real file system with every operation in view, for tests that record, fail or interrupt one of them."""

from __future__ import annotations

import os
import threading
from functools import partial
from pathlib import Path
from typing import Any

from pennyweight.pipeline.filesystem import SystemCalls


class Watched:
    """Passes operations on, one at a time. Removing a tree is the many operations that it is.

    Nothing is flushed: these tests cut no power, and a disk would take most of their time.
    """

    def __init__(self) -> None:
        self._real = SystemCalls()
        self._one = threading.RLock()

    def __getattr__(self, name: str) -> Any:
        return partial(self._operation, name)

    def _operation(self, name: str, *args: Any, **options: Any) -> Any:
        with self._one:
            return self.perform(name, *args, **options)

    def perform(self, name: str, *args: Any, **options: Any) -> Any:
        """One operation. Subclasses put theirs around it."""
        if name in ("flush", "flush_folder"):
            return None
        return os.rmdir(*args) if name == "remove_folder" else getattr(self._real, name)(*args, **options)

    def remove_tree(self, path: Path) -> None:
        for entry in sorted(os.scandir(path), key=lambda entry: entry.name):
            if entry.is_dir(follow_symlinks=False):
                self.remove_tree(Path(entry.path))
            else:
                self.remove(Path(entry.path))
        self.remove_folder(path)
