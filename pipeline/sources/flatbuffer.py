"""The tables of a flatbuffer, each by its place in the file. Only numbers and names are read."""

from __future__ import annotations

import struct
from typing import Final

from pennyweight.pipeline.files import Reader

MAX_TABLES: Final = 1_000_000
"""Of a file, vectors of them counted before they are read; some ten seconds."""

_N_FIELDS: Final = 5
_U32: Final = struct.Struct("<I").unpack_from
_BEHIND, _AT_ONCE = 1024, 4096
"""What a table points to lies behind it, its list of fields often before it."""


class BadTable(ValueError):
    """No flatbuffer, or too much of it."""


class Flatbuffer:
    """Reads of one file. BadTable where it does not reach. Fields that are not there, told by 0, have the default 0."""

    def __init__(self, file: Reader) -> None:
        self._file = file
        self._left = MAX_TABLES
        self._begin, self._held = 0, b""
        self._fields: dict[int, tuple[int, ...]] = {}

    def number(self, at: int, n_bytes: int) -> int:
        """An unsigned one."""
        return int.from_bytes(self._read(at, n_bytes), "little") if at else 0

    def u32(self, at: int) -> int:
        """An unsigned one of 32 bits."""
        i = at - self._begin
        if i < 0 or i + 4 > len(self._held):
            return int.from_bytes(self._read(at, 4), "little")
        return int(_U32(self._held, i)[0])

    def root(self) -> int:
        """The outermost table."""
        return self.u32(0)

    def fields(self, table: int) -> tuple[int, ...]:
        """Where the first five fields of a table are; 0 for one that is not there, and has its default."""
        distance = self.u32(table)
        # Signed; most often the list of fields stands before the table. Many tables share one
        place = table - (distance - (1 << 32) if distance >> 31 else distance)
        offsets = self._fields.get(place)
        if offsets is None:
            n_bytes = self.number(place, 2)
            if n_bytes < 4 or n_bytes % 2:
                raise BadTable("no list of fields")
            if place + n_bytes > self._file.size:
                raise BadTable("a list of fields goes on behind the file")
            n = min(n_bytes // 2 - 2, _N_FIELDS)  # each table may have a long list of its own
            found = struct.unpack(f"<{n}H", self._read(place + 4, 2 * n))
            offsets = self._fields[place] = found + (0,) * (_N_FIELDS - n)
        return tuple([table + offset if offset else 0 for offset in offsets])

    def vector(self, field: int, element_bytes: int) -> tuple[int, int]:
        """Where the elements of the vector begin that the field points to, and their number."""
        if not field:
            return 0, 0
        at = field + self.u32(field)
        n = self.u32(at)
        if at + 4 + n * element_bytes > self._file.size:
            raise BadTable("a vector goes on behind the file")
        return at + 4, n

    def integers(self, field: int, max_n: int) -> tuple[int, ...]:
        """A vector of int32."""
        at, n = self.vector(field, 4)
        if n > max_n:
            raise BadTable("a long vector")
        return struct.unpack(f"<{n}i", self._read(at, 4 * n)) if n else ()

    def tables(self, field: int) -> list[int]:
        """A vector of tables."""
        at, n = self.vector(field, 4)
        self._left -= n
        if self._left < 0:
            raise BadTable("too many tables")
        distances = struct.unpack(f"<{n}I", self._file.pread(at, 4 * n))
        return [at + 4 * i + distance for i, distance in enumerate(distances)]

    def text(self, field: int, max_bytes: int) -> str:
        """UnicodeDecodeError."""
        at, n = self.vector(field, 1)
        if n > max_bytes:
            raise BadTable("a long name")
        return self._read(at, n).decode() if n else ""

    def _read(self, at: int, n: int) -> bytes:
        i = at - self._begin
        if i < 0 or i + n > len(self._held):
            if at < 0 or at + n > self._file.size:
                raise BadTable("behind the file")
            self._begin = max(0, at - _BEHIND)
            n_held = max(at + n - self._begin, _AT_ONCE)
            self._held = self._file.pread(self._begin, min(n_held, self._file.size - self._begin))
            i = at - self._begin
        return self._held[i : i + n]
