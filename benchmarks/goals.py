"""What this tool must reach on the BF16 model, and what one run measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.files import Direction, FileRow
from benchmarks.memory import MemoryRow
from benchmarks.sizes import Size

MODEL = "minilm.bf16.safetensors"


@dataclass(frozen=True)
class Goal:
    """`at_most`: smaller is better. `unit` is %, x (a ratio) or MB. `measured` is None where its rows were not run."""

    name: str
    unit: str
    at_most: bool
    must: float
    stretch: float | None
    measured: float | None

    def text(self, value: float | None) -> str:
        if value is None:
            return "-"
        return {"%": f"{value:.2f} %", "x": f"{value:.2f} x", "MB": f"{value:.0f} MB"}[self.unit]

    def verdict(self) -> str:
        if self.measured is None:
            return "not run"
        if self._reached(self.stretch):
            return "stretch"
        return "met" if self._reached(self.must) else "MISSED"

    def _reached(self, bound: float | None) -> bool:
        if bound is None or self.measured is None:
            return False
        return self.measured <= bound if self.at_most else self.measured >= bound


def goals(
    sizes: Sequence[Size], memory: Mapping[str, Sequence[MemoryRow]], files: Sequence[Sequence[FileRow]]
) -> list[Goal]:
    """Every goal, with the figures of this run: in memory at each size, file to file at the largest."""
    found = [
        Goal("size, default", "%", True, 66.05, 65.9, _size(sizes, "pennyweight default")),
        Goal("size, fast", "%", True, 66.45, 65.9, _size(sizes, "pennyweight fast")),
    ]
    for at, rows in memory.items():
        for preset, must in (("fast", 0.60), ("default", 0.50)):
            wide, narrow = (_memory(rows, "blocks", preset, target) for target in ("avx512", "avx2"))
            found += [
                Goal(f"decode {preset}, avx512, {at}", "x", False, must, 0.8, wide.decode),
                Goal(f"decode {preset}, avx2, {at}", "x", False, 0.25, 0.35, narrow.decode),
            ]
        for preset, must in (("fast", 0.13), ("default", 0.10)):
            checked, core = (_memory(rows, kind, preset, "avx512") for kind in ("blocks", "kernel"))
            found.append(Goal(f"encode and check {preset}, avx512, {at}", "x", False, must, 0.2, checked.encode))
            if core.encode is not None:
                found.append(Goal(f"encode only {preset}, avx512, {at}", "x", False, must, 0.2, core.encode))
    tools = {row.name: row for row in (files[-1] if files else ())}
    for preset in ("fast", "default"):
        ours, peer = tools.get(f"pennyweight {preset}, no SHA-256"), tools.get("zipnn")
        compress, restore = _both(ours)
        found += [
            Goal(f"restore a file, {preset}, of cp", "x", True, 1.0, 0.65, _of_cp(restore)),
            Goal(f"compress a file, {preset}, of cp", "x", True, 1.2, 0.9, _of_cp(compress)),
            Goal(f"restore {preset}, faster than zipnn", "x", False, 3, 5, _times(_both(peer)[1], restore)),
            Goal(f"compress {preset}, faster than zipnn", "x", False, 3, 5, _times(_both(peer)[0], compress)),
        ]
    peaks = [one.peak_bytes / 1e6 for row in tools.values() if "pennyweight" in row.name for one in _both(row) if one]
    return [*found, Goal("peak memory", "MB", True, 300, 150, max(peaks, default=None))]


@dataclass(frozen=True)
class _Ratios:
    encode: float | None
    decode: float | None


def _size(rows: Sequence[Size], codec: str) -> float | None:
    found = [100 * row.ratio for row in rows if row.ratio and (row.file, row.codec) == (MODEL, codec)]
    return found[0] if found else None


def _memory(rows: Sequence[MemoryRow], kind: str, preset: str, target: str) -> _Ratios:
    wanted = (kind, f"pennyweight {preset}", target)
    for row in rows:
        if (row.kind, row.name, row.target) == wanted and row.encode and row.decode:
            return _Ratios(row.encode.of_memcpy, row.decode.of_memcpy)
    return _Ratios(None, None)


def _both(row: FileRow | None) -> tuple[Direction | None, Direction | None]:
    return (None, None) if row is None else (row.compress, row.restore)


def _of_cp(ours: Direction | None) -> float | None:
    return ours.of_cp if ours else None


def _times(peer: Direction | None, ours: Direction | None) -> float | None:
    return peer.work / ours.work if peer and ours else None
