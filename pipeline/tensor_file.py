"""A safetensors file whose tensors may be written in any order, and piece by piece."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from pennyweight.pipeline.container.index import DescribedTensor
from pennyweight.types import DType

_METADATA: Final = "__metadata__"
_ALIGNMENT: Final = 8


class TensorFile:
    """Where everything goes.

    The library that writes such files wants all tensors in memory; the format is a length, JSON and bytes (safetensors,
    README, "Format"). What stores cells of several weights it does not know: such a tensor is U8, and its dtype and
    shape are in the metadata under "quantised". Larger elements stand before smaller ones, so that all are aligned.

    Attributes:
        head: the bytes before the first tensor.
        begins: where in the file each tensor begins, in the order given.
        names: what each is called: its own name, but for one that is called as the metadata are.
        n_bytes: of the whole file.
    """

    def __init__(self, tensors: Sequence[DescribedTensor]) -> None:
        self.names = _names([tensor.name for tensor in tensors])
        order = sorted(range(len(tensors)), key=lambda i: -DType[tensors[i].dtype].bits)
        header: dict[str, Any] = {}
        quantised: dict[str, Any] = {}
        offsets, at = [0] * len(tensors), 0
        for i in order:
            tensor, name = tensors[i], self.names[i]
            dtype, shape = tensor.dtype, tensor.shape
            if DType[dtype].weights > 1:
                quantised[name] = {"dtype": dtype, "shape": shape}
                dtype, shape = DType.U8.label, (tensor.n_bytes,)
            header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + tensor.n_bytes]}
            offsets[i], at = at, at + tensor.n_bytes
        if quantised:
            header[_METADATA] = {"quantised": json.dumps(quantised, ensure_ascii=False)}
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
        text += b" " * (-len(text) % _ALIGNMENT)
        self.head = len(text).to_bytes(8, "little") + text
        self.begins = [len(self.head) + offset for offset in offsets]
        self.n_bytes = len(self.head) + at


def _names(names: list[str]) -> list[str]:
    free = next(other for i in range(len(names) + 1) if (other := f"{_METADATA}.{i}") not in set(names))
    return [free if name == _METADATA else name for name in names]
