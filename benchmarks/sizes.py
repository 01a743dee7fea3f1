"""Sizes of every file under every codec: exact, so sizes.csv is committed and a change of ratio is a diff.

python -m benchmarks.sizes              write sizes.csv again
python -m benchmarks.sizes FILE PEER    only these, as JSON
"""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import corpus
from benchmarks.codecs import PEERS, Codec, NotRun, load, same

TABLE = Path(__file__).resolve().parent / "sizes.csv"
COLUMNS = ("file", "codec", "bytes", "ratio")
LIMIT_SECONDS = 120  # of a peer on a file, both ways


@dataclass(frozen=True)
class Size:
    """One file under one codec. `n_bytes` is None where it was not run, and `note` says why."""

    file: str
    codec: str
    n_bytes: int | None
    ratio: float | None
    note: str = ""

    def cells(self) -> tuple[str, str, str, str]:
        """Its row in sizes.csv."""
        if self.n_bytes is None or self.ratio is None:
            return (self.file, self.codec, "", f"not run: {self.note}")
        return (self.file, self.codec, str(self.n_bytes), f"{self.ratio:.5f}")


def measure(files: list[corpus.Entry]) -> list[Size]:
    """Encode every file with every codec and check that it comes back the same; one `Size` each."""
    rows: list[Size] = []
    for file in files:
        try:
            corpus.fetch(file)
        except corpus.CorpusError as error:
            rows.append(Size(file.name, "all", None, None, str(error)))
            continue
        for peer in PEERS:
            rows += limited(file.name, peer)
    return rows


def limited(file: str, peer: str) -> list[Size]:
    """One peer on one file in a process of its own, which ends with all that it started if it takes too long."""
    command = [sys.executable, "-m", "benchmarks.sizes", file, peer]
    here = Path(__file__).resolve().parent.parent
    with subprocess.Popen(
        command, cwd=here, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as run:
        try:
            out, errors = run.communicate(timeout=LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(run.pid, signal.SIGKILL)
            return [Size(file, peer, None, None, f"took more than {LIMIT_SECONDS} s")]
    if run.returncode:
        return [Size(file, peer, None, None, (errors.strip().splitlines() or ["ended without a word"])[-1])]
    return [Size(**row) for row in json.loads(out.splitlines()[-1])]


def measure_one(file: corpus.Entry, peer: str) -> list[Size]:
    """One file under each codec of one peer, in this process."""
    loaded = load(peer, file.dtype)
    if isinstance(loaded, NotRun):
        return [Size(file.name, loaded.name, None, None, loaded.reason)]
    data = corpus.fetch(file).read_bytes()
    return [size(file.name, data, codec) for codec in loaded]


def size(name: str, data: bytes, codec: Codec) -> Size:
    """One file under one codec; a codec that fails or does not give the file back is not run, with the reason."""
    try:
        encoded = codec.encode(bytearray(data))
        if not same(codec.decode(encoded), data):
            return Size(name, codec.name, None, None, "decodes to other bytes")
    except Exception as error:  # a peer may raise anything; its failure is a row, not the end of the run
        return Size(name, codec.name, None, None, f"{type(error).__name__}: {error}")
    return Size(name, codec.name, len(encoded), len(encoded) / len(data))


def write(rows: list[Size], path: Path = TABLE) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(row.cells() for row in rows)


def read(path: Path = TABLE) -> dict[tuple[str, str], str]:
    """(file, codec) -> bytes as text, of the committed table."""
    with path.open(encoding="utf-8", newline="") as file:
        return {(row["file"], row["codec"]): row["bytes"] for row in csv.DictReader(file)}


def main(arguments: list[str]) -> None:
    if arguments:
        file, peer = arguments
        print("\n" + json.dumps([asdict(row) for row in measure_one(corpus.entry(file), peer)]))
    else:
        write(measure(corpus.entries()))
        print(TABLE.read_text(encoding="utf-8"), end="")


if __name__ == "__main__":
    main(sys.argv[1:])
