"""What the models of a container gained: the stages that were trained, against their keys at order 0."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pennyweight.pipeline.frame import Node
from pennyweight.pipeline.tables import ONE, price
from pennyweight.stages.entropy.linear_predictor import LinearPredictor
from pennyweight.stages.entropy.scales import Scales

_TRAINED = (Scales.name, LinearPredictor.name)


class Gain(NamedTuple):
    """Of so many keys, bits that they would take more if each were coded by how often its like comes in its block."""

    n_keys: int = 0
    bits: float = 0.0

    def __add__(self, other: object) -> Gain:
        assert isinstance(other, Gain)
        return Gain(self.n_keys + other.n_keys, self.bits + other.bits)


def gain_of(node: Node) -> Gain:
    """Of all trained stages in a node, which are decoded. CorruptError where they do not decode.

    What they need of side frames is not counted, nor is a table of the other coder's.
    """
    if node.name in _TRAINED:
        keys = np.empty(node.n_bytes, np.uint8)
        node.decode(keys)
        at_order_0 = price(np.bincount(keys.view("<u2"))) / ONE
        return Gain(keys.size // 2, at_order_0 - 8 * node.frame.size)
    return sum(map(gain_of, node.parts), Gain())
