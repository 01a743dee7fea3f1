"""torch.distributed.checkpoint (.distcp): one torch zip after another, each of one tensor or of other state.

Their names are in `.metadata` beside the file, a pickle; only what a file says of itself is read, so a tensor's name is
the number of its archive.
"""

from __future__ import annotations

from typing import Final

from pennyweight.pipeline.container import limits
from pennyweight.pipeline.files import Reader
from pennyweight.pipeline.sources.segments import SourceMap, TensorRange, cover
from pennyweight.pipeline.sources.torch_tensors import distinct
from pennyweight.pipeline.sources.torch_zip import tensors_of_archive
from pennyweight.pipeline.sources.zip_members import last_archive, stored_members

MAX_ARCHIVES: Final = 100_000


def read(file: Reader) -> SourceMap | None:
    """None if it does not end with two archives. What stands before the first that is one is a gap."""
    ends = [file.size]
    while ends[-1] and len(ends) <= MAX_ARCHIVES:
        begin = last_archive(file, ends[-1])
        if begin is None:
            break
        ends.append(begin)
    if len(ends) < 3:
        return None
    tensors: list[tuple[int, TensorRange]] = []
    n_names = 0
    for number, (begin, end) in enumerate(zip(ends[:0:-1], ends[-2::-1], strict=True)):
        members = stored_members(file, begin, end)
        for offset, tensor in tensors_of_archive(file, members) if members else ():
            name = f"{number}.{tensor.name}" if tensor.name else f"{number}"
            tensors.append((offset, tensor._replace(name=name)))
            n_names += len(name)
        if n_names > limits.MAX_INDEX_BYTES:
            return None
    return cover("torch-dcp", file.size, distinct(tensors)) if tensors else None
