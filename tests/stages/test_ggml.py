"""ggml, and piecewise for what it sorts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pennyweight.errors import CorruptError, UsageError
from pennyweight.stages.cells import OF_DTYPE, Layout
from pennyweight.stages.entropy.piecewise import Piecewise
from pennyweight.stages.entropy.rans import Rans
from pennyweight.stages.protocol import Stream, StreamSpec
from pennyweight.stages.split.ggml import Ggml
from pennyweight.stages.wire import varint
from pennyweight.testing import byte_streams, check_stage
from pennyweight.testing.gguf import quantised_cells
from pennyweight.types import DType

slow = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
every_layout = pytest.mark.parametrize("layout", OF_DTYPE.values(), ids=lambda layout: layout.dtype.label)


def stream(data: bytes) -> Stream:
    return np.frombuffer(data, np.uint8)


@every_layout
def test_round_trip_and_hostile_inputs(layout: Layout) -> None:
    rng = np.random.default_rng(layout.id)
    n_bytes = 9 * layout.cell_bytes
    inputs = [
        quantised_cells(layout.dtype, 40),
        bytes(n_bytes),  # no extreme but 0, and no scale
        b"\xff" * n_bytes,  # scales that are NaN
        rng.bytes(n_bytes),
        rng.integers(0, 3, n_bytes, np.uint8).tobytes(),
        quantised_cells(layout.dtype, 1),
    ]
    assert check_stage(Ggml(layout), inputs, max_flips=40) == len(inputs)


@slow
@given(st.sampled_from([*OF_DTYPE.values()]), st.integers(1, 5), st.data())
def test_any_bytes_are_cells(layout: Layout, n: int, data: st.DataObject) -> None:
    cells = data.draw(st.binary(min_size=n * layout.cell_bytes, max_size=n * layout.cell_bytes))
    encoded = Ggml(layout).encode(stream(cells))
    assert encoded is not None
    out = np.empty(len(cells), np.uint8)
    Ggml.from_header(encoded.header, len(cells)).decode(encoded.parts, out)
    assert out.tobytes() == cells


@pytest.mark.parametrize("layout", [each for each in OF_DTYPE.values() if each.wide], ids=lambda each: each.dtype.label)
def test_scales_of_few_values_are_listed(layout: Layout) -> None:
    """Whose upper byte tells the lower one."""
    cells = stream(quantised_cells(layout.dtype, 600)).reshape(-1, layout.cell_bytes).copy()
    values = np.arange(16) * 0x111
    layout.put_scales(cells, np.random.default_rng(1).choice(values, 600), layout.take_min(cells))
    encoded = Ggml(layout).encode(cells.reshape(-1))
    assert encoded is not None
    assert encoded.parts[0].view("<u2").tolist() == [0] + [0x111] * 15
    assert check_stage(Ggml(layout), [cells.reshape(-1)], max_flips=8) == 1


def test_exact_bytes_of_a_group() -> None:
    """Q4_1 of d = 1 and m = -2: zero is quant 2. The first 15 is at 3, the first 0 at 17."""
    quants = np.array([2, 3, 4, 15] + [5] * 13 + [0] + [6] * 14, np.uint8)
    cells = np.array([0, 0x3C, 0, 0xC0, *(quants[:16] | quants[16:] << 4)], np.uint8)
    encoded = Ggml(OF_DTYPE[DType.Q4_1]).encode(cells)
    assert encoded is not None
    assert encoded.header == bytes([3, 0, 0, 30])
    values, scales, mins, sub_scales, sub_mins, first, left, low = (part.tolist() for part in encoded.parts)
    assert (values, scales, mins, sub_scales, sub_mins) == ([], [0, 0x3C], [0x80, 0x10], [], [])
    assert first == [17, 3]
    assert left == [2, 3, 4] + [5] * 13 + [6] * 14
    assert low == []


def test_declines() -> None:
    for layout in OF_DTYPE.values():
        cell = bytes(layout.cell_bytes)
        assert check_stage(Ggml(layout), [b"", cell[1:], cell + b"\0"]) == 0


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"\x03",
        bytes([3, 0, 0]),
        bytes([4, 0, 0, 0]),
        bytes([3, 1, 0, 0]),  # a center beside mins
        b"\x02" + varint(1 << 17) + b"\0\0",
        b"\x03\0" + varint(4097) + b"\0",
        bytes([3, 0, 0, 65]),
        bytes([3, 0, 0, 0, 0]),
    ],
)
def test_headers_that_lie(header: bytes) -> None:
    with pytest.raises(CorruptError):
        Ggml.from_header(header, 40)


@pytest.mark.parametrize(("part", "value"), [(5, 33), (5, 255), (6, 16), (1, 9)])
def test_parts_that_lie(part: int, value: int) -> None:
    """A first extreme out of range, two at one place, a quant of five bits, a scale that leaves other quants."""
    cells = stream(quantised_cells(DType.Q4_1, 30))
    encoded = Ggml(OF_DTYPE[DType.Q4_1]).encode(cells)
    assert encoded is not None
    parts = [each.copy() for each in encoded.parts]
    parts[part][0] = value
    if part == 1:
        parts[5][0] = parts[5][30]
    with pytest.raises(CorruptError):
        Ggml.from_header(encoded.header, cells.size).decode(tuple(parts), np.empty(cells.size, np.uint8))


def test_bind() -> None:
    assert Ggml.bind(StreamSpec.of(DType.Q6_K), {}).layout.id == 14
    for spec, params in ((StreamSpec.of(DType.F16), {}), (StreamSpec(), {}), (StreamSpec.of(DType.Q4_0), {"bits": 4})):
        with pytest.raises(UsageError):
            Ggml.bind(spec, params)


@pytest.mark.parametrize("bits", [4, 5, 8])
def test_piecewise_round_trip(bits: int, each_target: str) -> None:
    rng = np.random.default_rng(bits)
    inputs = []
    for n in (2, 127, 128, 129, 511, 512, 513, 3_000):
        pieces = [rng.choice(1 << bits, -(-n // 3), p=rng.dirichlet(np.full(1 << bits, 0.2))) for _ in range(3)]
        inputs.append(np.concatenate(pieces)[:n].astype(np.uint8))
    inputs += [np.repeat(np.array(few, np.uint8), 700) for few in ([0, (1 << bits) - 1, 1], [3, 2])]
    assert check_stage(Piecewise(bits), inputs, max_flips=12) > 7


@slow
@given(byte_streams())
def test_piecewise_of_any_bytes(src: Stream) -> None:
    check_stage(Piecewise(), [src], max_flips=8)


def test_a_stream_that_changes_is_smaller_in_pieces() -> None:
    rng = np.random.default_rng(3)
    src = np.concatenate([rng.binomial(15, p, 40 * 512) for p in (0.1, 0.3, 0.5, 0.8)]).astype(np.uint8)
    one, several = Rans(4).encode(src), Piecewise(4).encode(src)
    assert one is not None
    assert several is not None
    assert len(Piecewise.from_header(several.header, src.size).groups) == 4
    assert several.parts[0].size < 0.9 * one.parts[0].size


def test_piecewise_declines() -> None:
    noise = np.random.default_rng(4).integers(0, 16, 5_000, np.uint8)
    assert check_stage(Piecewise(4), [b"", b"\1", b"\1" * 600, noise]) == 0


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"\x03\0\1",
        b"\x04",
        b"\x04\0\0",
        b"\x04" + varint(301) + b"\1",
        b"\x04\0" + varint(1025) + b"\1" * 1024,
        b"\x04\0\2\0",
        b"\x04\0\2\3",
        b"\x04\0\3\1\2",
    ],
)
def test_piecewise_headers_that_lie(header: bytes) -> None:
    with pytest.raises(CorruptError):
        Piecewise.from_header(header, 300)
    with pytest.raises(CorruptError):
        Piecewise.from_header(b"\x04\0\1", 0)


@pytest.mark.parametrize(
    ("dtype", "zero"),
    [
        *((DType.Q4_0, 8), (DType.Q5_0, 16), (DType.Q8_0, 128), (DType.Q3_K, 4), (DType.Q6_K, 32)),
        *((dtype, 0) for dtype in (DType.Q4_1, DType.Q5_1, DType.Q2_K, DType.Q4_K, DType.Q5_K)),
    ],
)
def test_weights_made_of_the_fields_are_those_of_the_library(dtype: DType, zero: int) -> None:
    """So that a field is what it is taken for, not just bits that come back."""
    gguf = pytest.importorskip("gguf")
    layout = OF_DTYPE[dtype]
    cells = stream(quantised_cells(dtype, 20)).reshape(-1, layout.cell_bytes)
    quants = layout.take_quants(cells)
    if layout.pairs:
        quants = np.stack((quants & (1 << layout.weight_bits) - 1, quants >> layout.weight_bits), axis=1).reshape(-1)
    q = quants.reshape(20, layout.n_groups, -1).astype(np.float64) - zero
    d, m = (
        words.astype("<u2").view("<f2").astype(np.float64)
        for words in (layout.take_scale(cells), layout.take_min(cells))
    )
    sub_scales, sub_mins = layout.take_subs(cells)
    scale = np.repeat(d[:, None], layout.n_groups, axis=1)
    if sub_scales.size:
        signed = sub_scales.view(np.int8) if layout.signed else sub_scales.astype(np.float64) - layout.middle
        scale = scale * signed
    least = np.zeros_like(scale)
    if m.size:
        least = -m[:, None] * sub_mins if sub_mins.size else m[:, None]
    expected = gguf.dequantize(cells, gguf.GGMLQuantizationType[dtype.label]).reshape(20, layout.n_groups, -1)
    assert np.allclose(q * scale[..., None] + least[..., None], expected, rtol=1e-4, atol=1e-6)
