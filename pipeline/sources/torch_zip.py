"""torch zip (.pt .pth .bin .ckpt, TorchScript): pickles, and for each storage a stored member of its bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from pennyweight.pipeline.files import Reader
from pennyweight.pipeline.sources.pickle_machine import Lie
from pennyweight.pipeline.sources.pickles import MAX_PICKLE_BYTES, read_pickle
from pennyweight.pipeline.sources.segments import SourceMap, TensorRange, cover
from pennyweight.pipeline.sources.torch_storages import read_storages
from pennyweight.pipeline.sources.torch_tensors import distinct, tensors_of
from pennyweight.pipeline.sources.zip_members import Extent, stored_members

_PICKLES: Final = {"data": "", "constants": "constants."}
"""Their names, and what goes before the names of their tensors. The members of `data.pkl` are in the folder `data`."""

_ROOT: Final = b"/data.pkl"


def read(file: Reader) -> SourceMap | None:
    """None if it is not such a file, or says nothing that can be made use of: big-endian, or with a deflated pickle."""
    members = stored_members(file, holding=_ROOT)
    tensors = tensors_of_archive(file, members) if members else []
    return cover("torch-zip", file.size, distinct(tensors)) if tensors else None


def tensors_of_archive(file: Reader, members: Mapping[str, Extent]) -> list[tuple[int, TensorRange]]:
    """Those that its pickles name, each with its offset in the file; none where one of them is no pickle."""
    pickles = (name for name in members if name.count("/") == 1 and name.endswith(_ROOT.decode()))
    folder = next(pickles, "").removesuffix("data.pkl")
    if not folder or not _is_little_endian(file, members.get(folder + "byteorder")):
        return []
    try:
        return [pair for name, prefix in _PICKLES.items() for pair in _tensors(file, members, folder + name, prefix)]
    except Lie:
        return []


def _is_little_endian(file: Reader, member: Extent | None) -> bool:
    """Files of before torch 2.1 do not say; they are, but for a few."""
    return member is None or (member.n_bytes <= 16 and file.pread(*member) == b"little")


def _tensors(file: Reader, members: Mapping[str, Extent], path: str, prefix: str) -> Iterator[tuple[int, TensorRange]]:
    pickle = members.get(path + ".pkl")
    if pickle is None or pickle.n_bytes > MAX_PICKLE_BYTES:
        return
    root, _ = read_pickle(file.pread(*pickle))
    for key, storage in read_storages(root).items():
        member = members.get(f"{path}/{key}")
        if member and member.n_bytes == storage.n_bytes:
            for offset, tensor in tensors_of(key, storage):
                yield member.offset + offset, tensor._replace(name=prefix + tensor.name) if prefix else tensor
