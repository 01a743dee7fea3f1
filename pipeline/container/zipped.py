"""The zstd frames that hold JSON: docs/format.md 1.3 and 1.6."""

from __future__ import annotations

from typing import Final

import zstandard

from pennyweight.errors import CorruptError

_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_LEVEL: Final = 3


def zip_raw(raw: bytes) -> bytes:
    """One frame, which declares their number."""
    return zstandard.ZstdCompressor(level=_LEVEL).compress(raw)


def unzip(stored: bytes, n_raw: int, part: str) -> bytes:
    """The `n_raw` bytes in one whole frame that declares as many. Raises CorruptError naming the part."""
    try:
        # The declared size is compared before anything is decompressed: the library believes it over max_output_size
        declared = zstandard.get_frame_parameters(stored).content_size
        if stored[:4] != _MAGIC or declared != n_raw:
            raise CorruptError(f"{part}: its zstd frame does not declare the size that it should have")
        raw = zstandard.ZstdDecompressor().decompress(stored, max_output_size=n_raw, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise CorruptError(f"{part}: {error}") from None
    if len(raw) != n_raw:
        raise CorruptError(f"{part}: does not decompress to the size that it should have")
    return raw
