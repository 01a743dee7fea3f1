"""The fuzzing that every run of the tests does, without a fuzzer: seeds, what was found, and some spoilt seeds."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzz.bounds import bounded_memory, bounded_time
from fuzz.mutations import mutations
from fuzz.targets import FINDINGS, TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_target(name: str, tmp_path: Path) -> None:
    target = TARGETS[name]
    seeds = target.seeds()
    assert seeds
    assert max(map(len, seeds)) <= target.max_bytes, "a fuzzer would cut it"
    for data in (*seeds, *target.kept(name), *mutations(seeds, target.n)):
        try:
            with bounded_memory(), bounded_time():
                target.check(data)
        except BaseException as error:
            found = tmp_path / "found"
            found.write_bytes(data)
            error.add_note(f"the input is in {found}")
            raise


def test_every_finding_has_its_target() -> None:
    assert {path.name for path in FINDINGS.glob("*")} <= set(TARGETS)
