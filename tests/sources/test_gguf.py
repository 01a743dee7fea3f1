"""A header of GGUF that lies makes the file opaque, or a gap of what it lies about; it comes back byte for byte."""

from __future__ import annotations

import io
import struct
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pennyweight
from pennyweight.pipeline.files import Reader
from pennyweight.pipeline.sources import Gap, SourceMap, TensorRange, find_source
from pennyweight.testing.gguf import gguf_array as array
from pennyweight.testing.gguf import gguf_file, gguf_header, quantised_cells
from pennyweight.testing.gguf import gguf_info as info
from pennyweight.testing.gguf import gguf_pair as pair
from pennyweight.testing.gguf import gguf_string as string
from pennyweight.types import DType

F32, F16, Q4_0, Q8_0 = 0, 1, 2, 8
U8_VALUE, U32_VALUE, BOOL_VALUE, STRING_VALUE, ARRAY_VALUE, U64_VALUE = 0, 4, 7, 8, 9, 10
IDS = {
    0: DType.F32, 1: DType.F16, 2: DType.Q4_0, 3: DType.Q4_1, 6: DType.Q5_0, 7: DType.Q5_1, 8: DType.Q8_0,
    10: DType.Q2_K, 11: DType.Q3_K, 12: DType.Q4_K, 13: DType.Q5_K, 14: DType.Q6_K, 20: DType.IQ4_NL, 23: DType.IQ4_XS,
    24: DType.I8, 25: DType.I16, 26: DType.I32, 27: DType.I64, 28: DType.F64, 30: DType.BF16, 34: DType.TQ1_0,
    35: DType.TQ2_0, 39: DType.MXFP4,
}  # fmt: skip


PAIRS = [
    pair("general.architecture", STRING_VALUE, string("llama")),
    pair("general.file_type", U32_VALUE, struct.pack("<I", 3)),
    pair("a.bool", BOOL_VALUE, b"\1"),
    pair("tokens", ARRAY_VALUE, array(STRING_VALUE, 3, string("a") + string("") + string("größe"))),
    pair("scores", ARRAY_VALUE, array(U32_VALUE, 2, bytes(8))),
    pair(
        "more",
        ARRAY_VALUE,
        array(ARRAY_VALUE, 2, array(U8_VALUE, 3, b"abc") + array(STRING_VALUE, 1, string("d"))),
    ),
]


def file(
    infos: Sequence[bytes],
    data: bytes,
    pairs: Sequence[bytes] = PAIRS,
    version: int = 3,
    alignment: int = 32,
    counts: tuple[int, int] | None = None,
) -> bytes:
    return gguf_header(infos, pairs, version=version, alignment=alignment, counts=counts) + data


RAW = np.random.default_rng(0).bytes(256)
INFOS = [
    info("a.weight", [32, 2], Q4_0, 0),
    info("b.bias", [5], F32, 64),
    info("c", [32, 1, 3], Q8_0, 96),
]
HONEST = file(INFOS, RAW)


def read(data: bytes) -> SourceMap:
    return find_source(Reader(io.BytesIO(data)))


def comes_back(data: bytes) -> bool:
    container, restored = io.BytesIO(), io.BytesIO()
    pennyweight.compress(io.BytesIO(data), container, threads=1)
    pennyweight.restore(container, restored, threads=1)
    return restored.getvalue() == data


@pytest.mark.parametrize("version", [2, 3])
def test_the_honest_file_is_gguf(version: int) -> None:
    data = file(INFOS, RAW, version=version)
    found = read(data)
    assert found.name == "gguf"
    assert found.segments == (
        Gap(len(data) - 256),
        TensorRange(36, "a.weight", DType.Q4_0, (2, 32)),
        Gap(28),
        TensorRange(20, "b.bias", DType.F32, (5,)),
        Gap(12),
        TensorRange(102, "c", DType.Q8_0, (3, 1, 32)),
        Gap(58),
    )
    assert comes_back(data)


@pytest.mark.parametrize("kind", IDS)
def test_every_type_has_its_dtype(kind: int) -> None:
    dtype = IDS[kind]
    shape = (3, 2, 256)
    n_bytes = dtype.n_bytes(shape)
    assert n_bytes is not None
    data = file([info("w", shape[::-1], kind, 0)], np.random.default_rng(kind).bytes(n_bytes), pairs=[])
    assert read(data).segments[1:] == (TensorRange(n_bytes, "w", dtype, shape),)
    assert comes_back(data)


def test_types_of_which_only_the_size_is_known_are_bytes() -> None:
    data = file([info("w", [512, 3], 16, 0)], bytes(6 * 66))
    assert read(data).segments[1:] == (TensorRange(6 * 66, "w", DType.U8, (3, 132)),)


def test_a_tensor_of_an_unknown_type_is_a_gap() -> None:
    data = file([*INFOS, info("new", [32], 77, 224)], RAW)
    assert [t.name for t in read(data).segments if isinstance(t, TensorRange)] == ["a.weight", "b.bias", "c"]
    assert comes_back(data)


def test_alignment_of_its_own() -> None:
    pairs = [pair("general.alignment", U32_VALUE, struct.pack("<I", 4096))]
    data = file(INFOS, RAW, pairs, alignment=4096)
    assert read(data).segments[:2] == (Gap(4096), TensorRange(36, "a.weight", DType.Q4_0, (2, 32)))


def test_a_header_longer_than_the_first_read() -> None:
    words = b"".join(string("word" * 10) for _ in range(50_000))
    data = file(INFOS, RAW, [pair("tokens", ARRAY_VALUE, array(STRING_VALUE, 50_000, words))])
    assert len(data) > 1 << 21
    assert read(data).name == "gguf"


def test_scalars_and_tensors_of_no_bytes() -> None:
    data = file([info("s", [], F32, 0), info("none", [2**63, 0], F16, 4)], bytes(4))
    assert read(data).segments[1:] == (TensorRange(4, "s", DType.F32, ()),)


def deep(levels: int) -> bytes:
    return array(ARRAY_VALUE, 1, deep(levels - 1)) if levels else array(U8_VALUE, 1, b"x")


BIG = 2**64 - 1
LIES = {
    "magic": b"GGML" + HONEST[4:],
    "version_1": file(INFOS, RAW, version=1),
    "version_4": file(INFOS, RAW, version=4),
    "big_endian": b"GGUF" + struct.pack(">IQQ", 3, 1, 0) + bytes(100),
    "too_many_tensors": file(INFOS, RAW, counts=(BIG, len(PAIRS))),
    "tensors_that_are_not_there": file(INFOS, RAW, counts=(9, len(PAIRS))),
    "too_many_pairs": file(INFOS, RAW, counts=(3, BIG)),
    "a_value_of_no_type": file(INFOS, RAW, [pair("x", 13, b"")]),
    "a_key_longer_than_the_file": file(INFOS, RAW, [struct.pack("<Q", BIG)]),
    "a_string_longer_than_the_file": file(INFOS, RAW, [pair("x", STRING_VALUE, struct.pack("<Q", BIG))]),
    "an_array_longer_than_the_file": file(INFOS, RAW, [pair("x", ARRAY_VALUE, array(U64_VALUE, BIG, b""))]),
    "strings_that_are_not_there": file(INFOS, RAW, [pair("x", ARRAY_VALUE, array(STRING_VALUE, BIG, b""))]),
    "arrays_that_are_not_there": file(INFOS, RAW, [pair("x", ARRAY_VALUE, array(ARRAY_VALUE, BIG, b""))]),
    "arrays_nested_too_deep": file(INFOS, RAW, [pair("x", ARRAY_VALUE, deep(9))]),
    "arrays_nested_thousands_deep": file(INFOS, RAW, [pair("x", ARRAY_VALUE, array(ARRAY_VALUE, 1, b"") * 20_000)]),
    "alignment_of_nothing": file(INFOS, RAW, [pair("general.alignment", U32_VALUE, bytes(4))]),
    "alignment_of_48": file(INFOS, RAW, [pair("general.alignment", U32_VALUE, struct.pack("<I", 48))]),
    "alignment_of_2_GiB": file(INFOS, RAW, [pair("general.alignment", U32_VALUE, struct.pack("<I", 1 << 31))]),
    "alignment_of_another_type": file(INFOS, RAW, [pair("general.alignment", U64_VALUE, struct.pack("<Q", 32))]),
    "overlap": file([*INFOS, info("d", [4], F32, 100)], RAW),
    "beyond_the_end": file([info("a", [32, 2], Q4_0, 240)], RAW),
    "far_beyond_the_end": file([info("a", [32, 2], Q4_0, BIG)], RAW),
    "a_name_twice": file([INFOS[0], info("a.weight", [5], F32, 64)], RAW),
    "a_name_of_no_utf8": file([info(b"\xff", [5], F32, 64)], RAW),
    "a_name_too_long": file([info("n" * 4097, [5], F32, 64)], RAW),
    "half_a_cell": file([info("a", [16, 2], Q4_0, 0)], RAW),
    "rank_of_65": file([info("a", [1] * 65, F32, 0)], RAW),
    "rank_of_2_32": file([string("a") + struct.pack("<I", 2**32 - 1)], RAW),
    "dimensions_that_overflow": file([info("a", [2**62, 2**62, 4], F32, 0)], RAW),
}


@pytest.mark.parametrize("name", LIES)
def test_a_lie_makes_it_opaque_and_it_comes_back(name: str) -> None:
    begun = time.perf_counter()
    assert read(LIES[name]).name == "opaque"
    assert time.perf_counter() - begun < 5
    assert comes_back(LIES[name])


def test_arrays_nested_as_deep_as_allowed() -> None:
    assert read(file(INFOS, RAW, [pair("x", ARRAY_VALUE, deep(7))])).name == "gguf"


def test_cut_anywhere_it_is_opaque_or_holds_whole_tensors() -> None:
    end = len(HONEST) - 58  # of the last tensor
    for n in range(len(HONEST)):
        found = read(HONEST[:n])
        assert sum(segment.n_bytes for segment in found.segments) == n
        assert found.name == ("gguf" if n >= end else "opaque")


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(HONEST) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_bytes_changed_anywhere_cover_the_file_all_the_same(changes: list[tuple[int, int]]) -> None:
    data = bytearray(HONEST)
    for at, value in changes:
        data[at] = value
    found = read(bytes(data))
    assert sum(segment.n_bytes for segment in found.segments) == len(data)


def test_100_000_tensors_open_in_under_a_second() -> None:
    infos = [info(f"blk.{i}.ffn_norm.weight", [8], F32, 32 * i) for i in range(100_000)]
    data = file(infos, bytes(3_200_000))
    begun = time.process_time()
    found = read(data)
    assert time.process_time() - begun < 3  # below 1 where nothing else runs
    assert len(found.segments) == 100_001


def test_the_largest_header_is_read_in_bounded_time() -> None:
    """32 MiB of empty strings, and more than the file has."""
    n = (1 << 25) // 8
    data = file([], bytes(n * 8), [pair("x", ARRAY_VALUE, array(STRING_VALUE, BIG, b""))])
    begun = time.process_time()
    assert read(data).name == "opaque"
    assert time.process_time() - begun < 5


def test_the_library_reads_what_was_restored(tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf")
    rng = np.random.default_rng(5)
    tensors = {
        f"t.{dtype.label}": (dtype, (3, 2, dtype.weights), quantised_cells(dtype, 6, seed=kind))
        if dtype.weights > 1
        else (dtype, (3, 2, 4), rng.bytes(24 * dtype.bits // 8))
        for kind, dtype in IDS.items()
    }
    source, packed, restored = (tmp_path / name for name in ("a.gguf", "a.pwt", "b.gguf"))
    source.write_bytes(gguf_file(tensors, alignment=64))
    pennyweight.compress(source, packed)
    pennyweight.restore(packed, restored)
    reader = gguf.GGUFReader(restored)
    assert [tensor.name for tensor in reader.tensors] == [*tensors]
    assert reader.get_field("tokenizer.ggml.tokens").contents() == ["<s>", "", "größe"]
    with pennyweight.open(packed) as checkpoint:
        for tensor in reader.tensors:
            dtype, shape, raw = tensors[tensor.name]
            assert (tensor.tensor_type.name, tensor.shape.tolist()) == (dtype.label, [*reversed(shape)])
            assert tensor.data.tobytes() == raw
            assert (checkpoint[tensor.name].shape, checkpoint[tensor.name].numpy().tobytes()) == (shape, raw)
            if dtype.weights > 1:
                assert gguf.dequantize(tensor.data, tensor.tensor_type).shape == shape
