from __future__ import annotations

import pytest

from pennyweight.stages.constant import Constant
from pennyweight.stages.registry import BY_NAME, STAGES, table
from pennyweight.stages.store import Store
from pennyweight.types import Fidelity


def test_ids_and_names_are_those_of_the_format() -> None:
    names = [
        "store",
        "constant",
        "byteplane",
        "floatfields",
        "rans",
        "huffman",
        "zstd",
        "bitpack",
        "palette",
        "group",
        "scales",
        "linear_predictor",
        "transpose",
    ]
    numbered = dict(enumerate(names)) | {13: "ggml", 14: "piecewise"}
    assert {id: stage.name for id, stage in STAGES.items()} == numbered
    assert list(BY_NAME) == list(numbered.values())
    assert {stage.since for stage in STAGES.values()} == {(1, 0)}
    assert {stage.fidelity for stage in STAGES.values()} == {Fidelity.LOSSLESS}


@pytest.mark.parametrize("rows", [[(0, Store), (0, Store)], [(0, Store), (0, Constant)], [(1, Store)]])
def test_a_duplicate_or_a_wrong_id_is_refused(rows: list[tuple[int, type[Store]]]) -> None:
    with pytest.raises(ValueError, match="twice"):
        table(*rows)
