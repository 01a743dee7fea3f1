"""Pickles read without unpickling: what Python writes is understood, and what lies ends at once."""

from __future__ import annotations

import contextlib
import io
import pickle
import pickletools
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pennyweight.pipeline.sources import pickles
from pennyweight.pipeline.sources.pickle_machine import OPCODES, Call, Global, Lie, Machine, Pairs, Persistent
from pennyweight.pipeline.sources.pickles import read_pickle
from pennyweight.testing.torch import TorchStorage, TorchTensor, torch_pickle

LEAVES = st.none() | st.booleans() | st.integers(-(2**2000), 2**2000) | st.text() | st.floats(allow_nan=False)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.lists(inner, max_size=5).map(tuple)
        | st.dictionaries(st.text(), inner, max_size=5)
    ),
    max_leaves=40,
)


def as_read(value: Any) -> Any:
    """What `read_pickle` says of it."""
    match value:
        case dict():
            return Pairs(as_read(each) for pair in value.items() for each in pair)
        case list() | tuple():
            return type(value)(map(as_read, value))
        case float():
            return None
    return value


def by_the_table(data: bytes) -> Any:
    """`read_pickle` without the loop that repeats the frequent opcodes."""
    machine = Machine(data, 0)
    while (opcode := machine.take(1)) != b".":
        OPCODES[opcode](machine)
    return machine.pop()


class Elsewhere(pickle.Pickler):
    """Strings that begin with # stand outside the pickle."""

    def persistent_id(self, value: Any) -> Any:
        return ("at", value[1:]) if isinstance(value, str) and value.startswith("#") else None


class Thing:
    """Something that Python would have to make."""

    def __init__(self) -> None:
        self.weight = "w"


@given(VALUES, st.integers(2, 5))
def test_containers_strings_and_integers_are_as_python_wrote_them(value: Any, protocol: int) -> None:
    data = pickle.dumps(value, protocol)
    assert read_pickle(b"before" + data + b"behind", 6) == (as_read(value), 6 + len(data))


@given(VALUES, st.integers(2, 5))
def test_the_loop_does_what_the_table_says(value: Any, protocol: int) -> None:
    data = pickle.dumps(value, protocol)
    assert read_pickle(data)[0] == by_the_table(data)


def test_every_opcode_of_python_is_known() -> None:
    assert set(OPCODES) | {b"."} == {opcode.code.encode("latin-1") for opcode in pickletools.opcodes}


@pytest.mark.parametrize("protocol", range(1, 6))
def test_objects_are_calls_that_nobody_makes(protocol: int) -> None:
    call, _ = read_pickle(pickle.dumps([Thing()], protocol))
    assert type(call[0]) is Call
    assert call[0][-1] == ["weight", "w"]


@pytest.mark.parametrize("protocol", [2, 4])
def test_what_is_outside_keeps_its_name(protocol: int) -> None:
    out = io.BytesIO()
    Elsewhere(out, protocol).dump({"a": "#1", "b": "#1"})
    pairs = read_pickle(out.getvalue())[0]
    assert [type(each) for each in pairs] == [str, Persistent, str, Persistent]
    assert pairs[1] == (("at", "1"),)


def test_long_integers_of_python_2_are_read() -> None:
    assert read_pickle(b"(I%d\nL-%dL\nt." % (2**40, 2**70))[0] == (2**40, -(2**70))
    with pytest.raises(Lie):
        read_pickle(b"Ione\n.")


def test_names_are_not_imported() -> None:
    value, _ = read_pickle(b"cno.such.module\nnor name\n.")
    assert type(value) is Global
    assert value == "no.such.module.nor name"


SIZES = st.lists(st.integers(0, 300), max_size=6).map(tuple)
STORAGE = TorchStorage("FloatStorage", 4, b"")


@given(st.lists(st.tuples(SIZES, st.integers(0, 70_000), SIZES), max_size=12))
def test_the_shortcut_reads_tensors_as_the_machine_does(views: list[tuple[Any, int, Any]]) -> None:
    tensors = [TorchTensor(str(i), *view) for i, view in enumerate(views)]
    data = torch_pickle(tensors, {tensor.storage: STORAGE for tensor in tensors})
    read, end = read_pickle(data)
    plain = by_the_table(data[2:])
    assert end == len(data)
    assert len(read) == len(plain) == len(tensors)
    for (function, arguments), (its_function, its_arguments) in zip(read, plain, strict=True):
        assert function == its_function
        assert arguments[1:4] == its_arguments[1:4]
        (storage, *place), (its_storage, *its_place) = arguments[0][0], its_arguments[0][0]
        assert (storage, place[:2], place[3]) == (its_storage, its_place[:2], its_place[3])
    assert all(len(arguments) == 4 for _, arguments in read[1:])  # all but the first, which makes the names


def test_what_the_shortcut_leaves_out_of_the_memo_is_found_without_it() -> None:
    shape = b"(K\x02K\x03t"
    data = torch_pickle([TorchTensor(key, (2, 3)) for key in "012"], dict.fromkeys("012", STORAGE))
    head, *rest = data.rsplit(shape, 1)
    data = head + shape + b"q\xc8" + rest[0]
    assert [len(arguments) for _, arguments in read_pickle(data)[0]] == [6, 4, 4]
    value, _ = read_pickle(data[:-1] + b"h\xc8a.")
    assert value.pop() == (2, 3)
    assert [len(arguments) for _, arguments in value] == [6, 6, 6]


@pytest.mark.parametrize("protocol", [1, 2, 4])
def test_what_holds_itself_is_read(protocol: int) -> None:
    ring: list[Any] = []
    ring.append({"again": ring})
    read, _ = read_pickle(pickle.dumps(ring, protocol))
    assert read[0][1] is read


def test_deep_nests_are_read_and_let_go() -> None:
    for opcode in (b"\x85", b"\x81", b"Q", b"a"):
        depth = 100_000
        data = {
            b"\x85": b")" + b"\x85" * depth,
            b"\x81": b")" + b")\x81" * depth,
            b"Q": b")" + b"Q" * depth,
            b"a": b"]" * depth + b"a" * (depth - 1),
        }[opcode]
        value, _ = read_pickle(data + b".")
        del value


LIES = {
    "nothing": b"",
    "no stop": b"\x80\x02K\x01",
    "stop on an empty stack": b"\x80\x02.",
    "unknown opcode": b"\x80\x02\xff.",
    "string behind the end": b"X\xff\xff\xff\xff.",
    "string of 2**64 bytes": b"\x8d" + b"\xff" * 8 + b".",
    "line without an end": b"cmodule",
    "memo that was never set": b"h\x05.",
    "memo under no number": b"gx\n.",
    "number of too many digits": b"g" + b"9" * 5000 + b"\n.",
    "mark that was never set": b"K\x01t.",
    "call of nothing": b"R.",
    "tuple of one of two": b"K\x01\x86.",
    "call of an empty mark": b"(o.",
    "truncated argument": b"J\x01",
}


@pytest.mark.parametrize("name", LIES)
def test_a_lie_is_one(name: str) -> None:
    with pytest.raises(Lie):
        read_pickle(LIES[name])


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_a_lie(data: bytes) -> None:
    with contextlib.suppress(Lie):
        read_pickle(data)


@given(st.lists(st.sampled_from(sorted(OPCODES)), max_size=60), st.binary(min_size=9, max_size=9))
def test_any_opcodes_are_read_or_a_lie(opcodes: list[bytes], argument: bytes) -> None:
    data = b"}(K\x01" + b"".join(opcode + argument[: len(opcode) - 1] for opcode in opcodes) + b"."
    try:
        read = read_pickle(data)[0]
    except Lie:
        return
    assert repr(read) == repr(by_the_table(data))


def test_opcodes_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    data = b"N" + b"N0" * 100 + b"."
    assert read_pickle(data) == (None, len(data))
    monkeypatch.setattr(pickles, "MAX_OPCODES", 100)
    with pytest.raises(Lie, match="too many"):
        read_pickle(data)


def test_time_is_that_of_the_bytes() -> None:
    # Tuples of all that was made before would be quadratic, if a mark could be used twice
    data = b"(" + b"(t2" * 30_000 + b"1" + b"N" * 30_000 + b"(" * 30_000 + b"t" * 30_000 + b"."
    begin = time.process_time()
    read_pickle(b"N" + data)
    assert time.process_time() - begin < 5
