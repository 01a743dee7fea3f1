"""What training learns, and that it is the same everywhere."""

from __future__ import annotations

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pennyweight import native
from pennyweight.pipeline.files import Reader
from pennyweight.pipeline.frame import encode_frame, read_frame
from pennyweight.pipeline.plan import parse
from pennyweight.pipeline.policy import Plans
from pennyweight.pipeline.progress import TwoPasses
from pennyweight.pipeline.sources import Gap, Segment, TensorRange
from pennyweight.pipeline.tables import ONE, choose_tables, costs, frequencies, log2, price
from pennyweight.pipeline.training import Training, train
from pennyweight.stages.entropy.scales import Scales, ScalesModel
from pennyweight.stages.protocol import Stream
from pennyweight.types import DType

PLAN = "floatfields[bits=16](exponent: scales(rows: huffman, escapes: zstd), sign_mantissa: bitpack) | zstd"


def scaled(
    rng: np.random.Generator, shape: tuple[int, ...], rows: float = 1, columns: float = 1
) -> NDArray[np.float64]:
    """Gaussian weights whose rows and columns have scales of their own, spread over so many octaves."""
    n_rows, d = shape[0], int(np.prod(shape[1:]))
    row, column = np.exp2(rows * rng.random((n_rows, 1))), np.exp2(columns * rng.random((1, d)))
    return (rng.standard_normal((n_rows, d)) * 0.02 * row * column).reshape(shape)


def learn(tensors: Sequence[NDArray[Any]], dtype: DType = DType.F16, threads: int = 1) -> tuple[Training, Stream]:
    """Training for a file of a gap and these tensors, and the file."""
    kind = {DType.F16: "<f2", DType.F32: "<f4", DType.F64: "<f8", DType.C64: "<c8"}[dtype]
    tensors = [tensor + 1j * tensor[::-1] if dtype is DType.C64 else tensor for tensor in tensors]
    raw = [tensor.astype(kind).tobytes() for tensor in tensors]
    segments: list[Segment] = [Gap(11)]
    segments += [
        TensorRange(len(r), f"t{i}", dtype, t.shape) for i, (r, t) in enumerate(zip(raw, tensors, strict=True))
    ]
    plans: Plans = {kind: (parse(PLAN, dtype),) if kind is dtype else () for kind in (*DType, None)}
    data = b"-" * 11 + b"".join(raw)
    with Reader(io.BytesIO(data)) as src, ThreadPoolExecutor(threads) as pool:
        return train(src, segments, plans, 524_288, TwoPasses(src.size, None), map=pool.map), np.frombuffer(
            data, np.uint8
        )


def model(training: Training, segment: int) -> ScalesModel | None:
    stages = [stage for stage in training.plans(segment, 0)[0].stages if isinstance(stage, Scales)]
    assert len(stages) == 1
    return stages[0].model


def test_a_matrix_with_row_and_column_scales_gains() -> None:
    weights = scaled(np.random.default_rng(0), (600, 320), rows=3, columns=3)
    training, data = learn([weights])
    learned = model(training, 1)
    assert learned is not None
    assert (learned.geometry.d, learned.geometry.s, learned.geometry.g) == (320, 320, 1)
    assert learned.columns is not None
    octaves = np.frombuffer(learned.columns, np.int8) / 8
    actual = np.log2(np.abs(weights).mean(axis=0))
    assert np.abs(octaves - octaves.mean() - (actual - actual.mean())).max() < 0.3
    alone = encode_frame(
        [parse("floatfields[bits=16](exponent: byteplane(*: huffman), sign_mantissa: bitpack)", DType.F16)], data[11:]
    )
    size = 0
    for at in range(0, weights.size * 2, 96_256):  # blocks that begin within rows
        block = data[11:][at : at + 96_256]
        frame = encode_frame(training.plans(1, at), block)
        size += frame.size
        node = read_frame(frame, block.size, training.side)
        assert "scales" in str(node)
        out = np.empty_like(block)
        node.decode(out)
        assert np.array_equal(out, block)
    assert size + sum(s.size for s in training.side) < 0.975 * alone.size


def test_rows_without_columns_and_short_axes() -> None:
    rng = np.random.default_rng(1)
    kernels = np.exp2(rng.random((64, 40, 1)) * 4) * rng.standard_normal((64, 40, 9)) * 0.02
    training, _ = learn([scaled(rng, (500, 200), rows=3, columns=0), kernels])
    first, second = model(training, 1), model(training, 2)
    assert first is not None
    assert first.columns is None or np.abs(np.frombuffer(first.columns, np.int8)).max() <= 1
    assert first.geometry.s == 200
    assert second is not None
    assert second.geometry.s == 9


def test_a_plain_matrix_is_left_alone() -> None:
    rng = np.random.default_rng(2)
    training, data = learn([scaled(rng, (300, 200), 0, 0), scaled(rng, (4, 100), 3, 3), np.zeros((300, 200))])
    assert [model(training, i) for i in (1, 2, 3)] == [None] * 3
    assert training.side == ()
    assert "scales" not in str(read_frame(encode_frame(training.plans(1, 0), data[11:120_011]), 120_000))


@pytest.mark.parametrize("dtype", [DType.F16, DType.F32, DType.F64, DType.C64])
def test_positions_count_keys(dtype: DType) -> None:
    """A complex number has two."""
    training, data = learn([scaled(np.random.default_rng(3), (400, 120), 3, 3)], dtype)
    step = 3 * 96 * dtype.bits // 8
    frame = encode_frame(training.plans(1, 7 * step), data[11 + 7 * step : 11 + 8 * step])
    stages = [stage for stage in training.plans(1, 7 * step)[0].stages if isinstance(stage, Scales)]
    assert stages[0].first == 7 * 3 * 96 * (2 if dtype is DType.C64 else 1)
    out = np.empty(step, np.uint8)
    read_frame(frame, step, training.side).decode(out)
    assert np.array_equal(out, data[11 + 7 * step : 11 + 8 * step])


def test_the_same_on_every_target_and_number_of_threads() -> None:
    rng = np.random.default_rng(4)
    tensors = [scaled(rng, shape, 2, 2) for shape in [(300, 200), (40, 30, 3, 3), (90_000,), (1_200, 700), (20_000, 4)]]
    before, made = native.target(), []
    for target in native.targets():
        native.set_target(target)
        for threads in (1, 3):
            training, _ = learn(tensors, threads=threads)
            made.append(([s.tobytes() for s in training.side], [model(training, i) for i in range(1, 6)]))
    native.set_target(before)
    assert all(other == made[0] for other in made)
    assert len(made[0][0]) >= 2


def table_of(counts: list[int]) -> list[int]:
    """The frequencies of one context, slot by slot."""
    n_symbols = len(counts)
    counts = counts if any(counts) else [1] * n_symbols
    shares = [divmod(count << 14, sum(counts)) for count in counts]
    made = [max(1, min(whole, 2**14 - n_symbols)) for whole, _ in shares]
    takers = sorted(range(n_symbols), key=lambda i: -shares[i][1])
    for turn in range(2**14 - sum(made)):
        made[takers[turn % n_symbols]] += 1
    givers = sorted(range(n_symbols), key=lambda i: -counts[i])
    while sum(made) > 2**14:
        for i in [i for i in givers if made[i] > 1][: sum(made) - 2**14]:
            made[i] -= 1
    return made


def test_all_contexts_get_frequencies_at_once() -> None:
    rng, taken = np.random.default_rng(2), 0
    for alphabet in (16, 128):
        counts = rng.geometric(rng.choice([0.5, 0.01, 1e-5], (80, 1)), (80, alphabet)) - 1
        counts[rng.random(counts.shape) < rng.choice([0, 0.3, 0.99], (80, 1))] = 0
        counts[:3] = np.eye(3, alphabet, dtype=np.int64) * [[1], [70], [2**40]]  # one symbol has all
        made = frequencies(counts)
        assert made.tolist() == [table_of(row) for row in counts.tolist()]
        given = (made < np.maximum(1, (counts << 14) // np.maximum(counts.sum(axis=1, keepdims=True), 1))).sum(axis=1)
        taken += int((given > 0).sum())
    assert taken > 50  # rows in which frequent symbols give


def test_logarithm_and_frequencies() -> None:
    values = np.concatenate((np.arange(1, 70_000), 1 << np.arange(46)))
    assert np.abs(log2(values) / ONE - np.log2(values)).max() < 0.002
    rng = np.random.default_rng(5)
    for counts in (
        rng.integers(0, 9, (8, 128)),
        np.eye(8, 128, dtype=np.int64) * 10**6,
        rng.geometric(1e-5, (8, 128)),
        np.zeros((8, 128), np.int64),
    ):
        made = frequencies(counts.astype(np.int64))
        assert (made.sum(axis=1) == 2**14).all()
        assert made.min() >= 1
    skewed = (1e6 * 0.8 ** np.arange(128)).astype(np.int64)[None].repeat(8, axis=0)
    assert abs(costs(skewed[None], [frequencies(skewed)])[0, 0] / price(skewed) - 1) < 0.01


def test_as_many_sets_of_tables_as_pay() -> None:
    low, high = (
        (1e6 * 0.8 ** np.abs(np.arange(128) - middle)).astype(np.int64)[None].repeat(8, axis=0) for middle in (20, 90)
    )
    tables, chosen = choose_tables(np.stack((low, high, low // 2, low)), 16_000)
    assert len(tables) == 2
    assert chosen[0] == chosen[2] == chosen[3] != chosen[1]
    assert len(choose_tables(np.stack((low, low // 3)), 16_000)[0]) == 1
    assert len(choose_tables(np.stack((low, high)), 10**9)[0]) == 1
