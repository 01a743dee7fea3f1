"""Progress goes forward, from the first tensor that is trained, and ends with all bytes."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pennyweight
from pennyweight.pipeline.progress import TwoPasses


@given(st.data(), st.integers(0, 10**12))
def test_both_passes_make_all(data: st.DataObject, n_bytes: int) -> None:
    done: list[int] = []
    passes = TwoPasses(n_bytes, done.append)
    left = n_bytes // 2
    for _ in range(3):
        left -= (part := data.draw(st.integers(0, left)))
        passes.trained(part)
        assert sum(done) == passes._trained
    left = n_bytes
    while left > 0:
        left -= (part := data.draw(st.integers(min(left, n_bytes // 5 + 1), left)))
        passes.encoded(part)
    assert sum(done) == n_bytes
    assert all(n > 0 for n in done)


@pytest.mark.parametrize(("preset", "trained"), [("fast", 0), ("default", 0), ("high", 1 / 8), ("archive", 1 / 2)])
def test_training_is_told(preset: str, trained: float) -> None:
    """Of three matrices that could share a predictor, before anything else."""
    rng = np.random.default_rng(7)
    n, shape = 3, (700, 96)
    mixing = rng.standard_normal((8, 96))
    weights = [(rng.standard_normal((700, 8)) @ mixing + rng.standard_normal(shape)).astype("<f4") for _ in range(n)]
    size = weights[0].nbytes
    header = {f"t{i}": {"dtype": "F32", "shape": shape, "data_offsets": [i * size, (i + 1) * size]} for i in range(n)}
    text = json.dumps(header).encode()
    data = len(text).to_bytes(8, "little") + text + b"".join(each.tobytes() for each in weights)
    done: list[int] = []
    pennyweight.compress(io.BytesIO(data), io.BytesIO(), preset=preset, threads=2, progress=done.append)
    assert sum(done) == len(data)
    steps = np.cumsum(done)
    assert int(trained * n * size) in steps if trained else steps[0] > size
