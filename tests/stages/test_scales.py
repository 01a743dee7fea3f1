"""scales: any keys, any geometry, and headers that lie."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pennyweight import native
from pennyweight.errors import CorruptError, UsageError
from pennyweight.stages.entropy.scales import Scales, ScalesModel
from pennyweight.stages.matrix import Geometry
from pennyweight.stages.protocol import Side, Stream, StreamSpec
from pennyweight.stages.wire import varint
from pennyweight.testing import check_stage

slow = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def flat_tables(m: int) -> Stream:
    return np.full(8 * 16 << m, 1024 >> m, "<u2").view(np.uint8)


def trained(m: int, geometry: Geometry, columns: Stream | None, at: int = 3) -> tuple[Scales, Side]:
    """A stage with flat tables, and its side frames: something else, the columns after `at` bytes, the tables."""
    tables = flat_tables(m)
    frame = np.concatenate((np.full(at, 99, np.uint8), columns)) if columns is not None else np.zeros(1, np.uint8)
    side = (np.zeros(7, np.uint8), frame, tables)
    model = ScalesModel(geometry, tables.tobytes(), 2, None if columns is None else columns.tobytes(), (1, at))
    return Scales(m).trained(model), side


@st.composite
def cases(draw: st.DrawFn) -> tuple[Scales, Side, Stream]:
    """Weights of rows and columns of any scale, a few of them far from theirs."""
    m, n = draw(st.integers(0, 3)), draw(st.integers(1, 700))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    d = draw(st.integers(1, 90))
    geometry = Geometry(d, draw(st.integers(1, d)), draw(st.integers(1, d)))
    columns = rng.integers(-40, 41, geometry.n_columns).astype(np.int8).view(np.uint8) if draw(st.booleans()) else None
    stage, side = trained(m, geometry, columns)
    first = draw(st.sampled_from([0, 1, d, 10**6, 2**40 + 17, 2**48 - 701]))
    column = (first + np.arange(n)) % d // geometry.g
    scale = 0 if columns is None else columns.view(np.int8)[column].astype(np.int64) // 8
    e = 400 + scale - rng.geometric(0.5, n) + draw(st.integers(-390, 390))
    for _ in range(draw(st.integers(0, n // 64))):
        e[rng.integers(n)] -= draw(st.integers(0, 300))
    keys = np.clip(e, 0, (1 << 11) - 1) << m | rng.integers(0, 1 << m, n)
    return stage.at(first), side, keys.astype("<u2").view(np.uint8)


@slow
@given(cases())
def test_round_trip(case: tuple[Scales, Side, Stream]) -> None:
    stage, side, keys = case
    assert check_stage(stage, [keys], side=side, max_flips=24) <= 1


@slow
@given(cases())
def test_targets_write_the_same(case: tuple[Scales, Side, Stream]) -> None:
    stage, _, keys = case
    before, made = native.target(), []
    for target in native.targets():
        native.set_target(target)
        encoded = stage.encode(keys)
        made.append(encoded and (encoded.header, [part.tobytes() for part in encoded.parts]))
    native.set_target(before)
    assert made == made[:1] * len(made)


def test_escapes_near_and_far() -> None:
    """Distances of 0, 14, 15, 30 and 200 on both sides."""
    e = np.full(2048, 1000)
    e[::100] = 1000 - np.array([0, 11, 12, 25, 26, 41, 211, *[0] * 14])
    e[1] = 1000 + 5
    keys = (e << 3).astype("<u2").view(np.uint8)
    stage, side = trained(3, Geometry(2048, 2048, 2048), None)
    encoded = stage.encode(keys)
    assert encoded is not None
    assert encoded.parts[1].size > 8
    assert check_stage(stage, [keys], side=side) == 1


def test_a_row_of_zeros_leaves_the_others_their_scales() -> None:
    rng = np.random.default_rng(1)
    e = 900 - rng.geometric(0.5, (64, 64))
    e[7] = 0
    keys = (e << 3 | rng.integers(0, 8, e.shape)).astype("<u2").reshape(-1).view(np.uint8)
    stage, side = trained(3, Geometry(64, 64, 64), None)
    encoded = stage.encode(keys)
    assert encoded is not None
    assert encoded.parts[0][7] == 0
    assert encoded.parts[0][8] > 240
    assert check_stage(stage, [keys], side=side, max_flips=8) == 1


def test_what_it_declines() -> None:
    keys = np.full(256, 1000 << 3, "<u2").view(np.uint8)
    stage, _ = trained(3, Geometry(16, 16, 1), None)
    assert stage.encode(keys) is not None
    assert Scales(3).encode(keys) is None
    assert stage.encode(keys[:0]) is None
    assert stage.encode(keys[:3]) is None
    assert stage.at(2**48 - 256).encode(keys) is None
    scattered = np.random.default_rng(0).integers(0, 1 << 14, 256).astype("<u2").view(np.uint8)
    assert stage.encode(scattered) is None
    high = np.full(256, 0xFFFF, "<u2").view(np.uint8)  # a base beyond 16 bits
    assert stage.encode(high) is None
    assert stage.model is not None
    poor = np.zeros(8 * 128, "<u2")
    poor[::128] = poor[1::128] = 8192  # symbols of r = 0 only
    assert stage.trained(replace(stage.model, tables=poor.tobytes())).encode(keys) is None


def test_bind_needs_keys() -> None:
    assert Scales.bind(StreamSpec(width=2, mantissa_bits=3), {}) == Scales(3)
    for spec in (StreamSpec(), StreamSpec(width=2), StreamSpec(width=2, mantissa_bits=4)):
        with pytest.raises(UsageError):
            Scales.bind(spec, {})
    with pytest.raises(UsageError):
        Scales.bind(StreamSpec(width=2, mantissa_bits=3), {"d": 4})


FIELDS = {
    "first": 5,
    "d": 10,
    "s": 4,
    "g": 2,
    "base": 100,
    "tables": 2,
    "columns": 2,
    "at": 3,
    "escapes": 2,
    "words": 4,
}


@pytest.mark.parametrize(
    "lie",
    [
        *[{"d": 0}, {"s": 0}, {"g": 0}, {"s": 11}, {"g": 11}, {"d": 2**40 + 1}, {"base": 24_576}, {"first": 2**48 - 8}],
        *[{"escapes": 37}, {"words": 9}, {"tables": 1}, {"tables": 3}, {"columns": 4}, {"columns": 2**60}],
        *[{"at": 4}, {"at": 2**62}, {"g": 1}, {"columns": 0}, {"d": 2**40}],
    ],
)
def test_headers_that_lie(lie: dict[str, int]) -> None:
    """Of 8 keys. Where columns is 0, `at` is one number too many."""
    _, side = trained(3, Geometry(10, 4, 2), np.zeros(5, np.uint8))
    good = Scales.from_header(bytes((3,)) + b"".join(map(varint, FIELDS.values())), 16, side)
    assert good.sizes == (3, 2, 136)  # keys 5 to 12: the ends of a row's second and third scale, the first of the next
    header = bytes((3,)) + b"".join(map(varint, (FIELDS | lie).values()))
    with pytest.raises(CorruptError):
        Scales.from_header(header, 16, side)


@pytest.mark.parametrize(("header", "n_bytes"), [(b"", 16), (b"\x04", 16), (b"\x03\x00", 16)])
def test_short_headers(header: bytes, n_bytes: int) -> None:
    with pytest.raises(CorruptError):
        Scales.from_header(header, n_bytes, ())


def test_tables_that_do_not_add_up() -> None:
    stage, side = trained(3, Geometry(16, 16, 1), None)
    keys = np.full(256, 1000 << 3, "<u2").view(np.uint8)
    encoded = stage.encode(keys)
    assert encoded is not None
    for wrong in (side[2] * 0, np.concatenate((side[2][:-2], side[2][-2:] + 1))):
        with pytest.raises(CorruptError):
            Scales.from_header(encoded.header, keys.size, (*side[:2], wrong)).decode(encoded.parts, np.empty_like(keys))
