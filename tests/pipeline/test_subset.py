"""Slices of a container: together they are all of it, each is a share of the work, and none claims more than it saw."""

from __future__ import annotations

import io
import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import samples
import spec_encoder
from hypothesis import given
from hypothesis import strategies as st
from samples import packed

import pennyweight
from pennyweight.cli import main
from pennyweight.errors import UsageError
from pennyweight.pipeline.container.reader import ContainerReader
from pennyweight.pipeline.files import Reader
from pennyweight.pipeline.report import VerifyReport
from pennyweight.pipeline.subset import Slice

N = 4
SLICES = [f"{i}/{N}" for i in range(1, N + 1)]


@pytest.fixture(scope="module")
def container() -> bytes:
    return packed(samples.mixed())


def check(container: bytes, subset: str) -> VerifyReport:
    return pennyweight.verify(io.BytesIO(container), subset=subset, threads=2)


def checked(report: VerifyReport) -> set[str]:
    return {tensor.name for file in report.files for tensor in file.tensors if tensor.ok is not None}


def opened(container: bytes) -> ContainerReader:
    return ContainerReader(Reader(io.BytesIO(container)))


def test_slices_together_are_everything(container: bytes) -> None:
    names = [checked(check(container, subset)) for subset in SLICES]
    everything = {tensor.name for tensor in pennyweight.inspect(io.BytesIO(container)).files[0].tensors}
    assert set().union(*names) == everything
    empty = {"nothing", "last nothing"}
    assert sum(len(found - empty) for found in names) == len(everything - empty)
    assert all(empty <= found for found in names)
    assert sum(one.of_blocks(opened(container)).astype(int) for one in map(Slice.parse, SLICES)).tolist() == [1] * len(
        opened(container).blocks
    )


def test_what_is_reported_is_what_was_checked(container: bytes) -> None:
    for subset in SLICES:
        done: list[int] = []
        report = pennyweight.verify(io.BytesIO(container), subset=subset, progress=done.append)
        assert (report.ok, report.subset, report.level) == (True, subset, "default")
        assert report.n_checked_tensors == len(checked(report)) < report.n_tensors
        assert report.checked_bytes <= sum(done) < report.n_bytes
        assert report.n_bytes == len(samples.mixed())
    whole = pennyweight.verify(io.BytesIO(container))
    assert (whole.subset, whole.n_checked_tensors) == (None, whole.n_tensors)


@given(st.lists(st.integers(0, 3000), max_size=40), st.integers(1, 9))
def test_slices_are_even_and_never_halve_a_tensor(sizes: list[int], n: int) -> None:
    """No two differ by more than the largest of what must stay together."""
    rows = [(str(i), "U8", (size,), bytes(size)) for i, size in enumerate(sizes)]
    made = opened(packed(samples.safetensors(*rows), preset="fast"))
    masks = [Slice(i, n).of_blocks(made) for i in range(1, n + 1)]
    assert np.array_equal(sum(mask.astype(int) for mask in masks), np.ones(len(made.blocks)))
    together = np.bincount(made.blocks.segments, made.blocks.sizes) if len(made.blocks) else np.zeros(1)
    loads = [int(made.blocks.sizes[mask].sum()) for mask in masks]
    assert max(loads) - min(loads) <= together.max()
    for mask in masks:
        for segment in set(made.blocks.segments[mask].tolist()):
            assert mask[made.blocks.segments == segment].all()


def test_frames_of_the_others_are_not_read(container: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    made = opened(container)
    read: list[tuple[int, int]] = []
    pread_into = Reader.pread_into

    def noted(self: Reader, offset: int, view: memoryview) -> None:
        read.append((offset, offset + len(view)))
        pread_into(self, offset, view)

    monkeypatch.setattr(Reader, "pread_into", noted)
    for part in map(Slice.parse, SLICES):
        read.clear()
        check(container, str(part))
        mask = part.of_blocks(made)
        for first, last, wanted in zip(made.frames.begins, made.frames.ends, mask, strict=True):
            assert any(a < last and first < b for a, b in read) == wanted


def test_damage_is_found_by_the_slice_that_has_it(container: bytes) -> None:
    made = opened(container)
    for block in range(len(made.blocks)):
        data = bytearray(container)
        data[int(made.frames.begins[block]) + 3] ^= 1
        found = {subset: check(bytes(data), subset) for subset in SLICES}
        bad = [subset for subset, report in found.items() if not report.ok]
        assert bad == [subset for subset in SLICES if Slice.parse(subset).of_blocks(made)[block]]
        wrong = {problem.tensor for problem in found[bad[0]].problems} - {None}
        assert wrong == {tensor.name for tensor in found[bad[0]].files[0].tensors if tensor.ok is False}
        assert wrong <= checked(found[bad[0]])


def test_a_wrong_digest_of_a_tensor_is_found() -> None:
    raws = [samples.bf16(512, seed) for seed in range(3)]
    segments = [spec_encoder.tensor(name, "BF16", [512], raw) for name, raw in zip("abc", raws, strict=True)]
    frames = [spec_encoder.store(raw) for raw in (raws[0], raws[0], raws[2])]
    lie = spec_encoder.Container(frames, spec_encoder.describe(segments, raws, 1024)).pack()
    found = [check(lie, f"{i}/3").problems for i in (1, 2, 3)]
    (problem,) = sum(found, ())
    assert (problem.tensor, problem.reason) == ("b", "decoded bytes do not match the tensor's digest")


def test_every_side_frame_is_found_by_a_slice() -> None:
    whole = packed(samples.matrices(), preset="archive")
    made = opened(whole)
    assert len(made.side)
    for number in range(len(made.side)):
        data = bytearray(whole)
        data[int(made.places.begins[number]) + 1] ^= 1
        assert not check(bytes(data), f"{number % N + 1}/{N}").ok


def test_small_containers_do_not_all_fall_to_one_slice() -> None:
    made = [opened(packed(bytes([i]) * 50)) for i in range(40)]
    counts = [sum(bool(Slice(i, N).of_blocks(one).any()) for one in made) for i in range(1, N + 1)]
    assert sum(counts) == 40
    assert min(counts) > 1


@pytest.mark.parametrize(
    ("text", "of"), [("10%", 10), ("33.3%", 3), ("40%", 2), ("51%", 1), ("100%", 1), ("0.01%", 10**4)]
)
def test_a_share_is_a_slice_by_chance(text: str, of: int) -> None:
    drawn = {Slice.parse(text) for _ in range(300)}
    assert {one.of for one in drawn} == {of}
    assert all(1 <= one.number <= of for one in drawn)
    assert len(drawn) >= min(of, 5)


@pytest.mark.parametrize(
    "text", ["", "0/3", "4/3", "1/0", "1/10001", "-1/3", "1", "0%", "101%", "0.001%", "%", "\u0663/\u0667", "1/3 "]
)
def test_what_is_no_subset(text: str) -> None:
    with pytest.raises(UsageError, match="subset must be such as 2/7"):
        check(packed(b"x"), text)


def test_what_a_subset_cannot_go_with() -> None:
    for options in ({"level": "full"}, {"level": "fast"}, {"against": io.BytesIO(b"x")}):
        with pytest.raises(UsageError, match="a subset is checked on"):
            pennyweight.verify(io.BytesIO(packed(b"x")), subset="1/2", **options)  # type: ignore[arg-type]


def test_the_command_says_what_it_saw(
    container: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("m.pwt").write_bytes(container)
    assert main(["verify", "m.pwt", "--subset", "1/4", "--report", "junit=j.xml"]) == 0
    text = capsys.readouterr().out
    report = check(container, "1/4")
    assert f"{report.n_checked_tensors} tensors of them" in text
    assert "slice 1/4" in text
    assert "everything" not in text
    root = ElementTree.parse("j.xml").getroot()
    skipped = {case.attrib["name"] for case in root.iter("testcase") if case.find("skipped") is not None}
    assert skipped == {tensor.name for tensor in report.files[0].tensors} - checked(report)
    assert root[0].attrib["skipped"] == str(len(skipped))
    assert main(["verify", "m.pwt", "--subset", "25%", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["subset"] in SLICES
    Path("m.pwt").write_bytes(container[:9] + b"?" + container[10:])
    assert main(["verify", "m.pwt", "--subset", "25%"]) == 1
    assert "again with --subset " in capsys.readouterr().err
