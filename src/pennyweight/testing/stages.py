"""Checks that every stage must pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from pennyweight.errors import CorruptError
from pennyweight.stages.protocol import Encoded, Side, Stage, Stream

_GUARD = 64
"""Bytes before and after an output in which nothing may be written."""


def check_stage(stage: Stage, inputs: Iterable[bytes | Stream], *, side: Side = (), max_flips: int = 256) -> int:
    """Round trip of every input, and hostile decoding of what came out. AssertionError, or what the stage let through.

    For each input that the stage does not decline: encoding is repeatable and leaves the input alone; the header gives
    the sizes of the parts; decoding fills exactly the output. Then the header is cut everywhere and flipped bit by bit,
    every part is cut, lengthened and flipped (in at most max_flips bits each, evenly spread), and the size of the
    output is changed: each must give CorruptError or some other bytes of the right number, never another exception or
    a write outside the output.

    Args:
        side: the side frames of the file, for a stage whose header names some.

    Returns:
        How many inputs were encoded and not declined.
    """
    encoded_inputs = 0
    for given in inputs:
        src = np.frombuffer(given, np.uint8).copy()
        src.flags.writeable = False  # a stage that writes to its input raises
        encoded = stage.encode(src)
        if encoded is None:
            continue
        encoded_inputs += 1
        _check_round_trip(stage, src, encoded, side)
        for hostile, n_bytes in _hostile(encoded, src.size, max_flips):
            _attempt(stage, hostile, n_bytes, side)
    return encoded_inputs


def _check_round_trip(stage: Stage, src: Stream, encoded: Encoded, side: Side) -> None:
    again = stage.encode(src)
    assert again is not None, "the same input is declined the second time"
    assert again.header == encoded.header, "the header differs the second time"
    assert [p.tobytes() for p in again.parts] == [p.tobytes() for p in encoded.parts], "parts differ the second time"
    if stage.outputs:
        assert len(encoded.parts) == len(stage.outputs), "not one part per output"
    decoder = stage.from_header(encoded.header, src.size, side)
    assert decoder.sizes == tuple(part.size for part in encoded.parts), "the header does not give the parts' sizes"
    decoded = _attempt(stage, encoded, src.size, side)
    assert decoded is not None, "what was encoded is called corrupt"
    assert decoded.tobytes() == src.tobytes(), "not the bytes that were encoded"


def _attempt(stage: Stage, encoded: Encoded, n_bytes: int, side: Side) -> Stream | None:
    """What it decodes to, or None for CorruptError."""
    guarded = np.full(n_bytes + 2 * _GUARD, 0xA5, np.uint8)
    try:
        stage.from_header(encoded.header, n_bytes, side).decode(encoded.parts, guarded[_GUARD : _GUARD + n_bytes])
    except CorruptError:
        return None
    finally:
        around = np.concatenate((guarded[:_GUARD], guarded[_GUARD + n_bytes :]))
        assert (around == 0xA5).all(), "bytes outside the output were written"
    return guarded[_GUARD : _GUARD + n_bytes]


def _hostile(encoded: Encoded, n_bytes: int, max_flips: int) -> Iterator[tuple[Encoded, int]]:
    header, parts = encoded
    for wrong in {0, n_bytes - 1, n_bytes + 1, n_bytes + 128, 2 * n_bytes} - {-1, n_bytes}:
        yield encoded, wrong
    for cut in range(len(header)):
        yield Encoded(header[:cut], parts), n_bytes
    yield Encoded(header + b"\0", parts), n_bytes
    for bit in range(8 * len(header)):
        yield Encoded(_flipped(np.frombuffer(header, np.uint8), bit).tobytes(), parts), n_bytes
    for i, part in enumerate(parts):
        n_bits = 8 * part.size
        changed = [_flipped(part, bit) for bit in range(0, n_bits, max(1, n_bits // max_flips))]
        cuts = [part[:cut] for cut in {0, part.size // 2, part.size - 1} if 0 <= cut < part.size]
        for other in (*changed, *cuts, np.append(part, np.uint8(0))):
            yield Encoded(header, (*parts[:i], other, *parts[i + 1 :])), n_bytes
    yield Encoded(header, parts[:-1] if parts else (np.zeros(1, np.uint8),)), n_bytes


def _flipped(stream: Stream, bit: int) -> Stream:
    out = stream.copy()
    out[bit // 8] ^= np.uint8(1 << bit % 8)
    return out
