"""TFLite: which buffers are found to be tensors, and files that lie, one test per lie."""

from __future__ import annotations

import io
import struct
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from readings import check_damaged, comes_back, map_of, tensors_in

from pennyweight.pipeline.container import limits
from pennyweight.pipeline.files import Reader
from pennyweight.pipeline.sources import find_source, flatbuffer
from pennyweight.testing.tflite import TFLiteTensor, tflite_model
from pennyweight.types import DType

RAW = bytes(range(16))
A = TFLiteTensor("a", DType.F32, (2, 1, 1, 2), 1)
B = TFLiteTensor("b", DType.F16, (1, 2, 2, 2), 2)
ONLY_A = {"a": (DType.F32, (2, 1, 1, 2), RAW)}
HONEST = tflite_model([[A, B]], [b"", RAW, RAW[::-1]])


def with_a(tensor: TFLiteTensor) -> bytes:
    """A model of that tensor and A."""
    return tflite_model([[tensor, A]], [b"", RAW, RAW])


def changed(old: bytes, new: bytes) -> bytes:
    assert HONEST.count(old) == 1
    return HONEST.replace(old, new)


def overlapping() -> bytes:
    """The buffer of A is made to reach into that of B."""
    n_bytes = HONEST.index(RAW[::-1]) + 8 - HONEST.index(RAW)
    longer = changed(struct.pack("<I", 16) + RAW, struct.pack("<I", n_bytes) + RAW)
    return longer.replace(struct.pack("<4i", *A.shape), struct.pack("<4i", n_bytes // 8, 1, 1, 2))


def test_the_tensors_of_all_subgraphs() -> None:
    c = TFLiteTensor("a", DType.I8, (16,), 3)
    activation = TFLiteTensor("x", DType.F32, (1, 1000), 0)
    data = tflite_model([[A, activation, B], [c]], [b"", RAW, RAW, RAW, b"metadata"])
    assert tensors_in(data) == {
        "a": (DType.F32, (2, 1, 1, 2), RAW),
        "b": (DType.F16, (1, 2, 2, 2), RAW),
        "a#2": (DType.I8, (16,), RAW),
    }
    assert comes_back(data)


@pytest.mark.parametrize("dtype", [d for d in DType if d.numpy and not d.label.startswith("F8")])
def test_every_dtype(dtype: DType) -> None:
    shape = (128 // dtype.bits, 1)
    assert tensors_in(with_a(TFLiteTensor("x", dtype, shape, 2))) == {"x": (dtype, shape, RAW)} | ONLY_A


def test_four_bits_are_told_as_bytes() -> None:
    assert tensors_in(with_a(TFLiteTensor("x", 17, (32,), 2)))["x"] == (DType.U8, (16,), RAW)


def test_a_buffer_is_that_of_the_first_tensor_that_names_it() -> None:
    data = tflite_model([[A, A._replace(name="again"), A._replace(dtype=DType.I8, shape=(16,))]], [b"", RAW])
    assert tensors_in(data) == ONLY_A


def test_buffers_of_large_models_lie_behind_the_tables() -> None:
    data = tflite_model([[A, B]], [b"", RAW], behind=[RAW])
    assert tensors_in(data) == ONLY_A | {"b": (DType.F16, (1, 2, 2, 2), RAW)}


def test_a_scalar_has_no_shape() -> None:
    data = tflite_model([[TFLiteTensor("x", DType.F32, (), 1)]], [b"", RAW[:4]])
    assert tensors_in(data) == {"x": (DType.F32, (), RAW[:4])}


LEFT_OUT = {
    "bytes_that_do_not_fit": TFLiteTensor("x", DType.F32, (5,), 2),
    "negative_dimensions": TFLiteTensor("x", DType.F32, (-2, -2), 2),
    "dimensions_that_overflow": TFLiteTensor("x", DType.U8, (2**31 - 1,) * 40, 2),
    "text": TFLiteTensor("x", 5, (1,), 2),
    "unknown_type": TFLiteTensor("x", 200, (16,), 2),
    "no_such_buffer": TFLiteTensor("x", DType.F32, (4,), 3),
    "no_such_buffer_by_far": TFLiteTensor("x", DType.F32, (4,), 2**32 - 1),
    "no_buffer": TFLiteTensor("x", DType.F32, (4,), 0),
}


@pytest.mark.parametrize("name", LEFT_OUT)
def test_a_tensor_that_does_not_fit_is_left_to_the_gaps(name: str) -> None:
    data = with_a(LEFT_OUT[name])
    assert tensors_in(data) == ONLY_A
    assert comes_back(data)


LIES = {
    "another_identifier": b"\x10\0\0\0TFL2" + HONEST[8:],
    "identifier_only": HONEST[:8],
    "root_behind_the_file": struct.pack("<I", len(HONEST)) + HONEST[4:],
    "root_far_behind_the_file": b"\xff\xff\xff\xff" + HONEST[4:],
    "root_is_the_identifier": b"\4\0\0\0" + HONEST[4:],
    "no_subgraphs": tflite_model([], [b"", RAW]),
    "no_buffers": tflite_model([[A]], []),
    "no_tensor_that_fits": tflite_model([[A]], [b"", RAW[:8]]),
    "rank_65": with_a(TFLiteTensor("x", DType.U8, (16,) + (1,) * 64, 2)),
    "name_too_long": with_a(TFLiteTensor("n" * (limits.MAX_NAME_BYTES + 1), DType.U8, (16,), 2)),
    "name_is_no_unicode": changed(b"\1\0\0\0a\0", b"\1\0\0\0\xff\0"),
    "vector_beyond_the_file": changed(struct.pack("<I", 16) + RAW, struct.pack("<I", 2**31) + RAW),
    "vectors_that_overlap": overlapping(),
    "cut": HONEST[:-1],
}


@pytest.mark.parametrize("name", LIES)
def test_a_lie_makes_it_opaque_and_it_comes_back(name: str) -> None:
    assert map_of(LIES[name]).name == "opaque"
    assert comes_back(LIES[name])


def test_cut_and_flipped_everywhere() -> None:
    check_damaged(tflite_model([[A, B]], [b"", RAW], behind=[RAW]))


@given(data=st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_bytes_have_a_map(data: bytes) -> None:
    map_of(data[:4].ljust(4, b"\0") + b"TFL3" + data[4:])


@given(shapes=st.lists(st.lists(st.integers(1, 4), max_size=4), max_size=6), n=st.integers(1, 3))
@settings(max_examples=50, deadline=None)
def test_what_was_written_is_found(shapes: list[list[int]], n: int) -> None:
    dtypes = (DType.F32, DType.F16, DType.I8)
    written, buffers, expected = [], [b""], {}
    for i, shape in enumerate(shapes):
        dtype = dtypes[(i + n) % 3]
        raw = RAW[i:] * (dtype.n_bytes(tuple(shape)) or 0)
        raw = raw[: dtype.n_bytes(tuple(shape))]
        written.append(TFLiteTensor(f"t{i}", dtype, tuple(shape), i + 1))
        buffers.append(raw)
        expected[f"t{i}"] = dtype, tuple(shape), raw
    assert tensors_in(tflite_model([written[::2], written[1::2]], buffers)) == expected


def test_ten_thousand_tensors_open_quickly() -> None:
    n = 10_000
    tensors = [TFLiteTensor(f"layer.{i}.weight", DType.F32, (2, 2), i + 1) for i in range(n)]
    data = tflite_model([tensors], [b"", *[RAW] * n])
    start = time.process_time()
    n_segments = len(find_source(Reader(io.BytesIO(data))).segments)
    assert time.process_time() - start < 0.8, "a tenth of a second, and more where others are at work"
    assert n_segments == 2 * n


def test_a_file_of_tables_only_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flatbuffer, "MAX_TABLES", 1000)
    assert map_of(tflite_model([[A]], [b"", RAW, *[b""] * 990])).name == "tflite"
    assert map_of(tflite_model([[A]], [b"", RAW, *[b""] * 999])).name == "opaque"
