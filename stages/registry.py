"""Every stage there is: one literal table. A file never makes this package import anything."""

from __future__ import annotations

from pennyweight.stages.constant import Constant
from pennyweight.stages.entropy.huffman import Huffman
from pennyweight.stages.entropy.linear_predictor import LinearPredictor
from pennyweight.stages.entropy.piecewise import Piecewise
from pennyweight.stages.entropy.rans import Rans
from pennyweight.stages.entropy.scales import Scales
from pennyweight.stages.entropy.zstd import Zstd
from pennyweight.stages.protocol import Stage
from pennyweight.stages.split.bitpack import BitPack
from pennyweight.stages.split.byteplane import BytePlane
from pennyweight.stages.split.floatfields import FloatFields
from pennyweight.stages.split.ggml import Ggml
from pennyweight.stages.split.group import Group
from pennyweight.stages.split.palette import Palette
from pennyweight.stages.split.transpose import Transpose
from pennyweight.stages.store import Store


def table(*rows: tuple[int, type[Stage]]) -> dict[int, type[Stage]]:
    """Rows by id. ValueError where an id or a name stands twice, or a row's id is not its stage's."""
    stages = dict(rows)
    names = {stage.name for stage in stages.values()}
    if len(stages) < len(rows) or len(names) < len(rows) or any(id != stage.id for id, stage in rows):
        raise ValueError("an id or name of a stage is used twice, or does not match")
    return stages


STAGES = table(
    (0, Store),
    (1, Constant),
    (2, BytePlane),
    (3, FloatFields),
    (4, Rans),
    (5, Huffman),
    (6, Zstd),
    (7, BitPack),
    (8, Palette),
    (9, Group),
    (10, Scales),
    (11, LinearPredictor),
    (12, Transpose),
    (13, Ggml),
    (14, Piecewise),
)
BY_NAME = {stage.name: stage for stage in STAGES.values()}
