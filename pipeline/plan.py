"""Plans: trees of stages, written on one line.

    plan   = tree { "|" tree }
    tree   = stage [ "[" key "=" number { "," key "=" number } "]" ] [ "(" child { "," child } ")" ]
    child  = [ ( output | "*" ) ":" ] plan

`*` names every output that is not named otherwise; an output that is not named at all gets `store`; a stage with one
unnamed output takes its child without a name. Of the alternatives `a | b` the cheapest is taken. What follows from
the dtype (float format, width of an element, size of an alphabet) is bound from it and not written. Spaces do not
matter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

from pennyweight.errors import UsageError
from pennyweight.stages.protocol import Stage, StreamSpec
from pennyweight.stages.registry import BY_NAME
from pennyweight.stages.store import Store
from pennyweight.types import DType, Fidelity

MAX_DEPTH = 8
"""Nodes that may nest, leaves counted: docs/format.md section 2."""

MAX_STAGES = 1000
"""Of a plan as it is carried out: `*` in `*` multiplies what a line says. The longest that is shipped has 161."""

_TOKEN = re.compile(r"\s*([a-z_][a-z_0-9]*|[0-9]+|[*:,=|()\[\]]|\S)")


@dataclass(frozen=True)
class Plan:
    """A stage, and a plan for each of its outputs, in their order.

    alternatives are further plans for the same stream; they have none themselves. params are the parameters
    as the text wrote them, so that `parse(str(plan), dtype) == plan`.
    """

    stage: Stage
    children: tuple[Plan, ...] = ()
    params: tuple[tuple[str, int], ...] = ()
    alternatives: tuple[Plan, ...] = ()

    @property
    def stages(self) -> Iterator[Stage]:
        """Every stage that it may use."""
        yield self.stage
        for plan in self.children + self.alternatives:
            yield from plan.stages

    @cached_property
    def depth(self) -> int:
        """Nodes that nest in a frame of it, at most."""
        below = max((child.depth for child in self.children), default=0)
        return max(1 + below, *(plan.depth for plan in self.alternatives), 1)

    @property
    def fidelity(self) -> Fidelity:
        """LOSSY if any stage of it is."""
        lossy = any(stage.fidelity is Fidelity.LOSSY for stage in self.stages)
        return Fidelity.LOSSY if lossy else Fidelity.LOSSLESS

    def __str__(self) -> str:
        return " | ".join((self._tree(), *map(str, self.alternatives)))

    def _tree(self) -> str:
        params = ", ".join(f"{key}={value}" for key, value in self.params)
        children = dict(zip(self.stage.outputs, self.children, strict=True))
        named = {name: child for name, child in children.items() if child != STORE}
        if len(named) == len(children) > 1 and len(set(named.values())) == 1:
            named = {"*": self.children[0]}
        inner = ", ".join(f"{name}: {child}" if name else str(child) for name, child in named.items())
        return self.stage.name + (f"[{params}]" if params else "") + (f"({inner})" if inner else "")


STORE = Plan(Store())


@lru_cache(maxsize=256)  # a preset is resolved where it is read, and again for each file
def parse(text: str, dtype: DType | None) -> Plan:
    """The plan for tensors of that dtype, or for gaps (None). UsageError with the plan and the reason."""
    tokens = _Tokens(text)
    try:
        plan = _bind(_parse_plan(tokens, depth=1), StreamSpec.of(dtype), depth=1, left=iter(range(MAX_STAGES)))
        tokens.expect("")
    except UsageError as error:
        label = "a gap" if dtype is None else dtype.label
        raise UsageError(f"plan {text!r} for {label}: {error}") from None
    return plan


class _Tree(NamedTuple):
    """What was written, before any stage is looked up."""

    name: str
    params: tuple[tuple[str, int], ...]
    children: tuple[tuple[str, _Tree], ...]
    alternatives: tuple[_Tree, ...] = ()


class _Tokens:
    """Words, numbers and marks of a plan, one at a time; "" at the end."""

    def __init__(self, text: str) -> None:
        self._rest = _TOKEN.findall(text)[::-1]

    @property
    def next(self) -> str:
        return self._rest[-1] if self._rest else ""

    def take(self) -> str:
        return self._rest.pop() if self._rest else ""

    def accept(self, mark: str) -> bool:
        return self.next == mark and bool(self.take())

    def expect(self, mark: str) -> None:
        if self.next != mark:
            raise UsageError(f"{mark or 'the end'!r} expected where {self.next or 'the end'!r} stands")
        self.take()

    def word(self) -> str:
        word = self.take()
        if not (word[:1].isalpha() or word[:1] == "_"):
            raise UsageError(f"a name expected where {word or 'the end'!r} stands")
        return word

    def number(self) -> int:
        word = self.take()
        if not word.isdecimal() or len(word) > 9:
            raise UsageError(f"a number expected where {word or 'the end'!r} stands")
        return int(word)


def _parse_plan(tokens: _Tokens, depth: int) -> _Tree:
    return _parse_alternatives(tokens, _parse_tree(tokens, depth), depth)


def _parse_alternatives(tokens: _Tokens, tree: _Tree, depth: int) -> _Tree:
    alternatives: list[_Tree] = []
    while tokens.accept("|"):
        alternatives.append(_parse_tree(tokens, depth))
    return tree._replace(alternatives=tuple(alternatives))


def _parse_tree(tokens: _Tokens, depth: int) -> _Tree:
    if depth > MAX_DEPTH:
        raise UsageError(f"stages nest more than {MAX_DEPTH} deep")
    name = tokens.word()
    params: list[tuple[str, int]] = []
    if tokens.accept("["):
        while True:
            key = tokens.word()
            tokens.expect("=")
            params.append((key, tokens.number()))
            if not tokens.accept(","):
                break
        tokens.expect("]")
    children: list[tuple[str, _Tree]] = []
    if tokens.accept("("):
        while True:
            children.append(_parse_child(tokens, depth + 1))
            if not tokens.accept(","):
                break
        tokens.expect(")")
    return _Tree(name, tuple(params), tuple(children))


def _parse_child(tokens: _Tokens, depth: int) -> tuple[str, _Tree]:
    if tokens.accept("*"):
        tokens.expect(":")
        return "*", _parse_plan(tokens, depth)
    tree = _parse_tree(tokens, depth)
    if tokens.accept(":"):
        if tree.params or tree.children:
            raise UsageError("the name of an output stands before ':', nothing else")
        return tree.name, _parse_plan(tokens, depth)
    return "", _parse_alternatives(tokens, tree, depth)


def _bind(tree: _Tree, spec: StreamSpec, depth: int, left: Iterator[int]) -> Plan:
    """left: has as many items as there may be stages yet."""
    if next(left, None) is None:
        raise UsageError(f"it comes to more than {MAX_STAGES} stages")
    if depth > MAX_DEPTH:
        raise UsageError(f"stages nest more than {MAX_DEPTH} deep")
    if tree.name not in BY_NAME:
        raise UsageError(f"no stage {tree.name!r}; there are {', '.join(BY_NAME)}")
    if len(dict(tree.params)) < len(tree.params):
        raise UsageError(f"a parameter of {tree.name} is written twice")
    stage = BY_NAME[tree.name].bind(spec, dict(tree.params))
    written = _children(tree, stage.outputs)
    children = tuple(_bind(written[name], output, depth + 1, left) for name, output in stage.outputs.items())
    alternatives = tuple(_bind(other, spec, depth, left) for other in tree.alternatives)
    return Plan(stage, children, tree.params, alternatives)


def _children(tree: _Tree, outputs: Mapping[str, StreamSpec]) -> dict[str, _Tree]:
    """One tree per output."""
    written = dict(tree.children)
    if len(written) < len(tree.children):
        raise UsageError(f"an output of {tree.name} is named twice")
    unknown = written.keys() - outputs.keys() - {"*"}
    if unknown or ("*" in written and not outputs):
        known = ", ".join(filter(None, outputs)) or "no named ones"
        raise UsageError(f"{tree.name} has no output {min(unknown, default='*')!r}; it has {known}")
    others = written.get("*", _Tree(Store.name, (), ()))
    return {name: written.get(name, others) for name in outputs}
