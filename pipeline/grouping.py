"""Blocks of several small segments, sorted into parts by what they are: stages/split/group.md."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

from pennyweight.pipeline.plan import MAX_DEPTH, Plan
from pennyweight.stages.split.group import MAX_PARTS, Group, Run
from pennyweight.types import DType

ROLES: Final = frozenset(("exp_avg", "exp_avg_sq", "max_exp_avg_sq"))
"""Tensors of an optimizer whose values are unlike those of the weights beside them."""

OWN_PART_BYTES: Final = 16_384
"""A segment of so many bytes has a part of its own. Half a per cent of a model of 517 small tensors,
as with 4,096 and 32,768."""

Kind: TypeAlias = tuple[DType | None, str]
"""dtype and role: members of one kind share a part."""


class Member(NamedTuple):
    """What a block holds of one segment: its bytes, above 0, and the plans to try on them."""

    n_bytes: int
    plans: Sequence[Plan]
    kind: Kind = (None, "")


def kind_of(dtype: DType | None, name: str = "") -> Kind:
    """That of a tensor, or of a gap (None)."""
    roles = [component for component in name.split(".")[-2:] if component in ROLES]
    return dtype, roles[-1] if roles else ""


def one_part(members: Sequence[Member]) -> bool:
    """Whether a block of these is coded as if it were of one segment."""
    first = members[0].kind
    return len(members) == 1 or all(kind == first and n_bytes < OWN_PART_BYTES for n_bytes, _, kind in members)


def sort(members: Sequence[Member]) -> tuple[Group, list[Member]]:
    """The `group` node of a block that holds these, in order, and its parts as if each were a block of its own."""
    numbers: dict[Kind | int, int] = {}
    runs: list[Run] = []
    parts: list[Member] = []
    for i, (n_bytes, plans, kind) in enumerate(members):
        part = numbers.setdefault(i if n_bytes >= OWN_PART_BYTES else kind, min(len(numbers), MAX_PARTS - 1))
        if part == len(parts):
            # Under the group's node the leaves of a plan of MAX_DEPTH would be one too deep.
            parts.append(Member(0, [plan for plan in plans if plan.depth < MAX_DEPTH], kind))
        parts[part] = parts[part]._replace(n_bytes=parts[part].n_bytes + n_bytes)
        if runs and runs[-1].part == part:
            runs[-1] = Run(part, runs[-1].n_bytes + n_bytes)
        else:
            runs.append(Run(part, n_bytes))
    return Group(tuple(runs)), parts
