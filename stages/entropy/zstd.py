"""`zstd`: one zstd frame, for what is not numbers; see zstd.md."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import zstandard

from pennyweight import native
from pennyweight.errors import CorruptError, UsageError
from pennyweight.stages.protocol import Encoded, Side, Stream, StreamSpec, check_parts
from pennyweight.stages.repeats import has_repeats, repeats_of
from pennyweight.stages.wire import read_varint, varint
from pennyweight.types import Fidelity

DEFAULT_LEVEL, MAX_LEVEL = 3, 22
MAX_WINDOW_BYTES = 8 << 20
MAGIC = b"\x28\xb5\x2f\xfd"  # a skippable frame, which has another, is no content


class _Contexts(threading.local):
    """Compressors by level, and one decompressor, of this thread: neither may be shared, and both are dear to make."""

    def __init__(self) -> None:
        self.compressors: dict[int, zstandard.ZstdCompressor] = {}
        self.decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES)

    def compressor(self, level: int) -> zstandard.ZstdCompressor:
        found = self.compressors.get(level)
        if found is None:
            found = zstandard.ZstdCompressor(level, write_content_size=False, write_checksum=False)
            self.compressors[level] = found
        return found


_contexts = _Contexts()


@dataclass(frozen=True)
class Zstd:
    """level: 1 to 22. repeats: percent of the words that must have come before, or nothing is tried: see zstd.md."""

    id: ClassVar[int] = 6
    name: ClassVar[str] = "zstd"
    since: ClassVar[tuple[int, int]] = (1, 0)
    fidelity: ClassVar[Fidelity] = Fidelity.LOSSLESS

    level: int = DEFAULT_LEVEL
    repeats: int = 0

    @property
    def outputs(self) -> Mapping[str, StreamSpec]:
        return {"": StreamSpec()}

    @classmethod
    def bind(cls, spec: StreamSpec, params: Mapping[str, int]) -> Self:
        level, repeats = params.get("level", DEFAULT_LEVEL), repeats_of(cls.name, params, "level")
        if not 1 <= level <= MAX_LEVEL:
            raise UsageError(f"{cls.name} has levels 1 to {MAX_LEVEL}")
        return cls(level, repeats)

    def encode(self, src: Stream) -> Encoded | None:
        # One byte repeated is left to `constant`, which is shorter.
        if src.size == 0 or native.is_constant(src, 1) or not has_repeats(src, self.repeats):
            return None
        frame = np.frombuffer(_contexts.compressor(self.level).compress(src.data), np.uint8)
        return Encoded(varint(frame.size), (frame,))

    @classmethod
    def from_header(cls, header: bytes, n_bytes: int, side: Side = ()) -> ZstdDecoder:
        size, at = read_varint(header, 0)
        if at != len(header) or size > 2 * n_bytes + 512:
            raise CorruptError(f"zstd: a frame of {size} bytes does not fit {n_bytes}")
        return ZstdDecoder(n_bytes, (size,))


@dataclass(frozen=True)
class ZstdDecoder:
    n_bytes: int
    sizes: tuple[int, ...]

    def decode(self, parts: tuple[Stream, ...], out: Stream) -> None:
        check_parts(self, parts)
        frame = parts[0].tobytes()
        try:
            self._check_header(frame)
            content = self._decompress(frame)
        except zstandard.ZstdError as error:
            raise CorruptError(f"zstd: {error}") from None
        if len(content) != self.n_bytes:
            raise CorruptError(f"zstd: {len(content)} bytes where {self.n_bytes} are due")
        out[:] = np.frombuffer(content, np.uint8)

    def _check_header(self, frame: bytes) -> None:
        # Before any decoding: the package allocates what the frame declares, whatever maximum it is given.
        if frame[:4] != MAGIC:
            raise CorruptError("zstd: not a zstd frame")
        declared = zstandard.get_frame_parameters(frame)
        if declared.content_size not in (self.n_bytes, zstandard.CONTENTSIZE_UNKNOWN):
            raise CorruptError(f"zstd: declares {declared.content_size} bytes where {self.n_bytes} are due")
        if declared.window_size > MAX_WINDOW_BYTES or declared.dict_id:
            raise CorruptError("zstd: needs a dictionary or too large a window")

    def _decompress(self, frame: bytes) -> bytes:
        if self.n_bytes:
            return _contexts.decompressor.decompress(frame, max_output_size=self.n_bytes, allow_extra_data=False)
        # The package answers a declared size of 0 without reading the frame, and takes a maximum of 0 as none. At most
        # 512 bytes are read here, so at most 16 MiB come out.
        reader = _contexts.decompressor.decompressobj()
        content = reader.decompress(frame)
        if not reader.eof or reader.unused_data:
            raise CorruptError("zstd: the frame does not end where it should")
        return content
