"""Containers that lie: both readers must refuse, and say rightly whether it is damage or another version."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import lies_of_markers
import pytest
import spec_decoder
import spec_encoder
import xxhash
from fuzz.bounds import bounded_memory, bounded_time
from lies_of_containers import CORRUPT, OTHER_VERSION, WEIGHTS, Change, honest
from spec_encoder import Container

import pennyweight
from pennyweight.errors import CorruptError, PennyweightError, VersionError


def refused(container: bytes, folder: Path, error: type[PennyweightError]) -> spec_decoder.SpecError:
    with pytest.raises(spec_decoder.SpecError) as refusal:
        spec_decoder.decode(container)
    source = folder / "lie.pwt"
    source.write_bytes(container)
    with pytest.raises(error):
        pennyweight.restore(source, folder / "out", threads=1)
    assert [path.name for path in folder.iterdir()] == ["lie.pwt"]
    return refusal.value


def restored(container: bytes, folder: Path) -> bytes:
    source, target = folder / "true.pwt", folder / "true"
    source.write_bytes(container)
    pennyweight.restore(source, target, threads=1)
    return target.read_bytes()


def test_the_container_to_be_spoilt_is_valid(tmp_path: Path) -> None:
    container = honest().pack()
    assert spec_decoder.decode(container) == restored(container, tmp_path)


@pytest.mark.parametrize("lie", [*CORRUPT.items(), *lies_of_markers.CORRUPT.items()], ids=lambda lie: lie[0])
def test_corrupt(lie: tuple[str, Change], tmp_path: Path) -> None:
    made = honest()
    lie[1](made)
    refusal = refused(made.pack(), tmp_path, CorruptError)
    assert not isinstance(refusal, spec_decoder.OtherVersionError)


@pytest.mark.parametrize("lie", OTHER_VERSION)
def test_other_version(lie: str, tmp_path: Path) -> None:
    made = honest()
    OTHER_VERSION[lie](made)
    assert isinstance(refused(made.pack(), tmp_path, VersionError), spec_decoder.OtherVersionError)


MANY = 300_000
WRONG: dict[str, Callable[[Container], object]] = {
    "segments": lambda made: made.metadata.update(segments=[{}] * MANY),
    "a segment's keys": lambda made: made.metadata["segments"][0].update({str(i): 0 for i in range(MANY)}),
    "a shape": lambda made: made.metadata["segments"][1].update(shape=[-1] * MANY),
    "side": lambda made: made.metadata.update(side=[-1] * MANY),
    "plans": lambda made: made.metadata.update(plans={"F32": [0] * MANY}),
    "keys of plans": lambda made: made.metadata.update(plans={str(i): 0 for i in range(MANY)}),
    "keys": lambda made: made.metadata.update({str(i): 0 for i in range(MANY)}),
}


@pytest.mark.parametrize("many", WRONG)
def test_many_wrong_items_take_no_more_than_one(many: str, tmp_path: Path) -> None:
    """An error made of each took all memory: a hundred thousand fit into a few hundred stored bytes."""
    made = honest()
    WRONG[many](made)
    source = tmp_path / "many.pwt"
    source.write_bytes(made.pack())
    with bounded_memory(), bounded_time(), pytest.raises(CorruptError):
        pennyweight.inspect(source)


def shapes(made: Container) -> None:
    """What takes most for each byte of JSON: tensors without bytes, of 64 dimensions."""
    segment = {"dtype": "U8", "shape": [0] * 64, "n_bytes": 0, "xxh3_128": xxhash.xxh3_128_hexdigest(b"")}
    segments = [{"name": str(i)} | segment for i in range(106_000)]
    vars(made).update(frames=[], metadata=spec_encoder.describe(segments, [b""] * 106_000, 1_024))


def plans(made: Container) -> None:
    made.metadata["plans"] = {"U8": [""] * 8_000_000}


@pytest.mark.parametrize("costly", [shapes, plans], ids=["shapes", "plans"])
def test_as_much_json_as_there_may_be_takes_half_a_gigabyte_at_most(
    costly: Callable[[Container], None], tmp_path: Path
) -> None:
    made = honest()
    costly(made)
    assert 30 << 20 < len(json.dumps(made.metadata)) < 32 << 20
    source = tmp_path / "costly.pwt"
    source.write_bytes(made.pack())
    with bounded_memory():
        assert pennyweight.verify(source, level="fast", threads=1).ok


@pytest.mark.parametrize("optional", [1, 1 << 31, (1 << 64) - 1])
def test_optional_features_are_ignored(optional: int, tmp_path: Path) -> None:
    made = honest()
    made.optional = optional
    assert restored(made.pack(), tmp_path) == spec_decoder.decode(made.pack())


@pytest.mark.parametrize("lie", lies_of_markers.CORRUPT)
def test_tensors_are_read_whatever_is_said_for_salvage(lie: str, tmp_path: Path) -> None:
    """Header, index and trailer are all that `open` needs; each level of `verify` looks at the rest too."""
    made = honest()
    lies_of_markers.CORRUPT[lie](made)
    source = tmp_path / "lie.pwt"
    source.write_bytes(made.pack())
    try:
        with pennyweight.open(source) as checkpoint:
            tensors = {
                name: tensor.numpy().tobytes() for name, tensor in checkpoint.items() if "F4" not in tensor.dtype
            }
    except CorruptError:
        tensors = {}
    assert tensors in ({}, {"w": WEIGHTS, "nothing": b"", "scalar": b"\x80\x3f"})
    for level in ("fast", "default", "full"):
        assert not pennyweight.verify(source, level=level).ok
    assert not all(pennyweight.verify(source, subset=f"{i}/2").ok for i in (1, 2))


def test_every_cut_and_every_flipped_byte(tmp_path: Path) -> None:
    """Nothing in a container is unchecked. The first bytes decide whether it is one at all."""
    container = honest().pack()
    source = tmp_path / "lie.pwt"
    for at in [*range(0, len(container), 7), *range(40), *range(len(container) - 60, len(container))]:
        flipped = container[:at] + bytes([container[at] ^ 0x40]) + container[at + 1 :]
        for lie in (container[:at], flipped):
            with pytest.raises(spec_decoder.SpecError):
                spec_decoder.decode(lie)
            source.write_bytes(lie)
            with pytest.raises(PennyweightError):
                pennyweight.restore(source, tmp_path / "out", threads=1)
    source.write_bytes(container + b"\0")
    with pytest.raises(CorruptError):
        pennyweight.restore(source, tmp_path / "out", threads=1)
