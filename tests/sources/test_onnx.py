"""ONNX: which tensors are found and where, and files that lie, one test per lie."""

from __future__ import annotations

import io
import time

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from readings import check_damaged, comes_back, map_of, restored, tensors_in

from pennyweight.pipeline.container import limits
from pennyweight.pipeline.files import Reader
from pennyweight.pipeline.sources import find_source, protobuf
from pennyweight.testing.onnx import field, onnx_branch, onnx_constant, onnx_graph, onnx_model, onnx_tensor
from pennyweight.types import DType

RAW = bytes(range(16))
ONLY_A = {"a": (DType.F32, (2, 2), RAW)}
A, B = onnx_tensor("a", DType.F32, (2, 2), RAW), onnx_tensor("b", DType.I8, (16,), RAW)


def model(*initializers: bytes) -> bytes:
    return onnx_model(onnx_graph(initializers))


def nested(depth: int) -> bytes:
    """A tensor in a graph within so many others."""
    graph = onnx_graph([A])
    for _ in range(depth):
        graph = onnx_graph([], [onnx_branch("out", graph)])
    return onnx_model(graph)


def everything() -> bytes:
    """A file with all that is understood."""
    inner = onnx_graph([onnx_tensor("a", DType.BF16, (8,), RAW)], [onnx_constant("c", onnx_tensor("", 22, (32,), RAW))])
    sparse = field(15, field(1, onnx_tensor("s", DType.F32, (4,), RAW)) + field(2, B) + field(3, 100))
    nodes = [onnx_constant("k", onnx_tensor("", DType.F16, (2, 4), RAW)), onnx_branch("y", inner)]
    packed = onnx_tensor("p", DType.F64, (2,), RAW, packed=True)
    function = field(25, field(1, "f") + field(7, onnx_constant("g", onnx_tensor("", DType.I64, (2,), RAW))))
    training = field(20, field(1, onnx_graph([onnx_tensor("t", DType.U8, (16,), RAW)])))
    return onnx_model(onnx_graph([A, packed], nodes, more=sparse), more=function + training)


def test_the_tensors_of_all_graphs() -> None:
    assert tensors_in(everything()) == {
        "k": (DType.F16, (2, 4), RAW),
        "a": (DType.BF16, (8,), RAW),
        "c": (DType.U8, (16,), RAW),
        "a#2": (DType.F32, (2, 2), RAW),
        "p": (DType.F64, (2,), RAW),
        "s": (DType.F32, (4,), RAW),
        "b": (DType.I8, (16,), RAW),
        "g": (DType.I64, (2,), RAW),
        "t": (DType.U8, (16,), RAW),
    }


@pytest.mark.parametrize("dtype", [d for d in DType if not d.label.startswith("F6") and d.label[0] not in "QIMT"])
def test_every_dtype(dtype: DType) -> None:
    n = 128 // dtype.bits
    assert tensors_in(model(onnx_tensor("x", dtype, (n,), RAW))) == {"x": (dtype, (n,), RAW)}


def test_dims_may_be_packed_and_fields_in_any_order() -> None:
    tensor = field(9, RAW) + field(8, "x") + field(1, b"\x02\x02") + field(2, 1)
    data = field(7, onnx_graph([tensor])) + field(1, 10)
    assert tensors_in(data) == {"x": (DType.F32, (2, 2), RAW)}


def test_unknown_fields_of_every_wire_type_are_passed_over() -> None:
    unknown = field(1000, 2**63 + 5) + field(1001, b"?") + b"\xd1\x3e" + bytes(8) + b"\xd5\x3e" + bytes(4)
    data = onnx_model(onnx_graph([A + unknown], more=unknown), more=unknown)
    assert tensors_in(data) == ONLY_A


def test_a_scalar_has_no_dims() -> None:
    assert tensors_in(model(onnx_tensor("x", DType.F32, (), RAW[:4]))) == {"x": (DType.F32, (), RAW[:4])}


LEFT_OUT = {
    "bytes_that_do_not_fit": onnx_tensor("x", DType.F32, (5,), RAW),
    "negative_dimension": onnx_tensor("x", DType.F32, (2**64 - 4,), RAW),
    "dimensions_that_overflow": onnx_tensor("x", DType.I8, (2**62, 2**62, 2**62, 0, 16), RAW),
    "rank_65": onnx_tensor("x", DType.I8, (16,) + (1,) * 64, RAW),
    "in_a_file_of_its_own": onnx_tensor("x", DType.I8, (16,), RAW, more=field(14, 1)),
    "values_in_two_fields": onnx_tensor("x", DType.F64, (2,), RAW, more=field(10, RAW)),
    "floats_as_doubles": onnx_tensor("x", DType.F32, (4,), RAW, more=field(2, 11)).replace(b"\x4a\x10", b"\x22\x10"),
    "no_dtype": field(1, 16) + field(4, RAW),
    "no_values": onnx_tensor("x", DType.I8, (0,), b""),
}


@pytest.mark.parametrize("name", LEFT_OUT)
def test_a_tensor_that_does_not_fit_is_left_to_the_gaps(name: str) -> None:
    data = model(LEFT_OUT[name], A)
    assert tensors_in(data) == ONLY_A
    assert comes_back(data)


LIES = {
    "trailing_byte": model(A, B) + b"\x00",
    "cut": model(A, B)[:-1],
    "no_graph": field(1, 10) + field(2, "pennyweight"),
    "two_graphs": model(A) + field(7, onnx_graph([B])),
    "two_versions": model(A) + field(1, 9),
    "no_version": field(7, onnx_graph([A])),
    "no_tensor": model(),
    "field_without_a_number": onnx_model(onnx_graph([A]), more=b"\x02\x01?"),
    "group": onnx_model(onnx_graph([A], more=b"\x53\x54")),
    "wire_type_7": onnx_model(onnx_graph([A], more=b"\x57")),
    "length_beyond_the_message": onnx_model(onnx_graph([A], more=b"\x52\x40"), more=bytes(64)),
    "length_beyond_everything": onnx_model(onnx_graph([A], more=b"\x52" + b"\xff" * 9 + b"\x01")),
    "varint_without_an_end": onnx_model(onnx_graph([A], more=b"\x50" + b"\xff" * 16)),
    "packed_dims_beyond_their_field": model(field(1, b"\x10\x80") + field(2, 3) + field(9, RAW)),
    "name_too_long": model(onnx_tensor("n" * (limits.MAX_NAME_BYTES + 1), DType.I8, (16,), RAW)),
    "name_is_no_unicode": model(A.replace(b"a", b"\xff")),
    "deeper_than_allowed": nested(11),
    "far_deeper_than_allowed": nested(2000),
    "many_functions": onnx_model(onnx_graph([A]), more=field(25, b"") * 65_536),
}


@pytest.mark.parametrize("name", LIES)
def test_a_lie_makes_it_opaque_and_it_comes_back(name: str) -> None:
    assert map_of(LIES[name]).name == "opaque"
    assert comes_back(LIES[name])


def test_as_deep_as_allowed() -> None:
    assert tensors_in(nested(10)) == ONLY_A


def test_cut_and_flipped_everywhere() -> None:
    check_damaged(everything())


@given(data=st.binary(max_size=200), start=st.sampled_from([b"", b"\x08\x0a", b"\x08\x0a\x3a"]))
@settings(max_examples=300, deadline=None)
def test_any_bytes_have_a_map(data: bytes, start: bytes) -> None:
    map_of(start + data)


@given(
    shapes=st.lists(st.lists(st.integers(0, 5), max_size=4), max_size=6),
    dtypes=st.lists(st.sampled_from([DType.F32, DType.F16, DType.I8, DType.BF16]), min_size=6, max_size=6),
)
@settings(max_examples=50, deadline=None)
def test_what_was_written_is_found(shapes: list[list[int]], dtypes: list[DType]) -> None:
    random = np.random.default_rng(len(shapes))
    expected, written = {}, []
    for i, (shape, dtype) in enumerate(zip(shapes, dtypes, strict=False)):
        raw = random.bytes(int(np.prod(shape)) * dtype.bits // 8)
        written.append(onnx_tensor(f"t{i}", dtype, tuple(shape), raw))
        if raw:
            expected[f"t{i}"] = dtype, tuple(shape), raw
    assert tensors_in(model(*written)) == expected


def test_keys_and_lengths_at_every_place_of_what_is_read_at_once() -> None:
    for n in range(16_230, 16_390):
        last = onnx_tensor("c", DType.U8, (n,), bytes(n))
        data = onnx_model(onnx_graph([A, B], more=field(10, "d" * n) + field(5, last)))
        assert [len(raw) for _, _, raw in tensors_in(data).values()] == [16, 16, n]


def test_twenty_thousand_tensors_open_quickly() -> None:
    data = model(*(onnx_tensor(f"layer.{i}.weight", DType.F32, (2, 2), RAW) for i in range(20_000)))
    start = time.process_time()
    found = find_source(Reader(io.BytesIO(data)))
    assert len(found.segments) == 40_001
    assert time.process_time() - start < 1.5, "a fifth of a second, and more where others are at work"


def test_a_file_of_fields_only_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protobuf, "MAX_FIELDS", 50_000)
    assert map_of(onnx_model(onnx_graph([A], more=field(10, "") * 60_000))).name == "opaque"
    assert map_of(onnx_model(onnx_graph([A], more=field(10, "") * 40_000))).name == "onnx"


def test_onnx_reads_the_restored_file() -> None:
    values = np.random.default_rng(0).standard_normal((3, 5)).astype("<f4")
    tensors = [
        onnx_tensor("raw", DType.F32, (3, 5), values.tobytes()),
        onnx_tensor("packed", DType.F32, (15,), values.tobytes(), packed=True),
        onnx_tensor("half", DType.F16, (15,), values.astype("<f2").tobytes()),
    ]
    data = onnx_model(onnx_graph(tensors, [onnx_constant("k", onnx_tensor("", DType.I8, (4, 4), RAW))]))
    read = onnx.load_model_from_string(restored(data))
    found = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in read.graph.initializer}
    assert np.array_equal(found["raw"], values)
    assert np.array_equal(found["packed"], values.ravel())
    assert np.array_equal(found["half"], values.astype("<f2").ravel())
    constant = onnx.numpy_helper.to_array(read.graph.node[0].attribute[0].t)
    assert (constant.dtype, constant.tobytes()) == (np.int8, RAW)


def test_what_onnx_writes_is_found() -> None:
    values = np.arange(6, dtype="<f4").reshape(2, 3)
    raw = onnx.numpy_helper.from_array(values, "w")
    typed = onnx.helper.make_tensor("v", onnx.TensorProto.FLOAT, (6,), values.ravel())
    constant = onnx.numpy_helper.from_array(values.astype("<i8"))
    node = onnx.helper.make_node("Constant", [], ["k"], value=constant)
    graph = onnx.helper.make_graph([node], "g", [], [], [raw, typed])
    assert tensors_in(onnx.helper.make_model(graph).SerializeToString()) == {
        "w": (DType.F32, (2, 3), values.tobytes()),
        "v": (DType.F32, (6,), values.tobytes()),
        "k": (DType.I64, (2, 3), values.astype("<i8").tobytes()),
    }
