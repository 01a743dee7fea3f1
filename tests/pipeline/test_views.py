"""Which tensors may be turned, that those that gain are, and what the index says was tried."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import samples
import spec_decoder
from numpy.typing import NDArray

import pennyweight
from pennyweight.pipeline.plan import parse
from pennyweight.pipeline.sources import TensorRange
from pennyweight.pipeline.views import jobs_for
from pennyweight.stages.entropy.linear_predictor import LinearPredictor
from pennyweight.stages.entropy.scales import Scales
from pennyweight.types import DType

TREE = "floatfields[bits=17](exponent: linear_predictor)"
BLOCK = 65_536


def turned(shape: tuple[int, ...], plan: str = f"{TREE} | transpose({TREE})", block: int = BLOCK) -> list[int]:
    """`turn` of each job for a tensor of that shape."""
    tensor = TensorRange(4 * int(np.prod(shape)), "w", DType.F32, shape)
    jobs = jobs_for([tensor], {DType.F32: (parse(plan, DType.F32),)}, LinearPredictor, 8, block)
    assert all(job.path.above[0][0].name == "floatfields" for job in jobs)
    return [job.turn for job in jobs]


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((100, 128), [0, 100]),
        ((1, 5, 5, 400), [0, 25]),  # kernels of a depthwise convolution
        ((128, 3, 3, 8), [0, 128]),  # not 1,152 long rows
        ((1, 128, 1, 100), [0, 128]),
        ((12_800,), [0]),
        ((1, 12_800), [0]),
        ((2, 6_400), [0]),  # rows of two
        ((128, 128), [0, 128]),  # one block
        ((128, 191), [0, 128]),  # still one
        ((128, 192), [0]),  # two blocks
        ((16, 16), []),  # shares a part of a block with others
    ],
)
def test_what_may_be_turned(shape: tuple[int, ...], expected: list[int]) -> None:
    assert turned(shape) == expected


def test_only_where_a_plan_says_so() -> None:
    assert turned((100, 128), TREE) == [0]
    assert turned((100, 128), f"transpose({TREE})") == [100]
    tensor = TensorRange(51_200, "w", DType.F32, (100, 128))
    assert jobs_for([tensor], {DType.F32: (parse(TREE, DType.F32),)}, Scales, 16, BLOCK) == []


def correlated(rng: np.random.Generator, n: int, mixing: NDArray[np.float64]) -> NDArray[np.float64]:
    rank, d = mixing.shape
    return (rng.standard_normal((n, rank)) @ mixing / np.sqrt(rank) + 0.2 * rng.standard_normal((n, d))) * 0.02


def sizes(tmp_path: Path, tensors: dict[str, NDArray[np.float64]], preset: str = "archive") -> tuple[int, str]:
    """Bytes of a container that comes back, and the stages in it."""
    rows = [(name, "F16", t.shape, t.astype("<f2").tobytes()) for name, t in tensors.items()]
    source, made, back = tmp_path / "w.safetensors", tmp_path / f"{preset}.pwt", tmp_path / "back"
    source.write_bytes(samples.safetensors(*rows))
    pennyweight.compress(source, made, preset=preset, force=True)
    pennyweight.restore(made, back, force=True)
    assert back.read_bytes() == source.read_bytes()
    assert spec_decoder.decode(made.read_bytes()) == source.read_bytes()
    used = pennyweight.inspect(made, plans=True)
    return made.stat().st_size, json.dumps([tensor.plans for tensor in used.files[0].tensors])


def test_a_matrix_that_is_correlated_along_its_columns_is_turned(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((4, 64))
    plain = {f"t{i}": correlated(rng, 700, mixing) for i in range(4)}
    size, stages = sizes(tmp_path, plain)
    assert "linear_predictor" in stages
    assert "transpose" not in stages
    size_turned, stages = sizes(tmp_path, {name: t.T for name, t in plain.items()})
    assert "transpose" in stages
    assert abs(size_turned - size) < 0.02 * size  # noise alone would be a tenth larger


def test_square_matrices_are_seen_in_the_better_way(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    mixing = rng.standard_normal((4, 96))
    several = {f"t{i}": correlated(rng, 96, mixing) for i in range(12)}
    mixed = {name: t.T if i % 2 else t for i, (name, t) in enumerate(several.items())}
    size, _ = sizes(tmp_path, several)
    size_mixed, stages = sizes(tmp_path, mixed)
    assert "transpose" in stages
    assert size_mixed < 1.02 * size


def test_kernels_that_lie_across_the_rows(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    kernels = correlated(rng, 3_000, rng.standard_normal((3, 25))).T.reshape(1, 5, 5, 3_000)
    size, stages = sizes(tmp_path, {"depthwise": kernels})
    assert "transpose" in stages
    assert size < 0.97 * sizes(tmp_path, {"depthwise": kernels}, "high")[0]


def test_two_streams_of_a_model_have_two_predictors(tmp_path: Path) -> None:
    """Half of the matrices read one, half the other; one predictor for both would be of little use."""
    rng = np.random.default_rng(3)
    mixings = [rng.standard_normal((6, 64)) for _ in range(2)]
    both = {f"t{i}": correlated(rng, 500, mixings[i % 2]) for i in range(10)}
    apart = sum(
        sizes(tmp_path, {name: t for i, (name, t) in enumerate(both.items()) if i % 2 == half})[0] for half in (0, 1)
    )
    assert sizes(tmp_path, both)[0] < 1.01 * apart


def test_the_index_names_what_was_tried(tmp_path: Path) -> None:
    """A tree that learned nothing is not: then archive says what high does, and is no larger for it."""
    rng = np.random.default_rng(4)
    noise = {"w": rng.standard_normal((80, 200)) * 0.02}
    size, _ = sizes(tmp_path, noise)
    size_high, _ = sizes(tmp_path, noise, "high")
    assert size <= size_high + 8  # the name of the preset, in a compressed index
    metadata = {}
    for preset in ("archive", "high"):
        _, index = spec_decoder.read_index((tmp_path / f"{preset}.pwt").read_bytes())
        metadata[preset] = spec_decoder.split_index(index)[0]["plans"]["F16"]
    assert "linear_predictor" not in str(metadata)
    assert [str(parse(text, DType.F16)) for text in metadata["archive"]] == metadata["archive"]


def test_large_blocks_without_predictions_may_be_in_pieces(tmp_path: Path) -> None:
    """Bytes whose frequencies change after each 512 KiB, which one table for 2 MiB would have to average."""
    rng = np.random.default_rng(5)
    bands = [rng.normal(30 * i, 5, 524_288).astype(np.int64).astype(np.uint8) for i in range(5)]
    source = tmp_path / "unknown"
    source.write_bytes(np.concatenate(bands).tobytes())
    made = {}
    for preset in ("archive", "high"):
        target = tmp_path / f"{preset}.pwt"
        pennyweight.compress(source, target, preset=preset)
        assert spec_decoder.decode(target.read_bytes()) == source.read_bytes()
        made[preset] = target.stat().st_size
    assert made["archive"] <= made["high"]


@pytest.mark.parametrize("shape", [(3, 32_768), (3, 32_769), (2, 65_536), (2, 65_537), (1, 70_000), (70_000, 1)])
@pytest.mark.parametrize("dtype", [DType.C64, DType.F16])
def test_rows_as_long_as_the_stage_takes_and_longer(shape: tuple[int, int], dtype: DType) -> None:
    """A complex number has two keys."""
    bits = np.random.default_rng(6).standard_normal(shape[0] * shape[1] * (2 if dtype is DType.C64 else 1)) * 0.02
    raw = bits.astype("<f4" if dtype is DType.C64 else "<f2").tobytes()
    data, made, back = samples.safetensors(("w", dtype.label, shape, raw)), io.BytesIO(), io.BytesIO()
    pennyweight.compress(io.BytesIO(data), made, preset="archive")
    assert len(made.getvalue()) < 0.86 * len(data)
    pennyweight.restore(made, back)
    assert back.getvalue() == data
