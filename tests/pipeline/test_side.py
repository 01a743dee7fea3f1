"""Files whose blocks need side frames, from a stage and a training made for the test."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import pytest
import samples
from samples import packed

import pennyweight
from pennyweight.errors import CorruptError
from pennyweight.pipeline import compress, policy
from pennyweight.pipeline.container.reader import ContainerReader
from pennyweight.pipeline.files import Reader
from pennyweight.pipeline.plan import Plan
from pennyweight.pipeline.policy import Plans
from pennyweight.pipeline.sources import Segment
from pennyweight.stages import registry
from pennyweight.stages.protocol import Encoded, Side, Stream, StreamSpec, check_parts
from pennyweight.types import Fidelity

PRESET = """
name = "trained"
description = "A stage that takes a block from the side frames."
block_bytes = 1024
[plans]
"*" = ["from_side", "zstd"]
gap = ["zstd"]
"""


@dataclass(frozen=True)
class FromSide:
    """A block that is a side frame: its header is the number."""

    id: ClassVar[int] = 99
    name: ClassVar[str] = "from_side"
    since: ClassVar[tuple[int, int]] = (1, 0)
    fidelity: ClassVar[Fidelity] = Fidelity.LOSSLESS

    number: int | None = None

    @property
    def outputs(self) -> Mapping[str, StreamSpec]:
        return {}

    @classmethod
    def bind(cls, spec: StreamSpec, params: Mapping[str, int]) -> Self:
        return cls()

    def encode(self, src: Stream) -> Encoded | None:
        return None if self.number is None else Encoded(bytes((self.number,)), ())

    @classmethod
    def from_header(cls, header: bytes, n_bytes: int, side: Side = ()) -> FromSideDecoder:
        if len(header) != 1 or header[0] >= len(side):
            raise CorruptError("no such side frame")
        if side[header[0]].size != n_bytes:
            raise CorruptError("a side frame of another size")
        return FromSideDecoder(side[header[0]])


@dataclass(frozen=True)
class FromSideDecoder:
    stream: Stream
    sizes: tuple[int, ...] = ()

    def decode(self, parts: tuple[Stream, ...], out: Stream) -> None:
        check_parts(self, parts)
        out[:] = self.stream


RAWS = [np.random.default_rng(seed).bytes(1024) for seed in range(3)]
DATA = samples.safetensors(
    ("a", "U8", (2048,), RAWS[0] + RAWS[1]), ("b", "U8", (1024,), RAWS[2]), ("c", "U8", (1024,), bytes(1024))
)


class Trained:
    """Block 0 of a is side frame 0, and b is side frame 1. Side frame 2 is for nobody."""

    side: ClassVar[Side] = [np.frombuffer(raw, np.uint8) for raw in (RAWS[0], RAWS[2], b"spare" * 9)]

    def __init__(self, segments: Sequence[Segment], plans: Plans) -> None:
        self._segments, self._plans = segments, plans
        self.tried = plans

    def predicts(self, segment: int) -> bool:
        return False

    def plans(self, segment: int, first: int) -> Sequence[Plan]:
        asked.append((segment, first))
        found = self._segments[segment]
        number = {("a", 0): 0, ("b", 0): 1}.get((getattr(found, "name", ""), first))
        return [Plan(FromSide(number)), *self._plans[getattr(found, "dtype", None)]]


asked: list[tuple[int, int]] = []


@pytest.fixture(autouse=True)
def _stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(registry.STAGES, 99, FromSide)
    monkeypatch.setitem(registry.BY_NAME, "from_side", FromSide)
    monkeypatch.setattr(compress, "TRAINED", (FromSide,))
    monkeypatch.setattr(
        compress, "train", lambda src, segments, plans, block_bytes, passes, map: Trained(segments, plans)
    )
    asked.clear()
    return


@pytest.fixture
def container(tmp_path: Any) -> bytes:
    path = tmp_path / "trained.toml"
    path.write_text(PRESET)
    return packed(DATA, preset=path)


def check(data: bytes, **options: Any) -> list[tuple[str | None, str, int | None]]:
    report = pennyweight.verify(io.BytesIO(data), **options)
    return [(problem.tensor, problem.reason, problem.offset) for problem in report.problems]


def test_it_comes_back_and_training_is_asked_for_each_block(container: bytes) -> None:
    target = io.BytesIO()
    pennyweight.restore(io.BytesIO(container), target)
    assert target.getvalue() == DATA
    assert sorted(asked) == [(0, 0), (1, 0), (1, 1024), (2, 0), (3, 0)]
    for level in ("fast", "default", "full"):
        assert check(container, level=level) == []
    made = ContainerReader(Reader(io.BytesIO(container)))
    assert made.index.side == (1024, 1024, 45)
    info = pennyweight.inspect(io.BytesIO(container), plans=True).files[0]
    assert info.side_bytes == made.side_bytes > 2048
    assert info.tensors[0].plans == {"from_side": 1, "store": 1}
    assert info.tensors[0].stored_bytes == 3 + 1026
    with pennyweight.open(io.BytesIO(container)) as checkpoint:
        assert checkpoint["b"].numpy().tobytes() == RAWS[2]


def test_no_training_where_no_plan_needs_it() -> None:
    assert ContainerReader(Reader(io.BytesIO(packed(DATA)))).index.side == ()
    assert asked == []


def test_progress_and_threads(tmp_path: Any, container: bytes) -> None:
    done: list[int] = []
    assert packed(DATA, preset=tmp_path / "trained.toml", threads=3, progress=done.append) == container
    assert sum(done) == len(DATA)


@pytest.mark.parametrize("level", ["fast", "default", "full"])
def test_a_flip_of_any_bit_of_a_side_frame_is_found_and_named(container: bytes, level: str) -> None:
    made = ContainerReader(Reader(io.BytesIO(container)))
    places = zip(made.places.begins.tolist(), made.places.ends.tolist(), range(len(made.side)), strict=False)
    data = bytearray(container)
    for begin, end, number in places:
        step = 1 if level == "fast" and number == 2 else 409
        for bit in range(8 * begin, 8 * end, step):
            data[bit // 8] ^= 1 << bit % 8
            problems = check(bytes(data), level=level, threads=1)
            reason = f"side frame {number}: its digest does not match"
            assert problems[0] == (None, reason, begin)
            victims = [] if level == "fast" else [["a"], ["b"], []][number]
            assert [tensor for tensor, why, _ in problems[1:] if why == reason] == victims
            data[bit // 8] ^= 1 << bit % 8


def test_restore_stops_at_a_damaged_side_frame_and_other_tensors_can_be_read(container: bytes) -> None:
    made = ContainerReader(Reader(io.BytesIO(container)))
    data = bytearray(container)
    data[int(made.places.begins[0]) + 9] ^= 1
    with pytest.raises(CorruptError, match="side frame 0: its digest"):
        pennyweight.restore(io.BytesIO(bytes(data)), io.BytesIO())
    with pennyweight.open(io.BytesIO(bytes(data)), threads=1) as checkpoint:
        assert checkpoint["b"].numpy().tobytes() == RAWS[2]
        with pytest.raises(CorruptError, match="tensor 'a': side frame 0: its digest"):
            checkpoint["a"].numpy()


def test_a_number_that_does_not_exist(monkeypatch: pytest.MonkeyPatch, container: bytes) -> None:
    monkeypatch.setattr(Trained, "side", Trained.side[:1])
    preset = policy.Preset.model_validate(
        {"name": "x", "description": "", "block_bytes": 1024, "plans": {"*": ["from_side"]}}
    )
    with pytest.raises(pennyweight.PennyweightError, match="encoder fault"):
        compress.compress_file(Reader(io.BytesIO(DATA)), io.BytesIO(), preset, threads=1)
