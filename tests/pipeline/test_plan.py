from __future__ import annotations

import dataclasses

import pytest

from pennyweight.errors import UsageError
from pennyweight.pipeline.plan import MAX_DEPTH, MAX_STAGES, STORE, Plan, parse
from pennyweight.stages.constant import Constant
from pennyweight.stages.entropy.huffman import Huffman
from pennyweight.stages.entropy.rans import Rans
from pennyweight.stages.entropy.zstd import Zstd
from pennyweight.stages.split.byteplane import BytePlane
from pennyweight.stages.split.floatfields import FloatFields, FloatFormat
from pennyweight.types import DType, Fidelity

HUFFMAN = Plan(Huffman(), (STORE,))


def test_stages_are_bound_from_the_dtype() -> None:
    assert parse("constant", DType.F64) == Plan(Constant(8))
    assert parse("constant", None) == Plan(Constant(1))
    assert parse("constant", DType.F4) == Plan(Constant(1))
    assert parse("byteplane(*: huffman)", DType.I32).children == (HUFFMAN,) * 4
    assert parse("floatfields[bits=4]", DType.C64).stage == FloatFields(FloatFormat.F32, 4)
    assert parse("zstd", None) == Plan(Zstd(3), (STORE,))


def test_the_width_of_low_comes_from_floatfields() -> None:
    plan = parse("floatfields[bits=5](exponent: rans, low: byteplane(*: huffman))", DType.F32)
    exponent, sign_mantissa, low, patches = plan.children
    assert exponent == Plan(Rans(5), (STORE,))
    assert low == Plan(BytePlane(2), (HUFFMAN, HUFFMAN))
    assert sign_mantissa == patches == STORE


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("store", None),
        ("zstd[level=19]", None),
        ("rans_is_a_stage", "error"),
        (" floatfields[ bits = 5 ] (exponent :rans,low: byteplane (*:huffman ))", None),
        ("floatfields[bits=5](exponent: rans(store), patches: store)", "floatfields[bits=5](exponent: rans)"),
        ("byteplane[width=2](*: zstd, plane1: store)", "byteplane[width=2](plane0: zstd)"),
        ("byteplane(plane0: huffman, plane1: huffman, plane2: huffman, plane3: huffman)", "byteplane(*: huffman)"),
        ("huffman(zstd(huffman))", None),
        ("byteplane(*: huffman | zstd)", None),
        ("byteplane(plane0: huffman | store, plane1: zstd)", None),
        ("byteplane[width=3](*: huffman(zstd | huffman) | store)", None),
        ("constant | byteplane(*: zstd | huffman) | zstd[level=9]", None),
    ],
)
def test_text_round_trips(text: str, canonical: str | None) -> None:
    if canonical == "error":
        with pytest.raises(UsageError):
            parse(text, DType.F32)
        return
    plan = parse(text, DType.F32)
    assert parse(str(plan), DType.F32) == plan
    assert "".join(str(plan).split()) == "".join((canonical or text).split())
    assert "\n" not in str(plan)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "a name expected where 'the end' stands"),
        ("lzma", "no stage 'lzma'"),
        ("huffman huffman", "'the end' expected where 'huffman' stands"),
        ("huffman(", "a name expected"),
        ("huffman(store", "')' expected"),
        ("huffman()", "a name expected"),
        ("zstd[level]", "'=' expected"),
        ("zstd[level=x]", "a number expected"),
        ("zstd[level=9999999999]", "a number expected"),
        ("zstd[level=3, level=3]", "written twice"),
        ("zstd[fast=1]", "the parameters level and repeats"),
        ("constant[width=2]", "takes no parameters"),
        ("floatfields(exponent: rans)", "one parameter, bits"),
        ("floatfields[bits=3]", "4, 5, 16 or 17"),
        ("byteplane[width=17]", "2 to 16 bytes, not 17"),
        ("byteplane(plane9: store)", "no output 'plane9'"),
        ("byteplane(store)", "no output ''"),
        ("constant(store)", "no output ''"),
        ("constant(*: store)", "no output '*'"),
        ("byteplane(plane0: zstd, plane0: zstd)", "named twice"),
        ("byteplane(*: zstd, *: zstd)", "named twice"),
        ("byteplane(plane0[x=1]: zstd)", "before ':'"),
        ("huffman;", "';' stands"),
        ("huffman |", "a name expected where 'the end' stands"),
        ("| huffman", "a name expected where '|' stands"),
        ("huffman | lzma", "no stage 'lzma'"),
        ("byteplane(plane0 | plane1: zstd)", "')' expected where ':' stands"),
    ],
)
def test_what_makes_no_sense_is_said(text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=r"^plan '") as caught:
        parse(text, DType.F32)
    assert reason in str(caught.value)


def test_floats_only_where_there_are_floats() -> None:
    for dtype in (DType.I32, DType.F8_E8M0, None):
        with pytest.raises(UsageError, match="floatfields needs a tensor"):
            parse("floatfields[bits=4]", dtype)


def test_depth_is_bounded() -> None:
    def nested(depth: int) -> str:
        # The deepest node is the `store` that is not written.
        return "huffman(" * (depth - 2) + "huffman" + ")" * (depth - 2)

    parse(nested(MAX_DEPTH), None)
    for depth in (MAX_DEPTH + 1, 100_000):
        with pytest.raises(UsageError, match="nest more than 8 deep"):
            parse(nested(depth), None)


def test_stages_are_counted_before_they_are_made() -> None:
    def star(depth: int, leaf: str = "rans") -> str:
        return "byteplane[width=8](*: " * depth + leaf + ")" * depth

    assert len(list(parse(star(2, "zstd | rans"), DType.F64).stages)) <= MAX_STAGES
    for text in (star(6), star(3, "zstd | rans"), " | ".join(["zstd"] * (MAX_STAGES + 1))):
        with pytest.raises(UsageError, match="it comes to more than 1000 stages"):
            parse(text, DType.F64)


def test_fidelity_is_derived() -> None:
    plan = parse("byteplane(*: zstd)", DType.F16)
    assert plan.fidelity is Fidelity.LOSSLESS

    class Rounded(Zstd):
        fidelity = Fidelity.LOSSY

    rounded = Plan(Rounded(), (STORE,))
    assert dataclasses.replace(plan, children=(rounded, STORE)).fidelity is Fidelity.LOSSY
    assert dataclasses.replace(plan, alternatives=(rounded,)).fidelity is Fidelity.LOSSY


def test_alternatives_belong_to_the_plan_they_follow() -> None:
    plan = parse("byteplane(plane0: zstd | huffman | store) | zstd", DType.I16)
    zstd = Plan(Zstd(3), (STORE,))
    assert plan.alternatives == (zstd,)
    assert plan.children == (dataclasses.replace(zstd, alternatives=(HUFFMAN, STORE)), STORE)
    assert {stage.name for stage in plan.stages} == {"byteplane", "zstd", "huffman", "store"}
    every = parse("byteplane(*: zstd | huffman)", DType.I32)
    assert every.children == (dataclasses.replace(zstd, alternatives=(HUFFMAN,)),) * 4
