"""What is measured, behind one tiny protocol: one small file per peer.

Each module has `codecs(dtype)`, and where the peer can work from file to file also `compress_file` and `restore_file`.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Protocol, runtime_checkable

import numpy as np

Data = bytes | bytearray | memoryview

# module here -> distribution whose version is reported
PEERS = {
    "pennyweight": "pennyweight",
    "zipnn": "zipnn",
    "openzl": "openzl",
    "zstandard": "zstandard",
    "pcodec": "pcodec",
    "lmzip": "lmzip",
    "glyd": "glyd",
    "z4ai": "z4ai",
    "bigsmall": "bigsmall",
}


@runtime_checkable
class Codec(Protocol):
    """One setting of one compressor for whole files of one element type, in memory and on one thread."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    def encode(self, src: bytearray) -> bytes:
        """The compressed form. May spoil `src`: the caller gives every codec a copy of its own."""

    def decode(self, src: bytes) -> Data:
        """The bytes that went into encode, as any contiguous buffer."""


@dataclass(frozen=True)
class NotRun:
    """A peer that could not be measured. It stays in every table, with the reason."""

    name: str
    reason: str


def load(peer: str, dtype: str) -> list[Codec] | NotRun:
    """The codecs of one peer for files of that dtype ("" for a file that is not known as tensors)."""
    try:
        made: list[Codec] = import_module(f"{__name__}.{peer}").codecs(dtype)
    except Exception as error:  # whatever a peer raises at import is its reason, and must not end the run
        return NotRun(peer, f"{type(error).__name__}: {error}")
    return made or NotRun(peer, f"knows no {dtype or 'opaque'} files")


def peer_version(peer: str) -> str:
    """Installed version, or `not installed`."""
    try:
        return version(PEERS[peer])
    except PackageNotFoundError:
        return "not installed"


def same(decoded: Data, original: Data) -> bool:
    """Same length and same bytes, whatever kind of buffer."""
    return bool(np.array_equal(np.frombuffer(decoded, np.uint8), np.frombuffer(original, np.uint8)))
