"""Measure everything in one run: `python -m benchmarks.run [--quick]`.

Writes results.json, report.md and pareto.png to build/bench, without --quick sizes.csv beside this file, and prints the
report. Ends with 1 if this tool was not run or failed a check; a peer that cannot be run is only reported.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks import corpus, files, memory, sizes, stages
from benchmarks.codecs import PEERS, peer_version
from benchmarks.goals import MODEL
from benchmarks.report import FileRun, Results, markdown

OUTPUT = Path(__file__).resolve().parent.parent / "build" / "bench"
IN_MEMORY = "BF16, 45 MB"
OTHER_MODELS = {"F16": "minilm.f16.safetensors", "F32": "minilm.f32.safetensors"}
COPIES = 44  # of the 45 MB model: 2.0 GB


def main() -> int:
    """Run, write, print; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description="Measure Pennyweight and its peers.")
    parser.add_argument("--quick", action="store_true", help="only the 45 MB model, three rounds, no 2 GB rows")
    quick = parser.parse_args().quick
    results = measure(quick=quick)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    (OUTPUT / "results.json").write_text(json.dumps(asdict(results), indent=1) + "\n", encoding="utf-8")
    text = markdown(results)
    (OUTPUT / "report.md").write_text(text, encoding="utf-8")
    _plot(results)
    if not quick:
        sizes.write(results.sizes)
    print(text)
    failed = [*_failures(results)]
    for line in failed:
        print(f"FAILED: {line}", file=sys.stderr)
    return 1 if failed else 0


def measure(*, quick: bool) -> Results:
    """All rows. Quick: the BF16 model only, three rounds, nothing of 2 GB."""
    results = Results(_machine())
    model = corpus.fetch(corpus.entry(MODEL))
    _say("sizes")
    results.sizes = sizes.measure([corpus.entry(MODEL)] if quick else corpus.entries())
    _say(f"in memory, {IN_MEMORY}")
    results.memory[IN_MEMORY] = memory.measure(model, "BF16", 1, 3 if quick else 9, whole_files=True)
    if not quick:
        for dtype, name in OTHER_MODELS.items():
            other = corpus.fetch(corpus.entry(name))
            label = f"{dtype}, {other.stat().st_size / 1e6:.0f} MB"
            _say(f"in memory, {label}")
            results.memory[label] = memory.measure(other, dtype, 1, 5, whole_files=False)
        _say("in memory, 2 GB")
        results.memory["BF16, 2 GB"] = memory.measure(model, "BF16", COPIES, 3, whole_files=False)
    _say("stages")
    results.stages = stages.measure()
    copies = 1 if quick else COPIES
    _say("file to file")
    rows, where = files.measure(model, copies, 3 if quick else 5)
    results.files = [FileRun(model.stat().st_size * copies, where, rows)]
    results.machine["load at the end"] = _load()
    return results


def _say(what: str) -> None:
    print(f"measuring: {what} ...", file=sys.stderr, flush=True)


def _plot(results: Results) -> None:
    try:
        from benchmarks.plot import plot
    except ImportError as error:
        print(f"no picture: {error}", file=sys.stderr)
        return
    title = (
        f"{MODEL}, 45 MB, {results.machine['processor']}. Filled: a whole file; open: tensors only, by target. "
        "Dashed: no codec beats these in both."
    )
    plot(results.memory[IN_MEMORY], title, OUTPUT / "pareto.png")


def _failures(results: Results) -> list[str]:
    """What must not happen: this tool not run, or caught in a wrong result."""
    bad = [
        f"{row.codec} on {row.file}: {row.note}" for row in results.sizes if row.n_bytes is None and _ours(row.codec)
    ]
    for rows in results.memory.values():
        bad += [f"{row.name} {row.target}: {row.note}" for row in rows if row.decode is None and _ours(row.name)]
    bad += [f"{row.stage}: {row.note}" for row in results.stages if row.encode is None]
    for run in results.files:
        bad += [f"{row.name}: {row.note}" for row in run.rows if row.compress is None and _ours(row.name)]
    return bad


def _ours(name: str) -> bool:
    return name.startswith("pennyweight")


def _machine() -> dict[str, str]:
    return {
        "processor": f"{_processor()}, {files.cores()} cores",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "versions": ", ".join(f"{peer} {peer_version(peer)}" for peer in PEERS),
        "load at the start": _load(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _load() -> str:
    return " ".join(f"{value:.2f}" for value in os.getloadavg()) if hasattr(os, "getloadavg") else "unknown"


if __name__ == "__main__":
    sys.exit(main())
