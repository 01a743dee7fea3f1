"""Frames of `linear_predictor` that hold every rule: one to be spoilt, and those at the edges of what is valid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import spec_predicted as spec
from numpy.typing import NDArray
from spec_nodes import PREDICTOR, stored
from spec_predicted import Place, Table
from spec_predictor import CONTEXTS, Predictor, Triangle
from spec_scaled import Geometry, columns_frame

RNG = np.random.default_rng(11)
Frame = tuple[bytes, bytes, tuple[bytes, ...]]
"""Frame, data and side frames: what honest.Honest is made of."""


def any_table(context: int) -> list[int]:
    """Under which every symbol can be coded, another one in each context."""
    table = [100] * 128
    table[(5 * context + 33) % 128] += 16_384 - 12_800
    return table


def some_keys(n: int, low: int = 105, high: int = 119) -> NDArray[np.uint16]:
    """Signs, exponents and mantissas at random, every eighth weight a zero."""
    keys = RNG.integers(0, 2, n) << 15 | RNG.integers(low, high, n) << 2 | RNG.integers(0, 4, n)
    keys[RNG.random(n) < 1 / 8] &= 0x8000
    return keys.astype("<u2")


def some_predictor(w: int, n_triangles: int, d: int, size: int = 60) -> Predictor:
    triangles = []
    for _ in range(n_triangles):
        rows = [RNG.integers(-size, size, j).tolist() for j in range(w)]
        triangles.append(Triangle(RNG.integers(-300, 300, w).tolist(), rows))
    return Predictor(w, triangles, RNG.integers(-24, 8, d).tolist())


# To be spoilt: 400 keys from the middle of a band on, 34 rows of them; escapes of both kinds and zeros

AT = Geometry(2, 17, 12, 6, 5, 1, 0, 3)
PLACE = Place(3, 4, 2, 2, 5)
COLUMNS = [-9, 4, 20]
KEYS = some_keys(400)
KEYS[[7, 150, 399]] = 3, 250 << 2, 0x8000 | 70 << 2 | 1
BASE, ROWS = 913, [5 * i % 9 for i in range(68)]
FITTED = some_predictor(4, 2, 12)
CODED = spec.coded(KEYS, AT, BASE, ROWS, COLUMNS, FITTED)
USED = sorted(set(CODED.contexts))
UNUSED = sorted({*range(CONTEXTS)} - {*USED})
TABLES: list[Table] = [any_table(c) if c in USED or c % 2 else [0] * 128 for c in range(CONTEXTS)]
HEADER, (_, ESCAPES, WORDS) = spec.linear_predictor(KEYS, AT, BASE, ROWS, COLUMNS, PLACE, FITTED, TABLES)
SIDE = (
    b"one" + columns_frame(COLUMNS) + b"other",
    spec.tables_frame(TABLES),
    b"scale" + spec.residuals_frame(FITTED.scales) + b"!",
    *map(spec.triangle_frame, FITTED.triangles),
)
SPOILABLE: Frame = stored(PREDICTOR, HEADER, bytes(ROWS), ESCAPES, WORDS), KEYS.tobytes(), SIDE


# At the edges


def framed(
    keys: NDArray[np.uint16],
    at: Geometry,
    base: int,
    rows: Sequence[int],
    columns: Sequence[int] | None = None,
    predictor: Predictor | None = None,
) -> Frame:
    """With tables for all that is used and nothing else; side frames: tables, columns, residual scales, triangles."""
    made = spec.coded(keys, at, base, rows, columns, predictor)
    tables: list[Table] = [any_table(c) if c in made.contexts else [0] * 128 for c in range(CONTEXTS)]
    side = [spec.tables_frame(tables), columns_frame(columns or [0])]
    place = None
    if predictor is not None:
        place = Place(3, predictor.w, len(predictor.triangles), 2, 0)
        side += [spec.residuals_frame(predictor.scales), *map(spec.triangle_frame, predictor.triangles)]
    header, parts = spec.linear_predictor(keys, at, base, rows, columns, place, predictor, tables)
    return stored(PREDICTOR, header, *parts), keys.tobytes(), tuple(side)


def plain(d: int, first: int = 0) -> Geometry:
    """A row scale for each row, no column scales."""
    return Geometry(2, first, d, d, d, 0, None)


def rows_for(at: Geometry, n: int) -> list[int]:
    return [3 * i % 7 for i in range(int(at.row_scale(n)[-1]) + 1)]


def shaped(
    n: int, d: int, first: int = 0, w: int = 0, n_triangles: int = 1, keys: NDArray[np.uint16] | None = None
) -> Frame:
    at = plain(d, first)
    predictor = some_predictor(w, n_triangles, d) if w else None
    return framed(some_keys(n) if keys is None else keys, at, 913, rows_for(at, n), None, predictor)


ALONE = shaped(200, 7)
"""Without predictor and columns."""


def valid_frames() -> Iterator[tuple[str, Frame]]:
    yield "to be spoilt", SPOILABLE
    yield "alone", ALONE
    yield "one key", shaped(1, 1)
    yield "one key of a row of 65,536, at the end", shaped(1, 65_536, (1 << 48) - 2)
    yield "one key in the middle of a band", shaped(1, 60, 37, 20, 3)
    for n_rows in (1, 31, 32, 33, 64, 65):
        yield f"{n_rows} rows", shaped(6 * n_rows, 6, 0, 3)
    for n_triangles in (1, 2, 5):
        yield f"{n_triangles} triangles", shaped(330, 20, 0, 4, n_triangles)
    for first in (1, 7, 8, 9, 23):
        yield f"from place {first} on", shaped(90, 24, 24_000 + first, 8, 2)
    yield "of less than a band", shaped(5, 24, 10, 8, 3)
    yield "over the end of a row", shaped(4, 24, 46, 8, 3)
    yield "two rows, neither of them whole", shaped(30, 24, 9, 8, 2)
    yield "all zeros", shaped(64, 8, 0, 4, 2, RNG.integers(0, 2, 64).astype("<u2") << np.uint16(15))
    high = some_keys(64, 3_060, 3_070)
    high[50] = 0xFFFF
    yield "the largest of keys", framed(high, plain(8), 24_000, [255] * 8, None, some_predictor(8, 1, 8))
    low = plain(8)._replace(columns=1, g=1)
    yield "levels below 0", framed(some_keys(64, 0, 9), low, 0, [0] * 8, [-128] * 7 + [127], some_predictor(8, 1, 8))
    yield "all that clamps", clamped()
    yield "sums that wrap", wrapping()
    yield from by_other_symbols()


def clamped() -> Frame:
    """Residual scales, biases and coefficients as large as they may be."""
    triangle = Triangle([32_767, -32_768, 0, 1, -1, 1, -32_768, 0], [[(-128, 127)[k % 2]] * k for k in range(8)])
    scales = [-128, 127, -128, 127, -128, -128, 127, 0]
    return framed(
        some_keys(256, 0, 200), plain(8), 300, rows_for(plain(8), 256), None, Predictor(8, [triangle], scales)
    )


def wrapping() -> Frame:
    """600 z of 30,720 and one sign in a band, times 127: more than 2^31 from the 551st on."""
    n = w = 640
    rows = [[127] * j if j % 2 else [-128] * j for j in range(w)]
    predictor = Predictor(w, [Triangle([0] * w, rows)], [0] * w)
    keys = np.full(n, 119 << 2 | 3, "<u2")
    keys[600:] ^= 0x8000 * RNG.integers(0, 2, n - 600).astype("<u2")
    return framed(keys, plain(w), 8 * 100, [0], None, predictor)


def one_key(key: int, base: int, symbol: int, nibbles: Sequence[int]) -> Frame:
    """What the page's encoder does not write: no predictor, one row scale of 0, and so base is R."""
    tables: list[Table] = [any_table(c) if c % 12 == 0 else [0] * 128 for c in range(CONTEXTS)]
    words = spec.words_of([0], [12 * (base % 8)], [symbol], tables)
    escapes = spec.nibble_bytes(nibbles)
    header = spec.header_of(plain(1), base, None, len(escapes), len(words) // 2 - 64)
    frame = stored(PREDICTOR, header, b"\0", escapes, words)
    return frame, key.to_bytes(2, "little"), (spec.tables_frame(tables),)


def by_other_symbols() -> Iterator[tuple[str, Frame]]:
    yield "a zero by its distance", one_key(0, 8 * 20, 1, [9, 0])
    yield "a -0 by its distance", one_key(0x8000, 8 * 20, 65, [9, 0])
    yield "a zero where its r would be 6", one_key(0, 8 * 5, 0, [])
    yield "a zero where its r would be 15", one_key(0x8000, 3, 64, [])
    yield "e of 0 and t of 3", one_key(3, 8 * 11 + 7, 1, [0, 3])
    yield "e of 0 by its r", one_key(1, 8 * 5, 6 << 2 | 1, [])


VALID = dict(valid_frames())
