"""check_stage finds what it is there to find."""

from __future__ import annotations

import numpy as np
import pytest

from pennyweight.errors import CorruptError
from pennyweight.stages.protocol import Encoded, Side, Stream
from pennyweight.stages.store import Store, StoreDecoder
from pennyweight.testing import check_stage

INPUT = [b"pennyweight"]


def test_declined_inputs_are_not_counted() -> None:
    class Declines(Store):
        def encode(self, src: Stream) -> Encoded | None:  # type: ignore[override]
            return None

    assert check_stage(Declines(), INPUT * 3) == 0
    assert check_stage(Store(), INPUT * 3) == 3


def test_other_bytes() -> None:
    class Reverses(Store):
        def encode(self, src: Stream) -> Encoded:
            return Encoded(b"", (src[::-1],))

    with pytest.raises(AssertionError, match="not the bytes that were encoded"):
        check_stage(Reverses(), INPUT)


def test_writing_to_the_input() -> None:
    class Overwrites(Store):
        def encode(self, src: Stream) -> Encoded:
            src[0] = 0
            return Encoded(b"", (src,))

    with pytest.raises(ValueError, match="read-only"):
        check_stage(Overwrites(), INPUT)


def test_an_exception_that_is_not_corrupt_error() -> None:
    class Unchecked(Store):
        @classmethod
        def from_header(cls, header: bytes, n_bytes: int, side: Side = ()) -> StoreDecoder:
            class Decoder(StoreDecoder):
                def decode(self, parts: tuple[Stream, ...], out: Stream) -> None:
                    out[:] = parts[0]

            if header:
                raise CorruptError("the header must be empty")
            return Decoder((n_bytes,))

    with pytest.raises(ValueError, match="broadcast"):
        check_stage(Unchecked(), INPUT)


def test_writing_outside_the_output() -> None:
    class Spills(Store):
        @classmethod
        def from_header(cls, header: bytes, n_bytes: int, side: Side = ()) -> StoreDecoder:
            class Decoder(StoreDecoder):
                def decode(self, parts: tuple[Stream, ...], out: Stream) -> None:
                    super().decode(parts, out)
                    assert out.base is not None
                    np.asarray(out.base)[-1] = 0

            return Decoder((n_bytes,))

    with pytest.raises(AssertionError, match="outside the output"):
        check_stage(Spills(), INPUT)
