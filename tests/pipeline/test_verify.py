"""Verify finds everything that is wrong, says where, and raises only if nothing can be said."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import samples
import spec_encoder
from samples import packed

import pennyweight
from pennyweight.errors import InputError, UsageError, VersionError
from pennyweight.pipeline.container.reader import ContainerReader
from pennyweight.pipeline.files import Reader
from pennyweight.pipeline.report import VerifyReport
from pennyweight.pipeline.verify import Level

LEVELS: list[Level] = ["fast", "default", "full"]


def check(container: bytes, **options: Any) -> VerifyReport:
    return pennyweight.verify(io.BytesIO(container), **options)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", samples.FILES)
def test_a_sound_container(name: str, level: Level) -> None:
    data = samples.FILES[name]
    done: list[int] = []
    against = None if level == "fast" else io.BytesIO(data)
    report = check(packed(data), level=level, against=against, require_lossless=True, progress=done.append)
    assert report.ok
    assert report.problems == ()
    assert (report.n_files, report.n_bytes, sum(done)) == (1, len(data), len(data))


def test_truncation_at_every_length_is_found(preset: Path) -> None:
    container = packed(samples.small(), preset=preset)
    for n in range(len(container)):
        assert not check(container[:n], level="fast", threads=1).ok


def test_a_flip_of_any_bit_is_found(preset: Path) -> None:
    """By the least of the levels; the others check what it checks, and restore is put to the same test."""
    data = samples.safetensors(("a", "BF16", (600,), samples.bf16(600)), ("b", "U8", (64,), bytes(range(64))))
    container = bytearray(packed(data, preset=preset))
    for bit in range(8 * len(container)):
        container[bit // 8] ^= 1 << bit % 8
        assert not check(bytes(container), level="fast", threads=1).ok, f"bit {bit}"
        container[bit // 8] ^= 1 << bit % 8


def frame_offsets(container: bytes) -> dict[str | None, list[int]]:
    """Where the frames of each tensor are, by its name."""
    made = ContainerReader(Reader(io.BytesIO(container)))
    found: dict[str | None, list[int]] = {}
    for segment in range(len(made.segments)):
        blocks = range(*made.blocks.holding(segment))
        found.setdefault(made.tensor_name(segment), []).extend(int(made.frames.begins[block]) for block in blocks)
    return found


@pytest.mark.parametrize("level", LEVELS)
def test_every_damaged_tensor_is_named_once(level: Level) -> None:
    container = bytearray(packed(samples.mixed()))
    offsets = frame_offsets(bytes(container))
    for offset in {*offsets["big"], *offsets["all.F32"], *offsets["specials"]}:  # some share a block
        container[offset + 2] ^= 0x40
    report = check(bytes(container), level=level)
    assert {problem.tensor for problem in report.problems} >= {"big", "all.F32", "specials"}
    named = [problem.tensor for problem in report.problems if problem.tensor]
    assert len(named) == len(set(named))
    first = report.problems[0]
    assert (first.tensor, first.offset) == ("big", offsets["big"][0])
    assert str(first) == f"<file object>: tensor 'big': {first.reason} (at byte {first.offset})"


@pytest.mark.parametrize("level", LEVELS)
def test_all_tensors_of_a_damaged_block_are_named(level: Level) -> None:
    raws = [samples.bf16(50, seed) for seed in range(40)]
    data = samples.safetensors(*((f"b.{i}", "BF16", (50,), raw) for i, raw in enumerate(raws)))
    container = bytearray(packed(data))
    offsets = frame_offsets(bytes(container))
    assert offsets["b.3"] == offsets["b.39"] == offsets[None]
    container[offsets["b.3"][0] + 9] ^= 1
    problems = check(bytes(container), level=level).problems[: 40 + 1]
    assert [problem.tensor for problem in problems] == [*(f"b.{i}" for i in range(40)), None]
    assert {problem.offset for problem in problems} == {*offsets["b.3"]}


def test_damage_in_a_gap_has_no_tensor(preset: Path) -> None:
    container = bytearray(packed(samples.small(), preset=preset))
    container[frame_offsets(bytes(container))[None][0] + 5] ^= 1
    report = check(bytes(container))
    assert [problem.tensor for problem in report.problems] == [None]


def test_frames_that_are_right_but_do_not_decode() -> None:
    raws = [samples.bf16(512), samples.bf16(512, 1), samples.bf16(512, 2)]
    segments = [spec_encoder.tensor(name, "BF16", [512], raw) for name, raw in zip("abc", raws, strict=True)]
    metadata = spec_encoder.describe(segments, raws, 1024)
    frames = [spec_encoder.store(raws[0]), spec_encoder.store(raws[1][1:]), spec_encoder.store(raws[0])]
    container = spec_encoder.Container(frames, metadata).pack()
    assert check(container, level="fast").ok
    problems = check(container).problems
    assert [problem.tensor for problem in problems] == ["b", "c"]
    assert "store" in problems[0].reason
    assert "digest" in problems[1].reason


def test_full_needs_a_sha256() -> None:
    container = packed(samples.small(), sha256=False)
    assert check(container).ok
    assert [problem.reason for problem in check(container, level="full").problems] == ["holds no SHA-256 to check"]


def test_wrong_sha256_is_found_on_full_only() -> None:
    metadata = spec_encoder.describe([{"n_bytes": 3}], [b"abc"], 1024) | {"sha256": "0" * 64}
    container = spec_encoder.Container([spec_encoder.store(b"abc")], metadata).pack()
    assert check(container).ok
    assert not check(container, level="full").ok


def test_against_finds_every_tensor_that_differs(tmp_path: Path) -> None:
    data = samples.mixed()
    original = bytearray(data)
    start = len(data) - len(samples.mixed()[8 + int.from_bytes(data[:8], "little") :])
    original[start + 5] ^= 1  # in big, twice
    original[start + 4_000_000] ^= 1
    original[-1] ^= 1  # in zeros
    report = check(packed(data), against=io.BytesIO(bytes(original)))
    assert [(problem.tensor, problem.offset) for problem in report.problems] == [
        ("big", start + 5),
        ("zeros", len(data) - 1),
    ]
    assert "differs from the original" in report.problems[0].reason


def test_against_a_damaged_container_still_compares_the_rest(preset: Path) -> None:
    data = samples.small()
    container = bytearray(packed(data, preset=preset))
    container[frame_offsets(bytes(container))["a"][0] + 5] ^= 1
    report = check(bytes(container), against=io.BytesIO(data[:-1] + b"?"))
    assert [problem.tensor for problem in report.problems] == ["a", "b"]
    assert "digest" in report.problems[0].reason


@pytest.mark.parametrize("change", [-1, 1, -7000])
def test_against_a_file_of_another_size(change: int) -> None:
    data = samples.small()
    report = check(packed(data), against=io.BytesIO(data[:change] if change < 0 else data + b"x"))
    assert [problem.reason.split(":")[0] for problem in report.problems] == ["differs from the original"]


def test_a_foreign_file_is_a_problem_not_an_error() -> None:
    report = check(samples.small())
    assert not report.ok
    assert report.problems[0].reason == "not a Pennyweight container"
    assert report.n_files == 1
    assert check(b"").problems


def test_lossy_is_a_problem_where_it_is_not_wanted() -> None:
    metadata = spec_encoder.describe([{"n_bytes": 3}], [b"abc"], 1024) | {"fidelity": "lossy"}
    container = spec_encoder.Container([spec_encoder.store(b"abc")], metadata, required=1).pack()
    report = check(container)
    assert report.ok
    assert report.fidelity == "lossy"
    assert [problem.reason for problem in check(container, require_lossless=True).problems] == ["is lossy"]


def test_what_raises(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        pennyweight.verify(tmp_path / "missing.pwt")
    with pytest.raises(VersionError, match=r"<file object>: .*too new"):
        check(spec_encoder.Container([], spec_encoder.describe([], [], 1024), version=(9, 0)).pack())
    frame = spec_encoder.node(99, b"", [], b"x" * 30)
    with pytest.raises(VersionError, match="stage 99"):
        check(spec_encoder.one_frame(frame, b"x" * 30).pack())
    with pytest.raises(UsageError, match="no level"):
        check(packed(b"x"), level="deep")
    with pytest.raises(UsageError, match="fast"):
        check(packed(b"x"), level="fast", against=io.BytesIO(b"x"))
    with pytest.raises(UsageError, match="folder"):
        check(packed(b"x"), against=tmp_path)
