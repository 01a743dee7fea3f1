"""Nodes: read and decoded, or refused; the fast path, the staged one and the second decoder say the same of them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Final

import honest
import numpy as np
import spec_decoder

from pennyweight.errors import CorruptError, PennyweightError, VersionError
from pennyweight.pipeline.container.reader import ContainerReader
from pennyweight.pipeline.executor import decode_blocks
from pennyweight.pipeline.files import Reader
from pennyweight.pipeline.frame import read_frame
from pennyweight.stages.protocol import Side, Stream

GOLDEN: Final = Path(__file__).parents[1] / "golden"
MAX_SEED: Final = 1536
_MAX_SIDE: Final = 4


def pack(frame: bytes, n_bytes: int, side: tuple[bytes, ...] = ()) -> bytes:
    """An input: u16 bytes of the block; u8 number of side frames, u16 decoded bytes of each; these; the frame."""
    sizes = b"".join(len(one).to_bytes(2, "little") for one in side)
    return n_bytes.to_bytes(2, "little") + bytes((len(side),)) + sizes + b"".join(side) + frame


def _unpack(data: bytes) -> tuple[Stream, int, list[Stream]]:
    """The inverse, of any bytes."""
    n_bytes, n_side = int.from_bytes(data[:2], "little"), data[2] % (_MAX_SIDE + 1) if len(data) > 2 else 0
    side, at = [], 3 + 2 * n_side
    for i in range(n_side):
        size = int.from_bytes(data[3 + 2 * i : 5 + 2 * i], "little")
        side.append(np.frombuffer(data[at : at + size], np.uint8))
        at += size
    return np.frombuffer(data[at:], np.uint8), n_bytes, side


def check(data: bytes) -> None:
    frame, n_bytes, side = _unpack(data)
    staged, again, quick = (np.full(n_bytes, fill, np.uint8) for fill in (0x5A, 0xA5, 0xC3))
    error = _decode_staged(frame, staged, side)
    assert type(_decode_staged(frame, again, side)) is type(error)
    try:
        decode_blocks(frame, [frame.size], [n_bytes], quick, side)
    except (CorruptError, VersionError) as other:
        same = isinstance(other, VersionError) == isinstance(error, VersionError)
        assert error, "the staged path decodes what the other refuses"
        assert same, "another kind of error"
    else:
        assert error is None, f"the fast path decodes what is refused: {error}"
        assert np.array_equal(staged, again), "bytes that nobody wrote"
        assert np.array_equal(staged, quick), "other bytes on the fast path"
    try:
        decoded = spec_decoder.decode_frame(frame.tobytes(), n_bytes, [one.tobytes() for one in side])
    except spec_decoder.SpecError as refused:
        why = str(refused)
        assert error, f"decoded, and refused by the second decoder: {why}"
    else:
        assert error is None, f"refused, and decoded by the second decoder: {error}"
        assert decoded == staged.tobytes(), "other bytes than of the second decoder"


def _decode_staged(frame: Stream, out: Stream, side: Side) -> CorruptError | VersionError | None:
    try:
        node = read_frame(frame, out.size, side)
        assert str(node)
        node.decode(out)
    except (CorruptError, VersionError) as error:
        return error
    return None


def seeds() -> list[bytes]:
    """Frames of every stage, by hand and from the golden containers."""
    made = [pack(one.frame, len(one.data), one.side) for one in honest.HONEST.values() if len(one.side) <= _MAX_SIDE]
    for path in sorted(GOLDEN.rglob("*.pwt")):
        try:
            container = ContainerReader(Reader(io.BytesIO(path.read_bytes())))
        except PennyweightError:
            continue
        side = tuple(each.tobytes() for each in container.side)
        for i, size in enumerate(container.blocks.sizes.tolist()[:2]):
            frame = bytearray(sum(container.frame_lengths(i, i + 1)))
            container.read_frames(i, i + 1, memoryview(frame))
            if size < 1 << 16 and len(side) <= _MAX_SIDE:
                made.append(pack(bytes(frame), size, side))
    return [seed for seed in made if len(seed) <= MAX_SEED]
