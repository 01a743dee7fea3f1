"""Several processes, and several threads, at one target or one checkpoint."""

from __future__ import annotations

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import samples
from nursery import Nursery
from power import Tree
from scenes import MOVED_AWAY, Scene, snapshot

import pennyweight
from pennyweight.errors import InputError, UsageError
from pennyweight.pipeline import filesystem
from pennyweight.pipeline.filesystem import SystemCalls
from pennyweight.pipeline.output import AtomicFile

PRESETS = "fast", "default"
"""They make different containers of one model, so that it is seen whose it is."""

folders = pytest.mark.parametrize("folder", [False, True], ids=["file", "folder"])
forces = pytest.mark.parametrize("force", [False, True], ids=["new", "force"])


def containers(root: Path) -> list[Tree | None]:
    """What each preset makes of `model`."""
    made = []
    for preset in PRESETS:
        pennyweight.compress(root / "model", root.parent / preset, preset=preset)
        made.append(snapshot(root.parent / preset))
    assert made[0] != made[1]
    return made


def left(root: Path) -> set[str]:
    return {path.name for path in root.iterdir()} - {"model", "target"}


@folders
@forces
def test_two_processes_make_one_target(
    folder: bool, force: bool, nurseries: tuple[Nursery, Nursery], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # the processes have tasks, so batches, of the usual size
    root = tmp_path / "root"
    root.mkdir()
    Scene("compress", folder, old=force).make(root, "high", n_weights=200_000)
    expected = containers(root)
    options = ["--force"] if force else []
    for _ in range(3):
        for nursery, preset in zip(nurseries, PRESETS, strict=True):
            nursery.start("compress", root / "model", "-o", root / "target", "--preset", preset, "--quiet", *options)
        codes = [nursery.wait() for nursery in nurseries]
        found = snapshot(root / "target")
        assert not left(root)
        if force:
            assert codes == [0, 0]
            assert found in expected
        else:
            assert sorted(codes) == [0, 3]
            assert found == expected[codes.index(0)]
            assert "target: exists already" in nurseries[codes.index(3)].errors
            (root / "target").rename(tmp_path / f"gone {len(list(tmp_path.iterdir()))}")


class Meeting(SystemCalls):
    """Two runs wait for each other before they take the target's name: both have seen that they may."""

    def __init__(self) -> None:
        super().__init__()
        self._barrier, self._own = threading.Barrier(2, timeout=20), threading.local()

    def rename(self, path: Path, new: Path, *, replace: bool) -> None:
        if new.name == "target" and not hasattr(self._own, "met"):
            self._own.met = True
            self._barrier.wait()
        super().rename(path, new, replace=replace)


def race(root: Path, force: bool, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What each of two runs returned or raised."""
    monkeypatch.setattr(filesystem, "system", Meeting())

    def run(preset: str) -> Any:
        try:
            return pennyweight.compress(root / "model", root / "target", preset=preset, force=force, threads=1)
        except InputError as error:
            return error

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(run, PRESETS))


@folders
@forces
def test_two_that_take_the_name_at_once(
    folder: bool, force: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if filesystem._RENAMEAT2 is None:
        pytest.skip("the C library has no renameat2")
    root = tmp_path / "root"
    root.mkdir()
    Scene("compress", folder, old=force).make(root, "high")
    expected = containers(root)
    ends = race(root, force, monkeypatch)
    won = [not isinstance(end, InputError) for end in ends]
    assert won.count(True) == (2 if force else 1), ends
    assert snapshot(root / "target") in [one for one, did in zip(expected, won, strict=True) if did]
    assert all("target: exists already" in str(end) for end in ends if isinstance(end, InputError))
    assert not left(root)


@folders
@forces
def test_two_that_take_the_name_at_once_where_nothing_can_be_swapped(
    folder: bool, force: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of them is there, whole; a file that was not to be replaced may be (docs/adr/0006)."""
    monkeypatch.setattr(filesystem, "_RENAMEAT2", None)
    root = tmp_path / "root"
    root.mkdir()
    Scene("compress", folder, old=force).make(root, "high")
    old, expected = snapshot(root / "target"), containers(root)
    ends = race(root, force, monkeypatch)
    assert any(not isinstance(end, InputError) for end in ends), ends
    assert snapshot(root / "target") in expected
    for name in left(root):
        assert MOVED_AWAY.fullmatch(name)
        assert snapshot(root / name) in [old, *expected]


def test_who_reads_while_it_is_replaced_sees_one_of_both(tmp_path: Path) -> None:
    originals = [samples.safetensors(("a", "BF16", (9_000,), samples.bf16(9_000, seed))) for seed in (1, 2)]
    packed = [samples.packed(data) for data in originals]
    tensors = [np.frombuffer(samples.safetensors_raws(data)["a"], "<u2") for data in originals]
    path = tmp_path / "target"
    path.write_bytes(packed[0])
    enough, seen = threading.Event(), list[int]()

    def replace() -> None:
        for i in count():
            if enough.is_set():
                return
            with AtomicFile(path, force=True) as file:
                file.write_at(0, [packed[i % 2]])
                file.commit()

    writer = threading.Thread(target=replace)
    writer.start()
    while len(seen) < 40 or (len(set(seen)) < 2 and len(seen) < 2000):
        assert pennyweight.verify(path, level="full", threads=1).ok
        with pennyweight.open(path, threads=1) as checkpoint:
            found = checkpoint["a"].numpy()
        assert any(np.array_equal(found, tensor) for tensor in tensors)
        out = io.BytesIO()
        pennyweight.restore(path, out, threads=1)
        seen.append(originals.index(out.getvalue()))
    enough.set()
    writer.join()
    assert set(seen) == {0, 1}
    assert not left(tmp_path)


def test_an_open_checkpoint_stays_what_it_was(tmp_path: Path) -> None:
    path = tmp_path / "target"
    path.write_bytes(samples.packed(samples.small()))
    with pennyweight.open(path) as checkpoint:
        with AtomicFile(path, force=True) as file:
            file.write_at(0, [samples.packed(samples.mixed())])
            file.commit()
        assert checkpoint["b"].numpy().tobytes() == samples.safetensors_raws(samples.small())["b"]


@pytest.mark.parametrize("verb", ["verify", "restore", "compress"])
def test_a_folder_that_is_replaced_while_it_is_read_is_no_mix_of_both(verb: str, preset: Path, tmp_path: Path) -> None:
    """Its files may be of both: that is found before anything is made of them."""
    source = "restore" if verb != "compress" else "compress"
    Scene(source, folder=True, old=False).make(tmp_path, preset)
    (tmp_path / "next").mkdir()
    Scene(source, folder=True, old=False).make(tmp_path / "next", preset)
    system, calls = SystemCalls(), iter(range(1000))

    def progress(n_bytes: int) -> None:
        if next(calls) == 0 and not system.exchange(tmp_path / "next" / "model", tmp_path / "model"):
            pytest.skip("nothing can be swapped here")

    target = [] if verb == "verify" else [tmp_path / "target"]
    with pytest.raises(InputError, match="model: was replaced while it was read"):
        getattr(pennyweight, verb)(tmp_path / "model", *target, progress=progress)
    assert not (tmp_path / "target").exists()
    assert left(tmp_path) == {"next"}


def test_threads_share_a_checkpoint(tmp_path: Path) -> None:
    data = samples.mixed()
    path = tmp_path / "target"
    path.write_bytes(samples.packed(data))
    expected = samples.safetensors_raws(data)
    wrong: list[str] = []

    def read(seed: int) -> None:
        rng = Random(seed)
        for name in rng.choices(list(expected), k=60):
            tensor = checkpoint[name]
            if rng.random() < 0.5 or len(tensor.shape) != 2 or tensor.numpy().ndim != 2:
                found = tensor.numpy().tobytes()
                right = expected[name]
            else:
                first = rng.randrange(tensor.shape[0] + 1)
                row = len(expected[name]) // tensor.shape[0] if tensor.shape[0] else 0
                found, right = tensor[first:].tobytes(), expected[name][first * row :]
            if found != right:
                wrong.append(name)

    with pennyweight.open(path, threads=2) as checkpoint:
        readers = [threading.Thread(target=read, args=(seed,)) for seed in range(6)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
    assert not wrong
    with pytest.raises(UsageError, match="target: is closed"):  # and no descriptor that may be another file's
        checkpoint["big"].numpy()
