"""What `inspect` prints of a container."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from math import prod
from string import ascii_uppercase

from pennyweight.cli.text import counted, one_line, percent, size, table
from pennyweight.pipeline.report import ContainerInfo, InspectReport


def container(info: ContainerInfo, *, tensors: bool) -> list[str]:
    """Lines about one container: lossy first, as nothing else matters as much."""
    lines = [info.file]
    if info.fidelity == "lossy":
        lines += ["  LOSSY: some tensors are not stored bit for bit"]
    weights = sum(prod(t.shape) for t in info.tensors)
    bits = 8 * sum(t.stored_bytes for t in info.tensors)
    per_weight = f", {bits / weights:.2f} bits per weight" if weights else ""
    ratio = percent(info.stored_bytes, info.n_bytes)
    side = f", {size(info.side_bytes)} that many of them share" if info.side_bytes else ""
    lines += [
        f"  original   {size(info.n_bytes):>9}  {info.n_bytes:,} bytes, read as {info.source}",
        f"  stored     {size(info.stored_bytes):>9}  {info.stored_bytes:,} bytes, {ratio}",
        f"  weights    {count(weights):>9}  {counted(len(info.tensors), 'tensor')}{per_weight}",
        f"  blocks     {info.n_blocks:>9,}  of {info.block_bytes // 1024} KiB{side}; {size(info.index_bytes)} of index",
        f"  made by    {info.encoder}, preset {info.preset}, format {info.format}",
        f"  sha256     {info.sha256 or 'not kept'}",
    ]
    lines = [one_line(line) for line in lines]
    if info.n_bytes:
        lines += ["", _dtypes(info)]
    if tensors and info.n_bytes:
        lines += ["", *_tensors(info)]
    return lines


def total(report: InspectReport) -> str:
    """One line about a folder."""
    sizes = f"{size(report.n_bytes)} -> {size(report.stored_bytes)}, {percent(report.stored_bytes, report.n_bytes)}"
    return f"{counted(report.n_files, 'file')}, {counted(report.n_tensors, 'tensor')}, {sizes}"


def count(n: int) -> str:
    """`22.71 M`."""
    return size(n).removesuffix("B").strip().replace("k", "K")


def _dtypes(info: ContainerInfo) -> str:
    """What each dtype takes."""
    rows: list[Sequence[str]] = []
    for dtype in sorted({t.dtype for t in info.tensors}):
        of = [t for t in info.tensors if t.dtype == dtype]
        weights, stored = sum(prod(t.shape) for t in of), sum(t.stored_bytes for t in of)
        n_bytes = sum(t.n_bytes for t in of)
        per_weight = f"{8 * stored / weights:.2f}" if weights else "-"
        rows.append(
            (dtype, f"{len(of):,}", count(weights), size(n_bytes), size(stored), percent(stored, n_bytes), per_weight)
        )
    if info.gap_bytes:
        stored = info.gap_stored_bytes
        rows.append(("no tensor", "", "", size(info.gap_bytes), size(stored), percent(stored, info.gap_bytes), ""))
    return table(("dtype", "tensors", "weights", "original", "stored", "ratio", "bits/weight"), rows)


def _tensors(info: ContainerInfo) -> Iterator[str]:
    """The tensors, each with the letters of its plans, and what the letters mean."""
    totals = Counter(info.gap_plans or {})
    for tensor in info.tensors:
        totals.update(tensor.plans or {})
    ranked = totals.most_common()
    letters = dict(zip((plan for plan, _ in ranked), _letters(), strict=False))
    gains = any(tensor.gained_bits is not None for tensor in info.tensors)
    rows = [
        (
            tensor.name,
            tensor.dtype,
            "x".join(map(str, tensor.shape)) or "scalar",
            size(tensor.n_bytes),
            percent(tensor.stored_bytes, tensor.n_bytes),
            *([_gain(tensor.gained_bits)] if gains else []),
            _used(tensor.plans, letters),
        )
        for tensor in info.tensors
    ]
    if info.gap_bytes:
        ratio = percent(info.gap_stored_bytes, info.gap_bytes)
        of_gaps = ("(no tensor)", "", "", size(info.gap_bytes), ratio)
        rows.append((*of_gaps, *([""] if gains else []), _used(info.gap_plans, letters)))
    titles = ("tensor", "dtype", "shape", "original", "ratio", *(["gained"] if gains else []), "plan")
    yield table(titles, rows, left=(0, 1, len(titles) - 1))
    if gains:
        yield "gained: bits for each weight, against order-0 entropy of the same bits of the weights"
    yield ""
    plans = [(letters[plan], f"{n:,}", plan) for plan, n in ranked]
    yield table(("plan", "blocks", ""), plans, left=(0, 2), elastic=2)


def _used(plans: dict[str, int] | None, letters: dict[str, str]) -> str:
    """`A`, or `A 91, B 2` where blocks differ."""
    ranked = Counter(plans or {}).most_common()
    return ", ".join(letters[plan] if len(ranked) == 1 else f"{letters[plan]} {n}" for plan, n in ranked) or "-"


def _gain(bits: float | None) -> str:
    return "-" if bits is None else f"{bits:.3f}"


def _letters() -> Iterable[str]:
    """A to Z, then AA, AB, ..."""
    yield from ascii_uppercase
    for first in ascii_uppercase:
        yield from (first + second for second in ascii_uppercase)
