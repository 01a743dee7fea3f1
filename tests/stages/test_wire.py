from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pennyweight.errors import CorruptError
from pennyweight.stages.wire import read_varint, varint


@given(st.integers(0, 2**63 - 1), st.binary(max_size=3))
def test_round_trip_with_bytes_around(value: int, around: bytes) -> None:
    written = varint(value)
    assert len(written) == max(1, -(-value.bit_length() // 7))
    assert read_varint(around + written + around, len(around)) == (value, len(around) + len(written))


def test_exact_bytes() -> None:
    assert [varint(v).hex() for v in (0, 127, 128, 300, 2**63 - 1)] == ["00", "7f", "8001", "ac02", "ff" * 8 + "7f"]


@pytest.mark.parametrize("lie", ["", "80", "8000", "ff80", "808000", "ff" * 9, "ff" * 9 + "01", "80" * 9 + "01"])
def test_cut_long_or_large_is_corrupt(lie: str) -> None:
    with pytest.raises(CorruptError):
        read_varint(bytes.fromhex(lie), 0)
