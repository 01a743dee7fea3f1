"""Files of torch, zip, legacy and tar: which tensors are found in them, and what they are called."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from readings import comes_back, map_of, tensors_in

from pennyweight.pipeline.grouping import kind_of
from pennyweight.pipeline.sources import Gap
from pennyweight.pipeline.sources.pickle_machine import Call, Global, Lie, Pairs, Persistent
from pennyweight.pipeline.sources.torch_storages import read_storages
from pennyweight.testing.torch import TorchStorage, TorchTensor, torch_legacy, torch_tar, torch_zip, zip_file
from pennyweight.types import DType

RAW = np.random.default_rng(5).bytes(4096)
KINDS = {
    "DoubleStorage": DType.F64,
    "FloatStorage": DType.F32,
    "HalfStorage": DType.F16,
    "BFloat16Storage": DType.BF16,
    "ComplexFloatStorage": DType.C64,
    "LongStorage": DType.I64,
    "IntStorage": DType.I32,
    "ShortStorage": DType.I16,
    "CharStorage": DType.I8,
    "ByteStorage": DType.U8,
    "BoolStorage": DType.BOOL,
    "QInt8Storage": DType.I8,
}
WRITERS: dict[str, Callable[..., bytes]] = {"zip": torch_zip, "legacy": torch_legacy, "tar": torch_tar}

Writer = Callable[..., bytes]
writers = pytest.mark.parametrize("write", WRITERS.values(), ids=list(WRITERS))


def storage(n: int, kind: str = "FloatStorage", seed: int = 0) -> TorchStorage:
    width = KINDS[kind].bits // 8 if kind in KINDS else {"UntypedStorage": 1, "ComplexDoubleStorage": 16}[kind]
    return TorchStorage(kind, width, RAW[seed : seed + n * width])


@writers
def test_each_class_of_storages_has_its_dtype(write: Writer) -> None:
    storages = {str(i): storage(6, kind, i) for i, kind in enumerate(KINDS)}
    data = write({kind: TorchTensor(str(i), (2, 3)) for i, kind in enumerate(KINDS)}, storages)
    assert map_of(data).name == write.__name__.replace("_", "-")
    assert tensors_in(data) == {
        kind: (dtype, (2, 3), storages[str(i)].raw) for i, (kind, dtype) in enumerate(KINDS.items())
    }
    assert comes_back(data)


@pytest.mark.parametrize(
    ("name", "dtype", "parts"),
    [
        ("float8_e4m3fn", DType.F8_E4M3, ()),
        ("float8_e5m2", DType.F8_E5M2, ()),
        ("float8_e8m0fnu", DType.F8_E8M0, ()),
        ("float4_e2m1fn_x2", DType.F4, (2,)),
        ("uint16", DType.U16, ()),
        ("uint64", DType.U64, ()),
        ("a_type_of_tomorrow", DType.U8, ()),
    ],
)
def test_types_without_a_class_are_named_by_the_call(name: str, dtype: DType, parts: tuple[int, ...]) -> None:
    n = 6 * dtype.bits * (parts or (1,))[0] // 8
    data = torch_zip([TorchTensor("0", (2, 3), dtype=name)], {"0": storage(n, "UntypedStorage")})
    assert tensors_in(data) == {"0": (dtype, (2, 3, *parts), RAW[:n])}


@writers
def test_complex_numbers_of_128_bits_are_pairs(write: Writer) -> None:
    data = write({"z": TorchTensor("0", (2,))}, {"0": storage(2, "ComplexDoubleStorage")})
    assert tensors_in(data) == {"z": (DType.F64, (2, 2), RAW[:32])}


@writers
def test_names_are_the_way_to_a_tensor(write: Writer) -> None:
    names = [
        "model.layers.0.weight",
        "model.layers.1.weight",
        "optimizer.state.7.exp_avg",
        "optimizer.state.7.exp_avg_sq",
    ]
    t = [TorchTensor(str(i), (4,)) for i in range(4)]
    value = {
        "epoch": 3,
        "model": {"layers.0.weight": t[0], "layers": [None, {"weight": t[1]}]},
        "optimizer": {"state": {7: {"step": 2.5, "exp_avg": t[2], "exp_avg_sq": t[3]}}},
    }
    found = tensors_in(write(value, {str(i): storage(4, seed=i) for i in range(4)}))
    assert sorted(found) == names
    assert kind_of(DType.F32, names[2]) == (DType.F32, "exp_avg")


@writers
def test_a_tensor_alone_has_a_name_too(write: Writer) -> None:
    assert list(tensors_in(write(TorchTensor("0", (4,)), {"0": storage(4)}))) == ["tensor"]


@writers
def test_keys_that_look_like_ways_get_names_that_differ(write: Writer) -> None:
    value = {"a.b": TorchTensor("0", (4,)), "a": {"b": TorchTensor("1", (4,))}}
    found = tensors_in(write(value, {"0": storage(4), "1": storage(4, seed=1)}))
    assert len(found) == 2
    assert "a.b" in found


@writers
def test_a_storage_that_two_look_at_whole_is_named_by_the_first(write: Writer) -> None:
    value = {"head": TorchTensor("0", (2, 3)), "tied": TorchTensor("0", (3, 2)), "row": TorchTensor("0", (3,), 3)}
    assert tensors_in(write(value, {"0": storage(6)})) == {"head": (DType.F32, (2, 3), RAW[:24])}


@writers
def test_parts_of_a_storage_are_tensors_and_the_rest_is_flat(write: Writer) -> None:
    value = {"b": TorchTensor("0", (2, 3), 8), "a": TorchTensor("0", (4,), 2), "over": TorchTensor("0", (5,), 4)}
    assert tensors_in(write(value, {"0": storage(20)})) == {
        "storage.0": (DType.F32, (2,), RAW[:8]),
        "a": (DType.F32, (4,), RAW[8:24]),
        "storage.0.24": (DType.F32, (2,), RAW[24:32]),
        "b": (DType.F32, (2, 3), RAW[32:56]),
        "storage.0.56": (DType.F32, (6,), RAW[56:80]),
    }


@writers
def test_views_that_are_no_run_of_bytes_leave_it_flat(write: Writer) -> None:
    for strides in ((4, 2), (0, 1), (1, 1)):
        data = write({"exp_avg": TorchTensor("0", (2, 2), 0, strides)}, {"0": storage(8)})
        assert tensors_in(data) == {"exp_avg": (DType.F32, (8,), RAW[:32])}


@writers
def test_a_permuted_tensor_has_the_shape_of_its_bytes(write: Writer) -> None:
    data = write({"t": TorchTensor("0", (3, 1, 4, 5), 0, (20, 1, 5, 1)), "u": TorchTensor("1", (3, 4), 0, (1, 3))},
                 {"0": storage(60), "1": storage(12)})  # fmt: skip
    assert {name: shape for name, (_, shape, _) in tensors_in(data).items()} == {"t": (3, 1, 4, 5), "u": (4, 3)}


@writers
def test_empty_tensors_are_left_out(write: Writer) -> None:
    data = write({"none": TorchTensor("0", (0, 5)), "some": TorchTensor("1", (4,))}, {"0": storage(0), "1": storage(4)})
    assert list(tensors_in(data)) == ["some"]


@writers
def test_a_storage_of_another_size_than_its_bytes_is_no_tensor(write: Writer) -> None:
    lying = TorchStorage("FloatStorage", 3, RAW[:12])  # four elements, twelve bytes
    value = {"a": TorchTensor("0", (4,)), "b": TorchTensor("1", (4,))}
    found = tensors_in(write(value, {"0": lying, "1": storage(4)}))
    assert list(found) == (["b"] if write is torch_zip else [])


@writers
def test_a_tensor_beyond_its_storage_leaves_it_flat(write: Writer) -> None:
    deep = [] if write is torch_tar else [((1,) * 65, 0)]
    for shape, offset in (((5,), 0), ((4,), 1), ((2**62, 2**62), 0), ((-4,), 0), *deep):
        found = tensors_in(write({"w": TorchTensor("0", shape, offset)}, {"0": storage(4)}))
        assert list(found.values()) == [(DType.F32, (4,), RAW[:16])]


def test_big_endian_files_are_opaque() -> None:
    value, storages = {"w": TorchTensor("0", (4,))}, {"0": storage(4)}
    old = [write(value, storages, little_endian=False) for write in (torch_legacy, torch_tar)]
    for data in (torch_zip(value, storages, byteorder="big"), *old):
        assert map_of(data).segments == (Gap(len(data)),)


def test_deflated_members_are_gaps() -> None:
    value = {"a": TorchTensor("0", (512,)), "b": TorchTensor("1", (512,))}
    given = zipfile.ZipFile(io.BytesIO(torch_zip(value, {"0": storage(512), "1": storage(512, seed=1)})))
    for deflated, expected in (("archive/data/0", ["b"]), ("archive/data.pkl", []), ("archive/version", ["a", "b"])):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as again:
            for name in given.namelist():
                again.writestr(name, given.read(name), zipfile.ZIP_DEFLATED if name == deflated else zipfile.ZIP_STORED)
        assert list(tensors_in(out.getvalue())) == expected
        assert comes_back(out.getvalue())


def test_other_zip_files_are_opaque() -> None:
    for members in (
        {},
        {"a/b.txt": b"text"},
        {"data.pkl": b"N."},
        {"a/data.pkl": b"not a pickle"},
        {"a/data.pkl": b"N."},
    ):
        assert map_of(zip_file(members)).name == "opaque"


def test_wrapped_tensors_keep_their_names() -> None:
    def tensor(key: str) -> Call:
        where = Persistent((("storage", Global("torch.FloatStorage"), key, "cpu", 4),))
        return Call((Global("torch._utils._rebuild_tensor_v2"), (where, 0, (4,), (1,), False, Call((Global("x"), ())))))

    rebuild = "torch._utils._rebuild_"
    subclass = (tensor("s")[0], Global("my.Tensor"), tensor("s")[1], Pairs(("extra", tensor("x"))))
    q = (tensor("q")[1][0], 0, (4,), (1,), (Global("torch.per_channel_affine"), tensor("scales"), 0), False, None)
    root = Pairs(
        (
            *("parameter", Call((Global(rebuild + "parameter"), (tensor("p"), True, None)))),
            *("subclass", Call((Global("torch._tensor._rebuild_from_type_v2"), subclass))),
            *("ordered", Call((Global("collections.OrderedDict"), (), Pairs(("w", tensor("o")))))),
            *("python2", Call((Global("collections.OrderedDict"), ([["w", tensor("o2")]],)))),
            *("module", Call((Global("torch.nn.Linear"), (), Pairs(("_parameters", Pairs(("weight", tensor("m")))))))),
            *("quantized", Call((Global(rebuild + "qtensor"), q))),
            *("storage", tensor("alone")[1][0]),
            *((("a", "key"), 1), tensor("t")),
        )
    )
    assert {key: found.views[0].name for key, found in read_storages(root).items()} == {
        "p": "parameter",
        "s": "subclass",
        "x": "subclass.extra",
        "o": "ordered.w",
        "o2": "python2.w",
        "m": "module._parameters.weight",
        "q": "quantized",
        "scales": "quantized.4.1",
        "alone": "storage",
        "t": "7",
    }


def test_parts_of_storages_in_old_files_are_found() -> None:
    where = Persistent((("storage", Global("torch.cuda.HalfStorage"), "k", "cuda:0", 10, ("part", 4, 3)),))
    call = Call((Global("torch._utils._rebuild_tensor"), (where, 1, (2,), (1,))))
    view = read_storages(call)["k"].views[0]
    assert (view.offset, view.element.dtype) == (10, DType.F16)


def test_names_as_long_as_an_index_are_a_lie() -> None:
    deep: Any = []
    for _ in range(20_000):
        deep = Pairs(("n" * 4000, deep))
    with pytest.raises(Lie, match="longer"):
        read_storages(deep)


def test_what_holds_itself_is_walked_once() -> None:
    ring: list[Any] = []
    ring += [ring, (ring, ring), Pairs((1, ring, 2, ring))]
    assert read_storages(ring) == {}
    layers: Any = []
    for _ in range(60):
        layers = [layers, layers]
    assert read_storages(layers) == {}


@writers
def test_many_tensors_open_in_a_time_that_grows_with_them(write: Writer) -> None:
    n = 20_000
    storages = {str(i): TorchStorage("FloatStorage", 4, RAW[:16]) for i in range(n)}
    data = write({f"layers.{i}.weight": TorchTensor(str(i), (2, 2)) for i in range(n)}, storages)
    begin = time.process_time()
    assert sum(not isinstance(segment, Gap) for segment in map_of(data).segments) == n
    assert time.process_time() - begin < 8  # a second, on a machine that does nothing else


@st.composite
def checkpoints(draw: st.DrawFn) -> tuple[Any, dict[str, TorchStorage]]:
    """A value and its storages, each with one tensor that covers it; some have another that looks at a part."""
    storages: dict[str, TorchStorage] = {}
    leaves: dict[str, Any] = {}
    for i in range(draw(st.integers(1, 6))):
        kind = draw(st.sampled_from(sorted(KINDS)))
        shape = draw(st.lists(st.integers(1, 4), max_size=3).map(tuple))
        storages[str(i)] = storage(int(np.prod(shape, dtype=int)), kind, i)
        leaves[f"w{i}"] = TorchTensor(str(i), shape)
        if draw(st.booleans()):
            leaves[f"part{i}"] = TorchTensor(str(i), (1,))
    nest = draw(
        st.sampled_from(
            [lambda x: x, lambda x: [x], lambda x: {"model": x, "epoch": 1, "lr": 0.5, "args": (None, "x")}]
        )
    )
    return nest(leaves), storages


@settings(max_examples=40, deadline=None)
@given(checkpoints(), st.sampled_from(sorted(WRITERS)))
def test_every_storage_is_found_and_comes_back(checkpoint: tuple[Any, dict[str, TorchStorage]], kind: str) -> None:
    value, storages = checkpoint
    data = WRITERS[kind](value, storages)
    found = sorted(raw for _, _, raw in tensors_in(data).values())
    assert found == sorted(storage.raw for storage in storages.values())
    assert comes_back(data)
