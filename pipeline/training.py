"""What a file's tensors say of themselves, learned from samples before any block is encoded: models for trained stages.

For each tensor of 16,384 keys or more that a plan would give to `scales`, `sampling.learn` says which geometry, which
column scales, and how often each symbol comes; where a plan has `linear_predictor`, `prediction.predict` says the same,
and which predictor. Of a tensor's two lessons the cheaper one counts. The counts of all tensors make up to four sets of
tables for each kind of symbols (`tables`). Whole numbers only, or a fixed order of operations: every machine and every
number of threads learns the same.
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
from pennyweight.pipeline.prediction import Prediction, predict, price_of_bytes
from pennyweight.pipeline.sampling import MIN_KEYS, Job, Lesson, Path, learn
from pennyweight.pipeline.sources import Segment, TensorRange
from pennyweight.pipeline.tables import ONE, choose_tables, costs, price, weighted
from pennyweight.stages.entropy.linear_predictor import LinearPredictor, Predictor, PredictorModel, triangle_bytes
from pennyweight.stages.entropy.scales import Scales, ScalesModel
from pennyweight.stages.protocol import Stage, Stream

MAX_TENSORS: Final = 2**14
"""The counts of each are held until the tables are made: 8 KiB, or 96 with `linear_predictor`."""

SIDE_FRAME_BYTES: Final = 2**20
MAX_SIDE_BYTES: Final = 2**26

_SCALES_BITS, _PREDICTOR_BITS = 16_000, 50_000
"""What a set of tables takes in the file: less gain than that is not worth another."""

_MARGIN: Final = 2  # what a sample says of many small tensors was found to be twice what came of it

TRAINED: Final = (Scales, LinearPredictor)
_SHARES: Final = (16, 8)
"""A tensor's sample is one part in so many, within the bounds of `sampling`: fewer counts cost 0.01 to 0.05 points."""

Map = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]


class _Trained(NamedTuple):
    stage: Scales | LinearPredictor
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
        plans = self._plans[kind.dtype]
        trained = self._models.get(segment)
        if trained is None:
            return plans
        stage = trained.stage.at(first_byte * trained.n_keys // kind.n_bytes)
        return tuple(_with(plan, stage) for plan in plans)


def train(src: Reader, segments: Sequence[Segment], plans: Plans, *, map: Map = map) -> Training:
    """Learn from the tensors of a file. `map` may use threads; it gives results in order. InputError as reading does.

    Memory: a sample for each thread, of at most 2**21 keys and what its elements have besides, the lessons, and what
    prediction.predict says.
    """
    jobs = [_jobs(segments, plans, kind, share) for kind, share in zip(TRAINED, _SHARES, strict=True)]
    scales = {lesson.segment: lesson for lesson in map(partial(learn, src), jobs[0]) if lesson is not None}
    predictions = {lesson.segment: lesson for lesson in predict(src, jobs[1], map)}
    predictions = _better(predictions, scales)
    scales = {segment: lesson for segment, lesson in scales.items() if segment not in predictions}
    side = _Side()
    models: dict[int, _Trained] = {}
    by_bits: dict[int, list[Lesson]] = {}
    for lesson in scales.values():
        by_bits.setdefault(lesson.mantissa_bits, []).append(lesson)
    for m, lessons in sorted(by_bits.items()):
        for lesson, number in zip(lessons, side.tables(lessons, _SCALES_BITS), strict=True):
            models[lesson.segment] = _scales(lesson, m, number, side)
    ordered = list(predictions.values())
    for prediction, number in zip(ordered, side.tables(ordered, _PREDICTOR_BITS), strict=True):
        models[prediction.segment] = _predictor(prediction, number, side)
    return Training(tuple(side.frames()), segments, plans, models)


def _better(predictions: dict[int, Prediction], scales: dict[int, Lesson]) -> dict[int, Prediction]:
    """Those that save something against the tensor's other lesson, if all together save what their tables take.

    Both leave as much of a weight to other stages: the sign and all but 3 bits of the mantissa, or all but 2.
    """
    with_scales = _costs(list(scales.values()), _SCALES_BITS)
    gains = {}
    for segment, cost in _costs(list(predictions.values()), _PREDICTOR_BITS).items():
        one = predictions[segment]
        gains[segment] = with_scales.get(segment, one.cost_without * one.n_keys // one.n_counted) - cost
    together: dict[bytes, int] = {}
    for segment, lesson in predictions.items():
        together.setdefault(lesson.triangles, -_MARGIN * price_of_bytes(lesson.triangles) if lesson.shared else 0)
        together[lesson.triangles] += max(0, gains[segment])
    if sum(gain for gain in together.values() if gain > 0) <= _MARGIN * ONE * _PREDICTOR_BITS:
        return {}
    return {s: lesson for s, lesson in predictions.items() if gains[s] > 0 and together[lesson.triangles] > 0}


def _costs(lessons: Sequence[Lesson | Prediction], set_bits: int) -> dict[int, int]:
    """Of whole tensors, with the tables that they would share, in 1 / ONE bit. Their own counts flatter small ones."""
    found: dict[int, int] = {}
    for shape in sorted({lesson.counts.shape for lesson in lessons}):
        same = [lesson for lesson in lessons if lesson.counts.shape == shape]
        counts = np.stack([weighted(each.counts, each.n_keys) for each in same])
        tables, chosen = choose_tables(counts, set_bits)
        for lesson, row, i in zip(same, costs(counts, tables), chosen, strict=True):
            beside = (lesson.cost - price(lesson.counts)) * lesson.n_keys // lesson.n_counted
            found[lesson.segment] = int(row[i]) + beside
    return found


def _jobs(segments: Sequence[Segment], plans: Plans, kind: type[Stage], share: int) -> list[Job]:
    """The tensors whose plans have such a stage."""
    paths = {dtype: path for dtype, row in plans.items() if (path := _find(row, kind)) is not None}
    starts = accumulate((segment.n_bytes for segment in segments), initial=0)
    found = [
        (number, start, segment)
        for number, (segment, start) in enumerate(zip(segments, starts, strict=False))
        if isinstance(segment, TensorRange) and segment.dtype in paths and segment.n_bytes >= MIN_KEYS
    ][:MAX_TENSORS]
    return [Job(number, start, segment, paths[segment.dtype], share) for number, start, segment in found]


class _Side:
    """The side frames of a file while they are made."""

    def __init__(self) -> None:
        self._frames: list[list[bytes]] = []
        self._known: dict[bytes, int] = {}
        self._open: int | None = None  # where small pieces go
        self._left = MAX_SIDE_BYTES

    def tables(self, lessons: Sequence[Lesson | Prediction], set_bits: int) -> list[int]:
        """The number of the frame with the best tables for each; there are few of them."""
        if not lessons:
            return []
        tables, chosen = choose_tables(np.stack([weighted(each.counts, each.n_keys) for each in lessons]), set_bits)
        numbers = [self.frame(table.astype("<u2").tobytes()) for table in tables]
        return [numbers[i] for i in chosen]

    def has_room(self, n_bytes: int) -> bool:
        return n_bytes <= self._left

    def frame(self, data: bytes) -> int:
        """A frame of its own."""
        self._left -= len(data)
        self._frames.append([data])
        return len(self._frames) - 1

    def shared(self, frames: Sequence[bytes]) -> int:
        """The first of consecutive frames, which are stored once however often they are asked for."""
        key = b"".join(frames)
        if key not in self._known:
            self._known[key] = len(self._frames)
            for frame in frames:
                self.frame(frame)
        return self._known[key]

    def piece(self, data: bytes) -> tuple[int, int]:
        """Frame and place in it: small pieces of many tensors share one, as frames of their own would cost more."""
        if self._open is None or sum(map(len, self._frames[self._open])) + len(data) > SIDE_FRAME_BYTES:
            self._open = self.frame(b"")
        at = sum(map(len, self._frames[self._open]))
        self._frames[self._open].append(data)
        self._left -= len(data)
        return self._open, at

    def frames(self) -> Iterator[Stream]:
        for pieces in self._frames:
            yield np.frombuffer(b"".join(pieces), np.uint8)

    def table(self, number: int) -> bytes:
        return self._frames[number][0]


def _scales(lesson: Lesson, m: int, tables_at: int, side: _Side) -> _Trained:
    model = ScalesModel(lesson.geometry, side.table(tables_at), tables_at)
    if lesson.columns is not None:
        if not side.has_room(len(lesson.columns)):
            return _Trained(Scales(m), lesson.n_keys)
        model = replace(model, columns=lesson.columns, columns_at=side.piece(lesson.columns))
    return _Trained(Scales(m, model), lesson.n_keys)


def _predictor(lesson: Prediction, tables_at: int, side: _Side) -> _Trained:
    w, columns = lesson.w, lesson.columns or b""
    if not side.has_room(len(columns) + len(lesson.residuals) + len(lesson.triangles)):
        return _Trained(LinearPredictor(), lesson.n_keys)
    model = PredictorModel(lesson.geometry, side.table(tables_at), tables_at)
    if lesson.columns is not None:
        model = replace(model, columns=columns, columns_at=side.piece(columns))
    if w:
        n = triangle_bytes(w)
        frames = [lesson.triangles[at : at + n] for at in range(0, len(lesson.triangles), n)]
        places = side.shared(frames), side.piece(lesson.residuals)
        model = replace(model, predictor=Predictor(w, lesson.triangles, lesson.residuals, *places))
    return _Trained(LinearPredictor(model), lesson.n_keys)


def _find(plans: Iterable[Plan], kind: type[Stage]) -> Path | None:
    return next((path for plan in plans for path in _paths(plan, kind, ())), None)


def _paths(plan: Plan, kind: type[Stage], above: tuple[tuple[Stage, int], ...]) -> Iterator[Path]:
    for tree in (plan, *plan.alternatives):
        if isinstance(tree.stage, TRAINED) and isinstance(tree.stage, kind):
            yield Path(tree.stage, above)
        for i, child in enumerate(tree.children):
            yield from _paths(child, kind, (*above, (tree.stage, i)))


def _with(plan: Plan, stage: Scales | LinearPredictor) -> Plan:
    """The plan with every untrained stage of that kind replaced."""
    own = stage if plan.stage == replace(stage, model=None, first=0) else plan.stage
    children = tuple(_with(child, stage) for child in plan.children)
    return replace(plan, stage=own, children=children, alternatives=tuple(_with(a, stage) for a in plan.alternatives))
