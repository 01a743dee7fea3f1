"""What a container says of itself, without decoding anything."""

from __future__ import annotations

from collections import Counter

import numpy as np

from pennyweight.pipeline.container.index import TensorRecord
from pennyweight.pipeline.container.layout import VERSION
from pennyweight.pipeline.container.reader import ContainerReader
from pennyweight.pipeline.files import Reader, naming
from pennyweight.pipeline.frame import read_frame
from pennyweight.pipeline.report import ContainerInfo, TensorInfo, ratio


def inspect_file(src: Reader, *, plans: bool = False) -> ContainerInfo:
    """Header and index; with `plans`, also which nest of stages each frame is, for which all frames are read.

    Raises:
        CorruptError: the container breaks a rule of the format.
        VersionError: it needs a newer version.
        InputError: it cannot be read.
    """
    with naming(src.name):
        container = ContainerReader(src)
        index, firsts = container.index, container.blocks.firsts
        stored: list[int] = np.diff(container.offsets[firsts]).tolist()
        tensors: list[TensorInfo] = []
        gap_bytes = gap_stored = 0
        gap_plans: Counter[str] = Counter()
        for i, segment in enumerate(container.segments):
            used = _plans(container, int(firsts[i]), int(firsts[i + 1])) if plans else None
            if isinstance(segment, TensorRecord):
                counted = None if used is None else dict(used)
                tensors.append(TensorInfo(**segment.model_dump(), stored_bytes=stored[i], plans=counted))
            else:
                gap_bytes += segment.n_bytes
                gap_stored += stored[i]
                gap_plans.update(used or {})
        return ContainerInfo(
            file=src.name,
            format=".".join(map(str, VERSION)),
            encoder=index.encoder,
            preset=index.preset,
            fidelity=index.fidelity,
            source=index.source,
            n_bytes=index.n_bytes,
            stored_bytes=src.size,
            ratio=ratio(src.size, index.n_bytes),
            index_bytes=container.index_bytes,
            block_bytes=index.block_bytes,
            n_blocks=len(container.blocks),
            sha256=index.sha256,
            plans=index.plans,
            gap_bytes=gap_bytes,
            gap_stored_bytes=gap_stored,
            gap_plans=dict(gap_plans) if plans else None,
            tensors=tuple(tensors),
        )


def _plans(container: ContainerReader, first: int, last: int) -> Counter[str]:
    """How many of those frames are which nest of stages."""
    used: Counter[str] = Counter()
    for block in range(first, last):
        frame = np.empty(container.n_frame_bytes(block, block + 1), dtype=np.uint8)
        container.read_frames(block, block + 1, frame.data)
        used[str(read_frame(frame, int(container.blocks.sizes[block])))] += 1
    return used
