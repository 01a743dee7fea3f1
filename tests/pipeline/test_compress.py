"""One file into one container: what it holds, the same bytes for any threads, and nothing left behind by a failure."""

from __future__ import annotations

import errno
import io
import json
import os
import threading
from pathlib import Path

import pytest
import samples
import spec_decoder
from samples import packed

import pennyweight
from pennyweight.errors import InputError, LossyError, PennyweightError, UsageError
from pennyweight.pipeline import compress, filesystem
from pennyweight.pipeline.container import limits
from pennyweight.pipeline.container.reader import ContainerReader
from pennyweight.pipeline.files import Reader
from pennyweight.types import Fidelity


def opened(container: bytes) -> ContainerReader:
    return ContainerReader(Reader(io.BytesIO(container)))


@pytest.mark.parametrize("preset", ["archive", "high", "default", "fast"])
@pytest.mark.parametrize("name", samples.FILES)
def test_the_specification_reads_what_we_write(name: str, preset: str) -> None:
    data = samples.FILES[name]
    if len(data) > 3_000_000:  # too much for the plain decoder
        data = samples.safetensors(("a", "F32", (70_000,), samples.bf16(140_000)))
    assert spec_decoder.decode(packed(data, preset=preset)) == data


@pytest.mark.parametrize("name", samples.FILES)
def test_same_container_for_any_threads_and_any_target(name: str, tmp_path: Path) -> None:
    data = samples.FILES[name]
    (tmp_path / "original").write_bytes(data)
    first = packed(data, threads=1)
    for threads in (1, 2, 5):
        target = tmp_path / f"{threads}.pwt"
        pennyweight.compress(tmp_path / "original", target, threads=threads)
        assert target.read_bytes() == first
    assert packed(data, threads=5) == first
    assert (tmp_path / "original").read_bytes() == data


def test_equal_blocks_give_equal_frames_wherever_they_stand() -> None:
    weights = samples.bf16(70_000)
    one = opened(packed(samples.safetensors(("a", "BF16", (70_000,), weights))))
    two = opened(packed(samples.safetensors(("x", "U8", (3,), b"abc"), ("a", "BF16", (70_000,), weights))))
    assert one.frames.digests[-1] == two.frames.digests[-1]


def test_index_holds_what_was_tried_and_no_sha256_if_not_wanted() -> None:
    index = opened(packed(samples.small(), sha256=False)).index
    assert index.sha256 is None
    assert index.preset == "default"
    assert index.encoder.startswith("pennyweight ")
    assert set(index.plans) == {"BF16", "U8", "gap"}


def test_progress_adds_up_in_the_calling_thread() -> None:
    done: list[int] = []
    threads = set()

    def progress(n_bytes: int) -> None:
        done.append(n_bytes)
        threads.add(threading.current_thread())

    packed(samples.mixed(), progress=progress)
    assert sum(done) == len(samples.mixed())
    assert len(done) > 2
    assert threads == {threading.current_thread()}


def test_interrupt_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "original").write_bytes(samples.mixed())

    def progress(n_bytes: int) -> None:
        raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        pennyweight.compress(tmp_path / "original", tmp_path / "new.pwt", progress=progress)
    assert [entry.name for entry in tmp_path.iterdir()] == ["original"]
    assert threading.active_count() == before


@pytest.mark.parametrize("failing", [0, 1, 2, 4])
def test_full_disk_is_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    (tmp_path / "original").write_bytes(samples.mixed())
    calls = iter(range(1000))

    def full(fd: int, views: list[memoryview], offset: int) -> int:
        if next(calls) >= failing:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return os.pwritev(fd, views, offset)

    monkeypatch.setattr(filesystem, "_PWRITEV", full)
    with pytest.raises(InputError, match=r"new\.pwt: cannot be written: No space left on device") as caught:
        pennyweight.compress(tmp_path / "original", tmp_path / "new.pwt", threads=2)
    assert caught.value.exit_code == 3
    assert [entry.name for entry in tmp_path.iterdir()] == ["original"]


def test_a_source_that_shrinks_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "original"
    path.write_bytes(samples.mixed())

    def progress(n_bytes: int) -> None:
        path.write_bytes(b"")

    with pytest.raises(InputError, match="original: changed while it was read"):
        pennyweight.compress(path, tmp_path / "new.pwt", threads=1, progress=progress)
    assert not (tmp_path / "new.pwt").exists()


def test_a_source_that_grows_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "original"
    path.write_bytes(samples.small())

    def progress(n_bytes: int) -> None:
        with path.open("ab") as file:
            file.write(b"more")

    with pytest.raises(InputError, match="original: changed while it was read"):
        pennyweight.compress(path, tmp_path / "new.pwt", progress=progress)
    assert [entry.name for entry in tmp_path.iterdir()] == ["original"]


def test_target_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "original").write_bytes(samples.small())
    (tmp_path / "original.pwt").write_bytes(b"precious")
    with pytest.raises(InputError, match=r"original\.pwt: exists already"):
        pennyweight.compress(tmp_path / "original")
    assert (tmp_path / "original.pwt").read_bytes() == b"precious"
    pennyweight.compress(tmp_path / "original", force=True)
    assert (tmp_path / "original.pwt").read_bytes() == packed(samples.small())


def test_source_is_not_the_target(tmp_path: Path) -> None:
    path = tmp_path / "original"
    path.write_bytes(samples.small())
    (tmp_path / "link").symlink_to(path)
    os.link(path, tmp_path / "hard")
    for target in (path, tmp_path / "link", tmp_path / "hard"):
        with pytest.raises(InputError, match="same"):
            pennyweight.compress(path, target, force=True)
    assert path.read_bytes() == samples.small()


def test_an_index_that_readers_would_refuse_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    data = samples.thousands(3000)
    whole = packed(data)
    index = ContainerReader(Reader(io.BytesIO(whole))).index
    assert index.source == "safetensors"
    monkeypatch.setattr(limits, "MAX_INDEX_BYTES", len(index.model_dump_json()))  # the bound is a little above it
    opaque = packed(data)
    assert ContainerReader(Reader(io.BytesIO(opaque))).index.source == "opaque"
    assert spec_decoder.decode(opaque) == data
    monkeypatch.setattr(limits, "MAX_INDEX_BYTES", 1 << 16)
    with pytest.raises(InputError, match="too large"):
        packed(data)


def test_the_bound_of_an_index_holds() -> None:
    name = '\x01\x7f\u2028\U0001f600"\\' * 400  # what JSON may write longer than it is
    tensors = [(name + str(i), "F8_E4M3FNUZ", (1,) * 60, b"x") for i in range(200)]
    empty = [(f"{i}", "F8_E4M3FNUZ", (0, (1 << 63) - 1), b"") for i in range(200)]
    data = samples.safetensors(*tensors, *empty)
    found = ContainerReader(Reader(io.BytesIO(packed(data)))).index
    bare = found.model_copy(update={"segments": ()})
    held = len(found.model_dump_json().encode()) - len(bare.model_dump_json().encode())
    names = sum(len(json.dumps(tensor[0], ensure_ascii=False).encode()) for tensor in (*tensors, *empty))
    assert held <= names + 20 * (60 + 2) * 200 + 160 * 401
    assert len(bare.model_dump_json()) < 1 << 15


def test_usage() -> None:
    with pytest.raises(UsageError, match="target must be given"):
        pennyweight.compress(io.BytesIO(b""))
    with pytest.raises(UsageError, match="threads"):
        packed(b"", threads=0)
    with pytest.raises(UsageError, match="no preset"):
        packed(b"", preset="best")


def test_an_encoder_fault_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fault(*arguments: object) -> None:
        raise PennyweightError("encoder fault")

    (tmp_path / "original").write_bytes(samples.small())
    monkeypatch.setattr(compress, "encode_blocks", fault)
    with pytest.raises(PennyweightError, match="original: encoder fault"):
        pennyweight.compress(tmp_path / "original", threads=2)
    assert [entry.name for entry in tmp_path.iterdir()] == ["original"]


def test_a_lossy_preset_is_refused() -> None:
    class Lossy:
        fidelity = Fidelity.LOSSY

    class Preset:
        name = "lossy"
        block_bytes = 262_144

        def resolve(self) -> dict[None, list[Lossy]]:
            return {None: [Lossy()]}

    with pytest.raises(LossyError, match="lossy"):
        compress.compress_file(Reader(io.BytesIO(b"x")), io.BytesIO(), Preset(), threads=1)  # type: ignore[arg-type]
