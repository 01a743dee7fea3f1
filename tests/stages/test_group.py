"""Small segments sorted into parts, as one stage."""

from __future__ import annotations

import numpy as np
import pytest

from pennyweight.errors import CorruptError, UsageError
from pennyweight.stages.protocol import StreamSpec
from pennyweight.stages.split.group import MAX_PARTS, MAX_RUNS, Group, Run
from pennyweight.stages.wire import varint
from pennyweight.testing import check_stage

ABA = Group((Run(0, 2), Run(1, 3), Run(0, 1)))


def header(k: int, *runs: tuple[int, int]) -> bytes:
    return varint(k) + b"".join(varint(part) + varint(n_bytes) for part, n_bytes in runs)


def test_exact_bytes() -> None:
    encoded = ABA.encode(np.frombuffer(b"aabbba", np.uint8))
    assert encoded is not None
    assert encoded.header == bytes.fromhex("02 0002 0103 0001")
    assert [part.tobytes() for part in encoded.parts] == [b"aaa", b"bbb"]
    assert list(ABA.outputs.values()) == [StreamSpec()] * 2
    assert ABA.encode(np.zeros(7, np.uint8)) is None


@pytest.mark.parametrize(
    "runs",
    [
        ((0, 1),),
        ((0, 2), (1, 3), (0, 1)),
        ((0, 300), (1, 1), (2, 5), (1, 1), (0, 9)),
        tuple((j, 1 + j) for j in range(MAX_PARTS)),
        tuple((i % 2, 1) for i in range(MAX_RUNS)),
    ],
)
def test_round_trip_and_hostile_inputs(runs: tuple[tuple[int, int], ...]) -> None:
    n_bytes = sum(n for _, n in runs)
    stage = Group(tuple(Run(*run) for run in runs))
    assert check_stage(stage, [np.random.default_rng(1).integers(0, 256, n_bytes, np.uint8)], max_flips=32) == 1


@pytest.mark.parametrize(
    ("lie", "n_bytes"),
    [
        (b"", 4),
        (header(0), 4),
        (header(0), 0),
        (header(1), 0),
        (header(1, (0, 3)), 4),
        (header(1, (0, 5)), 4),
        (header(1, (0, 4), (0, 0)), 4),
        (header(1, (1, 4)), 4),
        (header(2, (0, 4)), 4),  # a part without a run
        (header(2, (1, 2), (0, 2)), 4),  # not in the order of their first runs
        (header(1, (0, 4)) + b"\0", 4),
        (header(65, *((j, 1) for j in range(65))), 65),
        (header(1, *[(0, 1)] * 1025), 1025),
        (header(2, (0, 2**62), (1, 2**62)), 4),
    ],
)
def test_headers_that_lie(lie: bytes, n_bytes: int) -> None:
    with pytest.raises(CorruptError):
        Group.from_header(lie, n_bytes)


def test_the_limits_themselves_are_allowed() -> None:
    assert Group.from_header(header(64, *((j, 1) for j in range(64))), 64).sizes == (1,) * 64
    assert Group.from_header(header(1, *[(0, 1)] * 1024), 1024).sizes == (1024,)


def test_the_part_of_a_byte() -> None:
    decoder = Group.from_header(header(2, (0, 2), (1, 3), (0, 1)), 6)
    assert [decoder.part_at(at) for at in range(6)] == [0, 0, 1, 1, 1, 0]


def test_no_plan_can_write_it() -> None:
    with pytest.raises(UsageError, match="not written in plans"):
        Group.bind(StreamSpec(), {})
