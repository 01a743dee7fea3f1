"""Every operation fails, is cut short or is interrupted, one run for each."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scenes import REPLACING, SCENES, TEMPORARY, Scene, snapshot
from watched import Watched

from pennyweight.errors import InputError
from pennyweight.pipeline import filesystem

COUNT = -1
"""The number of no operation."""


class Faulty(Watched):
    """Operation `at` goes wrong; `seen` are the names of those before it, and its own."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at, self.seen = at, list[str]()

    def perform(self, name: str, *args: Any, **options: Any) -> Any:
        self.seen.append(name)
        if self.wrong():
            return self.fault(name, *args, **options)
        return self.pass_on(name, *args, **options)

    def pass_on(self, name: str, *args: Any, **options: Any) -> Any:
        return super().perform(name, *args, **options)

    def wrong(self) -> bool:
        return len(self.seen) == self.at + 1

    def fault(self, name: str, *args: Any, **options: Any) -> Any:
        raise NotImplementedError


class Failing(Faulty):
    """Ends with an error of the system."""

    def __init__(self, at: int, number: int) -> None:
        super().__init__(at)
        self.number = number

    def fault(self, name: str, *args: Any, **options: Any) -> Any:
        if name == "close":  # an error of it closes all the same
            os.close(*args)
        raise OSError(self.number, os.strerror(self.number))


class Gone(Failing):
    """And so does all that comes after it."""

    def wrong(self) -> bool:
        return len(self.seen) > self.at >= 0


class Short(Faulty):
    """Writes one byte less than half."""

    def fault(self, name: str, *args: Any, **options: Any) -> Any:
        if name != "write":
            return self.pass_on(name, *args, **options)
        file, parts, offset = args
        data = b"".join(parts)
        return os.pwrite(file, data[: max(1, len(data) // 2 - 1)], offset)


class Interrupted(Faulty):
    """Ctrl-C comes just before it, or just after."""

    def __init__(self, at: int, *, after: bool) -> None:
        super().__init__(at)
        self.after = after

    def fault(self, name: str, *args: Any, **options: Any) -> Any:
        if self.after or name == "close":
            with contextlib.suppress(FileExistsError):  # of a rename, where there is something to swap with
                result = self.pass_on(name, *args, **options)
                if name == "create":  # nobody was told the descriptor: it ends with the process
                    os.close(result)
        raise KeyboardInterrupt


class Stage:
    """A scene that can be run again and again, each time in a new folder."""

    def __init__(self, scene: Scene, preset: Path, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.scene, self._preset, self._folder, self._patch = scene, preset, folder, patch
        self._pristine, self.root = folder / "pristine", folder / "root"
        self._pristine.mkdir()
        scene.make(self._pristine, preset)
        self.old = snapshot(self._pristine / "target")
        self.operations = self.run(Faulty(COUNT)).seen
        self.new = snapshot(self.root / "target")
        assert self.new not in (None, self.old)
        if isinstance(self.new, dict):
            self.named = len(self.operations) - 1 - self.operations[::-1].index("flush_folder")
        else:
            self.named = len(self.operations) - 1
        assert self.operations[self.named - 1] in ("rename", "exchange")

    def run(self, system: Any) -> Any:
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.copytree(self._pristine, self.root)
        with self._patch.context() as patched:
            patched.setattr(filesystem, "system", system)
            self.scene.run(self.root, self._preset)
        return system

    def left(self) -> set[str]:
        """What is there beside source and target."""
        return {path.name for path in self.root.iterdir()} - {"model", "target"}


@pytest.fixture(params=SCENES, ids=str)
def stage(
    request: pytest.FixtureRequest, preset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stage]:
    """Each scene. No run of it may leave a file open."""
    made = Stage(request.param, preset, tmp_path, monkeypatch)
    before = n_open()
    yield made
    assert n_open() == before


def n_open() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_an_error_of_any_operation_is_told_and_leaves_the_old(stage: Stage) -> None:
    for at, name in enumerate(stage.operations):
        if name == "link":  # where a file system has no links there are two containers
            stage.run(Failing(at, errno.EIO))
            assert snapshot(stage.root / "target") == stage.new
            continue
        with pytest.raises(InputError) as caught:
            stage.run(Failing(at, errno.EIO))
        text = str(caught.value)
        assert text.startswith(str(stage.root / "target"))
        assert text.count("Input/output error") == 1
        if at < stage.named:
            assert snapshot(stage.root / "target") == stage.old
            assert not stage.left()
        else:
            assert "is written, but" in text
            assert snapshot(stage.root / "target") == stage.new
            assert all(left in text for left in stage.left())
    print(f"\n{stage.scene!s:24} {len(stage.operations):3} operations, each failed once: told, and the old one is left")


@pytest.mark.parametrize("stage", REPLACING, ids=str, indirect=True)
def test_a_disk_that_stays_full_leaves_old_or_new(stage: Stage) -> None:
    for at in range(len(stage.operations)):
        with pytest.raises(InputError, match=r"/target.*: No space left on device"):
            stage.run(Gone(at, errno.ENOSPC))
        assert snapshot(stage.root / "target") == (stage.old if at < stage.named else stage.new)
        assert all(map(TEMPORARY.fullmatch, stage.left()))


@pytest.mark.parametrize("stage", REPLACING, ids=str, indirect=True)
def test_a_short_write_is_continued(stage: Stage) -> None:
    for at, name in enumerate(stage.operations):
        if name == "write":
            seen = stage.run(Short(at)).seen
            assert len(seen) == len(stage.operations) + 1
            assert snapshot(stage.root / "target") == stage.new


@pytest.mark.parametrize("stage", REPLACING, ids=str, indirect=True)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_an_interrupt_at_any_operation_leaves_nothing(stage: Stage, after: bool) -> None:
    for at, name in enumerate(stage.operations):
        system = Interrupted(at, after=after)
        with contextlib.suppress(KeyboardInterrupt):
            stage.run(system)
            pytest.fail(f"{name} ({at}) was not interrupted: {system.seen}")
        assert snapshot(stage.root / "target") == (stage.old if at + after < stage.named else stage.new)
        assert not stage.left(), name


class InterruptedCalls:
    """A module whose call number `at` is interrupted by a signal before it does anything; close() does its work."""

    def __init__(self, real: Any, at: list[int]) -> None:
        self._real, self._at = real, at

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        return self.interrupted(found) if name in CALLS else found

    def interrupted(self, call: Any) -> Any:
        def wrapped(*args: Any, **options: Any) -> Any:
            self._at[0] -= 1
            if self._at[0] == -1:
                if call is os.close:
                    call(*args)
                raise InterruptedError(errno.EINTR, os.strerror(errno.EINTR))
            return call(*args, **options)

        return wrapped


CALLS = {"open", "fchmod", "fsync", "close", "mkdir", "link", "replace", "unlink", "rmtree"}


@pytest.mark.parametrize("stage", REPLACING, ids=str, indirect=True)
def test_a_call_that_a_signal_interrupts_is_made_again(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below Python's own repetition: as network file systems have it where POSIX does not."""
    at, done = [0], 0
    calls = InterruptedCalls(os, at)
    monkeypatch.setattr(os, "fsync", lambda fd: None)
    monkeypatch.setattr(filesystem, "os", calls)
    monkeypatch.setattr(filesystem, "shutil", InterruptedCalls(shutil, at))
    monkeypatch.setattr(filesystem, "_PWRITEV", calls.interrupted(os.pwritev))
    monkeypatch.setattr(filesystem, "_renameat2", calls.interrupted(filesystem._renameat2))
    while at[0] < 0 or not done:
        at[0] = done
        stage.run(filesystem.SystemCalls())
        assert snapshot(stage.root / "target") == stage.new
        assert not stage.left()
        done += 1
    assert done > len(stage.operations) // 2


@pytest.mark.parametrize("stage", REPLACING, ids=str, indirect=True)
def test_signals_at_any_time_change_nothing(stage: Stage) -> None:
    """Real ones, a thousand a second."""
    heard = [0]

    def hear(number: int, frame: object) -> None:
        heard[0] += 1

    before = signal.signal(signal.SIGALRM, hear)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        while heard[0] < 20:
            stage.run(Faulty(COUNT))
            assert snapshot(stage.root / "target") == stage.new
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
