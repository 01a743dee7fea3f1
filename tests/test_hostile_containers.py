"""Containers that lie: both readers must refuse, and say rightly whether it is damage or another version."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import spec_decoder
from fuzz.bounds import bounded_memory, bounded_time
from lies_of_containers import CORRUPT, OTHER_VERSION, honest
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


@pytest.mark.parametrize("lie", CORRUPT)
def test_corrupt(lie: str, tmp_path: Path) -> None:
    made = honest()
    CORRUPT[lie](made)
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


@pytest.mark.parametrize("optional", [1, 1 << 31, (1 << 64) - 1])
def test_optional_features_are_ignored(optional: int, tmp_path: Path) -> None:
    made = honest()
    made.optional = optional
    assert restored(made.pack(), tmp_path) == spec_decoder.decode(made.pack())


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
