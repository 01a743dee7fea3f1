"""The system's own answers: a disk that is full, and a file that may grow no further."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from scenes import REPLACING, Scene, snapshot

from pennyweight.errors import InputError

_ON_A_SMALL_DISK = """
import json, os, shutil, subprocess, sys
import pennyweight.cli
verb, root, disk, size = sys.argv[1:]
subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", disk], check=True)
if os.path.isdir(f"{root}/target"):
    shutil.copytree(f"{root}/target", f"{disk}/target")
else:
    shutil.copy(f"{root}/target", f"{disk}/target")
code = pennyweight.cli.main([verb, f"{root}/model", "-o", f"{disk}/target", "--force", "--quiet"])
shutil.copytree(disk, f"{root}/after")
print(json.dumps(code))
"""
_NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount"]
"""Where anybody may mount, and what is mounted is gone with the process."""


def can_mount() -> bool:
    try:
        mounting = [*_NAMESPACE, "mount", "-t", "tmpfs", "none", "/mnt"]
        return subprocess.run(mounting, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not can_mount(), reason="this user may not mount a disk of its own (unshare --user --mount)")
@pytest.mark.parametrize("scene", REPLACING, ids=str)
def test_a_full_disk_leaves_the_old(scene: Scene, tmp_path: Path) -> None:
    root, disk = tmp_path / "root", tmp_path / "disk"
    root.mkdir()
    disk.mkdir()
    scene.make(root, "default", n_weights=100_000)
    target = root / "target"
    old_bytes = sum(path.stat().st_size for path in (target.rglob("*") if target.is_dir() else [target]))
    arguments = [scene.verb, str(root), str(disk), str(old_bytes + 100_000)]
    script = [*_NAMESPACE, sys.executable, "-c", _ON_A_SMALL_DISK, *arguments]
    result = subprocess.run(script, capture_output=True, text=True)
    assert json.loads(result.stdout) == 3, result.stderr
    assert "disk/target" in result.stderr
    assert "No space left on device" in result.stderr or "are free on its disk" in result.stderr
    assert snapshot(root / "after") == {"target": snapshot(target)}


@pytest.mark.parametrize("scene", REPLACING, ids=str)
@pytest.mark.parametrize("n_bytes", [0, 1000, 8000])
def test_a_file_that_grows_too_large_leaves_the_old(scene: Scene, n_bytes: int, tmp_path: Path) -> None:
    scene.make(tmp_path, "default")
    before = snapshot(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        with pytest.raises(InputError, match=r"/target\S*: cannot be written: File too large"):
            scene.run(tmp_path, "default")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert snapshot(tmp_path) == before
