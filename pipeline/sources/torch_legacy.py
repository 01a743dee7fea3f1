"""torch legacy (.pth of before 1.6): five pickles, and behind them each storage: i64 number of elements, and bytes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from pennyweight.pipeline.files import Reader
from pennyweight.pipeline.sources.glimpse import Glimpse
from pennyweight.pipeline.sources.pickle_machine import Lie, Pairs
from pennyweight.pipeline.sources.pickles import MAX_PICKLE_BYTES, read_pickle
from pennyweight.pipeline.sources.segments import SourceMap, TensorRange, cover
from pennyweight.pipeline.sources.torch_storages import read_storages
from pennyweight.pipeline.sources.torch_tensors import distinct, tensors_of

_MAGIC: Final = 0x1950A86A20F9469CFC6C
_MAGIC_WITHIN: Final = 32
_PROTOCOL: Final = 1001
_FIRST_READ: Final = 1 << 20


def read(file: Reader) -> SourceMap | None:
    """None if it is not such a file, is big-endian, or ends before its storages do."""
    head = file.pread(0, min(file.size, _MAGIC_WITHIN))
    if _MAGIC.to_bytes(10, "little") not in head:
        return None
    # Only reading a pickle tells how long it is. Most are short
    for n in (_FIRST_READ, MAX_PICKLE_BYTES):
        try:
            tensors = list(distinct(_tensors(file, file.pread(0, min(n, file.size)))))
        except Lie:
            continue
        return cover("torch-legacy", file.size, tensors) if tensors else None
    return None


def _tensors(file: Reader, data: bytes) -> Iterator[tuple[int, TensorRange]]:
    """data: the beginning of the file, with all of its pickles."""
    at, pickles = 0, []
    for _ in range(5):
        value, at = read_pickle(data, at)
        pickles.append(value)
    magic, protocol, machine, root, keys = pickles
    if (magic, protocol) != (_MAGIC, _PROTOCOL) or not is_little_endian(machine) or type(keys) is not list:
        raise Lie("of another kind")
    storages = read_storages(root)
    glimpse = Glimpse(file)
    for key in keys:
        storage = storages.pop(key, None) if isinstance(key, str) else None
        if storage is None or glimpse.read(at, 8) != storage.n_elements.to_bytes(8, "little"):
            raise Lie("a storage that the pickle does not name, or a second time, or of another size")
        at += 8
        for offset, tensor in tensors_of(key, storage):
            yield at + offset, tensor
        at += storage.n_bytes


def is_little_endian(machine: Any) -> bool:
    """Whether the machine that wrote it says so."""
    return type(machine) is Pairs and any(
        key == "little_endian" and value is True for key, value in zip(machine[::2], machine[1::2], strict=False)
    )
