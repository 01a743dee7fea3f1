"""What a loss of power can leave: a model of a file system that keeps no more than it must.

Contents that were written last when their file was flushed, names when their folder was. Of all else, every choice is
tried: any of it may be there and any may be missing, whatever came first. Half a write may be there, and what lies
behind a write that is missing is zeros. A rename, or an exchange, is there whole or not at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from watched import Watched

WINDOW = 8
"""Of what may be missing, the last so many are tried in every combination, with all before them and with none."""

Tree = bytes | dict[str, "Tree"]
"""A file, or a folder by name."""


@dataclass(eq=False)
class Node:
    """A file or a folder, whatever its names are. before: at the start, when all of it lasts."""

    before: bytes | dict[str, Node]
    live: dict[str, Node] = field(default_factory=dict)
    """Of a folder: the names as a running process sees them."""

    @classmethod
    def of(cls, path: Path) -> Node:
        if not path.is_dir():
            return cls(path.read_bytes())
        entries = {entry.name: cls.of(entry) for entry in path.iterdir()}
        return cls(entries, dict(entries))


@dataclass(frozen=True)
class Effect:
    """A change that can be missing: bytes of a file from `offset` on, or names of a folder (None: no longer there)."""

    node: Node
    offset: int = 0
    data: bytes = b""
    names: Mapping[str, Node | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Operation:
    """What was done, what can be missing of it, and what it makes last."""

    what: str
    effects: tuple[Effect, ...] = ()
    flushed: Node | None = None


class Recorder(Watched):
    """Remembers what is done in a folder."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root = Node.of(root)
        self.operations: list[Operation] = []
        self._path = root
        self._files: dict[int, Node] = {}

    def perform(self, name: str, *args: Any, **options: Any) -> Any:
        result = super().perform(name, *args, **options)
        effects, flushed = self._effects(name, args, result)
        paths = [arg.relative_to(self._path).as_posix() for arg in args if isinstance(arg, Path)]
        self.operations.append(Operation(" ".join([name, *paths]), effects, flushed))
        return result

    def _effects(self, name: str, args: tuple[Any, ...], result: Any) -> tuple[tuple[Effect, ...], Node | None]:
        match name, args:
            case "create", (path,):
                self._files[result] = Node(b"")
                return (self._named(path, self._files[result]),), None
            case "make_folder", (path,):
                return (self._named(path, Node({})),), None
            case "write", (file, parts, offset):
                data, half = b"".join(parts)[:result], result // 2
                node = self._files[file]
                return (Effect(node, offset, data[:half]), Effect(node, offset + half, data[half:])), None
            case "flush", (file,):
                return (), self._files[file]
            case "flush_folder", (path,):
                return (), self._node(path)
            case "link", (path, new):
                return (self._named(new, self._node(path)),), None
            case "rename", (path, new):
                return (self._named(path, None, new, self._node(path)),), None
            case "exchange", (path, other):
                return ((self._named(path, self._node(other), other, self._node(path)),) if result else ()), None
            case (("remove" | "remove_folder"), (path,)):
                return (self._named(path, None),), None
        assert name in ("set_mode", "close")
        return (), None

    def _node(self, path: Path) -> Node:
        node = self.root
        for part in path.relative_to(self._path).parts:
            node = node.live[part]
        return node

    def _named(self, path: Path, node: Node | None, other: Path | None = None, moved: Node | None = None) -> Effect:
        assert other is None or other.parent == path.parent
        folder = self._node(path.parent)
        names = {path.name: node} if other is None else {path.name: node, other.name: moved}
        folder.live = {name: one for name, one in {**folder.live, **names}.items() if one is not None}
        return Effect(folder, names=names)


@dataclass(frozen=True)
class State:
    """After so many operations and then a loss of power; `missing` of what they did."""

    n_operations: int
    missing: tuple[Effect, ...]
    tree: dict[str, Tree]


def states(record: Recorder) -> Iterator[State]:
    """Every state after every operation."""
    for n in range(len(record.operations) + 1):
        done = record.operations[:n]
        last_flush = {one.flushed: at for at, one in enumerate(done) if one.flushed}
        effects = [(at, effect) for at, one in enumerate(done) for effect in one.effects]
        lasting = [effect for at, effect in effects if at < last_flush.get(effect.node, -1)]
        loose = [effect for at, effect in effects if at >= last_flush.get(effect.node, -1)]
        base: dict[Node, Any] = {}
        for effect in lasting:
            _apply(effect, base)
        far, near = loose[:-WINDOW], loose[-WINDOW:]
        for older in [far, []] if far else [[]]:
            for chosen in product((True, False), repeat=len(near)):
                kept = [*older, *(effect for effect, keep in zip(near, chosen, strict=True) if keep)]
                found = dict(base)
                for effect in kept:
                    _apply(effect, found)
                tree = _tree(record.root, found)
                assert isinstance(tree, dict)
                yield State(n, tuple(effect for effect in loose if effect not in kept), tree)


def _apply(effect: Effect, found: dict[Node, Any]) -> None:
    """found: contents, or names, where they are not as before. They are replaced, never changed."""
    now = found.get(effect.node, effect.node.before)
    if isinstance(now, bytes):
        end = effect.offset + len(effect.data)
        found[effect.node] = now[: effect.offset].ljust(effect.offset, b"\0") + effect.data + now[end:]
    else:
        found[effect.node] = {**now, **effect.names}


def _tree(node: Node, found: Mapping[Node, Any]) -> Tree:
    now = found.get(node, node.before)
    if isinstance(now, bytes):
        return now
    return {name: _tree(one, found) for name, one in now.items() if one is not None}
