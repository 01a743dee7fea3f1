"""A header that lies makes the file opaque, one test per lie, and it comes back byte for byte all the same."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
import samples

import pennyweight
from pennyweight.pipeline.files import Reader
from pennyweight.pipeline.sources import Gap, TensorRange, find_source
from pennyweight.types import DType

RAW = bytes(range(16))
HONEST: dict[str, Any] = {
    "a": {"dtype": "BF16", "shape": [4], "data_offsets": [0, 8]},
    "b": {"dtype": "U8", "shape": [2, 4], "data_offsets": [8, 16]},
}


def file(header: Any, raw: bytes = RAW) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + raw


def changed(**tensors: Any) -> bytes:
    """The honest file with fields of tensors set."""
    return file({name: HONEST[name] | tensors.get(name, {}) for name in HONEST})


def source_of(data: bytes) -> str:
    return find_source(Reader(io.BytesIO(data))).name


LIES = {
    "overlap": changed(b={"data_offsets": [7, 15]}),
    "hole": file({"a": HONEST["a"], "b": HONEST["b"] | {"data_offsets": [9, 17]}}, RAW + b"!"),
    "hole_at_the_start": file({"b": HONEST["b"]}),
    "trailing_bytes": file(HONEST, RAW + b"!"),
    "file_too_short": file(HONEST, RAW[:-1]),
    "offsets_backwards": changed(b={"data_offsets": [16, 8]}),
    "negative_offsets": changed(a={"data_offsets": [-8, 0]}),
    "three_offsets": changed(a={"data_offsets": [0, 8, 16]}),
    "shape_overflow": changed(a={"shape": [2**62, 2**62, 4]}),
    "shape_overflow_to_nothing": changed(a={"shape": [2**64, 0], "data_offsets": [0, 0]}),
    "integer_of_many_digits": file(b'{"a":{"dtype":"U8","shape":[' + b"9" * 5000 + b'],"data_offsets":[0,16]}}'),
    "wrong_nbytes": changed(a={"shape": [5]}),
    "half_a_byte": file({"a": {"dtype": "F4", "shape": [31], "data_offsets": [0, 16]}}),
    "unknown_dtype": changed(a={"dtype": "BF17"}),
    "dtype_is_a_number": changed(a={"dtype": 16}),
    "shape_is_a_bool": changed(a={"shape": [4, True]}),
    "shape_is_a_float": changed(a={"shape": [4.0]}),
    "shape_is_a_string": changed(a={"shape": "4"}),
    "shape_is_missing": file({"a": {"dtype": "U8", "data_offsets": [0, 16]}}),
    "rank_65": changed(a={"shape": [4] + [1] * 64}),
    "duplicate_names": file(b'{"a":%b,"a":%b}' % tuple(json.dumps(value).encode() for value in HONEST.values())),
    "duplicate_keys": file(b'{"a":{"dtype":"U8","dtype":"U8","shape":[16],"data_offsets":[0,16]}}'),
    "name_too_long": file({"n" * 4097: {"dtype": "U8", "shape": [16], "data_offsets": [0, 16]}}),
    "lone_surrogate": file(b'{"\\ud800":{"dtype":"U8","shape":[16],"data_offsets":[0,16]}}'),
    "bad_utf8": file(b'{"\xff":{"dtype":"U8","shape":[16],"data_offsets":[0,16]}}'),
    "not_json": file(b"{not json}"),
    "not_a_number": file(b'{"a":{"dtype":"U8","shape":[NaN],"data_offsets":[0,16]}}'),
    "not_an_object": file(b'["a"]', b""),
    "space_before_the_object": file(b" {}", b""),
    "tensor_is_not_an_object": file({"a": [0, 16]}),
    "deep_json": file(b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}"),
    "header_longer_than_the_file": (2**63).to_bytes(8, "little") + b"{}",
    "header_longer_than_100_MB": (100_000_001).to_bytes(8, "little") + b"{}",
    "no_header": bytes(8),
}


@pytest.mark.parametrize("name", LIES)
def test_a_lie_makes_it_opaque_and_it_comes_back(name: str) -> None:
    data = LIES[name]
    assert source_of(data) == "opaque"
    container, restored = io.BytesIO(), io.BytesIO()
    pennyweight.compress(io.BytesIO(data), container, threads=1)
    pennyweight.restore(container, restored, threads=1)
    assert restored.getvalue() == data


def test_the_honest_file_is_safetensors() -> None:
    data = file(HONEST)
    found = find_source(Reader(io.BytesIO(data)))
    assert found.name == "safetensors"
    assert found.segments == (
        Gap(len(data) - 16),
        TensorRange(8, "a", DType.BF16, (4,)),
        TensorRange(8, "b", DType.U8, (2, 4)),
    )


def test_order_is_that_of_the_data_not_of_the_header() -> None:
    found = find_source(Reader(io.BytesIO(file({name: HONEST[name] for name in reversed(HONEST)}))))
    assert [segment.name for segment in found.segments if isinstance(segment, TensorRange)] == ["a", "b"]


def test_metadata_is_part_of_the_gap_whatever_it_is() -> None:
    assert source_of(file({"__metadata__": {"format": "pt"}, **HONEST})) == "safetensors"
    assert source_of(file({"__metadata__": [1, None], **HONEST})) == "safetensors"


def test_padded_header_and_unknown_keys_of_a_tensor() -> None:
    assert source_of(file(json.dumps(HONEST).encode() + b"    ")) == "safetensors"
    assert source_of(changed(a={"comment": "x"})) == "safetensors"


def test_tensors_without_bytes_share_a_place() -> None:
    nothing = {"dtype": "F32", "shape": [0, 3]}
    header = {"x": nothing | {"data_offsets": [8, 8]}, **HONEST, "y": nothing | {"data_offsets": [16, 16]}}
    found = find_source(Reader(io.BytesIO(file(header))))
    assert [segment.name for segment in found.segments if isinstance(segment, TensorRange)] == ["a", "x", "b", "y"]


@pytest.mark.parametrize("name", samples.FILES)
def test_what_the_samples_are(name: str) -> None:
    expected = "opaque" if name in ("empty", "one byte", "text") else "safetensors"
    assert source_of(samples.FILES[name]) == expected


def test_an_empty_file_has_no_segments() -> None:
    assert find_source(Reader(io.BytesIO(b""))).segments == ()
