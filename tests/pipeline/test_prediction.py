"""What training learns for `linear_predictor`, that it pays, and that it is the same everywhere."""

from __future__ import annotations

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from pennyweight import native
from pennyweight.pipeline.files import Reader
from pennyweight.pipeline.frame import encode_frame, read_frame
from pennyweight.pipeline.plan import parse
from pennyweight.pipeline.policy import Plans
from pennyweight.pipeline.progress import TwoPasses
from pennyweight.pipeline.sources import Segment, TensorRange
from pennyweight.pipeline.training import Training, train
from pennyweight.stages.entropy.linear_predictor import LinearPredictor, PredictorModel
from pennyweight.stages.protocol import Stream
from pennyweight.types import DType

PLAN = (
    "floatfields[bits=17](exponent: linear_predictor(rows: huffman, escapes: zstd), sign_mantissa: bitpack)"
    " | floatfields[bits=16](exponent: scales(rows: huffman, escapes: zstd), sign_mantissa: bitpack)"
    " | floatfields[bits=5](exponent: rans)"
)
Weights = NDArray[np.float64]


def correlated(rng: np.random.Generator, n: int, mixing: Weights) -> Weights:
    """n rows, each a mixture of independent numbers, and noise."""
    rank, d = mixing.shape
    return (rng.standard_normal((n, rank)) @ mixing / np.sqrt(rank) + 0.3 * rng.standard_normal((n, d))) * 0.02


def learn(tensors: Sequence[Weights], threads: int = 1) -> tuple[Training, Stream]:
    raw = [tensor.astype("<f2").tobytes() for tensor in tensors]
    segments: list[Segment] = [
        TensorRange(len(r), f"t{i}", DType.F16, t.shape) for i, (r, t) in enumerate(zip(raw, tensors, strict=True))
    ]
    plans: Plans = {kind: (parse(PLAN, DType.F16),) if kind is DType.F16 else () for kind in (*DType, None)}
    with Reader(io.BytesIO(b"".join(raw))) as src, ThreadPoolExecutor(threads) as pool:
        return train(src, segments, plans, 524_288, TwoPasses(src.size, None), map=pool.map), np.frombuffer(
            b"".join(raw), np.uint8
        )


def model(training: Training, segment: int) -> PredictorModel | None:
    stages = [stage for stage in training.plans(segment, 0)[0].stages if isinstance(stage, LinearPredictor)]
    assert len(stages) == 1
    return stages[0].model


def stored(training: Training, segment: int, block: Stream, at: int = 0) -> int:
    """Bytes of a frame, which is decoded and compared."""
    frame = encode_frame(training.plans(segment, at), block)
    out = np.empty_like(block)
    read_frame(frame, block.size, training.side).decode(out)
    assert np.array_equal(out, block)
    return frame.size


def test_a_tensor_with_many_rows_has_a_predictor_of_its_own() -> None:
    rng = np.random.default_rng(0)
    weights = correlated(rng, 3_000, rng.standard_normal((6, 96)))
    training, data = learn([weights])
    learned = model(training, 0)
    assert learned is not None
    assert learned.predictor is not None
    assert (learned.geometry.d, learned.predictor.w, learned.predictor.n_triangles) == (96, 96, 1)
    plain, _ = learn([rng.permuted(weights, axis=0)])  # the same columns, no longer of the same rows
    size = sum(stored(training, 0, data[at : at + 65_536], at) for at in range(0, data.size, 65_536))
    without = sum(stored(plain, 0, data[at : at + 65_536], at) for at in range(0, data.size, 65_536))
    assert size < 0.93 * without


def test_few_rows_each_share_one() -> None:
    rng = np.random.default_rng(1)
    mixing = rng.standard_normal((5, 128))
    tensors = [correlated(rng, 400, mixing) for _ in range(8)]
    training, _ = learn([*tensors, rng.standard_normal((400, 128)) * 0.02])
    models = [model(training, i) for i in range(9)]
    predictors = [each.predictor for each in models[:8] if each is not None and each.predictor is not None]
    assert len(predictors) == 8
    assert len({each.triangles_at for each in predictors}) == 1
    assert models[8] is None or models[8].predictor is None


def test_kernels_have_one_for_all_channels() -> None:
    rng = np.random.default_rng(2)
    kernels = correlated(rng, 160 * 64, rng.standard_normal((3, 25))).reshape(160, 64, 5, 5)
    training, data = learn([kernels])
    learned = model(training, 0)
    assert learned is not None
    assert learned.predictor is not None
    assert (learned.geometry.d, learned.predictor.w, learned.predictor.n_triangles) == (1_600, 25, 1)
    stored(training, 0, data[: 1_600 * 2 * 90])


def test_long_rows_are_predicted_in_bands() -> None:
    rng = np.random.default_rng(3)
    training, data = learn([correlated(rng, 800, rng.standard_normal((4, 1_517)))])
    learned = model(training, 0)
    assert learned is not None
    assert learned.predictor is not None
    assert (learned.geometry.d, learned.predictor.w, learned.predictor.n_triangles) == (1_517, 41, 37)
    stored(training, 0, data[: 1_517 * 2 * 90])


def test_what_has_no_correlation_has_no_predictor() -> None:
    rng = np.random.default_rng(4)
    training, _ = learn([rng.standard_normal((2_000, 64)), np.zeros((300, 200)), np.tile(rng.random(512), (200, 1))])
    assert [model(training, i) for i in range(3)] == [None] * 3
    assert training.side == ()


def test_the_same_on_every_target_and_number_of_threads() -> None:
    rng = np.random.default_rng(5)
    mixing = rng.standard_normal((5, 96))
    tensors = [correlated(rng, 2_500, mixing), *(correlated(rng, 300, mixing) for _ in range(4))]
    tensors.append(correlated(rng, 2_000, rng.standard_normal((3, 9))).reshape(50, 40, 3, 3))
    before, made = native.target(), []
    for target in native.targets():
        native.set_target(target)
        for threads in (1, 3):
            training, data = learn(tensors, threads)
            frame = encode_frame(training.plans(0, 0), data[:96_000])
            made.append(([s.tobytes() for s in training.side], [model(training, i) for i in range(6)], frame.tobytes()))
    native.set_target(before)
    assert all(other == made[0] for other in made)
    assert any(each is not None and each.predictor is not None for each in made[0][1])
