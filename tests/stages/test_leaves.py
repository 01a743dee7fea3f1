"""store and constant."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from pennyweight.errors import CorruptError
from pennyweight.stages.constant import Constant
from pennyweight.stages.protocol import Stream
from pennyweight.stages.store import Store
from pennyweight.testing import byte_streams, check_stage


@given(byte_streams(max_bytes=64))
def test_store(stream: Stream) -> None:
    assert check_stage(Store(), [stream]) == 1


@pytest.mark.parametrize("width", [1, 2, 4, 8, 16])
def test_constant(width: int) -> None:
    element = bytes(range(1, width + 1))
    same = [element, element * 2, element * 37, bytes(width * 5)]
    other = [b"", element * 3 + b"\0", element * 9 + bytes(width), bytes(width) + element * 9]
    assert check_stage(Constant(width), same) == len(same)
    assert check_stage(Constant(width), other) == 0


def test_constant_exact_bytes() -> None:
    encoded = Constant(2).encode(np.frombuffer(b"\x80\x3f" * 8, np.uint8))
    assert encoded == (b"\x80\x3f", ())


@pytest.mark.parametrize(("header", "n_bytes"), [(b"", 0), (b"", 4), (b"abc", 4), (bytes(17), 34)])
def test_constant_that_cannot_fill(header: bytes, n_bytes: int) -> None:
    with pytest.raises(CorruptError):
        Constant.from_header(header, n_bytes)
