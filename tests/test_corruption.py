"""Accidents of all kinds to golden containers: each is reported, and nothing gives other bytes. The short version."""

from __future__ import annotations

from itertools import islice

import corruption
import pytest


def test_all_kinds_of_damage_to_all_containers() -> None:
    total = corruption.Tally()
    for job in corruption.jobs(small=601, large=3_001):
        total.merge(corruption.run(job))
    assert set(total.cases) == {
        "a bit flipped", "cut short", "two frames swapped", "a frame doubled", "a frame left out", "a frame zeroed",
        "a frame of another file", "two markers swapped", "a marker doubled", "a marker left out", "a marker zeroed",
        "a marker of another file", "a description doubled", "a description left out", "a description zeroed",
        "a description of another file", "an index as payload", "two trailers", "another's index", "a byte added",
    }  # fmt: skip
    assert total.all_found, str(total)


def test_every_bit_and_every_length_of_the_smallest() -> None:
    name, container = min(corruption.containers().items(), key=lambda pair: len(pair[1]))
    total = corruption.run(corruption.Job(name, name, 1, range(8 * len(container))))
    for case in corruption.cuts(container, range(len(container))):
        total.add(case, corruption.judge(container, case.spoilt))
    assert total.cases["a bit flipped"] == 8 * len(container)
    assert total.all_found, str(total)


@pytest.mark.parametrize("level", ["found", "found_fast"])
def test_a_reader_that_saw_nothing_would_be_told(level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corruption, "_sound", lambda _, at: at == ("default" if level == "found" else "fast"))
    name, container = next(iter(corruption.containers().items()))
    total = corruption.Tally()
    for case in islice(corruption.flips(container, range(8 * len(container))), 3):
        total.add(case, corruption.judge(container, case.spoilt))
    assert getattr(total, level).total() == 0, name
    assert not total.all_found
