"""A file of which nothing is known: one gap."""

from __future__ import annotations

from pennyweight.pipeline.files import Reader
from pennyweight.pipeline.sources.segments import Gap, SourceMap


def read(file: Reader) -> SourceMap:
    """Takes any file; an empty one has no segments."""
    return SourceMap("opaque", (Gap(file.size),) if file.size else ())
