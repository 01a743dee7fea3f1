"""What a file's tensors say of themselves, learned from samples before any block is encoded: models for trained stages.

For each tensor of 4,096 keys or more that a plan would give to `scales`, `sampling.learn` says which geometry, which
column scales, and how often each symbol comes; where a plan has `linear_predictor`, `sharing.predict` says the same,
which predictor, and whether the tensor is to be turned. Of a tensor's two lessons the cheaper one counts. The counts of
all tensors make up to four sets of tables for each kind of symbols (`tables`). Whole numbers only, or a fixed order of
operations: every machine and every number of threads learns the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np

from pennyweight.pipeline.files import Reader
from pennyweight.pipeline.plan import Plan
from pennyweight.pipeline.policy import Plans
from pennyweight.pipeline.prediction import Prediction, price_of_bytes
from pennyweight.pipeline.progress import TwoPasses
from pennyweight.pipeline.sampling import Lesson, learn
from pennyweight.pipeline.sharing import predict
from pennyweight.pipeline.side_writer import SideWriter
from pennyweight.pipeline.sources import Segment, TensorRange
from pennyweight.pipeline.tables import ONE, choose_tables, costs, price, weighted
from pennyweight.pipeline.views import TRAINED, jobs_for
from pennyweight.stages.entropy.linear_predictor import LinearPredictor, Predictor, PredictorModel, triangle_bytes
from pennyweight.stages.entropy.scales import Scales, ScalesModel
from pennyweight.stages.protocol import Stage, Stream
from pennyweight.stages.split.transpose import Transpose
from pennyweight.types import DType

_SCALES_BITS, _PREDICTOR_BITS = 16_000, 50_000
"""What a set of tables takes in the file: less gain than that is not worth another."""

_MARGIN: Final = 2  # what a sample says of many small tensors was found to be twice what came of it

_SCALES_SHARE, _PREDICTOR_SHARE = 16, 8
"""A tensor's sample is one part in so many, within the bounds of `sampling`: fewer counts cost 0.01 to 0.05 points."""

Map = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]


_Taught = tuple[type[Scales | LinearPredictor], bool]
"""Which stage, and whether it is below a `transpose`."""


class _Trained(NamedTuple):
    """turn: rows of the tensor that become columns, 0 where it stays as it lies."""

    stage: Scales | LinearPredictor
    n_keys: int
    turn: int = 0


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
        untrained = replace(stage, model=None, first=0)
        return tuple(_with(plan, untrained, stage, trained.turn) for plan in plans)

    def predicts(self, segment: int) -> bool:
        """Whether weights of that segment are to be predicted."""
        trained = self._models.get(segment)
        return trained is not None and isinstance(trained.stage, LinearPredictor)

    @property
    def tried(self) -> Plans:
        """Those of each dtype, without the trees that can encode nothing as no tensor of it taught them anything."""
        learned: dict[DType | None, set[_Taught]] = {}
        for segment, trained in self._models.items():
            kind = self._segments[segment]
            assert isinstance(kind, TensorRange)
            learned.setdefault(kind.dtype, set()).add((type(trained.stage), trained.turn > 0))
        return {
            dtype: tuple(filter(None, (_of_use(plan, learned.get(dtype, set()), turned=False) for plan in plans)))
            for dtype, plans in self._plans.items()
        }


def train(
    src: Reader, segments: Sequence[Segment], plans: Plans, block_bytes: int, passes: TwoPasses, *, map: Map = map
) -> Training:
    """Learn from the tensors of a file. `map` may use threads; it gives results in order. InputError as reading does.

    Memory: a sample for each thread, of at most 2**21 keys and what its elements have besides, the lessons, and what
    sharing.predict says.
    """
    of_scales = jobs_for(segments, plans, Scales, _SCALES_SHARE, block_bytes)
    of_predictors = jobs_for(segments, plans, LinearPredictor, _PREDICTOR_SHARE, block_bytes)
    scales = dict[int, Lesson]()
    for job, taught in zip(of_scales, map(partial(learn, src), of_scales), strict=True):
        if taught is not None:
            scales[taught.segment] = taught
        passes.trained(job.told_bytes // 8)
    predictions = {lesson.segment: lesson for lesson in predict(src, of_predictors, passes, map)}
    predictions = _better(predictions, scales)
    scales = {segment: lesson for segment, lesson in scales.items() if segment not in predictions}
    side = SideWriter()
    models: dict[int, _Trained] = {}
    by_bits: dict[int, list[Lesson]] = {}
    for lesson in scales.values():
        by_bits.setdefault(lesson.mantissa_bits, []).append(lesson)
    for m, lessons in sorted(by_bits.items()):
        for lesson, tables in zip(lessons, _tables(lessons, _SCALES_BITS, side), strict=True):
            models[lesson.segment] = _scales(lesson, m, tables, side)
    ordered = list(predictions.values())
    for prediction, tables in zip(ordered, _tables(ordered, _PREDICTOR_BITS, side), strict=True):
        models[prediction.segment] = _predictor(prediction, tables, side)
    return Training(tuple(side.frames()), segments, plans, models)


def _better(predictions: dict[int, Prediction], scales: dict[int, Lesson]) -> dict[int, Prediction]:
    """Those that save something against the tensor's other lesson, if all together save what their tables take.

    Beside `scales` the signs are left to other stages, and all but 3 bits of the mantissa; beside `linear_predictor`
    all but 2, which nothing makes shorter.
    """
    with_scales = _costs(list(scales.values()), _SCALES_BITS)
    gains = {}
    for segment, cost in _costs(list(predictions.values()), _PREDICTOR_BITS).items():
        one = predictions[segment]
        without = one.without.cost * one.n_keys // one.n_counted
        if segment in with_scales:
            without = min(
                without, with_scales[segment] + one.without.signs * one.n_keys // one.n_counted - ONE * one.n_keys
            )
        gains[segment] = without - cost
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


class _Tables(NamedTuple):
    """The side frame of a set of tables."""

    data: bytes
    number: int


def _tables(lessons: Sequence[Lesson | Prediction], set_bits: int, side: SideWriter) -> list[_Tables]:
    """The best tables for each; there are few of them."""
    if not lessons:
        return []
    tables, chosen = choose_tables(np.stack([weighted(each.counts, each.n_keys) for each in lessons]), set_bits)
    frames = [table.astype("<u2").tobytes() for table in tables]
    made = [_Tables(frame, side.frame(frame)) for frame in frames]
    return [made[i] for i in chosen]


def _scales(lesson: Lesson, m: int, tables: _Tables, side: SideWriter) -> _Trained:
    model = ScalesModel(lesson.geometry, tables.data, tables.number)
    if lesson.columns is not None:
        if not side.has_room(len(lesson.columns)):
            return _Trained(Scales(m), lesson.n_keys)
        model = replace(model, columns=lesson.columns, columns_at=side.piece(lesson.columns, len(lesson.columns)))
    return _Trained(Scales(m, model), lesson.n_keys)


def _predictor(lesson: Prediction, tables: _Tables, side: SideWriter) -> _Trained:
    w, columns = lesson.w, lesson.columns or b""
    if not side.has_room(len(columns) + len(lesson.residuals) + len(lesson.triangles)):
        return _Trained(LinearPredictor(), lesson.n_keys)
    model = PredictorModel(lesson.geometry, tables.data, tables.number)
    if lesson.columns is not None:
        model = replace(model, columns=columns, columns_at=side.piece(columns, len(columns)))
    if w:
        n = triangle_bytes(w)
        frames = [lesson.triangles[at : at + n] for at in range(0, len(lesson.triangles), n)]
        places = side.shared(frames), side.piece(lesson.residuals, w)
        model = replace(model, predictor=Predictor(w, lesson.triangles, lesson.residuals, *places))
    return _Trained(LinearPredictor(model), lesson.n_keys, lesson.turn)


def _of_use(plan: Plan, learned: set[_Taught], *, turned: bool) -> Plan | None:
    """The plan and its alternatives without those that cannot encode; None if none is left."""
    trees = []
    for tree in (plan, *plan.alternatives):
        if isinstance(tree.stage, TRAINED) and (type(tree.stage), turned) not in learned:
            continue
        below = turned or isinstance(tree.stage, Transpose)
        children = [_of_use(child, learned, turned=below) for child in tree.children]
        kept = tuple(child for child in children if child is not None)
        if len(kept) == len(children):
            trees.append(replace(tree, children=kept, alternatives=()))
    return replace(trees[0], alternatives=tuple(trees[1:])) if trees else None


def _with(plan: Plan, untrained: Stage, stage: Stage, turn: int) -> Plan:
    """The plan with every untrained stage replaced: with turn, below a `transpose`, else elsewhere."""
    own, children = plan.stage, plan.children
    if not isinstance(own, Transpose):
        own = stage if not turn and own == untrained else own
        children = tuple(_with(child, untrained, stage, turn) for child in children)
    elif turn:
        own, children = replace(own, rows=turn), tuple(_with(child, untrained, stage, 0) for child in children)
    alternatives = tuple(_with(tree, untrained, stage, turn) for tree in plan.alternatives)
    return Plan(own, children, plan.params, alternatives)
