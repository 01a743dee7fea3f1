"""`linear_predictor`: weights predicted from those before them in their row; see linear_predictor.md."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np

from pennyweight import native
from pennyweight.errors import CorruptError, UsageError
from pennyweight.stages.matrix import MAX_BASE, MAX_POSITION, Geometry, side_frame, side_part
from pennyweight.stages.protocol import Encoded, Side, Stream, StreamSpec, check_parts, no_params
from pennyweight.stages.wire import read_varint, varint
from pennyweight.types import Fidelity

MANTISSA_BITS = 2
CONTEXTS, ALPHABET = 96, 128
MAX_ROW = 65_536
MIN_BAND, MAX_BAND = 2, 1_024
STATES_BYTES = 32 * 4


@dataclass(frozen=True)
class Predictor:
    """Coefficients of bands of w keys, and what they leave of each place of a row.

    triangles: the side frames of each, joined. residuals: i8 for each key of a row.
    """

    w: int
    triangles: bytes
    residuals: bytes
    triangles_at: int = 0
    residuals_at: tuple[int, int] = (0, 0)

    @property
    def n_triangles(self) -> int:
        return len(self.triangles) // triangle_bytes(self.w)


@dataclass(frozen=True)
class PredictorModel:
    """What training learned for one tensor: as ScalesModel has it, and the predictor if there is one."""

    geometry: Geometry
    tables: bytes
    tables_at: int
    columns: bytes | None = None
    columns_at: tuple[int, int] = (0, 0)
    predictor: Predictor | None = None


def triangle_bytes(w: int) -> int:
    """Of the side frame of a triangle: w biases, and the coefficients below the diagonal."""
    return 2 * w + w * (w - 1) // 2


@dataclass(frozen=True)
class LinearPredictor:
    """Encodes nothing until it has a model and knows the position of its first key."""

    id: ClassVar[int] = 11
    name: ClassVar[str] = "linear_predictor"
    since: ClassVar[tuple[int, int]] = (1, 0)
    fidelity: ClassVar[Fidelity] = Fidelity.LOSSLESS

    model: PredictorModel | None = None
    first: int = 0

    @property
    def outputs(self) -> Mapping[str, StreamSpec]:
        return {"rows": StreamSpec(), "escapes": StreamSpec(), "words": StreamSpec()}

    @classmethod
    def bind(cls, spec: StreamSpec, params: Mapping[str, int]) -> Self:
        no_params(cls.name, params)
        if not spec.signed:
            raise UsageError(f"{cls.name} needs a stream of signed keys: exponent of floatfields[bits=17]")
        return cls()

    def trained(self, model: PredictorModel) -> Self:
        return replace(self, model=model)

    def at(self, first: int) -> Self:
        """For a block whose first key is number `first` of its tensor."""
        return replace(self, first=first)

    def encode(self, src: Stream) -> Encoded | None:
        model = self.model
        if model is None or not src.size or src.size % 2 or self.first + src.size // 2 >= MAX_POSITION:
            return None
        d, s, g = model.geometry.d, model.geometry.s, model.geometry.g
        p = model.predictor
        fitted = (p.triangles, p.w, p.residuals) if p else (None, 0, None)
        coded = native.linear_predictor_encode(src, _coder(model.tables), self.first, d, s, g, model.columns, *fitted)
        if coded is None:
            return None
        base, rows, escapes, payload = coded
        columns = (0,) if model.columns is None else (1 + model.columns_at[0], model.columns_at[1])
        predictor = (1 + p.triangles_at, p.w, p.n_triangles, *p.residuals_at) if p else (0,)
        n_words = (payload.size - STATES_BYTES) // 2
        fields = (self.first, d, s, g, base, model.tables_at, *columns, *predictor, escapes.size, n_words)
        return Encoded(b"".join(map(varint, fields)), (rows, escapes, payload))

    @classmethod
    def from_header(cls, header: bytes, n_bytes: int, side: Side = ()) -> LinearPredictorDecoder:
        fields = _Fields(header)
        first, d, s, g, base, tables_at = (next(fields) for _ in range(6))
        with_columns = next(fields)
        columns_at = next(fields) if with_columns else 0
        with_predictor = next(fields)
        w, n_triangles, residuals, residuals_at = (next(fields) if with_predictor else 0 for _ in range(4))
        n_escape_bytes, n_words = next(fields), next(fields)
        n, rest = divmod(n_bytes, 2)
        if not fields.ended or rest or not n:
            raise CorruptError(f"{cls.name}: the header does not fit {n_bytes} bytes")
        if not (0 < d <= MAX_ROW and 0 < s <= d and 0 < g <= d and first + n < MAX_POSITION and base < MAX_BASE):
            raise CorruptError(f"{cls.name}: no rows of {d}, {s} and {g} keys from key {first} on, or no base {base}")
        if n_escape_bytes > 4 * n + 4 or n_words > n:
            raise CorruptError(f"{cls.name}: {n_escape_bytes} bytes of escapes or {n_words} words for {n} keys")
        geometry = Geometry(d, s, g)
        tables = side_frame(cls.name, side, tables_at)
        if tables.size != 2 * CONTEXTS * ALPHABET:
            raise CorruptError(f"{cls.name}: tables of {tables.size} bytes")
        columns = side_part(cls.name, side, with_columns - 1, columns_at, geometry.n_columns) if with_columns else None
        triangles = left = None
        if with_predictor:
            if not (MIN_BAND <= w <= MAX_BAND and d % w == 0 and 0 < n_triangles <= d // w):
                raise CorruptError(f"{cls.name}: no {n_triangles} triangles of {w} keys for rows of {d}")
            frames = [side_frame(cls.name, side, with_predictor - 1 + i) for i in range(n_triangles)]
            if any(frame.size != triangle_bytes(w) for frame in frames):
                raise CorruptError(f"{cls.name}: a side frame is no triangle of {w} keys")
            triangles = frames[0] if n_triangles == 1 else np.concatenate(frames)
            left = side_part(cls.name, side, residuals, residuals_at, d)
        sizes = (native.scales_rows(first, d, s, n), n_escape_bytes, STATES_BYTES + 2 * n_words)
        return LinearPredictorDecoder(first, geometry, base, tables, columns, triangles, w, left, sizes)


@functools.lru_cache(maxsize=4)  # a file has up to four tables
def _coder(tables: bytes) -> native.PredictorCoder:
    return native.PredictorCoder(tables)


class _Fields(Iterator[int]):
    """The varints of a header."""

    def __init__(self, header: bytes) -> None:
        self._header, self._at = header, 0

    def __next__(self) -> int:
        value, self._at = read_varint(self._header, self._at)
        return value

    @property
    def ended(self) -> bool:
        return self._at == len(self._header)


@dataclass(frozen=True, eq=False)
class LinearPredictorDecoder:
    first: int
    geometry: Geometry
    base: int
    tables: Stream
    columns: Stream | None
    triangles: Stream | None
    w: int
    residuals: Stream | None
    sizes: tuple[int, ...]

    def decode(self, parts: tuple[Stream, ...], out: Stream) -> None:
        check_parts(self, parts)
        rows, escapes, payload = parts
        d, s, g = self.geometry.d, self.geometry.s, self.geometry.g
        fitted = (self.triangles, self.w, self.residuals)
        if not native.linear_predictor_decode(
            self.tables, self.first, d, s, g, self.columns, *fitted, self.base, rows, escapes, payload, out
        ):
            raise CorruptError(f"{LinearPredictor.name}: the tables, escapes, states or words do not decode")
