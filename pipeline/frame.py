"""Frames: nodes of stages on the wire, docs/format.md section 2. The staged path, which is the specification.

Of the alternatives of a plan the smallest node is taken, the first of equals; `rans` is not encoded for that, its price
is enough. A child whose stage declines, or whose node is not smaller than a `store` node of the same
stream (n + 2 bytes), is replaced in that frame: by `constant` where the stream is one byte repeated, else by `store`. A
child planned as `store` stays so. A native fast path must write the same bytes or decline the block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pennyweight.errors import CorruptError, VersionError
from pennyweight.pipeline.container.limits import max_node_bytes
from pennyweight.pipeline.plan import MAX_DEPTH, STORE, Plan
from pennyweight.stages.constant import Constant
from pennyweight.stages.entropy.rans import Rans
from pennyweight.stages.protocol import Decoder, Encoded, Side, Stage, Stream
from pennyweight.stages.registry import STAGES
from pennyweight.stages.store import Store
from pennyweight.stages.wire import read_varint, varint

STORE_OVERHEAD = 2
"""Bytes of a `store` node besides its stream: the id and an empty header's length."""

_ONE_BYTE = Plan(Constant(1))


class _Encoded(NamedTuple):
    """A node in pieces, so that streams are copied once, when the whole frame is joined."""

    size: int
    pieces: tuple[bytes | Stream, ...]


def encode_frame(plans: Iterable[Plan], block: Stream) -> Stream:
    """The frame of the first plan whose frame is smaller than the block, else of `store`."""
    return _join(_encode_first(plans, block))


def node_of_frames(stage: Stage, header: bytes, parts: Sequence[Stream]) -> Stream:
    """The frame of a stage whose parts are frames already, as each is a node."""
    return _join(_assemble(stage, header, [_Encoded(frame.size, (frame,)) for frame in parts]))


def store_frame(block: Stream) -> Stream:
    return _join(_encode_first((), block))


def _join(node: _Encoded) -> Stream:
    return np.frombuffer(b"".join(piece if isinstance(piece, bytes) else piece.data for piece in node.pieces), np.uint8)


def _encode_first(plans: Iterable[Plan], src: Stream) -> _Encoded:
    for plan in plans:
        node = _encode(plan, src)
        if node is not None and node.size < src.size:
            return node
    stored = _encode(STORE, src)
    assert stored is not None
    return stored


def _encode(plan: Plan, src: Stream) -> _Encoded | None:
    """The node of the plan, or of the cheapest of its alternatives; None if all decline."""
    if not plan.alternatives:
        return _encode_tree(plan, src)
    weighed = _weigh(plan, src)
    return weighed.make() if weighed else None


def _encode_tree(plan: Plan, src: Stream) -> _Encoded | None:
    encoded = plan.stage.encode(src)
    if encoded is None:
        return None
    if not plan.children:
        return _leaf(plan.stage, encoded)
    return _assemble(plan.stage, encoded.header, list(map(_encode_child, plan.children, encoded.parts)))


def _leaf(stage: Stage, encoded: Encoded) -> _Encoded:
    """What parts it has are its body."""
    return _assemble(stage, encoded.header, [_Encoded(part.size, (part,)) for part in encoded.parts])


def _assemble(stage: Stage, header: bytes, parts: Sequence[_Encoded]) -> _Encoded:
    head = varint(stage.id) + varint(len(header)) + header
    size, pieces = len(head), list[bytes | Stream]((head,))
    for i, node in enumerate(parts):
        length = b"" if i == len(parts) - 1 else varint(node.size)
        pieces += (length, *node.pieces)
        size += len(length) + node.size
    return _Encoded(size, tuple(pieces))


def _encode_child(plan: Plan, src: Stream) -> _Encoded:
    return _or_substitute(plan, src, _encode(plan, src))


def _or_substitute(plan: Plan, src: Stream, node: _Encoded | None) -> _Encoded:
    if node is not None and (plan == STORE or node.size < src.size + STORE_OVERHEAD):
        return node
    substitute = _encode(_ONE_BYTE, src) or _encode(STORE, src)
    assert substitute is not None
    return substitute


class _Weighed(NamedTuple):
    """A node that may not be encoded yet. size: its bytes, or about that many."""

    size: int
    make: Callable[[], _Encoded | None]


def _weigh(plan: Plan, src: Stream) -> _Weighed | None:
    """The cheapest of a plan and its alternatives, the first of equals; None if all decline."""
    trees = filter(None, (_weigh_tree(tree, src) for tree in (plan, *plan.alternatives)))
    return min(trees, key=lambda tree: tree.size, default=None)


def _weigh_tree(plan: Plan, src: Stream) -> _Weighed | None:
    """Streams are split, and coded by all but `rans`; what was made of them is kept for the winner."""
    stage = plan.stage
    if isinstance(stage, Rans):
        price = stage.price(src)
        return None if price is None else _Weighed(price + STORE_OVERHEAD, lambda: _encode_tree(plan, src))
    encoded = stage.encode(src)
    if encoded is None:
        return None
    if not plan.children:
        leaf = _leaf(stage, encoded)
        return _Weighed(leaf.size, lambda: leaf)
    header, children = encoded.header, list(map(_weigh_child, plan.children, encoded.parts))
    lengths = sum(len(varint(child.size)) for child in children[:-1])
    size = STORE_OVERHEAD + len(header) + lengths + sum(child.size for child in children)
    return _Weighed(size, lambda: _assemble(stage, header, [child.make() for child in children]))


def _weigh_child(plan: Plan, src: Stream) -> _WeighedChild:
    weighed = _weigh(plan, src)
    if weighed is None or (plan != STORE and weighed.size >= src.size + STORE_OVERHEAD):
        node = _or_substitute(plan, src, None)
        return _WeighedChild(node.size, lambda: node)
    return _WeighedChild(weighed.size, lambda: _or_substitute(plan, src, weighed.make()))


class _WeighedChild(NamedTuple):
    """The same of a child, for which there is always a node."""

    size: int
    make: Callable[[], _Encoded]


@dataclass(frozen=True)
class Node:
    """A node that was read: every length in it is checked, nothing is decoded yet."""

    name: str
    n_bytes: int
    decoder: Decoder
    parts: tuple[Node, ...]
    body: Stream | None
    """The stream of a `store` node, without copy; None for any other."""
    frame: Stream
    """Its own bytes: a node is a frame of what it decodes to."""

    def decode(self, out: Stream) -> None:
        """Fill out, of n_bytes. CorruptError where a stage's page is broken."""
        streams = tuple(part._stream() for part in self.parts) if self.body is None else (self.body,)
        self.decoder.decode(streams, out)

    def _stream(self) -> Stream:
        if self.body is not None:
            return self.body
        out = np.empty(self.n_bytes, np.uint8)
        self.decode(out)
        return out

    def __str__(self) -> str:
        """The stages, by position: `floatfields(rans, store, store)`. A lone `store` under a stage is left out."""
        inner = "" if all(part.body is not None for part in self.parts) else f"({', '.join(map(str, self.parts))})"
        return self.name + inner


def read_frame(frame: Stream, n_bytes: int, side: Side = ()) -> Node:
    """The nodes of a frame whose block has n_bytes, in a file with those side frames.

    Raises CorruptError, or VersionError for a stage that is not known.
    """
    return _read(frame.data, n_bytes, side, 1, max_node_bytes(n_bytes))


def _read(src: memoryview, n_bytes: int, side: Side, depth: int, limit: int) -> Node:
    if max(len(src), n_bytes) > limit:
        raise CorruptError(f"a node of {len(src)} bytes for {n_bytes} is more than its block allows")
    if depth > MAX_DEPTH:
        raise CorruptError(f"nodes nest more than {MAX_DEPTH} deep")
    stage_id, at = read_varint(src, 0)
    stage = STAGES.get(stage_id)
    if stage is None:
        raise VersionError(f"stage {stage_id} is not known to this version")
    header_bytes, at = read_varint(src, at)
    if header_bytes > len(src) - at:
        raise CorruptError(f"{stage.name}: a header of {header_bytes} bytes does not fit its node")
    body = at + header_bytes
    decoder = stage.from_header(bytes(src[at:body]), n_bytes, side)
    frame = np.frombuffer(src, np.uint8)
    if stage is Store:
        if len(src) - body != n_bytes:
            raise CorruptError(f"store: holds {len(src) - body} bytes where {n_bytes} are due")
        return Node(stage.name, n_bytes, decoder, (), np.frombuffer(src[body:], np.uint8), frame)
    parts = _read_parts(src[body:], decoder.sizes, side, depth + 1, limit)
    return Node(stage.name, n_bytes, decoder, parts, None, frame)


def _read_parts(src: memoryview, sizes: tuple[int, ...], side: Side, depth: int, limit: int) -> tuple[Node, ...]:
    parts, at = [], 0
    for size in sizes[:-1]:
        length, at = read_varint(src, at)
        if length > len(src) - at:
            raise CorruptError(f"a part of {length} bytes does not fit its node")
        parts.append(_read(src[at : at + length], size, side, depth, limit))
        at += length
    if sizes:
        parts.append(_read(src[at:], sizes[-1], side, depth, limit))
    elif src:
        raise CorruptError("bytes follow the end of a node")
    return tuple(parts)
