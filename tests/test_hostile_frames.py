"""Frames that lie, with all digests put right: both decoders must refuse, in bounded memory, on every target."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import lies
import numpy as np
import pytest
import spec_decoder
import spec_encoder
import spec_maker

import pennyweight
from pennyweight import native
from pennyweight.errors import CorruptError, PennyweightError, VersionError
from pennyweight.pipeline.executor import decode_blocks

SPARE_BYTES = 1 << 30
"""Address space that a decoder may take beyond what the process has: threads and their arenas need some."""


@pytest.fixture(autouse=True)
def bounded_memory() -> Iterator[None]:
    """Let an allocation of a number read in the file fail, where the system can."""
    if sys.platform != "linux":
        yield
        return
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + SPARE_BYTES, hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.fixture(autouse=True)
def same_target() -> Iterator[None]:
    before = native.target()
    yield
    native.set_target(before)


def decoded(frame: bytes, size: int, side: Sequence[bytes] = ()) -> bytes:
    """By the product, on the target in use, with no digest in the way."""
    out = np.zeros(size, np.uint8)
    streams = [np.frombuffer(stream, np.uint8) for stream in side]
    decode_blocks(np.frombuffer(frame, np.uint8), [len(frame)], [size], out, side=streams)
    return out.tobytes()


@pytest.mark.parametrize("name", lies.HONEST)
def test_the_frames_to_be_spoilt_are_valid(name: str) -> None:
    frame, data, side = lies.HONEST[name]
    assert spec_decoder.decode_frame(frame, len(data), side) == data
    for target in native.targets():
        native.set_target(target)
        assert decoded(frame, len(data), side) == data


def test_eight_levels_are_valid() -> None:
    frame, data = lies.chain(8)
    assert spec_decoder.decode_frame(frame, len(data)) == data == decoded(frame, len(data))


@pytest.mark.parametrize("lie", [pytest.param(lie, id=lie.name) for lie in lies.LIES])
def test_corrupt(lie: lies.Lie, tmp_path: Path) -> None:
    _, frame, data, side = lie
    with pytest.raises(spec_decoder.SpecError) as refusal:
        spec_decoder.decode_frame(frame, len(data), side)
    assert not isinstance(refusal.value, spec_decoder.OtherVersionError)
    for target in native.targets():
        native.set_target(target)
        with pytest.raises(CorruptError):
            decoded(frame, len(data), side)
    if data:
        refused_as_file(frame, data, tmp_path, CorruptError, side)


@pytest.mark.parametrize(("frame", "data"), [pytest.param(*lie, id=name) for name, *lie in lies.unknown_stages()])
def test_unknown_stage(frame: bytes, data: bytes, tmp_path: Path) -> None:
    with pytest.raises(spec_decoder.OtherVersionError):
        spec_decoder.decode_frame(frame, len(data))
    for target in native.targets():
        native.set_target(target)
        with pytest.raises(VersionError):
            decoded(frame, len(data))
    refused_as_file(frame, data, tmp_path, VersionError)


def refused_as_file(
    frame: bytes, data: bytes, folder: Path, error: type[PennyweightError], side: Sequence[bytes] = ()
) -> None:
    """The same in a container all of whose digests hold."""
    container = spec_encoder.one_frame(frame, data, side).pack()
    with pytest.raises(spec_decoder.SpecError):
        spec_decoder.decode(container)
    source = folder / "lie.pwt"
    source.write_bytes(container)
    with pytest.raises(error):
        pennyweight.restore(source, folder / "out", threads=1)
    assert [path.name for path in folder.iterdir()] == ["lie.pwt"]


def spoil(rng: np.random.Generator, frame: bytes) -> bytes:
    """One to three small changes anywhere."""
    spoilt = bytearray(frame)
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(min(len(spoilt), 64))) if rng.random() < 0.5 else int(rng.integers(len(spoilt)))
        kind = rng.integers(5)
        if kind == 0 and len(spoilt) > 1:
            del spoilt[at]
        elif kind == 1:
            spoilt.insert(at, int(rng.integers(256)))
        elif kind == 2:
            spoilt[at] = int(rng.integers(256))
        else:
            spoilt[at] ^= 1 << int(rng.integers(8))
    return bytes(spoilt)


@pytest.mark.parametrize("batch", range(8))
def test_both_decoders_agree_on_spoilt_frames(batch: int) -> None:
    """Whatever a frame says, both give the same bytes or both refuse. Where two rules are broken, each names one."""
    for seed in range(batch * 100, batch * 100 + 100):
        maker = spec_maker.Maker(seed)
        data = maker.data(maker.size())
        frame = spoil(maker.rng, maker.frame(data))
        expected = None
        with contextlib.suppress(spec_decoder.SpecError):
            expected = spec_decoder.decode_frame(frame, len(data), maker.side)
        for target in native.targets():
            native.set_target(target)
            got = None
            with contextlib.suppress(CorruptError, VersionError):
                got = decoded(frame, len(data), maker.side)
            assert got == expected, (seed, target)
