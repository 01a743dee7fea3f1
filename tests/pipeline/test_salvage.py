"""salvage: whatever is damaged, what is given back is right, and what is intact is given back."""

from __future__ import annotations

from pathlib import Path

import pytest
import samples
import spec_encoder
from salvaged import Salvaged, salvage
from samples import packed
from wrecks import DATA, RAWS, TENSORS, damaged, opened, zeros

import pennyweight
from pennyweight.errors import CorruptError
from pennyweight.pipeline.container import markers

pytestmark = pytest.mark.usefixtures("small_tasks")


def markers_of(container: bytes) -> list[markers.Marker]:
    made = opened(container)
    return [*markers.find_markers(made.file, int(made.index.description_xxh3_64, 16))]


def frames_of(container: bytes) -> list[tuple[int, int, set[str]]]:
    """Where each frame of a block begins and ends, and the tensors in it."""
    made = opened(container)
    names = [
        {made.tensor_name(i) for i in made.blocks.segments_in(block)} - {None} for block in range(len(made.blocks))
    ]
    return [*zip(made.frames.begins.tolist(), made.frames.ends.tolist(), names, strict=True)]  # type: ignore[list-item]


def check_all_but(found: Salvaged, lost: set[str]) -> None:
    assert found.lost == lost
    assert found.tensors == {name: raw for name, raw in RAWS.items() if name not in lost}


def test_nothing_is_wrong(container: bytes) -> None:
    found = salvage(container, threads=2)
    assert found.original == DATA
    assert (found.file.proven, found.file.n_saved, found.file.saved_bytes) == ("tensors", len(TENSORS), len(DATA))
    assert all(tensor.saved and tensor.saved_as is None for tensor in found.file.tensors)


PARTS = {
    "header": lambda made: zeros(0, 40),
    "description": lambda made: zeros(40, 40 + made.index.description_bytes),
    "index": lambda made: zeros(made.file.size - 48 - made.index_bytes, made.file.size - 48),
    "trailer": lambda made: zeros(made.file.size - 48, made.file.size),
    "index and trailer": lambda made: (
        lambda data: data.__delitem__(slice(made.file.size - 48 - made.index_bytes, None))
    ),
    "something behind": lambda made: lambda data: data.extend(b"more"),
    "something before the index": lambda made: (
        lambda data: data.__setitem__(slice(made.file.size - 48 - made.index_bytes, 0), b"more")
    ),
}
"""What can be lost without any loss, while the others are there."""


@pytest.mark.parametrize("part", PARTS)
def test_each_part_but_frames_can_be_spared(part: str, container: bytes) -> None:
    found = salvage(damaged(container, PARTS[part](opened(container))))
    assert found.original == DATA
    lost = {"index", "trailer", "index and trailer"}
    assert found.file.proven == ("frames" if part in lost else "tensors")


def test_markers_can_be_spared_while_there_is_an_index(container: bytes) -> None:
    found = markers_of(container)
    assert len(found) > 5
    assert salvage(damaged(container, *(zeros(one.offset, one.end) for one in found))).original == DATA


def test_either_description_or_index_is_needed(container: bytes, tmp_path: Path) -> None:
    made = opened(container)
    spoilt = damaged(container, PARTS["index"](made), PARTS["description"](made))
    with pytest.raises(CorruptError, match=r"index: checksum .*; description: checksum .*: nothing is left that says"):
        salvage(spoilt)
    (tmp_path / "x.pwt").write_bytes(spoilt)
    with pytest.raises(CorruptError, match=r"x\.pwt: index"):
        pennyweight.salvage(tmp_path / "x.pwt", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["x.pwt"]
    for moved in ("something behind", "something before the index"):
        assert salvage(damaged(container, PARTS["description"](made), PARTS[moved](made))).original == DATA


@pytest.mark.parametrize("index", [True, False], ids=["index", "markers"])
def test_a_flip_of_any_byte_loses_the_tensors_of_one_frame_at_most(index: bool, container: bytes) -> None:
    """With the index. Without it a marker's batch is lost where the marker is, and all is with the description."""
    made = opened(container)
    end = len(container) if index else len(container) - 48 - made.index_bytes
    description = range(40, 40 + made.index.description_bytes)
    lost: dict[int, set[str]] = {at: set() for at in range(end)}
    for begin, stop, names in frames_of(container):
        lost |= dict.fromkeys(range(begin, stop), names)
    for one in [] if index else markers_of(container):
        held = [names for begin, stop, names in frames_of(container) if one.end <= begin < one.end + one.lengths.sum()]
        lost |= dict.fromkeys(range(one.offset, one.end), set().union(*held))
    places = [one.end - 3 for one in markers_of(container)[::5]] + [*description[::40], *range(3, end, 331)]
    n_whole = 0
    for at in places:
        spoilt = damaged(container[:end], lambda data, at=at: data.__setitem__(at, data[at] ^ 1 << at % 8))
        if at in description and not index:
            with pytest.raises(CorruptError):
                salvage(spoilt)
            continue
        found = salvage(spoilt)
        n_whole += found.original is not None
        if found.original is None:
            assert lost[at] or found.file.wrong  # of the gap
            check_all_but(found, lost[at])
        else:
            assert not lost[at]
            assert found.original == DATA
    assert 0 < n_whole < len(places)


def test_a_file_that_is_cut_gives_all_before_the_cut(container: bytes) -> None:
    made, saved = opened(container), list[int]()
    for n in [*range(40 + made.index.description_bytes, len(container), 1999), len(container) - 1]:
        found = salvage(container[:n])
        blocks = range(len(made.blocks))
        intact = {i for i in blocks if made.frames.ends[i] <= n}
        expected = {
            name
            for i, name in enumerate(map(made.tensor_name, range(len(made.segments))))
            if name is not None and set(range(*made.blocks.holding(i))) <= intact
        }
        if found.original is None:
            check_all_but(found, RAWS.keys() - expected)
            assert {tensor.reason for tensor in found.file.tensors} == {None, "a frame is not found"}
        saved.append(found.file.n_saved)
    assert saved == sorted(saved)
    assert (saved[0], saved[-1]) == (1, len(TENSORS))  # the one without bytes cannot be lost


@pytest.mark.parametrize("change", ["in", "out"])
def test_bytes_that_came_in_or_went_lose_one_batch(change: str, container: bytes) -> None:
    for one in markers_of(container)[1:-1:3]:
        place = one.end + 5
        spoilt = container[:place] + (b"12345" + container[place:] if change == "in" else container[place + 5 :])
        found = salvage(spoilt)
        assert found.file.proven == "tensors"
        end = one.end + int(one.lengths.sum())
        check_all_but(
            found, set().union(*(names for begin, _, names in frames_of(container) if one.end <= begin < end))
        )
    for one in markers_of(container)[1::3]:  # between batches
        assert salvage(container[: one.offset] + b"123" + container[one.offset :]).original == DATA


def test_bytes_that_came_in_and_as_many_that_went(container: bytes) -> None:
    """All is in its place but what stands between, and that is found, too."""
    one, other = markers_of(container)[2], markers_of(container)[-3]
    at, end = other.end + 3, one.end + int(one.lengths.sum())
    frames = frames_of(container)
    torn = [names for begin, _, names in frames if begin == other.end]
    behind = [names for begin, _, names in frames if one.end <= begin < end]
    for place, lost in ((one.offset, torn), (one.end + 5, torn + behind)):
        found = salvage(container[:place] + b"123" + container[place:at] + container[at + 3 :])
        assert found.file.proven == "tensors"
        check_all_but(found, set().union(*lost))


def test_the_list_says_why_and_where(container: bytes) -> None:
    made = opened(container)
    at = int(made.frames.begins[made.blocks.holding(2)[0]])
    found = salvage(damaged(container, zeros(at, at + 9)))
    (lost,) = [tensor for tensor in found.file.tensors if not tensor.saved]
    assert (lost.name, lost.saved_as, lost.offset) == ("t1", None, at)
    assert lost.reason == "a frame is damaged: its digest does not match"
    kept = found.file.tensors[0]
    assert (kept.name, kept.dtype, kept.shape, kept.saved_as, kept.reason) == ("t0", "BF16", (1_000, 3), "t0", None)
    assert (found.file.n_saved, found.file.n_tensors, found.file.wrong) == (len(TENSORS) - 1, len(TENSORS), None)
    assert found.file.saved_bytes == sum(map(len, RAWS.values())) - 6_000


def test_a_gap_that_is_lost(container: bytes) -> None:
    """All tensors are there; the original, which begins with it, is not."""
    begin = int(opened(container).frames.begins[0])
    found = salvage(damaged(container, zeros(begin, begin + 9)))
    check_all_but(found, set())
    assert found.file.wrong == "bytes outside of the tensors are lost"


def test_a_side_frame_that_is_lost(tmp_path: Path) -> None:
    """The tensors that need it are lost, the others are not."""
    whole = packed(samples.matrices(), preset="archive")
    made = opened(whole)
    assert len(made.side)
    begin = int(made.places.begins[0])
    found = salvage(damaged(whole, zeros(begin, begin + 9)))
    raws = samples.safetensors_raws(samples.matrices())
    assert found.lost
    assert found.tensors == {name: raw for name, raw in raws.items() if name not in found.lost}
    assert {t.reason for t in found.file.tensors} - {None} == {"side frame 0: its digest does not match"}
    assert found.tensors or found.lost == raws.keys()


@pytest.mark.parametrize("behind", [b"", b"x"], ids=["index", "markers"])
def test_digests_of_tensors_and_gaps_are_looked_at(behind: bytes) -> None:
    raws = [samples.bf16(512, seed) for seed in range(3)]
    segments = [spec_encoder.tensor(name, "BF16", [512], raw) for name, raw in zip("abc", raws, strict=True)]
    frames = [spec_encoder.store(raw) for raw in (raws[0], raws[0], raws[2])]
    lie = spec_encoder.Container(frames, spec_encoder.describe(segments, raws, 1024)).pack() + behind
    found = salvage(lie)
    assert found.lost == {"b"}
    assert found.file.tensors[1].reason == "decoded bytes do not match the tensor's digest"
    for key, wrong in [("gaps_xxh3_128", "bytes outside of the tensors do not match"), ("sha256", "its SHA-256")]:
        metadata = spec_encoder.describe(segments, raws, 1024)
        metadata[key] = "0" * len(metadata[key])
        found = salvage(spec_encoder.Container([*map(spec_encoder.store, raws)], metadata).pack() + behind)
        assert found.tensors == dict(zip("abc", raws, strict=True))
        assert wrong in str(found.file.wrong)


def test_a_container_in_a_container(container: bytes) -> None:
    """Its markers, index and trailer stand in the other's frames, and are not taken for those."""
    for inner in (container, container[:-1]):
        outer = packed(inner, preset="fast")
        end = len(outer) - 48 - opened(outer).index_bytes
        assert opened(outer).index.source == "opaque"
        for spoilt in (outer[:end], outer + b"x", outer[:end] + outer[:end]):
            assert salvage(spoilt).original == inner


def test_two_containers_in_one_file(container: bytes) -> None:
    assert salvage(container + container).original == DATA
    other = packed(samples.small())
    assert salvage(container + other[: len(other) // 2]).original == DATA
    front = other[: 40 + opened(other).index.description_bytes]
    assert salvage(front).lost == {"a", "b"}
    assert salvage(front + container).original == DATA  # of what the first describes there is nothing
