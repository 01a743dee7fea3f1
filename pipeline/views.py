"""How a tensor may be seen as rows, for stages that are trained: as it lies in the file, or turned.

A tensor that is whole in a block can be turned, where a plan has `transpose`: its first axis, or all but the last where
those are short, become the rows. Kernels of a depthwise convolution of TFLite, [1, h, w, C], are rows then, and so are
the columns of a matrix that writes to a stream which other matrices read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from math import prod
from typing import Final

from pennyweight.pipeline.blocks import block_sizes
from pennyweight.pipeline.grouping import OWN_PART_BYTES
from pennyweight.pipeline.plan import Plan
from pennyweight.pipeline.policy import Plans
from pennyweight.pipeline.sampling import Job, Path
from pennyweight.pipeline.sources import Segment, TensorRange
from pennyweight.stages.entropy.linear_predictor import MAX_ROW, LinearPredictor
from pennyweight.stages.entropy.scales import Scales
from pennyweight.stages.protocol import Stage
from pennyweight.stages.split.transpose import Transpose

TRAINED: Final = (Scales, LinearPredictor)

MAX_TENSORS: Final = 2**14
"""The counts of each are held until the tables are made: 8 KiB, or 96 with `linear_predictor`."""

_SHORT: Final = 64
_MIN_TURNED: Final = 3


def jobs_for(segments: Sequence[Segment], plans: Plans, kind: type[Stage], share: int, block_bytes: int) -> list[Job]:
    """A job for each tensor whose plans have such a stage, and one more where it may be turned."""
    paths = {dtype: (_find(row, kind, turned=False), _find(row, kind, turned=True)) for dtype, row in plans.items()}
    starts = accumulate((segment.n_bytes for segment in segments), initial=0)
    jobs: list[Job] = []
    tensors = 0
    for number, (segment, start) in enumerate(zip(segments, starts, strict=False)):
        if not isinstance(segment, TensorRange) or segment.n_bytes < OWN_PART_BYTES or tensors == MAX_TENSORS:
            continue
        plain, turned = paths[segment.dtype]
        tensors += plain is not None
        if plain is not None:
            jobs.append(Job(number, start, segment, plain, share))
        if turned is not None and (rows := _rows_to_turn(segment, block_bytes)):
            jobs.append(Job(number, start, segment, turned, share, rows))
    return jobs


def _rows_to_turn(tensor: TensorRange, block_bytes: int) -> int:
    """Rows that become columns; 0 for a tensor that is cut, or has nothing to turn."""
    shape = [dim for dim in tensor.shape if dim > 1]
    if len(shape) < 2 or len(block_sizes(tensor.n_bytes, block_bytes)) > 1:
        return 0
    leading = prod(shape[:-1])
    rows = leading if leading <= _SHORT else shape[0]
    return rows if _MIN_TURNED <= rows <= MAX_ROW else 0


def _find(plans: Iterable[Plan], kind: type[Stage], *, turned: bool) -> Path | None:
    return next((path for plan in plans for path in _paths(plan, kind, (), not turned)), None)


def _paths(plan: Plan, kind: type[Stage], above: tuple[tuple[Stage, int], ...], here: bool) -> Iterator[Path]:
    """Those below a `transpose`, which is not among the stages of the path, or those that are not."""
    for tree in (plan, *plan.alternatives):
        if isinstance(tree.stage, Transpose):
            yield from _paths(tree.children[0], kind, (), not here)
            continue
        if here and isinstance(tree.stage, TRAINED) and isinstance(tree.stage, kind):
            yield Path(tree.stage, above)
        for i, child in enumerate(tree.children):
            yield from _paths(child, kind, (*above, (tree.stage, i)), here)
