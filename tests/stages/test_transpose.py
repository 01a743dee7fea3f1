"""transpose."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pennyweight.errors import CorruptError, UsageError
from pennyweight.pipeline.plan import parse
from pennyweight.stages.protocol import StreamSpec
from pennyweight.stages.split.transpose import Transpose
from pennyweight.stages.wire import varint
from pennyweight.testing import check_stage
from pennyweight.types import DType

slow = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@slow
@given(st.integers(1, 16), st.integers(2, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_round_trip(width: int, rows: int, columns: int, seed: int) -> None:
    data = np.random.default_rng(seed).bytes(width * rows * columns)
    assert check_stage(Transpose(width, None, rows), [data], max_flips=16) == 1


def test_it_is_the_transpose_of_numpy() -> None:
    matrix = np.arange(6 * 7, dtype="<u4").reshape(6, 7)
    encoded = Transpose(4, None, 6).encode(matrix.reshape(-1).view(np.uint8))
    assert encoded is not None
    assert encoded.parts[0].tobytes() == matrix.T.tobytes()


@pytest.mark.parametrize(("rows", "n_bytes"), [(0, 24), (1, 24), (5, 24), (2, 0), (7, 24)])
def test_what_is_no_matrix_of_so_many_rows_is_declined(rows: int, n_bytes: int) -> None:
    assert Transpose(4, None, rows).encode(np.zeros(n_bytes, np.uint8)) is None


@pytest.mark.parametrize(
    ("header", "n_bytes"),
    [(b"", 8), (b"\0\2", 8), (b"\x11\2", 34), (b"\2\1", 8), (b"\2\0", 8), (b"\2\3", 8), (b"\2\2\0", 8), (b"\2\2", 0)],
)
def test_headers_that_lie(header: bytes, n_bytes: int) -> None:
    with pytest.raises(CorruptError):
        Transpose.from_header(header, n_bytes)


def test_rows_beyond_any_size() -> None:
    with pytest.raises(CorruptError):
        Transpose.from_header(b"\2" + varint(2**62), 8)


def test_what_stands_below_it_in_a_plan_knows_the_dtype() -> None:
    text = "transpose(floatfields[bits=17](exponent: linear_predictor))"
    plan = parse(text, DType.BF16)
    assert str(plan) == text
    assert plan.stage == Transpose(2, DType.BF16)
    with pytest.raises(UsageError, match="no parameters"):
        parse("transpose[rows=2]", DType.BF16)
    with pytest.raises(UsageError, match="elements of 1 to 16"):
        Transpose.bind(StreamSpec(width=17), {})
