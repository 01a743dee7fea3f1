"""Runs plans over blocks: the native fast path where there is one, the staged path (frame.py) everywhere else.

A fast path skips work and is never another algorithm. native.encode_float_blocks writes the frames of
`floatfields[bits=4|5](exponent: rans)`, whose other streams may be packed or are tried with `rans` first, for several
blocks at once, and 0 where the staged path would have had to decide anything: a stage declined, a node is not smaller
than a `store` node of its stream, the frame is not smaller than its block, or a stream is not the noise that `rans`
declines. Such blocks start again at their first plan.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Sequence
from itertools import accumulate, groupby
from typing import Final, NamedTuple

import numpy as np

from pennyweight import native
from pennyweight.errors import CorruptError, PennyweightError
from pennyweight.pipeline.frame import STORE_OVERHEAD, Node, encode_frame, node_of_frames, read_frame, store_frame
from pennyweight.pipeline.grouping import Member, one_part, sort
from pennyweight.pipeline.plan import STORE, Plan
from pennyweight.stages.constant import Constant
from pennyweight.stages.entropy.rans import Rans
from pennyweight.stages.protocol import Side, Stage, Stream
from pennyweight.stages.split.bitpack import BitPack
from pennyweight.stages.split.floatfields import FloatFields
from pennyweight.stages.split.group import GroupDecoder
from pennyweight.stages.split.palette import Palette
from pennyweight.stages.store import Store

QUICK: Final = (Constant, Palette)
"""Stages that say within a microsecond or two whether they apply to a block: tried before its fast path."""

_BESIDE: Final[dict[tuple[type[Stage], ...], int]] = {(Store,): 0, (BitPack,): 1, (Rans,): 2, (Rans, BitPack): 3}
"""Plans of a stream beside the exponents that the fast path knows, by stages in order; numbers of native._core.pyi."""


class BlockError(CorruptError):
    """A frame that does not decode. block: its number among those of the call, from 0."""

    def __init__(self, block: int, reason: str) -> None:
        self.block = block
        super().__init__(f"block {block}: {reason}")


class _Scratch(threading.local):
    """Memory of this thread for decoding what was just encoded. Grows to the largest task, and is used again."""

    def __init__(self) -> None:
        self._memory: Stream = np.empty(0, np.uint8)

    def take(self, n_bytes: int) -> Stream:
        if self._memory.size < n_bytes:
            self._memory = np.empty(n_bytes, np.uint8)
        return self._memory[:n_bytes]


_scratch = _Scratch()


def encode_blocks(data: Stream, contents: Sequence[Sequence[Member]], out: Stream, side: Side = ()) -> list[int]:
    """Encode blocks that lie back to back in data into frames that lie back to back in out.

    Every frame is decoded again and compared with its block.

    Args:
        data: the bytes of all blocks; not modified.
        contents: what each block holds, at least one member; at most 3/2 of the format's largest block.
        out: at least max_frames_bytes() of the blocks' sizes.
        side: the side frames of the file, decoded.

    Returns:
        Bytes of each frame.

    Raises:
        PennyweightError: a frame did not decode to its block: a fault of this package, never of the data.
    """
    sizes = [sum(member.n_bytes for member in members) for members in contents]
    if sum(sizes) != data.size or out.size < max_frames_bytes(sizes):
        raise ValueError("contents and out do not fit data")
    lengths = _encode(data, sizes, contents, out)
    _verify(out[: sum(lengths)], lengths, sizes, data, side)
    return lengths


def max_frames_bytes(sizes: Sequence[int]) -> int:
    """Bytes that the frames of blocks of these sizes can take at most: all of them stored."""
    return sum(sizes) + STORE_OVERHEAD * len(sizes)


def _encode(data: Stream, sizes: Sequence[int], contents: Sequence[Sequence[Member]], out: Stream) -> list[int]:
    """As encode_blocks, without its checks."""
    starts = list(accumulate(sizes, initial=0))
    blocks = [data[start : start + size] for start, size in zip(starts, sizes, strict=False)]
    paths = [
        _fast_path(members[0].plans, block) if one_part(members) else None
        for members, block in zip(contents, blocks, strict=True)
    ]
    lengths: list[int] = []
    at = 0
    for path, run in groupby(range(len(blocks)), key=paths.__getitem__):
        first, *rest = run
        last = rest[-1] + 1 if rest else first + 1
        fast: list[int] = []
        if path is not None:
            fast = native.encode_float_blocks(
                data[starts[first] : starts[last]],
                sizes[first:last],
                path.stage.format.id,
                path.stage.bits,
                path.sign_mantissa,
                path.low,
                out[at:],
            )
        if not all(fast) or not fast:
            fast = _encode_staged(contents[first:last], blocks[first:last], fast or [0] * (last - first), out[at:])
        lengths += fast
        at += sum(fast)
    return lengths


def _encode_staged(
    contents: Sequence[Sequence[Member]], blocks: Sequence[Stream], fast: Sequence[int], out: Stream
) -> list[int]:
    """Put the missing frames among those of the fast path, which lie back to back in out; 0 in fast says missing."""
    made = np.split(out[: sum(fast)].copy(), list(accumulate(fast))[:-1])
    frames = [
        frame if length else _encode_block(members, block)
        for members, block, length, frame in zip(contents, blocks, fast, made, strict=True)
    ]
    np.concatenate(frames, out=out[: sum(frame.size for frame in frames)])
    return [frame.size for frame in frames]


def _encode_block(members: Sequence[Member], block: Stream) -> Stream:
    if one_part(members):
        return encode_frame(members[0].plans, block)
    group, parts = sort(members)
    encoded = group.encode(block)
    assert encoded is not None
    sizes = [part.n_bytes for part in parts]
    out = np.empty(max_frames_bytes(sizes), np.uint8)
    lengths = _encode(np.concatenate(encoded.parts), sizes, [(part,) for part in parts], out)
    frame = node_of_frames(group, encoded.header, _cut(out[: sum(lengths)], lengths))
    return frame if frame.size < block.size else store_frame(block)


def _cut(joined: Stream, sizes: Sequence[int]) -> list[Stream]:
    """Views of what lies back to back."""
    ends = list(accumulate(sizes))
    return [joined[end - size : end] for end, size in zip(ends, sizes, strict=True)]


class _Fused(NamedTuple):
    """A plan that has a fast path: its stage, and how its other streams are planned (see native._core.pyi)."""

    stage: FloatFields
    sign_mantissa: int
    low: int


def _fast_path(plans: Sequence[Plan], block: Stream) -> _Fused | None:
    """The fast path if that is of the first plan that could win this block."""
    for plan in plans:
        if plan.alternatives or not isinstance(plan.stage, QUICK):
            fused = _fused(plan)
            return fused if fused and fused.stage.accepts(block.size) else None
        if plan.stage.encode(block) is not None:
            return None
    return None


@functools.lru_cache(maxsize=64)  # trained plans differ from block to block
def _fused(plan: Plan) -> _Fused | None:
    """None for a plan without a fast path."""
    if plan.alternatives or not isinstance(plan.stage, FloatFields):
        return None
    children = dict(zip(plan.stage.outputs, plan.children, strict=True))
    exponent, low = children["exponent"], children.get("low", STORE)
    if not isinstance(exponent.stage, Rans) or exponent.alternatives or children["patches"] != STORE:
        return None
    ways = [_BESIDE.get(tuple(type(p.stage) for p in (c, *c.alternatives))) for c in (children["sign_mantissa"], low)]
    leaves = (exponent, *(p for c in (children["sign_mantissa"], low) for p in (c, *c.alternatives)))
    if None in ways or any(child != STORE for leaf in leaves for child in leaf.children):
        return None
    return _Fused(plan.stage, *(way for way in ways if way is not None))


def _verify(frames: Stream, lengths: Sequence[int], sizes: Sequence[int], data: Stream, side: Side) -> None:
    out = _scratch.take(data.size)
    try:
        decode_blocks(frames, lengths, sizes, out, side)
    except CorruptError as error:
        raise PennyweightError(f"encoder fault: {error.reason}") from error
    if not native.equal(out, data):
        raise PennyweightError("encoder fault: a frame does not decode to its block")


def decode_blocks(
    src: Stream, frames: Sequence[int], sizes: Sequence[int], out: Stream, side: Side = (), *, stream: bool = False
) -> None:
    """Decode frames that lie back to back in src into blocks that lie back to back in out.

    Args:
        src: sum(frames) bytes.
        frames: bytes of each frame.
        sizes: bytes of each block.
        out: sum(sizes) bytes, filled; undefined after an error.
        side: the side frames of the file, decoded.
        stream: write around the cache: for an out that is larger than it and not read soon.

    Raises:
        BlockError: the first frame that breaks a rule of the format; it is a CorruptError.
        VersionError: a frame holds a stage that this package does not know.
    """
    if sum(frames) != src.size or sum(sizes) != out.size:
        raise ValueError("frames and sizes do not describe src and out")
    decoded = native.decode_blocks(src, frames, sizes, out, stream)
    if all(decoded):
        return
    at = start = 0
    for block, (done, length, size) in enumerate(zip(decoded, frames, sizes, strict=True)):
        if not done:  # no fast path, or corrupt: the staged path says what is wrong
            try:
                _decode_staged(read_frame(src[at : at + length], size, side), out[start : start + size])
            except CorruptError as error:
                raise BlockError(block, error.reason) from None
        at, start = at + length, start + size


def _decode_staged(node: Node, out: Stream) -> None:
    """The parts of a `group` take the fast path where there is one, as if each were the frame of a block."""
    if not isinstance(node.decoder, GroupDecoder):
        node.decode(out)
        return
    lengths, sizes = [part.frame.size for part in node.parts], [part.n_bytes for part in node.parts]
    joined = np.empty(node.n_bytes, np.uint8)
    decoded = native.decode_blocks(np.concatenate([part.frame for part in node.parts]), lengths, sizes, joined, False)
    streams = _cut(joined, sizes)
    for done, part, stream in zip(decoded, node.parts, streams, strict=True):
        if not done:
            part.decode(stream)
    node.decoder.decode(tuple(streams), out)
