"""`linear_predictor`: the product and what is written from its page agree, on generated frames and at the edges."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import NamedTuple

import honest_predicted
import numpy as np
import pytest
import spec_decoder
import spec_nodes
from spec_maker import Maker

from pennyweight import native
from pennyweight.errors import CorruptError, VersionError
from pennyweight.pipeline.executor import decode_blocks


class Made(NamedTuple):
    seed: int
    frame: bytes
    data: bytes
    side: list[bytes]


def generated(seed: int, most: int) -> Made | None:
    maker = Maker(seed)
    data = maker.signed_keys(2 * (1 + maker.below(maker.pick(3, 100, most))))
    encoded = maker.linear_predictor(data)
    if encoded is None:
        return None
    return Made(seed, spec_nodes.stored(spec_nodes.PREDICTOR, encoded[0], *encoded[1]), data, maker.side)


@pytest.fixture(scope="module")
def frames() -> list[Made]:
    """Each checked with the spec decoder."""
    made = [one for one in (generated(seed, 1_000) for seed in range(120)) if one is not None]
    for seed, frame, data, side in made:
        assert spec_decoder.decode_frame(frame, len(data), side) == data, seed
    assert len(made) > 80
    return made


def decoded(frame: bytes, size: int, side: Sequence[bytes]) -> bytes:
    """By the product, with no digest in the way."""
    out = np.full(size, 0xA5, np.uint8)
    streams = [np.frombuffer(stream, np.uint8) for stream in side]
    decode_blocks(np.frombuffer(frame, np.uint8), [len(frame)], [size], out, side=streams)
    return out.tobytes()


def test_generated_frames(frames: list[Made], each_target: str) -> None:
    for seed, frame, data, side in frames:
        assert decoded(frame, len(data), side) == data, seed


@pytest.mark.parametrize("name", honest_predicted.VALID)
def test_what_is_valid_at_the_edges(name: str, each_target: str) -> None:
    frame, data, side = honest_predicted.VALID[name]
    assert spec_decoder.decode_frame(frame, len(data), side) == data
    assert decoded(frame, len(data), side) == data


def spoilt(rng: np.random.Generator, data: bytes) -> bytes:
    """One bit or one byte, anywhere."""
    at, made = int(rng.integers(len(data))), bytearray(data)
    made[at] = int(rng.integers(256)) if rng.random() < 0.5 else made[at] ^ 1 << int(rng.integers(8))
    return bytes(made)


@pytest.mark.parametrize("what", ["the frame", "a side frame"])
def test_both_agree_on_what_is_spoilt(what: str, frames: list[Made]) -> None:
    """Whatever it says, both give the same bytes or both refuse: coefficients, say, that make other predictions."""
    before, valid, rng = native.target(), 0, np.random.default_rng(9)
    for seed, honest, data, good in [made for made in frames if len(made.data) < 500] * 5:
        frame, side = honest, [*good]
        if what == "the frame":
            frame = spoilt(rng, honest)
        else:
            number = int(rng.integers(len(side)))
            side[number] = spoilt(rng, side[number])
        expected = None
        with contextlib.suppress(spec_decoder.SpecError):
            expected = spec_decoder.decode_frame(frame, len(data), side)
        valid += expected is not None
        for target in native.targets():
            native.set_target(target)
            got = None
            with contextlib.suppress(CorruptError, VersionError):
                got = decoded(frame, len(data), side)
            assert got == expected, (seed, target)
    native.set_target(before)
    assert valid > (0 if what == "the frame" else 20)
