"""The four ways of writing a target, onto nothing and onto an old one, small enough to be done hundreds of times."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import samples
from power import Tree

import pennyweight

TEMPORARY = re.compile(r"\.target\.pwt-[0-9a-f]{8}\.tmp")
MOVED_AWAY = re.compile(r"\.target\.pwt-[0-9a-f]{8}\.old")


@dataclass(frozen=True)
class Scene:
    """What is done to which kind of source; old: whether it replaces something."""

    verb: str
    folder: bool
    old: bool

    def __str__(self) -> str:
        return f"{self.verb} {'folder' if self.folder else 'file'} {'--force' if self.old else '(new)'}"

    def make(self, root: Path, preset: str | Path, n_weights: int = 6_000) -> None:
        """`model`, which is to become `target`; perhaps something of that name from before."""
        for name, seed in [("model", 1), ("target", 2)][: 1 + self.old]:
            _model(root / name, self.folder, seed, n_weights)
            if (name == "model") == (self.verb == "restore"):
                pennyweight.compress(root / name, root / "packed", preset=preset, threads=1)
                _remove(root / name)
                (root / "packed").rename(root / name)

    def run(self, root: Path, preset: str | Path, *, force: bool | None = None) -> None:
        """Do it."""
        force = self.old if force is None else force
        if self.verb == "compress":
            pennyweight.compress(root / "model", root / "target", preset=preset, threads=1, force=force)
        else:
            pennyweight.restore(root / "model", root / "target", threads=1, force=force)

    def read(self, target: Path, model: Path, *, new: bool) -> None:
        """By the package's own reader. A new target is compared with what it was made from, an old one is whole."""
        if self.verb == "compress":
            assert pennyweight.verify(target, level="full", against=model if new else None, threads=1).ok
        elif new:
            assert pennyweight.verify(model, level="full", against=target, threads=1).ok


SCENES = [
    Scene(verb, folder, old) for verb in ("compress", "restore") for folder in (False, True) for old in (False, True)
]
REPLACING = [scene for scene in SCENES if scene.old]


def snapshot(path: Path) -> Tree | None:
    """What is there now; None is nothing."""
    if path.is_dir():
        return {entry.name: _there(entry) for entry in path.iterdir()}
    return path.read_bytes() if path.exists() else None


def lay(tree: Tree, path: Path) -> None:
    """Make it on the disk."""
    if isinstance(tree, bytes):
        path.write_bytes(tree)
        return
    path.mkdir(exist_ok=True)
    for name, one in tree.items():
        lay(one, path / name)


def _there(path: Path) -> Tree:
    tree = snapshot(path)
    assert tree is not None
    return tree


def _weights(n: int, seed: int) -> bytes:
    return samples.safetensors(("a", "BF16", (n,), samples.bf16(n, seed)))


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def _model(path: Path, folder: bool, seed: int, n_weights: int) -> None:
    if not folder:
        path.write_bytes(_weights(n_weights, seed))
        return
    for name in ("sub", "empty", "sub/of an old one")[: 1 + seed]:
        (path / name).mkdir(parents=True)
    (path / "a.safetensors").write_bytes(_weights(n_weights, seed))
    (path / "sub" / "twin.safetensors").write_bytes(_weights(n_weights, seed))
    (path / "config.json").write_text(f"model {seed}")
