"""What a file's tensors say of themselves, learned from samples before any block is encoded: models for `scales`.

For each tensor of 16,384 keys or more that a plan would give to `scales`, `sampling.learn` says which geometry, which
column scales, and how often each symbol comes. The counts of all tensors make up to four sets of tables (`tables`).
Whole numbers only, in a fixed order: every machine and every number of threads learns the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from typing import Any, Final, NamedTuple

import numpy as np

from pennyweight.pipeline.files import Reader
from pennyweight.pipeline.plan import Plan
from pennyweight.pipeline.policy import Plans
from pennyweight.pipeline.sampling import MIN_KEYS, SAMPLE_KEYS, Job, Lesson, Path, learn
from pennyweight.pipeline.sources import Segment, TensorRange
from pennyweight.pipeline.tables import choose_tables
from pennyweight.stages.entropy.scales import Scales, ScalesModel
from pennyweight.stages.protocol import Stage, Stream

MAX_TENSORS: Final = 2**14
"""The counts of each are held until the tables are made: 8 KiB."""

SIDE_FRAME_BYTES: Final = 2**20
MAX_SIDE_BYTES: Final = 2**26

Map = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]


class _Trained(NamedTuple):
    stage: Scales
    n_keys: int


@dataclass(frozen=True)
class Training:
    """side: raw bytes of each side frame, in order."""

    side: tuple[Stream, ...]
    _segments: Sequence[Segment]
    _plans: Plans
    _models: Mapping[int, _Trained]

    def plans(self, segment: int, first_byte: int) -> tuple[Plan, ...]:
        """The plans for a block that begins at that byte of a segment, with what was learned for its place."""
        kind = self._segments[segment]
        plans = self._plans[kind.dtype if isinstance(kind, TensorRange) else None]
        trained = self._models.get(segment)
        if trained is None:
            return plans
        stage = trained.stage.at(first_byte * trained.n_keys // kind.n_bytes)
        return tuple(_with(plan, stage) for plan in plans)


def train(src: Reader, segments: Sequence[Segment], plans: Plans, *, map: Map = map) -> Training:
    """Learn from the tensors of a file. `map` may use threads; it gives results in order. InputError as reading does.

    Memory: a sample for each thread, of at most 2**21 keys and what its elements have besides, and the lessons.
    """
    paths = {dtype: path for dtype, row in plans.items() if (path := _find(row)) is not None}
    starts = accumulate((segment.n_bytes for segment in segments), initial=0)
    jobs = [
        Job(number, start, segment, paths[segment.dtype])
        for number, (segment, start) in enumerate(zip(segments, starts, strict=False))
        if isinstance(segment, TensorRange) and segment.dtype in paths and segment.n_bytes >= MIN_KEYS
    ][:MAX_TENSORS]
    share = SAMPLE_KEYS // max(1, len(jobs))
    learned = [lesson for lesson in map(partial(learn, src, share), jobs) if lesson is not None]
    side: list[Stream] = []
    models: dict[int, _Trained] = {}
    for m in sorted({lesson.mantissa_bits for lesson in learned}):
        same = [lesson for lesson in learned if lesson.mantissa_bits == m]
        tables, chosen = choose_tables(np.stack([lesson.counts for lesson in same]))
        first = len(side)
        side += [table.astype("<u2").reshape(-1).view(np.uint8) for table in tables]
        for lesson, i in zip(same, chosen, strict=True):
            model = ScalesModel(lesson.geometry, side[first + i].tobytes(), first + i)
            models[lesson.segment] = _Trained(Scales(m, model), lesson.n_keys)
    _place_columns(learned, side, models)
    return Training(tuple(side), segments, plans, models)


def _place_columns(learned: Sequence[Lesson], side: list[Stream], models: dict[int, _Trained]) -> None:
    """Column scales of many tensors in one side frame: each alone would cost more in frames than in scales."""
    frame: list[bytes] = []
    size, total = 0, sum(stream.size for stream in side)
    for lesson in sorted(learned, key=lambda lesson: lesson.segment):
        if lesson.columns is None:
            continue
        n = len(lesson.columns)
        if total + n > MAX_SIDE_BYTES:
            del models[lesson.segment]
            continue
        if size + n > SIDE_FRAME_BYTES:
            side.append(np.frombuffer(b"".join(frame), np.uint8))
            frame, size = [], 0
        stage, n_keys = models[lesson.segment]
        assert stage.model is not None
        model = replace(stage.model, columns=lesson.columns, columns_at=(len(side), size))
        models[lesson.segment] = _Trained(stage.trained(model), n_keys)
        frame.append(lesson.columns)
        size, total = size + n, total + n
    if frame:
        side.append(np.frombuffer(b"".join(frame), np.uint8))


def _find(plans: Iterable[Plan]) -> Path | None:
    return next((path for plan in plans for path in _paths(plan, ())), None)


def _paths(plan: Plan, above: tuple[tuple[Stage, int], ...]) -> Iterator[Path]:
    for tree in (plan, *plan.alternatives):
        if isinstance(tree.stage, Scales):
            yield Path(tree.stage, above)
        for i, child in enumerate(tree.children):
            yield from _paths(child, (*above, (tree.stage, i)))


def _with(plan: Plan, stage: Scales) -> Plan:
    """The plan with every untrained `scales` of these keys replaced."""
    own = stage if plan.stage == Scales(stage.mantissa_bits) else plan.stage
    children = tuple(_with(child, stage) for child in plan.children)
    return replace(plan, stage=own, children=children, alternatives=tuple(_with(a, stage) for a in plan.alternatives))
