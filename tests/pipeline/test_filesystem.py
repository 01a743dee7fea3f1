"""The file system's operations, also where the system has fewer of them; and that nothing goes past them."""

from __future__ import annotations

import ast
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import samples

import pennyweight
from pennyweight.errors import InputError
from pennyweight.pipeline import filesystem
from pennyweight.pipeline.filesystem import SystemCalls
from pennyweight.pipeline.output import AtomicFile

CHECKOUT = Path(__file__).resolve().parents[2]
CHANGING = {
    "os": "chmod fchmod fsync ftruncate link makedirs mkdir open pwrite pwritev remove removedirs rename renames "
    "replace rmdir symlink truncate unlink write writev",
    "shutil": "copy copy2 copyfile copyfileobj copytree move rmtree",
    "Path": "chmod hardlink_to mkdir rename rmdir symlink_to touch unlink write_bytes write_text",
}
NOT_RESULTS = {
    "tree.py": {"open"},  # of a folder, to read
    "cli/outcome.py": {"open"},  # of /dev/null
    "cli/reports.py": {"write_text"},  # what verify found, for a CI
}


@pytest.fixture(params=["renameat2", "neither"])
def renames(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of giving a name; the second is that of other systems."""
    if request.param == "neither":
        monkeypatch.setattr(filesystem, "_RENAMEAT2", None)
    elif filesystem._RENAMEAT2 is None:
        pytest.skip("the C library has no renameat2")
    return str(request.param)


def test_a_rename_replaces_only_where_it_may(tmp_path: Path, renames: str) -> None:
    system = SystemCalls()
    (tmp_path / "old").write_bytes(b"old")
    (tmp_path / "new").write_bytes(b"new")
    with pytest.raises(FileExistsError):
        system.rename(tmp_path / "new", tmp_path / "old", replace=False)
    assert (tmp_path / "old").read_bytes() == b"old"
    system.rename(tmp_path / "new", tmp_path / "free", replace=False)
    system.rename(tmp_path / "free", tmp_path / "old", replace=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"old": b"new"}
    with pytest.raises(FileNotFoundError):
        system.rename(tmp_path / "missing", tmp_path / "free", replace=False)


def test_an_empty_folder_is_in_the_way_too(tmp_path: Path, renames: str) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "old").mkdir()
    with pytest.raises(FileExistsError):  # rename(2) would replace it
        SystemCalls().rename(tmp_path / "new", tmp_path / "old", replace=False)


def test_an_exchange_swaps_two_names_or_does_nothing(tmp_path: Path, renames: str) -> None:
    system = SystemCalls()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"of {name}").touch()
    assert system.exchange(tmp_path / "a", tmp_path / "b") is (renames == "renameat2")
    swapped = "b" if renames == "renameat2" else "a"
    assert (tmp_path / "a" / f"of {swapped}").exists()
    if renames == "renameat2":
        with pytest.raises(FileNotFoundError):
            system.exchange(tmp_path / "a", tmp_path / "missing")


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_that_does_not_know_a_flag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(filesystem, "_RENAMEAT2", lambda *arguments: -1)
    monkeypatch.setattr(filesystem.ctypes, "get_errno", lambda: number)
    (tmp_path / "new").touch()
    assert not SystemCalls().exchange(tmp_path / "new", tmp_path / "old")
    SystemCalls().rename(tmp_path / "new", tmp_path / "old", replace=False)
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_force_replaces_a_folder_on_every_system(tmp_path: Path, renames: str) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "a.safetensors").write_bytes(samples.small())
    (tmp_path / "model.pwt").mkdir()
    (tmp_path / "model.pwt" / "old").write_bytes(b"old")
    pennyweight.compress(tmp_path / "model", force=True)
    assert [path.name for path in (tmp_path / "model.pwt").iterdir()] == ["a.safetensors.pwt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "model.pwt"]


def test_a_folder_that_cannot_take_the_name_gives_it_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Second(SystemCalls):
        """Cannot rename what is new."""

        def exchange(self, path: Path, other: Path) -> bool:
            return False

        def rename(self, path: Path, new: Path, *, replace: bool) -> None:
            if path.name.endswith(".tmp") and not new.exists() and new.name == "model.pwt":
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            super().rename(path, new, replace=replace)

    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "a.safetensors").write_bytes(samples.small())
    (tmp_path / "model.pwt").mkdir()
    (tmp_path / "model.pwt" / "old").write_bytes(b"old")
    monkeypatch.setattr(filesystem, "system", Second())
    with pytest.raises(InputError, match=r"model\.pwt: cannot be written: Input/output error"):
        pennyweight.compress(tmp_path / "model", force=True)
    assert [path.name for path in (tmp_path / "model.pwt").iterdir()] == ["old"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "model.pwt"]


def test_a_folder_that_cannot_be_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some systems flush none, and that is no error; a disk that fails is."""

    def failing(number: int) -> Callable[[int], None]:
        def fsync(fd: int) -> None:
            raise OSError(number, os.strerror(number))

        return fsync

    monkeypatch.setattr(os, "fsync", failing(errno.EINVAL))
    SystemCalls().flush_folder(tmp_path)
    monkeypatch.setattr(os, "fsync", failing(errno.EIO))
    with pytest.raises(OSError, match="Input/output"):
        SystemCalls().flush_folder(tmp_path)


def test_somebody_elses_file_of_the_temporary_name_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pennyweight.pipeline.output.temporary_name", lambda path: tmp_path / "taken")
    (tmp_path / "taken").write_bytes(b"of somebody else")
    with pytest.raises(InputError, match="new: cannot be written: File exists"):
        AtomicFile(tmp_path / "new", force=False)
    assert (tmp_path / "taken").read_bytes() == b"of somebody else"


def changes(tree: ast.AST) -> set[str]:
    """Names in a module by which files may be changed."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in CHANGING.get(ast.unparse(node.value), "").split():
            found.add(node.attr)
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Attribute) and not ast.unparse(node.func.value).endswith("system"):
            found |= {node.func.attr} & set(CHANGING["Path"].split())
        if ast.unparse(node.func) in ("open", "io.open", "io.FileIO"):
            modes = [*node.args[1:2], *(word.value for word in node.keywords if word.arg == "mode")]
            if any(not isinstance(mode, ast.Constant) or set(str(mode.value)) & set("wax+") for mode in modes):
                found.add("open")
    return found


@pytest.mark.parametrize("room", ["pipeline", "stages", "src/pennyweight"])
def test_nothing_is_changed_past_the_file_system(room: str) -> None:
    found: dict[str, Any] = {}
    for path in sorted((CHECKOUT / room).rglob("*.py")):
        name = path.relative_to(CHECKOUT / room).as_posix()
        if names := changes(ast.parse(path.read_text())) - NOT_RESULTS.get(name, set()):
            found[name] = names
    known = found.pop("filesystem.py", None)
    assert not found
    assert (known is not None) == (room == "pipeline"), "the search finds what it looks for"
