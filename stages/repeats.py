"""Whether a stream repeats itself: what stages that find matches ask before they look for them; see entropy/zstd.md."""

from __future__ import annotations

from collections.abc import Mapping

from pennyweight import native
from pennyweight.errors import UsageError
from pennyweight.stages.protocol import Stream

JUDGED_BYTES = 1 << 16
"""A shorter stream is taken to."""


def repeats_of(stage: str, params: Mapping[str, int], other: str) -> int:
    """The parameter of a stage that has it beside one other. UsageError for a third, or for more than all words."""
    repeats = params.get("repeats", 0)
    if params.keys() - {"repeats", other} or repeats > 100:
        raise UsageError(f"{stage} takes the parameters {other} and repeats, which is at most 100 %")
    return repeats


def has_repeats(src: Stream, percent: int) -> bool:
    """Whether so many of its words came before, as zstd.md has it."""
    return not percent or src.size < JUDGED_BYTES or native.repeats_percent(src) >= percent
