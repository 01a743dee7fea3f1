"""Fuzz the decoders: every target for some seconds, two at a time, then a table. Ends with 1 if anything was found.

docs/testing.md says what the targets are and how what they find is kept.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
BUILD = CHECKOUT / "build" / "fuzz"  # corpus/NAME grows from run to run; found/NAME is what was found
NATIVE = BUILD / "native" / "fuzz"
PYTHON = CHECKOUT / "tests" / "fuzz"

# Inputs are small: the loops of all kernels are entered, and tens of thousands of inputs run in a second.
LIMITS = ("-max_len=2048", "-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1")


@dataclass(frozen=True)
class Target:
    """`command` is a program that takes libFuzzer's options, and `seeds` one that takes a folder to write seeds to."""

    name: str
    command: Sequence[str]
    seeds: Sequence[str]
    findings: Path
    """Where what was found is kept, a folder for each target."""


def native_targets() -> list[Target]:
    names = sorted(path.name.removeprefix("fuzz_") for path in NATIVE.glob("fuzz_*") if path.is_file())
    findings = CHECKOUT / "native" / "fuzz" / "findings"
    return [
        Target(name, [str(NATIVE / f"fuzz_{name}")], [str(NATIVE / f"replay_{name}"), "--seeds"], findings)
        for name in names
    ]


def python_targets() -> list[Target]:
    run = [sys.executable, str(PYTHON / "run.py")]
    names = subprocess.run(run, check=True, capture_output=True, text=True).stdout.split()
    return [Target(name, [*run, name], [*run, name, "--seeds"], PYTHON / "findings") for name in names]


@dataclass(frozen=True)
class Outcome:
    name: str
    executions: int
    seconds: float
    findings: list[Path]
    failed: bool  # also where nothing was left behind


def run(target: Target, seconds: int) -> Outcome:
    """For so many seconds, from the seeds and what earlier runs added to them."""
    corpus, seeds, found = (BUILD / folder / target.name for folder in ("corpus", "seeds", "found"))
    kept = target.findings / target.name
    for folder in (corpus, seeds, found):
        folder.mkdir(parents=True, exist_ok=True)
    subprocess.run([*target.seeds, str(seeds)], check=True)
    before, start = set(found.iterdir()), time.monotonic()
    with (BUILD / f"{target.name}.log").open("wb") as log:
        options = [*LIMITS, f"-max_total_time={seconds}", f"-artifact_prefix={found}/"]
        folders = [corpus, seeds, *([kept] if kept.is_dir() else [])]
        done = subprocess.run([*target.command, *options, *map(str, folders)], stdout=log, stderr=log, check=False)
    text = (BUILD / f"{target.name}.log").read_text(encoding="utf-8", errors="replace")
    counts = re.findall(r"stat::number_of_executed_units:\s+(\d+)", text)
    findings = sorted(set(found.iterdir()) - before)
    return Outcome(
        target.name, sum(map(int, counts)), time.monotonic() - start, findings, done.returncode != 0 or not counts
    )


def report(outcomes: Sequence[Outcome]) -> None:
    print(f"{'target':<20} {'executions':>12} {'per second':>11} {'findings':>9}")
    for one in outcomes:
        rate = one.executions / one.seconds
        print(f"{one.name:<20} {one.executions:>12,} {rate:>11,.0f} {max(len(one.findings), one.failed):>9}")
    for one in outcomes:
        for path in one.findings:
            print(f"found: {path.relative_to(CHECKOUT)}")
        if one.failed:
            log = BUILD / f"{one.name}.log"
            print(f"{one.name} failed; the end of {log.relative_to(CHECKOUT)}:")
            print("\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-40:]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("names", nargs="*", help="targets; all of them if none is named")
    given = parser.parse_args()
    targets = native_targets()
    if not given.names or set(given.names) - {target.name for target in targets}:
        targets += python_targets()
    if unknown := set(given.names) - {target.name for target in targets}:
        sys.exit(f"no such target: {', '.join(sorted(unknown))}")
    chosen = [target for target in targets if not given.names or target.name in given.names]
    if not chosen:
        sys.exit("no targets: make fuzz builds them")
    with ThreadPoolExecutor(2) as two:
        outcomes = list(two.map(lambda target: run(target, given.seconds), chosen))
    report(outcomes)
    sys.exit(any(one.failed or one.findings for one in outcomes))


if __name__ == "__main__":
    main()
