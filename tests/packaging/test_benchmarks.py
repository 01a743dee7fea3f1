"""The benchmark's own parts: its codecs, its BF16 cast, and that the committed sizes are what the code gives now."""

from __future__ import annotations

import struct
import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
SMALL = "silero-vad.f32.safetensors"


@pytest.fixture(autouse=True, scope="module")
def benchmarks() -> None:
    """Make `benchmarks` importable without the checkout on the path, where it would show more than that."""
    if "benchmarks" in sys.modules:
        return
    folder = ROOT / "benchmarks"
    spec = spec_from_file_location("benchmarks", folder / "__init__.py", submodule_search_locations=[str(folder)])
    assert spec is not None
    assert spec.loader is not None
    package = module_from_spec(spec)
    sys.modules["benchmarks"] = package
    spec.loader.exec_module(package)


def module(name: str) -> ModuleType:
    return import_module(f"benchmarks.{name}")


def cast(*bits: int) -> list[int]:
    rounded: list[int] = module("casts").cast_bf16(np.array(bits, np.uint32)).tolist()
    return rounded


@pytest.mark.parametrize("peer", ["pennyweight", "zstandard"])
def test_codecs_give_back_what_they_took(peer: str) -> None:
    codecs = module("codecs")
    data = np.random.default_rng(1).normal(0, 0.02, 1 << 14).astype(np.float32).tobytes()
    loaded = codecs.load(peer, "F32")
    assert not isinstance(loaded, codecs.NotRun), loaded
    for codec in loaded:
        assert isinstance(codec, codecs.Codec)
        assert codec.name
        assert codec.version
        assert codecs.same(codec.decode(codec.encode(bytearray(data))), data)


def test_a_peer_that_fails_to_import_is_a_row_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    codecs = module("codecs")
    monkeypatch.setitem(sys.modules, "benchmarks.codecs.zstandard", None)
    assert codecs.load("zstandard", "F32").reason


def test_cast_rounds_ties_to_even_and_carries() -> None:
    assert cast(0x3F800000, 0x3F807FFF, 0x3F808000, 0x3F808001) == [0x3F80, 0x3F80, 0x3F80, 0x3F81]
    assert cast(0x3F818000, 0x3FFF8000, 0x00008001) == [0x3F82, 0x4000, 0x0001]


def test_cast_keeps_signs_zeros_and_infinities() -> None:
    assert cast(0x80000000, 0x7F800000, 0xFF800000, 0x7F7FFFFF) == [0x8000, 0x7F80, 0xFF80, 0x7F80]


def test_cast_keeps_every_nan_a_nan() -> None:
    for rounded, sign in zip(cast(0x7F800001, 0xFF800001, 0x7FFFFFFF, 0xFFFFFFFF), (0, 1, 0, 1), strict=True):
        assert rounded & 0x7FFF > 0x7F80
        assert rounded >> 15 == sign


def test_e4m3_rounds_ties_to_even_and_keeps_signs() -> None:
    values = np.array([0, -0.0, 1, -1, 17, 19, 448, -448, 2**-9, 2**-10, 3 * 2**-10, 1.0625], np.float32)
    codes = module("casts").cast_e4m3(values).tolist()
    assert codes == [0x00, 0x80, 0x38, 0xB8, 0x58, 0x5A, 0x7E, 0xFE, 0x01, 0x00, 0x02, 0x38]


def test_fp8_cast_scales_linear_layers_and_rounds_the_rest_to_bf16() -> None:
    files, casts = module("tensorfile"), module("casts")
    matrix = np.array([[448, -224], [56, 0]], np.float32) * np.float32(0.5)
    original = [
        files.Named("layer.weight", "F32", (2, 2), matrix.tobytes()),
        files.Named("embeddings.weight", "F32", (2, 2), matrix.tobytes()),
        files.Named("layer.bias", "F32", (2,), matrix[0].tobytes()),
        files.Named("ids", "I64", (1,), bytes(8)),
    ]
    made = list(files.read_tensors(casts.cast_file(files.make_file(original, None), "FP8")))
    assert [(t.name, t.dtype) for t in made] == [
        ("layer.weight", "F8_E4M3"),
        ("layer.weight_scale", "F32"),
        ("embeddings.weight", "BF16"),
        ("layer.bias", "BF16"),
        ("ids", "I64"),
    ]
    assert made[0].data == bytes([0x7E, 0xF6, 0x66, 0x00])
    assert np.frombuffer(made[1].data, "<f4").tolist() == [0.5]


def test_bf16_in_f32_keeps_the_type_and_clears_the_low_bytes() -> None:
    files, casts = module("tensorfile"), module("casts")
    tensor = files.Named("a", "F32", (2,), np.array([0x3F808001, 0xC0000000], "<u4").tobytes())
    (made,) = files.read_tensors(casts.cast_file(files.make_file([tensor], None), "BF16 in F32"))
    assert made.dtype == "F32"
    assert np.frombuffer(made.data, "<u4").tolist() == [0x3F810000, 0xC0000000]


class FlatBuffer:
    """Written from its end, because its offsets lead forwards only. A place is a distance from the end."""

    def __init__(self) -> None:
        self.data = b""

    def vector(self, count: int, body: bytes) -> int:
        self.data = struct.pack("<I", count) + body + bytes(-len(body) % 4) + self.data
        return len(self.data)

    def places(self, *targets: int) -> int:
        """A vector of other tables."""
        return self.vector(len(targets), self._offsets(targets, len(self.data) + 4 * len(targets)))

    def table(self, numbers: dict[int, int], places: dict[int, int]) -> int:
        """Fields of 32 bits by number: values, then places of what was written before."""
        order = [*numbers, *places]
        offsets = [4 + 4 * order.index(i) if i in order else 0 for i in range(max(order, default=-1) + 1)]
        vtable = struct.pack(f"<HH{len(offsets)}H", 4 + 2 * len(offsets), 4 + 4 * len(order), *offsets)
        fields = struct.pack(f"<{len(numbers)}I", *numbers.values())
        fields += self._offsets(tuple(places.values()), len(self.data) + 4 * len(places))
        self.data = vtable + struct.pack("<i", len(vtable)) + fields + self.data
        return len(self.data) - len(vtable)

    @staticmethod
    def _offsets(targets: tuple[int, ...], start: int) -> bytes:
        return b"".join(struct.pack("<I", start - 4 * i - target) for i, target in enumerate(targets))


def tflite(shape: tuple[int, ...], dtype: int, name: bytes, content: bytes) -> bytes:
    """A TFLite file of one constant tensor, and one that is computed when it runs."""
    file = FlatBuffer()
    label, dimensions = file.vector(len(name), name), file.vector(len(shape), struct.pack(f"<{len(shape)}i", *shape))
    content_at = file.vector(len(content), content)
    buffers = file.places(file.table({}, {}), file.table({}, {0: content_at}))
    tensors = [file.table({1: dtype, 2: buffer}, {0: dimensions, 3: label}) for buffer in (1, 0)]
    graphs = file.places(file.table({}, {0: file.places(*tensors)}))
    model = file.table({}, {2: graphs, 4: buffers})
    return struct.pack("<I", 8 + len(file.data) - model) + b"TFL3" + file.data


def test_tflite_file_becomes_its_constant_tensors() -> None:
    files = module("tensorfile")
    content = np.arange(6, dtype="<f2").tobytes()
    made = module("convert").to_safetensors("a.tflite", tflite((2, 3), 1, b"weights", content))
    assert list(files.read_tensors(made)) == [files.Named("0.0.weights", "F16", (2, 3), content)]


def ct2(name: bytes, shape: tuple[int, ...], content: bytes, version: int = 6) -> bytes:
    """A CTranslate2 file of one F16 variable."""
    head = struct.pack("<I", version) + struct.pack("<H", 5) + b"Spec\0" + struct.pack("<II", 3, 1)
    variable = struct.pack("<H", len(name) + 1) + name + b"\0" + struct.pack(f"<B{len(shape)}I", len(shape), *shape)
    return head + variable + struct.pack("<BI", 4, len(content)) + content


def test_ct2_file_becomes_its_variables() -> None:
    files, convert = module("tensorfile"), module("convert")
    content = np.arange(6, dtype="<f2").tobytes()
    made = convert.to_safetensors("model.bin", ct2(b"layer/weight", (2, 3), content))
    assert list(files.read_tensors(made)) == [files.Named("layer/weight", "F16", (2, 3), content)]
    with pytest.raises(ValueError, match="past the end"):
        convert.to_safetensors("model.bin", ct2(b"layer/weight", (2, 3), content)[:-1])
    with pytest.raises(ValueError, match="version 5"):
        convert.to_safetensors("model.bin", ct2(b"a", (), content, version=5))


def test_unknown_format_is_not_converted() -> None:
    with pytest.raises(ValueError, match="no format"):
        module("convert").to_safetensors("a.npy", b"")


def test_a_peer_that_takes_too_long_is_a_row_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = module("sizes")
    monkeypatch.setattr(sizes, "LIMIT_SECONDS", 0.01)
    (row,) = sizes.limited(SMALL, "zstandard")
    assert row.n_bytes is None
    assert "more than" in row.note


def test_every_size_goal_is_of_a_file_of_the_corpus() -> None:
    goals, names = module("goals"), {entry.name for entry in module("corpus").entries()}
    assert goals.SIZES.keys() <= names
    assert all(list(musts) == sorted(musts, reverse=True) for musts in goals.SIZES.values())


def test_size_goals_name_the_best_peer_and_say_what_was_missed() -> None:
    goals, size = module("goals"), module("sizes").Size
    rows = [
        size(goals.MODEL, "pennyweight default", 659, 0.659),
        size(goals.MODEL, "pennyweight high", 658, 0.658),
        size(goals.MODEL, "near", 661, 0.661),
        size(goals.MODEL, "far", 700, 0.7),
        size(goals.MODEL, "absent", None, None, "why"),
    ]
    default, high, _archive, other, *_ = goals.goals(rows, {}, [])
    assert (default.verdict(), default.peer) == ("met", "66.10 near")
    assert (high.verdict(), high.measured) == ("MISSED", pytest.approx(65.8))
    assert (other.verdict(), other.peer) == ("not run", "")


def test_repeated_file_holds_every_tensor_under_new_names(tmp_path: Path) -> None:
    files = module("tensorfile")
    (tmp_path / "one").write_bytes(files.make_file([files.Named("a", "U8", (3,), b"xyz")], {"k": "v"}))
    size = files.repeat(tmp_path / "one", 2, tmp_path / "two")
    data = (tmp_path / "two").read_bytes()
    tensors, start, metadata = files.read_header(data)
    assert [(t.name, data[start + t.start : start + t.stop]) for t in tensors] == [
        ("copy00.a", b"xyz"),
        ("copy01.a", b"xyz"),
    ]
    assert (size, metadata) == (len(data), {"k": "v"})


def test_committed_sizes_are_what_the_code_gives() -> None:
    """A change of ratio is a change of sizes.csv: `python -m benchmarks.sizes` writes it again."""
    corpus, codecs, sizes = module("corpus"), module("codecs"), module("sizes")
    try:
        data = corpus.fetch(corpus.entry(SMALL)).read_bytes()
    except corpus.CorpusError as error:
        pytest.fail(f"the corpus cannot be had: {error}")
    committed = sizes.read()
    for codec in codecs.load("pennyweight", "F32"):
        now = sizes.size(SMALL, data, codec)
        assert str(now.n_bytes) == committed[SMALL, codec.name], now.note
