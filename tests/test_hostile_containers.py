"""Containers that lie: both readers must refuse, and say rightly whether it is damage or another version."""

from __future__ import annotations

from pathlib import Path

import pytest
import spec_decoder
from lies_of_containers import CORRUPT, OTHER_VERSION, honest

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
