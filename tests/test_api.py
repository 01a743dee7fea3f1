"""The face: lazy tensors, reports, names and signatures."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import samples
import spec_encoder

import pennyweight
from pennyweight.errors import CorruptError, InputError, UsageError, VersionError
from pennyweight.types import DType


def packed(data: bytes, **options: Any) -> io.BytesIO:
    target = io.BytesIO()
    pennyweight.compress(io.BytesIO(data), target, **options)
    return target


@pytest.fixture(scope="module")
def mixed() -> io.BytesIO:
    return packed(samples.mixed())


def raws(data: bytes) -> dict[str, bytes]:
    """Bytes of each tensor of a safetensors file."""
    n = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + n])
    return {name: data[8 + n :][slice(*entry["data_offsets"])] for name, entry in header.items()}


def test_names() -> None:
    assert len(pennyweight.__all__) <= 14
    for name in pennyweight.__all__:
        assert hasattr(pennyweight, name)


def test_import_brings_no_framework() -> None:
    code = "import sys, pennyweight; print([m for m in ('torch', 'click', 'tqdm', 'ml_dtypes') if m in sys.modules])"
    assert subprocess.run([sys.executable, *flags(), "-c", code], capture_output=True, text=True).stdout == "[]\n"


def flags() -> list[str]:
    return ["-S"] if sys.flags.no_site else []


# Tensors


@pytest.mark.parametrize("threads", [1, 3])
def test_every_tensor_comes_back(mixed: io.BytesIO, threads: int) -> None:
    expected = raws(samples.mixed())
    with pennyweight.open(mixed, threads=threads) as checkpoint:
        assert list(checkpoint) == list(checkpoint.keys()) == list(expected)
        assert len(checkpoint) == len(expected)
        assert "big" in checkpoint
        assert "small" not in checkpoint
        for name, raw in expected.items():
            tensor = checkpoint[name]
            array = tensor.numpy()
            assert array.tobytes() == raw
            assert tensor.n_bytes == len(raw)
            kind = DType[tensor.dtype].numpy
            assert array.dtype == np.dtype(kind or "u1")
            assert array.shape == (tensor.shape if kind else (len(raw),))


def test_names_shapes_and_dtypes_without_decoding(mixed: io.BytesIO) -> None:
    with pennyweight.open(mixed) as checkpoint:
        big = checkpoint["big"]
        assert (big.name, big.dtype, big.shape, big.n_bytes) == ("big", "BF16", (2500, 1000), 5_000_000)
        assert repr(big) == "Tensor('big', BF16, (2500, 1000))"
        assert checkpoint["scalar"].shape == ()
        with pytest.raises(KeyError):
            checkpoint["missing"]


@pytest.mark.parametrize(
    "key",
    [
        *(0, -1, 1249),
        *(slice(None), slice(0, 0), slice(5, 3), slice(3, 9), slice(100, 1400), slice(2499, 9999), slice(-3, None)),
        *(slice(None, None, 7), slice(None, None, -1), slice(2000, 100, -333)),
    ],
)
def test_rows(mixed: io.BytesIO, key: int | slice) -> None:
    with pennyweight.open(mixed, threads=2) as checkpoint:
        whole = checkpoint["big"].numpy()
        rows = checkpoint["big"][key]
        assert rows.shape == whole[key].shape
        assert rows.dtype == whole.dtype
        assert np.array_equal(rows, whole[key])


def test_rows_that_are_not_there(mixed: io.BytesIO) -> None:
    with pennyweight.open(mixed) as checkpoint:
        for key in (2500, -2501):
            with pytest.raises(IndexError):
                checkpoint["big"][key]
        assert checkpoint["nothing"][:].shape == (0, 4)
        assert checkpoint["nothing"].numpy().shape == (0, 4)
        for name in ("scalar", "all.F4"):
            with pytest.raises(UsageError, match="no rows"):
                checkpoint[name][0]


def test_a_slice_decodes_only_its_blocks() -> None:
    container = bytearray(packed(samples.mixed()).getvalue())
    container[2_500_000] ^= 1  # somewhere in the later blocks of big
    with pennyweight.open(io.BytesIO(bytes(container))) as checkpoint:
        big = checkpoint["big"]
        assert big[:100].tobytes() == raws(samples.mixed())["big"][:200_000]
        with pytest.raises(CorruptError, match="<file object>: tensor 'big'"):
            big.numpy()
        with pytest.raises(CorruptError, match="tensor 'big'"):
            big[:]


def test_a_whole_read_checks_the_digest() -> None:
    raw = samples.bf16(512)
    segment = spec_encoder.tensor("w", "BF16", [512], raw) | {"xxh3_128": "0" * 32}
    metadata = spec_encoder.describe([segment], [raw], 1024)
    data = spec_encoder.Container([spec_encoder.store(raw)], metadata).pack()
    with pennyweight.open(io.BytesIO(data)) as checkpoint:
        with pytest.raises(CorruptError, match="tensor 'w': decoded bytes do not match"):
            checkpoint["w"].numpy()
        assert checkpoint["w"][:].tobytes() == raw


def test_out(mixed: io.BytesIO) -> None:
    with pennyweight.open(mixed) as checkpoint:
        big = checkpoint["big"]
        for out in (np.empty((2500, 1000), "<u2"), np.empty(5_000_000, np.uint8), np.empty((1250, 1000), np.float32)):
            array = big.numpy(out)
            assert np.shares_memory(array, out)
            assert array.shape == big.shape
            assert out.tobytes() == raws(samples.mixed())["big"]
        scalar = np.empty((), "<u2")
        assert checkpoint["scalar"].numpy(scalar) == scalar == 0x3F80
        readonly = np.empty((2500, 1000), "<u2")
        readonly.flags.writeable = False
        for wrong in (np.empty(10), np.empty((1000, 2500), "<u2").T, np.empty((2500, 2000), "<u2")[:, ::2], readonly):
            with pytest.raises(UsageError, match="tensor 'big': out"):
                big.numpy(wrong)


def test_ml_dtypes(mixed: io.BytesIO, monkeypatch: pytest.MonkeyPatch) -> None:
    with pennyweight.open(mixed) as checkpoint:
        assert checkpoint["big"].numpy(ml_dtypes=True).dtype == ml_dtypes.bfloat16
        assert checkpoint["all.F8_E4M3"].numpy(ml_dtypes=True).dtype == ml_dtypes.float8_e4m3fn
        assert checkpoint["all.F8_E8M0"].numpy(ml_dtypes=True).dtype == ml_dtypes.float8_e8m0fnu
        assert checkpoint["all.F32"].numpy(ml_dtypes=True).dtype == np.float32
        assert checkpoint["scalar"].numpy(ml_dtypes=True) == 1
        monkeypatch.setitem(sys.modules, "ml_dtypes", None)
        with pytest.raises(UsageError, match="needs ml_dtypes"):
            checkpoint["big"].numpy(ml_dtypes=True)


def test_array_protocol(mixed: io.BytesIO) -> None:
    with pennyweight.open(mixed) as checkpoint:
        tensor = checkpoint["all.F32"]
        assert np.array_equal(np.asarray(tensor).view("u4"), tensor.numpy().view("u4"))
        assert np.asarray(checkpoint["specials"], dtype=np.int64).dtype == np.int64


def test_many_threads_may_read_at_once(mixed: io.BytesIO) -> None:
    expected = raws(samples.mixed())
    with pennyweight.open(mixed, threads=2) as checkpoint, ThreadPoolExecutor(4) as pool:
        names = list(checkpoint) * 3
        for name, raw in zip(names, pool.map(lambda name: checkpoint[name].numpy().tobytes(), names), strict=True):
            assert raw == expected[name]


def test_open_closes_what_it_opened(tmp_path: Path) -> None:
    path = tmp_path / "file.pwt"
    path.write_bytes(b"not a container")
    with pytest.raises(CorruptError, match=r"file\.pwt: not a Pennyweight container"):
        pennyweight.open(path)
    with pytest.raises(InputError):
        pennyweight.open(tmp_path)
    with pytest.raises(VersionError):
        pennyweight.open(io.BytesIO(spec_encoder.Container([], {}, version=(7, 0)).pack()))


# Reports


def test_reports(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(samples.mixed())
    made = pennyweight.compress(path, threads=2)
    assert made.output == str(tmp_path / "model.safetensors.pwt")
    assert (made.n_files, made.n_tensors, made.n_bytes) == (1, len(raws(samples.mixed())), len(samples.mixed()))
    assert made.stored_bytes == Path(made.output).stat().st_size
    assert made.ratio == made.stored_bytes / made.n_bytes < 0.8
    assert (made.threads, made.preset, made.fidelity) == (2, "default", "lossless")
    assert made.seconds > 0
    back = pennyweight.restore(made.output, tmp_path / "again")
    assert (back.n_bytes, back.stored_bytes, back.sha256) == (made.n_bytes, made.stored_bytes, made.sha256)
    assert made.sha256 is not None


@pytest.mark.parametrize("verb", ["compress", "restore", "verify", "inspect"])
def test_json_is_versioned_and_one_line(verb: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(samples.small())
    reports: dict[str, Any] = {"compress": pennyweight.compress(path)}
    reports["restore"] = pennyweight.restore(tmp_path / "model.safetensors.pwt", tmp_path / "out")
    reports["verify"] = pennyweight.verify(tmp_path / "model.safetensors.pwt")
    reports["inspect"] = pennyweight.inspect(tmp_path / "model.safetensors.pwt", plans=True)
    text = reports[verb].to_json()
    assert "\n" not in text
    decoded = json.loads(text)
    assert next(iter(decoded.items())) == ("schema", f"pennyweight.{verb}/1")
    assert {"path", "n_bytes", "stored_bytes", "ratio", "fidelity"} <= decoded.keys()


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are text there")
def test_a_path_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "model\udcff"
    path.write_bytes(samples.small())
    made = pennyweight.compress(path)
    assert made.path.endswith("model\\udcff")
    made.to_json().encode()
    (tmp_path / "model\udcff.pwt").write_bytes(b"x")
    assert str(pennyweight.verify(tmp_path / "model\udcff.pwt").problems[0]).startswith(made.output)


def test_inspect(mixed: io.BytesIO) -> None:
    plain, counted = pennyweight.inspect(mixed), pennyweight.inspect(mixed, plans=True)
    (info,) = plain.files
    assert info.n_blocks > 20
    assert info.stored_bytes == len(mixed.getvalue())
    stored = sum(tensor.stored_bytes for tensor in info.tensors) + info.gap_stored_bytes
    assert stored + info.salvage_bytes + info.index_bytes + 40 + 48 == info.stored_bytes
    assert sum(tensor.n_bytes for tensor in info.tensors) + info.gap_bytes == info.n_bytes
    big = next(tensor for tensor in counted.files[0].tensors if tensor.name == "big")
    assert info.tensors[0].plans is None
    assert big.plans is not None
    assert sum(big.plans.values()) == 19
    assert any("rans" in plan for plan in big.plans)
    nothing = next(tensor for tensor in counted.files[0].tensors if tensor.name == "nothing")
    assert nothing.plans == {}


def test_file_objects_of_every_kind(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(samples.small())
    with path.open("rb") as src, (tmp_path / "packed").open("wb") as dst:
        pennyweight.compress(src, dst)
        assert not src.closed
    with (tmp_path / "packed").open("rb") as src, (tmp_path / "again").open("wb", buffering=0) as raw:
        pennyweight.restore(src, raw)
    assert (tmp_path / "again").read_bytes() == samples.small()
    with pytest.raises(UsageError, match="folder"):
        pennyweight.compress(tmp_path, io.BytesIO())


def test_gains_are_bits_below_order_0(tmp_path: Path) -> None:
    """Of rows with two scales and a column that is the sum of two, each tensor gains what its kind of model can."""
    rng = np.random.default_rng(11)
    noise = rng.standard_normal((300, 64))
    scaled = noise * np.exp2(rng.integers(0, 6, (300, 1)))
    mixed = rng.standard_normal((3_000, 3)) @ rng.standard_normal((3, 40)) + 0.1 * rng.standard_normal((3_000, 40))
    tensors = {"noise": noise, "scaled": scaled, "mixed": mixed}
    path = tmp_path / "w.safetensors"
    path.write_bytes(samples.safetensors(*((n, "F16", t.shape, t.astype("<f2").tobytes()) for n, t in tensors.items())))
    made = pennyweight.compress(path, preset="archive").output
    info = {tensor.name: tensor for tensor in pennyweight.inspect(made, gains=True).files[0].tensors}
    assert info["noise"].gained_bits is None or abs(info["noise"].gained_bits) < 0.05
    assert info["scaled"].gained_bits is not None
    assert 0.5 < info["scaled"].gained_bits < 3
    assert info["mixed"].gained_bits is not None
    assert 1 < info["mixed"].gained_bits < 5
    assert info["mixed"].plans is None
    assert all(tensor.gained_bits is None for tensor in pennyweight.inspect(made, plans=True).files[0].tensors)
