"""salvage: whatever is damaged, what is given back is right, and what is intact is given back."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors
import samples
import spec_encoder
import xxhash
from fuzz.bounds import bounded_memory, bounded_time
from salvaged import Salvaged, salvage, salvage_from
from samples import packed

import pennyweight
from pennyweight.errors import CorruptError, InputError, VersionError
from pennyweight.pipeline.container import layout, markers
from pennyweight.pipeline.container.reader import ContainerReader
from pennyweight.pipeline.files import Reader
from pennyweight.testing.gguf import gguf_file, quantised_cells
from pennyweight.types import DType

Change = Callable[[bytearray], object]


@pytest.fixture(autouse=True)
def small_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many batches in a small file."""
    monkeypatch.setattr("pennyweight.pipeline.blocks.TASK_BYTES", 4096)


TENSORS = [(f"t{i}", "BF16", (1_000, 3), samples.bf16(3_000, i)) for i in range(6)]
TENSORS += [("none", "F32", (0,), b""), ("one", "U8", (), b"\7"), ("two", "I16", (2,), b"abcd")]
RAWS = {name: raw for name, _, _, raw in TENSORS}
DATA = samples.safetensors(*TENSORS)


@pytest.fixture(scope="module")
def container(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    preset = tmp_path_factory.mktemp("preset") / "small.toml"
    preset.write_text(samples.SMALL_BLOCKS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pennyweight.pipeline.blocks.TASK_BYTES", 4096)
        return packed(DATA, preset=preset)


def opened(container: bytes) -> ContainerReader:
    return ContainerReader(Reader(io.BytesIO(container)))


def markers_of(container: bytes) -> list[markers.Marker]:
    made = opened(container)
    return [*markers.find_markers(made.file, int(made.index.description_xxh3_64, 16))]


def damaged(container: bytes, *changes: Change) -> bytes:
    data = bytearray(container)
    for change in changes:
        change(data)
    return bytes(data)


def zeros(first: int, last: int) -> Change:
    return lambda data: data.__setitem__(slice(first, last), bytes(last - first))


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


def test_all_dtypes_can_be_read_by_the_library(container: bytes, tmp_path: Path) -> None:
    tensors = [
        (dtype.label, dtype.label, (8, 3), bytes(range(3 * dtype.bits))) for dtype in DType if dtype.weights == 1
    ]
    tensors += [("__metadata__", "U8", (3,), b"abc"), ("__metadata__.0", "U8", (1,), b"d"), ("lost", "U8", (1,), b"x")]
    segments = [spec_encoder.tensor(name, dtype, shape, raw) for name, dtype, shape, raw in tensors]
    raws = [raw for *_, raw in tensors]
    segments[-1]["xxh3_128"] = "0" * 32
    frame = spec_encoder.store(b"".join(raws))
    (tmp_path / "x.pwt").write_bytes(
        spec_encoder.Container([frame], spec_encoder.describe(segments, raws, 524_288)).pack()
    )
    report = pennyweight.salvage(tmp_path / "x.pwt", tmp_path / "out")
    read = dict(safetensors.deserialize((tmp_path / "out/x.salvaged.safetensors").read_bytes()))
    names = {tensor.name: tensor.saved_as for tensor in report.files[0].tensors}
    assert names["__metadata__"] == "__metadata__.1"
    for name, dtype, shape, raw in tensors[:-1]:
        given = read.pop(str(names[name]))
        assert (given["dtype"], tuple(given["shape"]), bytes(given["data"])) == (dtype, shape, raw)
    assert not read


def test_quantised_tensors_come_as_bytes_with_their_dtype(tmp_path: Path) -> None:
    cells = quantised_cells(DType.Q4_K, 4)
    data = gguf_file({"q": (DType.Q4_K, (4, 256), cells), "f": (DType.F32, (2,), b"12345678")})
    (tmp_path / "m.gguf.pwt").write_bytes(damaged(packed(data), lambda made: made.extend(b"x")))
    whole = pennyweight.salvage(tmp_path / "m.gguf.pwt", tmp_path / "out")
    assert (tmp_path / "out" / "m.gguf").read_bytes() == data
    assert whole.ok
    segments = [spec_encoder.tensor("q", "Q4_K", [4, 256], cells), {"n_bytes": 5}]
    lie = spec_encoder.describe(segments, [cells, b"12345"], 524_288) | {"gaps_xxh3_128": "0" * 32}
    found = salvage(spec_encoder.Container([spec_encoder.store(cells + b"12345")], lie).pack())
    assert found.tensors == {"q": cells}
    (tmp_path / "y.pwt").write_bytes(spec_encoder.Container([spec_encoder.store(cells + b"12345")], lie).pack())
    pennyweight.salvage(tmp_path / "y.pwt", tmp_path / "y")
    with safetensors.safe_open(tmp_path / "y/y.salvaged.safetensors", "np") as file:
        assert json.loads(file.metadata()["quantised"]) == {"q": {"dtype": "Q4_K", "shape": [4, 256]}}
        assert file.get_tensor("q").tobytes() == cells


def test_another_version_is_not_salvaged() -> None:
    made = spec_encoder.one_frame(spec_encoder.store(b"x"), b"x")
    made.version = (1, 1)
    with pytest.raises(VersionError, match=r"needs format 1\.1"):
        salvage(made.pack())


@pytest.mark.parametrize("data", [b"", b"x" * 500, samples.small(), layout.MAGIC], ids=["none", "x", "model", "magic"])
def test_what_is_no_container(data: bytes) -> None:
    with pytest.raises(CorruptError, match="nothing is left that says what it held"):
        salvage(data)


def test_a_description_of_a_petabyte() -> None:
    metadata = spec_encoder.describe([], [], 1024)
    metadata |= {"n_bytes": 10**15, "segments": [{"n_bytes": 10**15}]}
    with bounded_memory(), bounded_time(), pytest.raises(CorruptError, match="976562500000 blocks are more than"):
        salvage(spec_encoder.Container([], metadata).pack())


def test_markers_that_all_name_the_same_bytes_are_not_read_for_ever() -> None:
    """32,000 markers, each before a frame of a megabyte that holds the others: 32 GB to be compared."""
    n, size = 16_000, 1 << 20
    segments = [{"n_bytes": size}] * n
    made = spec_encoder.Container([], spec_encoder.describe([], [], size), batches=[])
    made.metadata |= {"n_bytes": n * size, "segments": segments}
    description, digest = made.described()
    many = b"".join(spec_encoder.marker(digest, i % n, [size], [1]) for i in range(2 * n))
    head = made.pack()[:40]
    with bounded_memory(), bounded_time():
        found = salvage(head + description + many + bytes(size))
    assert found.file.saved_bytes == 0


def test_hostile_markers_are_passed_over(container: bytes) -> None:
    made = opened(container)
    end = len(container) - 48 - made.index_bytes
    digest = int(made.index.description_xxh3_64, 16)
    n = len(made.places.begins)
    lies = [
        spec_encoder.marker(digest, n, [5], [1]),
        spec_encoder.marker(digest, n - 1, [5, 5], [1, 1]),
        spec_encoder.marker(digest, (1 << 64) - 1, [5], [1]),
        spec_encoder.marker(digest, 0, [1 << 31], [1]),
        spec_encoder.marker(digest, 0, [], []),
        spec_encoder.marker(digest, 0, [5] * 513, [1] * 513),
        spec_encoder.marker(digest, 0, [0] * 5, [xxhash.xxh3_64_intdigest(b"")] * 5),
        spec_encoder.marker(digest, 0, [5], [1])[:-1] + b"\0",
    ]
    first = 40 + made.index.description_bytes
    spoilt = container[:first] + b"".join(lies) + container[first:end] + lies[0][:30]
    assert salvage(spoilt).original == DATA


def test_a_file_that_changes_meanwhile(container: bytes) -> None:
    class Changing(Reader):
        n_reads = 0

        def pread_into(self, offset: int, view: memoryview) -> None:
            super().pread_into(offset, view)
            self.n_reads += 1
            if self.n_reads > 20:
                view[0] ^= 1

    begin = int(opened(container).frames.begins[0])
    spoilt = damaged(container, zeros(begin, begin + 9))
    for data in (container, spoilt):
        with pytest.raises(InputError, match="changed while it was read"):
            salvage_from(Changing(io.BytesIO(data)))


@pytest.fixture
def folder(container: bytes, tmp_path: Path) -> Path:
    """One whole, one that is cut, one of which nothing is left, and one that is none."""
    source = tmp_path / "model"
    (source / "deep").mkdir(parents=True)
    (source / "a.safetensors.pwt").write_bytes(container)
    (source / "deep" / "b.safetensors.pwt").write_bytes(container[: len(container) // 2])
    (source / "c.safetensors.pwt").write_bytes(bytes(1_000))
    (source / "config.json").write_text("{}")
    return source


def test_a_folder(folder: Path) -> None:
    done: list[int] = []
    report = pennyweight.salvage(folder, folder.parent / "out", threads=2, progress=done.append)
    out = folder.parent / "out"
    assert {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()} == {
        "a.safetensors",
        "deep/b.safetensors.salvaged.safetensors",
        "deep/b.safetensors.salvage.json",
        "config.json",
    }
    assert (out / "a.safetensors").read_bytes() == DATA
    assert [file.whole for file in report.files] == [True, False]
    assert [problem.file for problem in report.problems] == [str(folder / "c.safetensors.pwt")]
    assert not report.ok
    assert report.n_tensors == 2 * len(TENSORS)
    assert report.n_saved == sum(file.n_saved for file in report.files)
    assert sum(done) > 2 * len(DATA)
    listed: dict[str, Any] = json.loads((out / "deep/b.safetensors.salvage.json").read_text())
    assert listed.pop("schema") == "pennyweight.salvaged/1"
    assert listed == report.files[1].model_dump(mode="json")


def test_targets(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = folder / "a.safetensors.pwt"
    target = folder.parent / "out"
    target.mkdir()
    (target / "old").write_text("x")
    with pytest.raises(InputError, match="exists already"):
        pennyweight.salvage(source, target)
    assert [path.name for path in target.iterdir()] == ["old"]
    pennyweight.salvage(source, target, force=True)
    assert [path.name for path in target.iterdir()] == ["a.safetensors"]
    with pytest.raises(InputError, match="holds the source"):
        pennyweight.salvage(source, folder, force=True)
    with pytest.raises(InputError, match="No such file"):
        pennyweight.salvage(folder / "missing", folder.parent / "new")
    assert not (folder.parent / "new").exists()
    monkeypatch.setattr("pennyweight.pipeline.salvage.check_space", _no_room)
    with pytest.raises(InputError, match="no room"):
        pennyweight.salvage(source, folder.parent / "new")
    assert not (folder.parent / "new").exists()


def _no_room(path: Path, n_bytes: int) -> None:
    raise InputError(f"{path}: no room for {n_bytes}")
