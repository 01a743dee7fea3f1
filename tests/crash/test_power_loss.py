"""Power is lost after every operation, and every choice of what had not been flushed is lost with it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from power import Recorder, State, Tree, states
from scenes import MOVED_AWAY, SCENES, TEMPORARY, Scene, lay, snapshot

from pennyweight.pipeline import filesystem

Make = Callable[[Path], Recorder]


def record(scene: Scene, root: Path, preset: Path, patch: pytest.MonkeyPatch, make: Make = Recorder) -> Recorder:
    """Run it once."""
    scene.make(root, preset)
    recorder = make(root)
    with patch.context() as patched:
        patched.setattr(filesystem, "system", recorder)
        scene.run(root, preset)
    return recorder


def torn(recorder: Recorder, old: Tree | None, new: Tree | None) -> list[State]:
    """The states in which the target is neither the old one nor the new one, or not the new one after the end."""
    done = len(recorder.operations)
    right = (old, new)
    return [
        state
        for state in states(recorder)
        if (state.tree.get("target") not in right) or (state.n_operations == done and state.tree.get("target") != new)
    ]


@pytest.mark.parametrize("scene", SCENES, ids=str)
def test_old_or_new_and_nothing_else(
    scene: Scene, preset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, disk = tmp_path / "root", tmp_path / "disk"
    root.mkdir()
    disk.mkdir()
    recorder = record(scene, root, preset, monkeypatch)
    model, new = snapshot(root / "model"), snapshot(root / "target")
    old: Tree | None = None
    n_states, left = 0, dict[tuple[int, bool], State]()
    for state in states(recorder):
        if not n_states:
            old = state.tree.get("target")
            assert (old is not None) == scene.old
            assert old != new
        n_states += 1
        target = state.tree.get("target")
        where = f"after {state.n_operations} operations, without {[e.names or e.offset for e in state.missing]}"
        assert target in (old, new), where
        assert state.n_operations < len(recorder.operations) or target == new, where
        assert state.tree["model"] == model, where
        others = state.tree.keys() - {"model", "target"}
        assert all(map(TEMPORARY.fullmatch, others)), where
        if others:
            left[len(others), target == new] = state  # the last, which holds most
    for tree in (old, new):
        if tree is not None:
            lay(tree, disk / "whole")
            scene.read(disk / "whole", root / "model", new=tree is new)
            _clear(disk)
    for state in left.values():  # what a loss of power left does not disturb the next run, nor that it
        lay(state.tree, disk)
        scene.run(disk, preset, force=True)
        assert snapshot(disk / "target") == new
        kept = {path.name for path in disk.iterdir()} - {"model", "target"}
        assert kept == state.tree.keys() - {"model", "target"}
        _clear(disk)
    n = len(recorder.operations)
    print(f"\n{scene!s:24} {n:3} operations, {n_states:6,} states: each holds the old one or the new one, whole")


@pytest.mark.parametrize("verb", ["compress", "restore"])
def test_without_a_swap_a_folder_may_be_beside_its_name_but_whole(
    verb: str, preset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The window that docs/adr/0006 tells of, where the system has no renameat2."""
    monkeypatch.setattr(filesystem, "_RENAMEAT2", None)
    scene = Scene(verb, folder=True, old=True)
    recorder = record(scene, tmp_path, preset, monkeypatch)
    new = snapshot(tmp_path / "target")
    old = next(states(recorder)).tree["target"]
    n_states = n_beside = 0
    for state in states(recorder):
        n_states += 1
        target = state.tree.get("target")
        assert target in (old, new, None)
        if target is None:
            n_beside += 1
            others = {name: one for name, one in state.tree.items() if name not in ("model", "target")}
            assert [one for name, one in others.items() if MOVED_AWAY.fullmatch(name)] == [old]
            assert [one for name, one in others.items() if TEMPORARY.fullmatch(name)] == [new]
    print(f"\n{scene!s:24} without a swap: {n_states:6,} states, in {n_beside} of them both beside the name, whole")
    assert n_beside


def _clear(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


# The model itself: protocols that are wrong, and it says so


class NoFlush(Recorder):
    """Does not flush files."""

    def flush(self, file: int) -> None:
        pass


class NoFolderFlush(Recorder):
    """Does not flush folders."""

    def flush_folder(self, path: Path) -> None:
        pass


class RemovesFirst(Recorder):
    """Removes the old one and then renames."""

    def exchange(self, path: Path, other: Path) -> bool:
        self.remove_tree(other)
        self.rename(path, other, replace=False)
        self.make_folder(path)
        return True


class FlushesLate(Recorder):
    """Removes what was replaced before the swap lasts."""

    def flush_folder(self, path: Path) -> None:
        if path != self._path:
            self._operation("flush_folder", path)

    def remove_folder(self, path: Path) -> None:
        self._operation("remove_folder", path)
        if path.parent == self._path:
            self._operation("flush_folder", self._path)


class WritesLate(Recorder):
    """Takes the name before the contents are flushed."""

    def rename(self, path: Path, new: Path, *, replace: bool) -> None:
        flushes = [one for one in self.operations if one.what == "flush"]
        self.operations = [one for one in self.operations if one.what != "flush"]
        self.perform("rename", path, new, replace=replace)
        self.operations += flushes


@pytest.mark.parametrize(
    ("wrong", "folder"),
    [
        (NoFlush, False),
        (NoFlush, True),
        (NoFolderFlush, False),
        (NoFolderFlush, True),
        (RemovesFirst, True),
        (FlushesLate, True),
        (WritesLate, False),
    ],
)
def test_the_model_finds_what_is_wrong(
    wrong: Any, folder: bool, preset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene("compress", folder, old=True)
    recorder = record(scene, tmp_path, preset, monkeypatch, wrong)
    old = next(states(recorder)).tree["target"]
    assert torn(recorder, old, snapshot(tmp_path / "target"))
