"""Containers: opened or refused; what is found sound comes back with the SHA-256 that it names.

An input is a container; or one taken apart, which is put together with every checksum right, or no lie would be found
behind them. That is: u16 number of frames; the header behind its magic; u32 bytes of each frame; the JSON; a zero; the
frames. Bit 15 of the number leaves the bytes of the last frame as they are, where else they are made to fit.
"""

from __future__ import annotations

import hashlib
import io
from typing import Final

import numpy as np
import xxhash
import zstandard
from fuzz.of_frames import GOLDEN, MAX_SEED

import pennyweight
from pennyweight.errors import CorruptError, PennyweightError
from pennyweight.pipeline.container import layout
from pennyweight.pipeline.container.reader import ContainerReader
from pennyweight.pipeline.files import Reader

_N_HEADER: Final = layout.HEADER_BYTES - 8 - len(layout.MAGIC)  # before its checksum
_AS_THEY_ARE: Final = 1 << 15

_MAX_BYTES: Final = 4 << 20
"""Of an original that is decoded. A container of a few bytes may hold gigabytes of zeros, and may take as long."""

_THOROUGH: Final = 8
"""One of so many that can be opened is read in every way: that takes far longer than to verify it."""


def check(data: bytes) -> None:
    container = data if data.startswith(layout.MAGIC) else put_together(data)
    try:
        index = ContainerReader(Reader(io.BytesIO(container))).index
        if index.n_bytes > _MAX_BYTES:
            return
        sound = pennyweight.verify(io.BytesIO(container), threads=1).ok
    except PennyweightError:
        return
    if sound:
        out = io.BytesIO()
        try:
            pennyweight.restore(io.BytesIO(container), out, threads=1)
        except CorruptError:  # which is not looked for on the level default
            assert not pennyweight.verify(io.BytesIO(container), level="full", threads=1).ok
        else:
            assert len(out.getvalue()) == index.n_bytes
            assert index.sha256 in (None, hashlib.sha256(out.getvalue()).hexdigest())
    if xxhash.xxh3_64_intdigest(data) % _THOROUGH == 0:
        _read_in_every_way(container, sound)


def _read_in_every_way(container: bytes, sound: bool) -> None:
    assert pennyweight.verify(io.BytesIO(container), level="fast", threads=1).ok or not sound
    assert pennyweight.verify(io.BytesIO(container), subset="1/2", threads=1).ok or not sound
    try:
        pennyweight.inspect(io.BytesIO(container), plans=True, gains=True)
        with pennyweight.open(io.BytesIO(container), threads=1) as checkpoint:
            for tensor in checkpoint.values():
                assert tensor.numpy().nbytes == tensor.n_bytes
    except PennyweightError:
        assert not sound


def put_together(data: bytes) -> bytes:
    """The container of any bytes."""
    n, head, rest = int.from_bytes(data[:2], "little"), data[2 : 2 + _N_HEADER], data[2 + _N_HEADER :]
    n_table = min(n % _AS_THEY_ARE, len(rest) // 4) * 4
    text, _, frames = rest[n_table:].partition(b"\0")
    lengths = np.frombuffer(rest[:n_table], "<u4").astype(np.int64)
    if len(lengths) and n < _AS_THEY_ARE:
        lengths[-1] = max(0, len(frames) - int(lengths[:-1].sum()))
    ends = np.cumsum(lengths).tolist()
    digests = [xxhash.xxh3_64_intdigest(frames[end - n : end]) for n, end in zip(lengths.tolist(), ends, strict=True)]
    table = lengths.astype("<u4").tobytes() + np.array(digests, dtype="<u8").tobytes()
    raw = len(text).to_bytes(8, "little") + text + table
    stored = zstandard.ZstdCompressor(level=1).compress(raw)
    trailer = layout.Trailer(layout.HEADER_BYTES + len(frames), len(stored), len(raw), xxhash.xxh3_64_intdigest(stored))
    head = layout.MAGIC + head.ljust(_N_HEADER, b"\0")
    return head + xxhash.xxh3_64_digest(head)[::-1] + frames + stored + layout.pack_trailer(trailer)


def taken_apart(container: bytes) -> bytes:
    """The inverse, of a sound one."""
    reader = ContainerReader(Reader(io.BytesIO(container)))
    lengths = np.diff(reader.offsets).astype("<u4")
    text, frames = reader.index.model_dump_json().encode(), container[layout.HEADER_BYTES : int(reader.offsets[-1])]
    head = container[len(layout.MAGIC) :][:_N_HEADER]
    return len(lengths).to_bytes(2, "little") + head + lengths.tobytes() + text + b"\0" + frames


def seeds() -> list[bytes]:
    """The small golden containers, whole and taken apart."""
    made = []
    for path in sorted(GOLDEN.rglob("*.pwt")):
        data = path.read_bytes()
        if len(data) <= MAX_SEED:
            made += [data, taken_apart(data)]
    return [each for each in made if len(each) <= 2 * MAX_SEED]
