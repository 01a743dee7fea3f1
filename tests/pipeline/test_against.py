"""Containers against containers: what they decode to is compared, and each has its own damage."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import pytest
import samples
import spec_encoder
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import packed

import pennyweight
from pennyweight.errors import InputError, VersionError
from pennyweight.pipeline.container.reader import ContainerReader
from pennyweight.pipeline.files import Reader
from pennyweight.pipeline.report import Problem, VerifyReport
from pennyweight.pipeline.verify import verify_file


class Named(io.BytesIO):
    """Bytes that have a name in reports."""

    def __init__(self, name: str, data: bytes) -> None:
        super().__init__(data)
        self.name = name


def compare(ours: bytes, theirs: bytes, level: str = "default", threads: int = 2) -> VerifyReport:
    return pennyweight.verify(Named("ours", ours), against=Named("theirs", theirs), level=level, threads=threads)  # type: ignore[arg-type]


def said(report: VerifyReport) -> list[tuple[str, str | None, int | None, int | None]]:
    return [(problem.file, problem.tensor, problem.offset, problem.n_bytes) for problem in report.problems]


@pytest.fixture(scope="module")
def small_blocks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("presets") / "small.toml"
    path.write_text(samples.SMALL_BLOCKS)
    return path


@pytest.mark.parametrize("level", ["default", "full"])
@pytest.mark.parametrize("name", ["empty", "one byte", "small", "mixed", "thousands"])
def test_equal_originals_in_other_containers(name: str, level: str) -> None:
    data = samples.FILES[name]
    ours, theirs = packed(data), packed(data, preset="fast", sha256=False)
    assert ours != theirs
    for one, other in ((ours, theirs), (theirs, ours) if level == "default" else (ours, ours)):
        report = compare(one, other, level)
        assert (report.ok, report.problems, report.n_files, report.against) == (True, (), 1, "theirs")


@pytest.fixture(scope="module")
def large() -> bytes:
    """A file of a task and a half."""
    return samples.safetensors(
        ("a", "BF16", (1_300_000,), samples.bf16(1_300_000)), ("b", "F32", (100_000,), bytes(400_000))
    )


@pytest.fixture(scope="module")
def theirs_of_large(large: bytes, small_blocks: Path) -> bytes:
    return packed(large, preset=small_blocks)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("at", [0, 200, 2_097_151, 2_097_152, 2_600_300, 2_999_999])
def test_blocks_of_other_sizes_meet(large: bytes, theirs_of_large: bytes, at: int, threads: int) -> None:
    """Tasks end at other bytes; a difference is found on either side of an edge, and at both ends."""
    changed = bytearray(large)
    changed[at] ^= 0x10
    ours = packed(bytes(changed), preset="fast")
    (problem,) = compare(ours, theirs_of_large, threads=threads).problems
    assert (problem.file, problem.offset, problem.n_bytes) == ("ours", at, 1)
    assert problem.reason == "differs from the original"


def test_differences_are_those_against_a_plain_file(large: bytes, theirs_of_large: bytes) -> None:
    changed = bytearray(large)
    for at in (2_000_000, len(large) - 1_000_000, len(large) - 999_000, len(large) - 1):
        changed[at] ^= 1
    ours = packed(bytes(changed), preset="fast")
    plain = pennyweight.verify(Named("ours", ours), against=Named("theirs", large))
    assert compare(ours, theirs_of_large).problems == plain.problems
    assert [problem.tensor for problem in plain.problems] == ["a", "b"]


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=5000), st.data())
def test_any_two_files(data: bytes, draw: st.DataObject) -> None:
    """Whether they are equal, and where they are not, is what Python says of the bytes."""
    other = bytearray(data)
    for at in draw.draw(st.lists(st.integers(0, max(0, len(data) - 1)), max_size=3)):
        if data:
            other[at] ^= draw.draw(st.integers(0, 255))
    theirs = draw.draw(st.sampled_from([bytes(other), bytes(other[:-1]), bytes(other) + b"x"]))
    report = compare(packed(data), packed(theirs, preset="fast"), threads=1)
    assert report.ok == (data == theirs)
    places = [problem.offset for problem in report.problems if problem.offset is not None]
    differing = [i for i, (a, b) in enumerate(zip(data, theirs, strict=False)) if a != b]
    assert places == differing[:1]


@pytest.mark.parametrize("change", [-1, 1, -7000])
def test_originals_of_other_sizes(change: int) -> None:
    data = samples.small()
    report = compare(packed(data), packed(data[:change] if change < 0 else data + b"x"))
    assert {problem.reason.split(":")[0] for problem in report.problems} == {"differs from the original"}
    assert f"which has {len(data) + change if change > 0 else len(data[:change])}" in report.problems[0].reason


def frame_of(container: bytes, tensor: str) -> int:
    made = ContainerReader(Reader(io.BytesIO(container)))
    segment = next(i for i in range(len(made.segments)) if made.tensor_name(i) == tensor)
    return int(made.frames.begins[made.blocks.holding(segment)[0]])


def test_damage_of_the_other_is_its_own(small_blocks: Path) -> None:
    """A damaged tensor of theirs says nothing of ours; the next tensor is compared."""
    data = samples.small()
    theirs = bytearray(packed(data, preset=small_blocks))
    at = frame_of(bytes(theirs), "a")
    theirs[at + 5] ^= 1
    (problem,) = compare(packed(data), bytes(theirs)).problems
    assert (problem.file, problem.tensor, problem.offset) == ("theirs", "a", at)
    assert "digest" in problem.reason
    found = compare(packed(data[:-1] + b"?"), bytes(theirs))
    assert said(found)[0] == ("ours", "b", len(data) - 1, 1)
    assert said(found)[1][:2] == ("theirs", "a")


def test_equal_containers_have_equal_damage() -> None:
    """They are compared as they are, and decoded once."""
    container = bytearray(packed(samples.small()))
    assert compare(bytes(container), bytes(container)).ok
    container[frame_of(bytes(container), "a") + 5] ^= 1
    found = said(compare(bytes(container), bytes(container)))
    assert ("ours", "a") in {row[:2] for row in found}
    assert {row[1:] for row in found if row[0] == "ours"} == {row[1:] for row in found if row[0] == "theirs"}
    itself = pennyweight.verify(Named("x", bytes(container)), against=Named("x", bytes(container)))
    assert 2 * len(itself.problems) == len(found)


def test_truncation_of_the_other_at_every_length() -> None:
    """What begins with the magic is a container, however short; anything else is a plain file of another size."""
    ours, theirs = packed(samples.small()), packed(samples.small(), preset="fast")
    for n in range(0, len(theirs), 17):
        problems = compare(ours, theirs[:n], threads=1).problems
        assert {problem.file for problem in problems} == {"theirs" if n >= 8 else "ours"}


def test_a_wrapped_container_has_a_container_as_its_original() -> None:
    inner = packed(samples.small())
    outer = packed(inner)
    assert compare(outer, inner).ok
    assert compare(outer, packed(inner, preset="fast")).ok
    assert not compare(outer, packed(samples.small(), preset="fast")).ok


def test_what_raises_names_the_file_and_ends_both() -> None:
    before = threading.active_count()
    frame = spec_encoder.node(99, b"", [], b"x" * 30)
    new, data = spec_encoder.one_frame(frame, b"x" * 30).pack(), samples.mixed()
    with pytest.raises(VersionError, match=r"^theirs: stage 99"):
        compare(packed(data), new)
    with pytest.raises(VersionError, match=r"^ours: stage 99"):
        compare(new, packed(data))
    assert threading.active_count() == before


def test_an_interrupt_ends_both() -> None:
    before = threading.active_count()

    def stop(n_bytes: int) -> None:
        raise KeyboardInterrupt

    ours, theirs = (io.BytesIO(packed(samples.mixed(), preset=preset)) for preset in ("default", "fast"))
    with pytest.raises(KeyboardInterrupt):
        pennyweight.verify(ours, against=theirs, progress=stop)
    assert threading.active_count() == before


def test_a_container_that_changes_meanwhile(tmp_path: Path) -> None:
    (tmp_path / "other.pwt").write_bytes(packed(samples.small(), preset="fast"))
    with Reader(tmp_path / "other.pwt") as other, Reader(io.BytesIO(packed(samples.small()))) as ours:
        (tmp_path / "other.pwt").touch()
        with pytest.raises(InputError, match="changed while it was read"):
            verify_file(ours, original=other, threads=1)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A model, and two folders of containers of it."""
    model = tmp_path / "model"
    (model / "sub").mkdir(parents=True)
    (model / "a.safetensors").write_bytes(samples.small())
    (model / "sub" / "b.bin").write_bytes(samples.bf16(3000))
    (model / "sub" / "b.bin.pwt").write_bytes(packed(samples.thousands(20)))  # a container that is carried, wrapped
    (model / "config.json").write_text("{}")
    for preset in ("default", "fast"):
        pennyweight.compress(model, tmp_path / preset, preset=preset)
    return model, tmp_path / "default", tmp_path / "fast"


def problems_of(ours: Path, theirs: Path) -> list[tuple[str, str, int | None]]:
    def row(problem: Problem) -> tuple[str, str, int | None]:
        return str(Path(problem.file).relative_to(ours.parent)), problem.reason, problem.offset

    return [row(problem) for problem in pennyweight.verify(ours, against=theirs).problems]


def test_folders_of_containers(folders: tuple[Path, Path, Path]) -> None:
    model, one, other = folders
    assert not problems_of(one, other)
    assert not problems_of(one, one)
    assert not problems_of(one, model)
    (other / "a.safetensors.pwt").write_bytes(packed(samples.small()[:-1] + b"?", preset="fast"))
    (other / "sub" / "new.bin.pwt").write_bytes(packed(b"new"))
    (one / "sub" / "b.bin.pwt").unlink()
    assert problems_of(one, other) == [
        ("default/a.safetensors.pwt", "differs from the original", len(samples.small()) - 1),
        ("fast/sub/b.bin.pwt", "is in the original folder only", None),
        ("fast/sub/new.bin.pwt", "is in the original folder only", None),
    ]


def test_containers_and_originals_on_either_side(folders: tuple[Path, Path, Path]) -> None:
    _, one, other = folders
    for name in ("a.safetensors", "sub/b.bin"):
        pennyweight.restore(one / f"{name}.pwt")
        (one / f"{name}.pwt").unlink()
    assert not problems_of(one, other)
    assert not problems_of(other, one)
    (one / "a.safetensors").write_bytes(samples.small()[:-1] + b"?")
    at = len(samples.small()) - 1
    assert problems_of(one, other) == [("fast/a.safetensors.pwt", "differs from the original", at)]
    assert problems_of(other, one) == [("fast/a.safetensors.pwt", "differs from the original", at)]


def test_a_container_beside_its_original(folders: tuple[Path, Path, Path]) -> None:
    """It is verified; the two are compared with each other only if that is asked for."""
    model = folders[0]
    (model / "sub" / "b.bin.pwt").unlink()  # of another file
    pennyweight.compress(model / "a.safetensors")
    report = pennyweight.verify(model)
    assert report.ok
    assert (report.n_files, len(report.files)) == (4, 1)
    assert pennyweight.inspect(model).n_files == 1
    assert not problems_of(model, model)
    (model / "a.safetensors").write_bytes(samples.small()[:-1] + b"?")
    assert pennyweight.verify(model).ok
    difference = ("model/a.safetensors.pwt", "differs from the original", len(samples.small()) - 1)
    assert problems_of(model, model) == [difference]
    with pytest.raises(InputError, match=r"a\.safetensors: is there both with and without \.pwt"):
        pennyweight.restore(model, model.parent / "back")
