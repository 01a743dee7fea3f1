"""The benchmark's own parts: its codecs, its BF16 cast, and that the committed sizes are what the code gives now."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
SMALL = "silero-vad.f32.safetensors"
PRESETS = ("fast", "default")


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
    rounded: list[int] = module("corpus").cast_bf16(np.array(bits, np.uint32)).tolist()
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


def test_repeated_file_holds_every_tensor_under_new_names(tmp_path: Path) -> None:
    corpus = module("corpus")
    tensor = corpus.Tensor("a", "U8", (3,), 0, 3)
    (tmp_path / "one").write_bytes(corpus.make_header([tensor], {"k": "v"}) + b"xyz")
    size = corpus.repeat(tmp_path / "one", 2, tmp_path / "two")
    data = (tmp_path / "two").read_bytes()
    tensors, start, metadata = corpus.read_header(data)
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
