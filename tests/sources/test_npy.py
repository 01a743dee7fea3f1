"""npy and npz: the arrays that are found, and headers that lie, one test per lie."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Callable

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from readings import check_damaged, comes_back, map_of, restored, tensors_in

from pennyweight.testing.npy import npy_file
from pennyweight.testing.torch import zip_file
from pennyweight.types import DType

RAW = bytes(range(48))
HONEST = npy_file("<f4", (3, 4), RAW)
DTYPES = {dtype.numpy: dtype for dtype in DType if dtype.numpy and dtype.label[:2] not in ("F8", "BF")}


def saved(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


@pytest.mark.parametrize("descr", DTYPES)
@pytest.mark.parametrize("shape", [(2, 3), (5,), (), (1, 1, 2)])
def test_what_numpy_writes_is_found(descr: str, shape: tuple[int, ...]) -> None:
    array = np.frombuffer(np.random.default_rng(0).integers(0, 2, int(np.prod(shape)) * 16, np.uint8), descr)
    array = array[: int(np.prod(shape))].reshape(shape)
    assert tensors_in(saved(array)) == {"arr_0": (DTYPES[descr], shape, array.tobytes())}


def test_fortran_order_turns_the_shape_round() -> None:
    array = np.asfortranarray(np.arange(6, dtype="<f2").reshape(2, 3))
    assert tensors_in(saved(array)) == {"arr_0": (DType.F16, (3, 2), array.T.tobytes())}


def test_the_floats_of_ml_dtypes() -> None:
    assert tensors_in(saved(np.ones((2, 3), ml_dtypes.bfloat16)))["arr_0"][:2] == (DType.BF16, (2, 3))
    assert tensors_in(saved(np.ones((2, 3), ml_dtypes.float8_e5m2)))["arr_0"][:2] == (DType.F8_E5M2, (2, 3))
    assert tensors_in(saved(np.ones((2, 3), ml_dtypes.float8_e4m3fn)))["arr_0"][:2] == (DType.U8, (2, 3))


@pytest.mark.parametrize("version", [1, 2, 3])
def test_versions_of_the_header(version: int) -> None:
    assert tensors_in(npy_file("<f4", (3, 4), RAW, version=version)) == {"arr_0": (DType.F32, (3, 4), RAW)}


def test_what_follows_the_array_is_a_gap() -> None:
    assert tensors_in(HONEST + b"more") == {"arr_0": (DType.F32, (3, 4), RAW)}
    assert comes_back(HONEST + b"more")


def test_an_array_of_nothing_has_no_tensor() -> None:
    assert tensors_in(npy_file("<f4", (0, 4), b"")) == {}


@given(
    shape=st.lists(st.integers(0, 4), max_size=4),
    descr=st.sampled_from(sorted(DTYPES.keys() - {"?"})),
    fortran=st.booleans(),
)
@settings(max_examples=100, deadline=None)
def test_what_was_written_is_found(shape: list[int], descr: str, fortran: bool) -> None:
    raw = np.random.default_rng(0).bytes(int(np.prod(shape)) * DTYPES[descr].bits // 8)
    found = tuple(shape[::-1] if fortran else shape)
    expected = {"arr_0": (DTYPES[descr], found, raw)} if raw else {}
    assert tensors_in(npy_file(descr, tuple(shape), raw, fortran_order=fortran)) == expected


def changed(old: bytes, new: bytes) -> bytes:
    """The honest file with its header changed, and as long as it was."""
    text = HONEST[10:128].replace(old, new)
    assert text != HONEST[10:128]
    return HONEST[:10] + text.rstrip().ljust(117) + b"\n" + RAW


LIES = {
    "cut": HONEST[:-1],
    "a_row_too_many": changed(b"(3, 4)", b"(4, 4)"),
    "dimensions_that_overflow": changed(b"(3, 4)", b"(" + b"9" * 19 + b", " + b"9" * 19 + b")"),
    "dimension_of_twenty_digits": changed(b"(3, 4)", b"(" + b"9" * 20 + b",)"),
    "negative_dimension": changed(b"(3, 4)", b"(-3, -4)"),
    "rank_65": npy_file("<u1", (48,) + (1,) * 64, RAW),
    "structured": npy_file("[('a', '<f4')]", (12,), RAW).replace(b'"', b""),
    "objects": changed(b"<f4", b"|O"),
    "text": changed(b"<f4", b"<U1"),
    "big_endian": changed(b"<f4", b">f4"),
    "long_floats": changed(b"<f4", b"<f16"),
    "an_expression": changed(b"(3, 4)", b"(3, 2*2)"),
    "nested": changed(b"(3, 4)", b"((((3, 4))))"),
    "version_4": HONEST[:6] + b"\x04" + HONEST[7:],
    "version_0": HONEST[:6] + b"\x00" + HONEST[7:],
    "header_longer_than_the_file": HONEST[:8] + b"\xff\x20" + HONEST[10:],
    "empty_header": HONEST[:8] + bytes(2) + RAW,
    "no_dict": HONEST.replace(b"{", b"["),
    "magic_only": HONEST[:6],
}


@pytest.mark.parametrize("name", LIES)
def test_a_lie_makes_it_opaque_and_it_comes_back(name: str) -> None:
    assert map_of(LIES[name]).name == "opaque"
    assert comes_back(LIES[name])


def test_the_longest_header() -> None:
    text = HONEST[10:127].rstrip().ljust(9_999) + b"\n"
    assert map_of(HONEST[:8] + len(text).to_bytes(2, "little") + text + RAW).name == "npy"
    text = b" " + text
    assert map_of(HONEST[:8] + len(text).to_bytes(2, "little") + text + RAW).name == "opaque"


def test_a_header_made_to_be_matched_slowly_is_not() -> None:
    text = b"{'descr': '<f4', 'fortran_order': False, 'shape': (" + b"1, " * 3_000 + b"?"
    data = HONEST[:8] + len(text).to_bytes(2, "little") + text + RAW
    start = time.process_time()
    assert map_of(data).name == "opaque"
    assert time.process_time() - start < 0.5


def test_cut_and_flipped_everywhere() -> None:
    check_damaged(HONEST)


def test_numpy_reads_the_restored_file() -> None:
    array = np.random.default_rng(1).standard_normal((7, 5)).astype("<f4")
    data = npy_file("<f4", (5, 7), array.tobytes(), fortran_order=True)
    assert np.array_equal(np.load(io.BytesIO(restored(data)), allow_pickle=False), array.reshape(7, 5).T)


def test_the_arrays_of_a_npz() -> None:
    members = {
        "a.npy": HONEST,
        "layer/b.npy": npy_file("<f2", (8,), RAW[:16]),
        "notes.txt": b"text",
        "c.npy": b"\x93NUMPY",
    }
    data = zip_file(members)
    assert map_of(data).name == "npz"
    assert tensors_in(data) == {"a": (DType.F32, (3, 4), RAW), "layer/b": (DType.F16, (8,), RAW[:16])}
    assert comes_back(data)


@pytest.mark.parametrize(("save", "expected"), [(np.savez, "npz"), (np.savez_compressed, "opaque")])
def test_what_numpy_writes_as_npz(save: Callable[..., None], expected: str) -> None:
    array = np.random.default_rng(2).standard_normal((9, 4)).astype("<f4")
    file = io.BytesIO()
    save(file, weight=array, bias=array[0])
    assert map_of(file.getvalue()).name == expected
    if expected == "npz":
        found = {"weight": (DType.F32, (9, 4), array.tobytes()), "bias": (DType.F32, (4,), array[0].tobytes())}
        assert tensors_in(file.getvalue()) == found
    read = np.load(io.BytesIO(restored(file.getvalue())), allow_pickle=False)
    assert np.array_equal(read["weight"], array)


def test_one_deflated_member_is_a_gap() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.npy", HONEST)
        archive.writestr("b.npy", HONEST, zipfile.ZIP_DEFLATED)
    assert tensors_in(file.getvalue()) == {"a": (DType.F32, (3, 4), RAW)}


def test_an_array_that_goes_on_behind_its_member_is_no_tensor() -> None:
    data = zip_file({"a.npy": npy_file("<f4", (3, 5), RAW), "b.npy": HONEST})
    assert tensors_in(data) == {"b": (DType.F32, (3, 4), RAW)}


def test_a_npz_cut_and_flipped_everywhere() -> None:
    check_damaged(zip_file({"a.npy": HONEST, "b.npy": HONEST}))
