"""Salvage of any bytes: nothing but our own errors, and of a container that is sound without its index all of it.

An input is a byte that says what is done to it, and a container as in `of_containers.py`.
"""

from __future__ import annotations

import io
from contextlib import suppress
from typing import Final

from fuzz import of_containers
from salvaged import salvage

import pennyweight
from pennyweight.errors import CorruptError, VersionError
from pennyweight.pipeline.container import layout
from pennyweight.pipeline.container.remains import find_remains
from pennyweight.pipeline.files import Reader

_MAX_BYTES: Final = 1 << 18
"""Of an original that is decoded and written."""


def check(data: bytes) -> None:
    how, rest = data[:1], data[1:]
    container = rest if rest.startswith(layout.MAGIC) else of_containers.put_together(rest)
    spoilt = _spoilt(container, how)
    with suppress(CorruptError, VersionError):
        frames, _ = find_remains(Reader(io.BytesIO(spoilt)))
        if int(frames.blocks.starts[-1]) <= _MAX_BYTES:
            found = salvage(spoilt)
            out = io.BytesIO()
            pennyweight.restore(io.BytesIO(container), out, threads=1)  # if it is sound
            assert found.original == out.getvalue()


def _spoilt(container: bytes, how: bytes) -> bytes:
    """As it is, without its trailer, with its trailer elsewhere, or without its header."""
    match how:
        case b"\1":
            return container[: -layout.TRAILER_BYTES]
        case b"\2":
            return container + b"x"
        case b"\3":
            return bytes(layout.HEADER_BYTES) + container[layout.HEADER_BYTES :]
    return container


def seeds() -> list[bytes]:
    """Each in every way."""
    return [bytes((how,)) + seed for how in range(4) for seed in of_containers.seeds()]
