"""File to file, whole processes, page cache warm: `cp`, this tool and its peers, in interleaved rounds."""

from __future__ import annotations

import filecmp
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import tensorfile
from benchmarks.codecs import NotRun, load
from benchmarks.measure import Process, median, process, scratch

THREADS = 2
Command = Callable[[Path, Path], list[str | Path]]


@dataclass(frozen=True)
class Tool:
    """A way to compress and restore a file: two command lines. And to verify it, the third, if there is one."""

    name: str
    compress: Command
    restore: Command
    verify: Callable[[Path], list[str | Path]] | None = None


@dataclass
class Direction:
    """Medians over the rounds, seconds; `of_cp` is the median of each round's time over that round's `cp`."""

    wall: float
    work: float
    cpu: float
    peak_bytes: int
    of_cp: float


@dataclass
class FileRow:
    """One tool both ways; `n_bytes` of its compressed file. Nothing but `note` is set where it was not run."""

    name: str
    n_bytes: int | None = None
    ratio: float | None = None
    compress: Direction | None = None
    restore: Direction | None = None
    verify: Direction | None = None
    note: str = ""


@dataclass
class _Runs:
    tool: Tool
    compress: list[tuple[Process, float]] = field(default_factory=list)
    restore: list[tuple[Process, float]] = field(default_factory=list)
    verify: list[tuple[Process, float]] = field(default_factory=list)
    n_bytes: int = 0
    failure: str = ""


def _pennyweight(name: str, *options: str) -> Tool:
    command = Path(sys.executable).parent / "pennyweight"

    def compress(src: Path, dst: Path) -> list[str | Path]:
        return [command, "compress", src, "-o", dst, "--threads", str(THREADS), "--quiet", *options]

    def restore(src: Path, dst: Path) -> list[str | Path]:
        return [command, "restore", src, "-o", dst, "--threads", str(THREADS), "--quiet"]

    return Tool(name, compress, restore, lambda src: [command, "verify", src, "--threads", str(THREADS)])


def _peer(peer: str, name: str) -> Tool:
    start = [sys.executable, "-m", "benchmarks.filework", peer]
    return Tool(
        name,
        lambda src, dst: [*start, "compress", src, dst, str(THREADS)],
        lambda src, dst: [*start, "restore", src, dst, str(THREADS)],
    )


TOOLS = (
    ("pennyweight", _pennyweight("pennyweight fast, no SHA-256", "--preset", "fast", "--no-sha256")),
    ("pennyweight", _pennyweight("pennyweight default, no SHA-256", "--no-sha256")),
    ("pennyweight", _pennyweight("pennyweight default")),
    ("zipnn", _peer("zipnn", "zipnn")),
    ("lmzip", _peer("lmzip", "lmzip")),
    ("zstandard", _peer("zstandard", "zstd -3")),
)


def measure(path: Path, copies: int, rounds: int) -> tuple[list[FileRow], str]:
    """The model `copies` times in one file, through every tool both ways, in `rounds` rounds after a warm-up.

    Returns:
        One row per tool, `cp` first, and the kind of folder the files lay in.
    """
    n_bytes = path.stat().st_size * copies
    with scratch(7 * n_bytes) as folder:  # three files here, and what the hungriest tool holds in memory
        source = Path(folder) / "model.safetensors"
        tensorfile.repeat(path, copies, source)
        copied: list[float] = []
        kept: list[Process] = []
        runs, rows = _loaded()
        for round_number in range(rounds + 1):
            counts = round_number > 0
            for run in runs:
                if not run.failure:
                    _one_round(run, source, counts, copied, kept)
        where = "tmpfs" if folder.startswith("/dev/shm") else "temporary folder on disk"
        size = source.stat().st_size
    copy = FileRow("cp", size, 1.0, _medians([(one, one.wall) for one in kept]))
    return [copy, *(_row(run, size) for run in runs), *rows], where


def _loaded() -> tuple[list[_Runs], list[FileRow]]:
    runs: list[_Runs] = []
    rows: list[FileRow] = []
    for peer, tool in TOOLS:
        loaded = load(peer, "BF16")
        if isinstance(loaded, NotRun):
            rows.append(FileRow(tool.name, note=loaded.reason))
        else:
            runs.append(_Runs(tool))
    return runs, rows


def _one_round(run: _Runs, source: Path, counts: bool, copied: list[float], kept: list[Process]) -> None:
    """`cp`, then the tool both ways; the same name never exists before a run, and memory is warm for each."""
    packed, back = source.with_name("packed"), source.with_name("back")
    try:
        size = source.stat().st_size
        _warm_memory(size)
        copy = process(["cp", source, back])
        back.unlink()
        _warm_memory(size)
        compress = process(run.tool.compress(source, packed))
        _warm_memory(size)
        restore = process(run.tool.restore(packed, back))
        if not filecmp.cmp(source, back, shallow=False):
            raise RuntimeError("decodes to other bytes")
        verify = process(run.tool.verify(packed)) if run.tool.verify else None
        run.n_bytes = packed.stat().st_size
    except RuntimeError as error:
        run.failure = str(error)
        return
    finally:
        for path in (packed, back):
            path.unlink(missing_ok=True)
    if counts:
        kept.append(copy)
        run.compress.append((compress, copy.wall))
        run.restore.append((restore, copy.wall))
        if verify:
            run.verify.append((verify, copy.wall))


def _warm_memory(n_bytes: int) -> None:
    """Touch half as much free memory again, so that no run pays for pages that the machine's host took back.

    A virtual machine may give free pages back to its host and fault them in again when they are next written: a restore
    of 2 GB took 1.4 to 6 s without this, by which pages it met.
    """
    subprocess.run([sys.executable, "-c", f"import numpy; numpy.ones({n_bytes * 3 // 2}, 'u1')"], check=True)


def _row(run: _Runs, size: int) -> FileRow:
    if run.failure:
        return FileRow(run.tool.name, note=run.failure)
    verify = _medians(run.verify) if run.verify else None
    return FileRow(
        run.tool.name, run.n_bytes, run.n_bytes / size, _medians(run.compress), _medians(run.restore), verify
    )


def _medians(runs: list[tuple[Process, float]]) -> Direction:
    """Ratios to `cp` use the work alone where a tool says it: only this tool is charged for its imports."""
    processes = [one for one, _ in runs]
    return Direction(
        wall=median([one.wall for one in processes]),
        work=median([_work(one) for one in processes]),
        cpu=median([one.cpu for one in processes]),
        peak_bytes=max(one.peak_bytes for one in processes),
        of_cp=median([_work(one) / copy for one, copy in runs]),
    )


def _work(one: Process) -> float:
    return one.wall if one.work is None else one.work


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
