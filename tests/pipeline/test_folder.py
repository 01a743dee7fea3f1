"""Folders: what becomes a container, what is carried, and what cannot come back."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest
import samples

import pennyweight
from pennyweight.errors import CorruptError, InputError, UsageError
from pennyweight.pipeline.folder import WEIGHT_SUFFIXES


def tree(root: Path) -> dict[str, bytes | None]:
    """Contents by relative name; None is a folder."""
    return {str(path.relative_to(root)): None if path.is_dir() else path.read_bytes() for path in root.rglob("*")}


def disk_bytes(root: Path) -> int:
    """Of all files, each once whatever names it has."""
    return sum({path.stat().st_ino: path.stat().st_size for path in root.rglob("*") if path.is_file()}.values())


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A model as it lies on disk."""
    root = tmp_path / "model"
    (root / "sub" / "deep").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / "model-00001-of-00002.safetensors").write_bytes(samples.small())
    (root / "sub" / "model-00002-of-00002.safetensors").write_bytes(samples.thousands(50))
    (root / "sub" / "weights").write_bytes(samples.small())  # known by its contents
    (root / "sub" / "deep" / "old.BIN").write_bytes(b"weights of another kind" * 100)
    (root / "old.bin.pwt").write_bytes(b"called so already")
    (root / "old.bin").write_bytes(b"and its neighbour")
    (root / "config.json").write_text("{}")
    (root / ".gitattributes").write_text("*.safetensors filter=lfs")
    (root / "empty.txt").write_bytes(b"")
    (root / "run.sh").write_text("#!/bin/sh")
    (root / "run.sh").chmod(0o755)
    return root


def test_round_trip(repository: Path, tmp_path: Path) -> None:
    done: list[int] = []
    before = tree(repository)
    report = pennyweight.compress(repository, progress=done.append)
    packed = tmp_path / "model.pwt"
    assert set(tree(packed)) == {
        "empty",
        "sub",
        "sub/deep",
        "model-00001-of-00002.safetensors.pwt",
        "sub/model-00002-of-00002.safetensors.pwt",
        "sub/weights.pwt",
        "sub/deep/old.BIN.pwt",
        "old.bin.pwt.pwt",
        "old.bin.pwt",
        "config.json",
        ".gitattributes",
        "empty.txt",
        "run.sh",
    }
    n_bytes = sum(len(data) for data in before.values() if data is not None)
    assert (report.n_files, report.n_tensors, report.n_bytes, sum(done)) == (10, 54, n_bytes, n_bytes)
    assert report.stored_bytes == disk_bytes(packed)
    assert report.sha256 is None
    assert tree(repository) == before

    assert pennyweight.verify(packed, against=repository, level="full", require_lossless=True).ok
    repository.rename(tmp_path / "gone")
    again = pennyweight.restore(packed)
    assert tree(repository) == before
    assert (again.n_files, again.n_bytes, again.stored_bytes) == (10, n_bytes, report.stored_bytes)
    assert stat.S_IMODE((repository / "run.sh").stat().st_mode) == 0o755
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["gone", "model", "model.pwt"]


def test_inspect_lists_the_containers(repository: Path, tmp_path: Path) -> None:
    pennyweight.compress(repository, tmp_path / "packed")
    report = pennyweight.inspect(tmp_path / "packed")
    assert Path(report.files[0].file).name == "model-00001-of-00002.safetensors.pwt"
    assert (report.n_files, report.n_tensors) == (6, 54)


@pytest.mark.parametrize("suffix", sorted(WEIGHT_SUFFIXES))
def test_weight_suffixes(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / f"x{suffix}").write_bytes(b"opaque")
    pennyweight.compress(tmp_path / "model")
    assert list(tree(tmp_path / "model.pwt")) == [f"x{suffix}.pwt"]


def test_links_to_files_are_followed(tmp_path: Path) -> None:
    """A snapshot of the Hub's cache is a folder of these."""
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "0123").write_bytes(samples.small())
    (tmp_path / "snapshot").mkdir()
    (tmp_path / "snapshot" / "model.safetensors").symlink_to("../blobs/0123")
    pennyweight.compress(tmp_path / "snapshot")
    pennyweight.restore(tmp_path / "snapshot.pwt", tmp_path / "out")
    assert not (tmp_path / "out" / "model.safetensors").is_symlink()
    assert tree(tmp_path / "out") == {"model.safetensors": samples.small()}
    assert (tmp_path / "blobs" / "0123").read_bytes() == samples.small()


def test_what_cannot_come_back_is_refused(repository: Path, tmp_path: Path) -> None:
    odd = repository / "odd"
    odd.symlink_to("missing")
    with pytest.raises(InputError, match="odd: is a broken link"):
        pennyweight.compress(repository)
    odd.unlink()
    odd.symlink_to("sub")
    with pytest.raises(InputError, match="odd: is a link to a folder"):
        pennyweight.compress(repository)
    odd.unlink()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(odd))
        with pytest.raises(InputError, match="odd: is neither"):
            pennyweight.compress(repository)
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]


def test_a_folder_without_weights(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("a")
    with pytest.raises(InputError, match="notes: no weights"):
        pennyweight.compress(tmp_path / "notes")
    with pytest.raises(InputError, match=r"notes: no \.pwt file"):
        pennyweight.verify(tmp_path / "notes")
    with pytest.raises(InputError, match=r"notes: no \.pwt file"):
        pennyweight.inspect(tmp_path / "notes")
    with pytest.raises(InputError, match=r"notes: no \.pwt file"):
        pennyweight.restore(tmp_path / "notes", tmp_path / "out")
    assert [entry.name for entry in tmp_path.iterdir()] == ["notes"]


def test_targets(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="inside the source"):
        pennyweight.compress(repository, repository / "packed")
    with pytest.raises(InputError, match="same"):
        pennyweight.compress(repository, repository, force=True)
    with pytest.raises(InputError, match="holds the source"):
        pennyweight.compress(repository / "sub", repository, force=True)
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(InputError, match="is not a folder"):
        pennyweight.compress(repository, tmp_path / "file", force=True)
    with pytest.raises(InputError, match="No such file"):
        pennyweight.compress(repository, tmp_path / "missing" / "packed")
    with pytest.raises(UsageError, match="-o"):
        pennyweight.restore(repository)
    monkeypatch.chdir(repository)
    pennyweight.compress(".", tmp_path / "packed")
    pennyweight.compress(".")
    assert tree(tmp_path / "packed") == tree(tmp_path / "model.pwt")


def test_force_replaces_the_whole_folder(repository: Path, tmp_path: Path) -> None:
    target = tmp_path / "model.pwt"
    target.mkdir()
    (target / "old").write_bytes(b"old")
    with pytest.raises(InputError, match=r"model\.pwt: exists already"):
        pennyweight.compress(repository)
    assert list(tree(target)) == ["old"]
    pennyweight.compress(repository, force=True)
    assert "old" not in tree(target)
    assert len(list(tmp_path.iterdir())) == 2


def test_interrupt_leaves_the_old_folder(repository: Path, tmp_path: Path) -> None:
    pennyweight.compress(repository)
    before = tree(tmp_path)
    calls = iter(range(100))

    def progress(n_bytes: int) -> None:
        if next(calls) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pennyweight.compress(repository, force=True, progress=progress)
    assert tree(tmp_path) == before


def test_damage_leaves_nothing_and_names_the_file(repository: Path, tmp_path: Path) -> None:
    pennyweight.compress(repository)
    shard = tmp_path / "model.pwt" / "sub" / "model-00002-of-00002.safetensors.pwt"
    data = bytearray(shard.read_bytes())
    data[60] ^= 1
    shard.write_bytes(data)
    with pytest.raises(CorruptError, match=r"model-00002-of-00002\.safetensors\.pwt: "):
        pennyweight.restore(tmp_path / "model.pwt", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    report = pennyweight.verify(tmp_path / "model.pwt")
    assert {problem.file for problem in report.problems} == {str(shard)}


def test_errors_name_the_target_not_the_temporary_folder(repository: Path, tmp_path: Path) -> None:
    (repository / "old.bin.pwt").unlink()
    (repository / "old.bin.pwt").mkdir()  # where the container of old.bin would be
    with pytest.raises(InputError, match=r"model\.pwt/old\.bin\.pwt: is a folder") as caught:
        pennyweight.compress(repository)
    assert ".tmp" not in str(caught.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]


def test_restore_refuses_two_files_of_one_name(repository: Path, tmp_path: Path) -> None:
    pennyweight.compress(repository)
    (tmp_path / "model.pwt" / "sub" / "weights").write_bytes(b"intruder")
    with pytest.raises(InputError, match="weights: is there both with and without"):
        pennyweight.restore(tmp_path / "model.pwt", tmp_path / "out")
    (tmp_path / "model.pwt" / "sub" / "weights").rename(tmp_path / "model.pwt" / "sub" / ".pwt")
    with pytest.raises(InputError, match="has no name without"):
        pennyweight.restore(tmp_path / "model.pwt", tmp_path / "out")


def test_verify_against_finds_what_is_missing_extra_and_different(repository: Path, tmp_path: Path) -> None:
    packed = tmp_path / "model.pwt"
    pennyweight.compress(repository)
    (packed / "config.json").write_text("{ }")
    (packed / "extra.txt").write_text("x")
    (packed / "extra").mkdir()
    os.unlink(packed / "run.sh")
    os.rmdir(packed / "empty")
    (repository / "old.bin").write_bytes(b"and its neighbouR")
    report = pennyweight.verify(packed, against=repository)
    found = {(str(Path(p.file).relative_to(tmp_path)), p.reason.split(":")[0], p.offset) for p in report.problems}
    assert found == {
        ("model.pwt/config.json", "differs from the original", 1),
        ("model.pwt/extra.txt", "has no file of its name in the original folder", None),
        ("model.pwt/extra", "has no folder of its name in the original folder", None),
        ("model/run.sh", "is in the original folder only", None),
        ("model/empty", "is in the original folder only", None),
        ("model.pwt/old.bin.pwt", "differs from the original", 16),
    }
    with pytest.raises(UsageError, match="folder"):
        pennyweight.verify(packed, against=repository / "old.bin")


@pytest.fixture
def twins(tmp_path: Path) -> Path:
    """Two equal files of weights, one of their size that is not equal, and two equal files of no weights."""
    root = tmp_path / "model"
    (root / "sub").mkdir(parents=True)
    (root / "a.safetensors").write_bytes(samples.small())
    (root / "sub" / "z.safetensors").write_bytes(samples.small())
    (root / "b.bin").write_bytes(samples.small()[:-1] + b"!")
    (root / "config.json").write_text("{}")
    (root / "sub" / "config.json").write_text("{}")
    return root


def test_equal_files_share_a_container(twins: Path, tmp_path: Path) -> None:
    done: list[int] = []
    report = pennyweight.compress(twins, progress=done.append)
    packed, back = tmp_path / "model.pwt", tmp_path / "back"
    assert os.path.samefile(packed / "a.safetensors.pwt", packed / "sub" / "z.safetensors.pwt")
    assert not os.path.samefile(packed / "a.safetensors.pwt", packed / "b.bin.pwt")
    assert not os.path.samefile(packed / "config.json", packed / "sub" / "config.json")
    assert report.stored_bytes == disk_bytes(packed)
    assert sum(done) == report.n_bytes
    assert pennyweight.verify(packed, against=twins).ok
    pennyweight.restore(packed, back)
    assert tree(back) == tree(twins)
    assert not os.path.samefile(back / "a.safetensors", back / "sub" / "z.safetensors")


def test_without_hard_links_equal_files_have_equal_containers(
    twins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    pennyweight.compress(twins)
    packed = tree(tmp_path / "model.pwt")
    assert packed["a.safetensors.pwt"] == packed["sub/z.safetensors.pwt"]
    assert not os.path.samefile(
        *(tmp_path / "model.pwt" / name for name in ("a.safetensors.pwt", "sub/z.safetensors.pwt"))
    )


def test_a_container_is_shared_only_if_it_decodes_to_the_file(
    twins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if the first file had been written over while the second was being looked at
    monkeypatch.setattr("pennyweight.pipeline.twins.first_difference", lambda *_: None)
    pennyweight.compress(twins)
    pennyweight.restore(tmp_path / "model.pwt", tmp_path / "back")
    assert tree(tmp_path / "back") == tree(twins)
