"""`scales`: exponents relative to the scales of their row and column; see scales.md."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from pennyweight import native
from pennyweight.errors import CorruptError, UsageError
from pennyweight.stages.matrix import MAX_BASE, MAX_POSITION, Geometry, side_frame, side_part
from pennyweight.stages.protocol import Encoded, Side, Stream, StreamSpec, check_parts, no_params
from pennyweight.stages.wire import read_varint, varint
from pennyweight.types import Fidelity

MAX_MANTISSA_BITS = 3
MAX_ROW = 2**40  # keys
STATES_BYTES = 32 * 4


@dataclass(frozen=True)
class ScalesModel:
    """What training learned for one tensor.

    tables: 8 phases of 2 ** (4 + m) u16 frequencies, little-endian, side frame number `tables_at`. columns: i8 each,
    from byte `columns_at[1]` of side frame `columns_at[0]` on; None without.
    """

    geometry: Geometry
    tables: bytes
    tables_at: int
    columns: bytes | None = None
    columns_at: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Scales:
    """mantissa_bits: m of the keys. Encodes nothing until it has a model and knows the position of its first key."""

    id: ClassVar[int] = 10
    name: ClassVar[str] = "scales"
    since: ClassVar[tuple[int, int]] = (1, 0)
    fidelity: ClassVar[Fidelity] = Fidelity.LOSSLESS

    mantissa_bits: int
    model: ScalesModel | None = None
    first: int = 0

    @property
    def outputs(self) -> Mapping[str, StreamSpec]:
        return {"rows": StreamSpec(), "escapes": StreamSpec(), "words": StreamSpec()}

    @classmethod
    def bind(cls, spec: StreamSpec, params: Mapping[str, int]) -> Self:
        no_params(cls.name, params)
        if spec.mantissa_bits is None or spec.mantissa_bits > MAX_MANTISSA_BITS or spec.signed:
            raise UsageError(f"{cls.name} needs a stream of keys, such as exponent of floatfields[bits=16]")
        return cls(spec.mantissa_bits)

    def trained(self, model: ScalesModel) -> Self:
        return replace(self, model=model)

    def at(self, first: int) -> Self:
        """For a block whose first key is number `first` of its tensor."""
        return replace(self, first=first)

    def encode(self, src: Stream) -> Encoded | None:
        model = self.model
        if model is None or not src.size or src.size % 2 or self.first + src.size // 2 >= MAX_POSITION:
            return None
        d, s, g = model.geometry.d, model.geometry.s, model.geometry.g
        coded = native.scales_encode(src, _coder(model.tables, self.mantissa_bits), self.first, d, s, g, model.columns)
        if coded is None:
            return None
        base, rows, escapes, payload = coded
        frame, at = model.columns_at
        columns = (0,) if model.columns is None else (1 + frame, at)
        n_words = (payload.size - STATES_BYTES) // 2
        fields = (self.first, d, s, g, base, model.tables_at, *columns, escapes.size, n_words)
        return Encoded(bytes((self.mantissa_bits,)) + b"".join(map(varint, fields)), (rows, escapes, payload))

    @classmethod
    def from_header(cls, header: bytes, n_bytes: int, side: Side = ()) -> ScalesDecoder:
        if not header or header[0] > MAX_MANTISSA_BITS:
            raise CorruptError("scales: too many mantissa bits")
        n, rest = divmod(n_bytes, 2)
        fields, at = [], 1
        for _ in range(7):
            value, at = read_varint(header, at)
            fields.append(value)
        first, d, s, g, base, tables_at, with_columns = fields
        columns_at, at = read_varint(header, at) if with_columns else (0, at)
        n_escape_bytes, at = read_varint(header, at)
        n_words, at = read_varint(header, at)
        if at != len(header) or rest or not n:
            raise CorruptError(f"scales: the header does not fit {n_bytes} bytes")
        if not (0 < d <= MAX_ROW and 0 < s <= d and 0 < g <= d and first + n < MAX_POSITION and base < MAX_BASE):
            raise CorruptError(f"scales: no rows of {d}, {s} and {g} keys from key {first} on, or no base {base}")
        if n_escape_bytes > 4 * n + 4 or n_words > n:
            raise CorruptError(f"scales: {n_escape_bytes} bytes of escapes or {n_words} words for {n} keys")
        geometry = Geometry(d, s, g)
        tables = side_frame(cls.name, side, tables_at)
        if tables.size != 8 * 2 * 16 << header[0]:
            raise CorruptError(f"scales: tables of {tables.size} bytes")
        columns = side_part(cls.name, side, with_columns - 1, columns_at, geometry.n_columns) if with_columns else None
        sizes = (native.scales_rows(first, d, s, n), n_escape_bytes, STATES_BYTES + 2 * n_words)
        return ScalesDecoder(header[0], first, geometry, base, tables, columns, sizes)


@functools.lru_cache(maxsize=8)  # a file has up to four tables for each mantissa_bits
def _coder(tables: bytes, mantissa_bits: int) -> native.ScalesCoder:
    return native.ScalesCoder(tables, mantissa_bits)


@dataclass(frozen=True, eq=False)
class ScalesDecoder:
    mantissa_bits: int
    first: int
    geometry: Geometry
    base: int
    tables: Stream
    columns: Stream | None
    sizes: tuple[int, ...]

    def decode(self, parts: tuple[Stream, ...], out: Stream) -> None:
        check_parts(self, parts)
        rows, escapes, payload = parts
        d, s, g = self.geometry.d, self.geometry.s, self.geometry.g
        if not native.scales_decode(
            self.tables, self.mantissa_bits, self.first, d, s, g, self.columns, self.base, rows, escapes, payload, out
        ):
            raise CorruptError("scales: the tables, escapes, states or words do not decode")
