"""A container of many batches, and ways to damage one."""

from __future__ import annotations

import io
from collections.abc import Callable

import samples

from pennyweight.pipeline.container.reader import ContainerReader
from pennyweight.pipeline.files import Reader

Change = Callable[[bytearray], object]

TENSORS = [(f"t{i}", "BF16", (1_000, 3), samples.bf16(3_000, i)) for i in range(6)]
TENSORS += [("none", "F32", (0,), b""), ("one", "U8", (), b"\7"), ("two", "I16", (2,), b"abcd")]
RAWS = {name: raw for name, _, _, raw in TENSORS}
DATA = samples.safetensors(*TENSORS)


def opened(container: bytes) -> ContainerReader:
    return ContainerReader(Reader(io.BytesIO(container)))


def damaged(container: bytes, *changes: Change) -> bytes:
    data = bytearray(container)
    for change in changes:
        change(data)
    return bytes(data)


def zeros(first: int, last: int) -> Change:
    return lambda data: data.__setitem__(slice(first, last), bytes(last - first))
