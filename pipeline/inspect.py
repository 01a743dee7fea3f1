"""What a container says of itself, without decoding anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict

import numpy as np

from pennyweight.pipeline.container.index import TensorRecord
from pennyweight.pipeline.container.layout import VERSION
from pennyweight.pipeline.container.reader import ContainerReader
from pennyweight.pipeline.files import Reader, naming
from pennyweight.pipeline.frame import Node, read_frame
from pennyweight.pipeline.gains import Gain, gain_of
from pennyweight.pipeline.report import ContainerInfo, TensorInfo, ratio
from pennyweight.stages.split.group import GroupDecoder


def inspect_file(src: Reader, *, plans: bool = False, gains: bool = False) -> ContainerInfo:
    """Header and index.

    With `plans`, also which nest of stages each frame is, for which all frames are read; with `gains` also what trained
    stages gained of each tensor, for which these are decoded.

    Raises:
        CorruptError: the container breaks a rule of the format.
        VersionError: it needs a newer version.
        InputError: it cannot be read.
    """
    with naming(src.name):
        container = ContainerReader(src)
        index, nests = container.index, _Nests(container)
        stored = _stored_bytes(container)
        tensors: list[TensorInfo] = []
        gap_bytes = gap_stored = 0
        gap_plans: Counter[str] = Counter()
        for i, segment in enumerate(container.segments):
            used, gain = Counter[str](), Gain()
            for name, node in nests.of(i) if plans or gains else ():
                used[name] += 1
                gain += gain_of(node) if gains else Gain()
            if isinstance(segment, TensorRecord):
                counted = dict(used) if plans else None
                gained = gain.bits / gain.n_keys if gain.n_keys else None
                tensors.append(TensorInfo(**asdict(segment), stored_bytes=stored[i], plans=counted, gained_bits=gained))
            else:
                gap_bytes += segment.n_bytes
                gap_stored += stored[i]
                gap_plans.update(used)
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
            side_bytes=container.side_bytes,
            salvage_bytes=container.salvage_bytes,
            block_bytes=index.block_bytes,
            n_blocks=len(container.blocks),
            sha256=index.sha256,
            plans=index.plans,
            gap_bytes=gap_bytes,
            gap_stored_bytes=gap_stored,
            gap_plans=dict(gap_plans) if plans else None,
            tensors=tuple(tensors),
        )


def _stored_bytes(container: ContainerReader) -> list[int]:
    """Stored bytes of each segment. Of the frame of a block of several, each has its share by its raw bytes."""
    blocks = container.blocks
    if not len(blocks):
        return [0] * len(container.segments)
    block = np.minimum(np.searchsorted(blocks.offsets, blocks.starts, side="right"), len(blocks)) - 1
    inside = blocks.starts - blocks.offsets[block]
    lengths = container.frames.ends - container.frames.begins
    before = np.cumsum(lengths) - lengths
    ends = before[block] + inside * lengths[block] // blocks.sizes[block]
    stored: list[int] = np.diff(ends).tolist()
    return stored


class _Nests:
    """Which nests of stages the frames are. Reads every frame once where segments are asked for in order."""

    def __init__(self, container: ContainerReader) -> None:
        self._container = container
        self._last: tuple[int, Node] | None = None

    def of(self, segment: int) -> Iterator[tuple[str, Node]]:
        """The segment's frames, each with its name; of the frame of a block of several, the part it is in."""
        blocks = self._container.blocks
        for block in range(*blocks.holding(segment)):
            node = self._node(block)
            begin = int(blocks.starts[segment] - blocks.offsets[block])
            if isinstance(node.decoder, GroupDecoder) and len(blocks.segments_in(block)) > 1:
                part = node.parts[node.decoder.part_at(begin)]
                yield f"group: {part}", part
            else:
                yield str(node), node

    def _node(self, block: int) -> Node:
        if self._last is None or self._last[0] != block:
            frame = np.empty(sum(self._container.frame_lengths(block, block + 1)), dtype=np.uint8)
            self._container.read_frames(block, block + 1, frame.data)
            self._last = block, read_frame(frame, int(self._container.blocks.sizes[block]), self._container.side)
        return self._last[1]
