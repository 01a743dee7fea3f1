"""Runs of the command line that are killed at any time; `make crash RUNS=500` kills more of them."""

from __future__ import annotations

import os
import random
import shutil
import time
from pathlib import Path

import pytest
from nursery import Nursery
from scenes import REPLACING, TEMPORARY, Scene, snapshot

RUNS = int(os.environ.get("PENNYWEIGHT_CRASH_RUNS", "16"))
"""Of all scenes together."""


def arguments(scene: Scene, root: Path) -> list[object]:
    return [scene.verb, root / "model", "-o", root / "target", "--force", "--threads", "2", "--quiet"]


@pytest.mark.parametrize("scene", REPLACING, ids=str)
def test_a_kill_leaves_the_old_or_the_new(scene: Scene, nurseries: tuple[Nursery, Nursery], tmp_path: Path) -> None:
    nursery, _ = nurseries
    pristine, root = tmp_path / "pristine", tmp_path / "root"
    pristine.mkdir()
    scene.make(pristine, "default", n_weights=300_000)
    old, model = snapshot(pristine / "target"), snapshot(pristine / "model")
    runs, rng = RUNS // len(REPLACING), random.Random(str(scene))
    ends = {"old": 0, "new": 0, "ended before": 0, "with leftovers": 0}
    seconds = 0.0
    for _ in range(3):  # the first of them warms up
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(pristine, root)
        begun = time.perf_counter()
        nursery.start(*arguments(scene, root))
        assert nursery.wait() == 0, nursery.errors
        seconds = time.perf_counter() - begun
    new = snapshot(root / "target")
    for i in range(runs):
        if i % 8 == 0:  # what killed runs left stays for some of the next
            shutil.rmtree(root)
            shutil.copytree(pristine, root)
        else:
            _put(pristine / "target", root / "target")
        nursery.start(*arguments(scene, root))
        code = nursery.kill_after((i + rng.random()) / runs * 1.3 * seconds)
        assert code in (0, -9), nursery.errors
        found = snapshot(root / "target")
        assert found in (old, new)
        assert code or found == new
        scene.read(root / "target", root / "model", new=found == new)
        assert snapshot(root / "model") == model
        left = {path.name for path in root.iterdir()} - {"model", "target"}
        assert all(map(TEMPORARY.fullmatch, left))
        ends["old" if found == old else "new"] += 1
        ends["ended before"] += code == 0
        ends["with leftovers"] += bool(left)
    assert ends["ended before"] < runs
    nursery.start(*arguments(scene, root))
    assert nursery.wait() == 0, nursery.errors
    assert snapshot(root / "target") == new
    print(f"\n{scene!s:24} {runs:3} runs killed within {seconds:.3f} s: {ends}")


def _put(path: Path, target: Path) -> None:
    if path.is_dir():
        shutil.rmtree(target)
        shutil.copytree(path, target)
    else:
        target.write_bytes(path.read_bytes())
