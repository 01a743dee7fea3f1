"""Spoils small golden containers in every way that an accident might, and says what readers and salvage make of it.

`python tests/corruption.py` (`make corruption`) does all of it: every frame, marker and description swapped with
another, doubled, left out, zeroed, or taken from another container, a second trailer, the index of another as payload;
and of containers of up to 2 KiB, which there are of every stage and source, every bit flipped and every length cut, of
larger ones one in 61. With names, such as `empty.pwt`, of these containers only. What damages a container on purpose,
with every checksum put right, is in `lies_of_containers.py` and `lies_of_markers.py`.
"""

from __future__ import annotations

import io
import os
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from itertools import chain, combinations
from pathlib import Path
from typing import Final, NamedTuple

from salvaged import salvage

import pennyweight
from pennyweight.errors import PennyweightError
from pennyweight.pipeline.container.layout import HEADER_BYTES
from pennyweight.pipeline.container.reader import ContainerReader
from pennyweight.pipeline.files import Reader

GOLDEN: Final = Path(__file__).parent / "golden"
SMALL_BYTES: Final = 2 << 10
SPARSE: Final = 61  # no divisor of 8: all bits of a byte have their turn
FLIPS_IN_A_JOB: Final = 2_048


class Case(NamedTuple):
    kind: str
    spoilt: bytes


class Verdict(NamedTuple):
    """Whether `verify` reports it, on two levels; whether anything gave other bytes; and what is no error of ours."""

    found: bool
    found_fast: bool
    wrong_bytes: bool
    crash: str | None


@cache
def containers() -> dict[str, bytes]:
    """All golden ones, by name."""
    return {path.name: path.read_bytes() for path in sorted(GOLDEN.glob("v*/*.pwt"))}


def parts_of(container: bytes) -> tuple[slice, list[slice], list[slice], slice]:
    """Where are: the description, the markers, the frames, and index with trailer."""
    reader = ContainerReader(Reader(io.BytesIO(container)))
    at = HEADER_BYTES + reader.index.description_bytes
    description, markers = slice(HEADER_BYTES, at), list[slice]()
    frames = [slice(*pair) for pair in zip(reader.places.begins.tolist(), reader.places.ends.tolist(), strict=True)]
    for frame in frames:
        if frame.start > at:
            markers.append(slice(at, frame.start))
        at = frame.stop
    return description, markers, frames, slice(at, None)


def flips(container: bytes, bits: range) -> Iterator[Case]:
    for bit in bits:
        spoilt = bytearray(container)
        spoilt[bit >> 3] ^= 1 << (bit & 7)
        yield Case("a bit flipped", bytes(spoilt))


def cuts(container: bytes, lengths: range) -> Iterator[Case]:
    for n in lengths:
        yield Case("cut short", container[:n])


def exchanges(container: bytes, other: bytes) -> Iterator[Case]:
    """What happens to whole parts. What changes nothing, as of equal frames, is left out."""
    description, markers, frames, index = parts_of(container)
    other_description, other_markers, other_frames, other_index = parts_of(other)
    yield from _exchanged("frame", container, frames, [other[one] for one in other_frames])
    yield from _exchanged("marker", container, markers, [other[one] for one in other_markers])
    yield from _exchanged("description", container, [description], [other[other_description]])
    payload = other[other_index]
    for frame in frames:
        before, after = container[: frame.start], container[frame.stop :]
        if len(payload) <= frame.stop - frame.start:
            yield Case("an index as payload", before + payload.ljust(frame.stop - frame.start, b"\0") + after)
        yield Case("an index as payload", before + payload + after)
    trailer = container[-48:]
    yield Case("two trailers", container + trailer)
    yield Case("two trailers", container + container[index])
    yield Case("two trailers", container + other[other_index])
    if container[: index.start] + other[other_index] != other:  # of equal frames it is a container, the other one
        yield Case("another's index", container[: index.start] + other[other_index])
    yield Case("a byte added", container + b"\0")


def _exchanged(what: str, container: bytes, parts: list[slice], others: list[bytes]) -> Iterator[Case]:
    for a, b in combinations(parts, 2):
        between = container[a.stop : b.start]
        swapped = container[: a.start] + container[b] + between + container[a] + container[b.stop :]
        if swapped != container:
            yield Case(f"two {what}s swapped", swapped)
    for part in parts:
        before, held, after = container[: part.start], container[part], container[part.stop :]
        yield Case(f"a {what} doubled", before + held + held + after)
        yield Case(f"a {what} left out", before + after)
        if any(held):
            yield Case(f"a {what} zeroed", before + bytes(len(held)) + after)
        for foreign in others:
            if foreign != held:
                yield Case(f"a {what} of another file", before + foreign + after)


@cache
def truth(container: bytes) -> tuple[bytes, dict[str, bytes]]:
    """The original file and its tensors."""
    out = io.BytesIO()
    pennyweight.restore(io.BytesIO(container), out, threads=1)
    with pennyweight.open(io.BytesIO(container), threads=1) as checkpoint:
        return out.getvalue(), {name: tensor.numpy().tobytes() for name, tensor in checkpoint.items()}


def judge(container: bytes, spoilt: bytes) -> Verdict:
    try:
        found, found_fast = not _sound(spoilt, "default"), not _sound(spoilt, "fast")
        wrong = (gives_wrong(container, spoilt) for gives_wrong in (_restores_wrong, _opens_wrong, _salvages_wrong))
        return Verdict(found, found_fast, any(wrong), None)
    except Exception as error:  # whatever it is, it must not be
        return Verdict(False, False, False, f"{type(error).__name__}: {error}")


def _sound(spoilt: bytes, level: pennyweight.Level) -> bool:
    try:
        return pennyweight.verify(io.BytesIO(spoilt), level=level, threads=1).ok
    except PennyweightError:
        return False


def _restores_wrong(container: bytes, spoilt: bytes) -> bool:
    out = io.BytesIO()
    try:
        pennyweight.restore(io.BytesIO(spoilt), out, threads=1)
    except PennyweightError:
        return False
    return out.getvalue() != truth(container)[0]


def _opens_wrong(container: bytes, spoilt: bytes) -> bool:
    """Tensors that `open` gives although they are not those of the container."""
    tensors = truth(container)[1]
    try:
        with pennyweight.open(io.BytesIO(spoilt), threads=1) as checkpoint:
            for name, tensor in checkpoint.items():
                try:
                    given = tensor.numpy().tobytes()
                except PennyweightError:
                    continue
                if given != tensors.get(name):
                    return True
    except PennyweightError:
        pass
    return False


def _salvages_wrong(container: bytes, spoilt: bytes) -> bool:
    """Whether `salvage` gives another original, or tensors that are none of the container."""
    try:
        found = salvage(spoilt)
    except PennyweightError:
        return False
    original, tensors = truth(container)
    return found.original not in (None, original) or any(
        tensors.get(name) != raw for name, raw in found.tensors.items()
    )


class Tally:
    """Counts by kind of damage."""

    def __init__(self) -> None:
        self.cases, self.found = Counter[str](), Counter[str]()
        self.found_fast, self.wrong = Counter[str](), Counter[str]()
        self.crashes: list[str] = []

    def add(self, case: Case, verdict: Verdict) -> None:
        self.cases[case.kind] += 1
        self.found[case.kind] += verdict.found
        self.found_fast[case.kind] += verdict.found_fast
        self.wrong[case.kind] += verdict.wrong_bytes
        if verdict.crash:
            self.crashes.append(f"{case.kind}: {verdict.crash}")

    def merge(self, other: Tally) -> None:
        for mine, theirs in zip(vars(self).values(), vars(other).values(), strict=True):
            mine += theirs

    @property
    def all_found(self) -> bool:
        return self.found == self.cases == self.found_fast and not self.wrong.total() and not self.crashes

    def __str__(self) -> str:
        rows = [f"{'damage':<29} {'cases':>9} {'found':>9} {'by --fast':>9} {'wrong bytes':>11}"]
        for kind in [*self.cases, None]:
            columns = self.cases, self.found, self.found_fast, self.wrong
            counts = [column.total() if kind is None else column[kind] for column in columns]
            rows.append(f"{kind or 'all':<29} {counts[0]:>9,} {counts[1]:>9,} {counts[2]:>9,} {counts[3]:>11,}")
        return "\n".join([*rows, f"crashes: {len(self.crashes)}", *self.crashes[:20]])


class Job(NamedTuple):
    """A container and the next of the list: one bit or length of `step`. Without bits, all that is no flip."""

    name: str
    other: str
    step: int
    bits: range | None


def jobs(*, small: int = 1, large: int = SPARSE) -> Iterator[Job]:
    """Everything to be done, with steps for containers of up to 2 KiB and for larger ones."""
    names = list(containers())
    for name, other in zip(names, [*names[1:], names[0]], strict=True):
        n_bytes = len(containers()[name])
        step = small if n_bytes <= SMALL_BYTES else large
        yield Job(name, other, step, None)
        bits = range(0, 8 * n_bytes, step)
        for first in range(0, len(bits), FLIPS_IN_A_JOB):
            yield Job(name, other, step, bits[first : first + FLIPS_IN_A_JOB])


def run(job: Job) -> Tally:
    container, tally = containers()[job.name], Tally()
    if job.bits is not None:
        cases = flips(container, job.bits)
    else:
        cases = chain(
            cuts(container, range(0, len(container), job.step)), exchanges(container, containers()[job.other])
        )
    for case in cases:
        tally.add(case, judge(container, case.spoilt))
    return tally


def main() -> None:
    names = sys.argv[1:] or [*containers()]
    todo, total = [job for job in jobs() if job.name in names], Tally()
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for done, tally in enumerate(pool.map(run, todo), 1):
            total.merge(tally)
            print(f"\r{done} of {len(todo)}, {total.cases.total():,} cases", end="", file=sys.stderr, flush=True)
    print(f"\n{len(names)} containers of {sum(len(containers()[name]) for name in names):,} bytes")
    print(total)
    sys.exit(not total.all_found)


if __name__ == "__main__":
    main()
