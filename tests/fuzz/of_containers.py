"""Containers: opened or refused, as the second decoder does; what is found sound comes back.

An input is a container; or one taken apart, which is put together with every checksum right, or no lie would be found
behind them. That is: bits; the header behind its magic; the JSON of the index; a zero; u32 bytes of each frame until
one is 0; the frames. The bits are whether a byte stands behind the tables; whether the bytes of the last frame are left
as they are, where else they are made to fit; whether so is what the index says of the description; and, of four bits,
the frames in a batch, less one. The description is made of the index.
"""

from __future__ import annotations

import io
import json
import re
import struct
from typing import Any, Final

import numpy as np
import spec_decoder
import xxhash
from fuzz.of_frames import GOLDEN, MAX_SEED
from spec_encoder import Container

import pennyweight
from pennyweight.errors import CorruptError, VersionError
from pennyweight.pipeline.container import layout
from pennyweight.pipeline.container.reader import ContainerReader
from pennyweight.pipeline.files import Reader

_FIELDS: Final = struct.Struct("<HHIQQ")  # of the header, between magic and checksum
_LONGER, _AS_THEY_ARE, _AS_SAID = 1, 2, 4

_MAX_BYTES: Final = 1 << 20
"""Of an original that is decoded. A container of a few bytes may hold gigabytes of zeros, and may take as long."""

_THOROUGH: Final = 8
"""One of so many that can be opened is read in every way: that takes far longer than to verify it."""


def check(data: bytes) -> None:
    container = data if data.startswith(layout.MAGIC) else put_together(data)
    sound = False
    try:
        if ContainerReader(Reader(io.BytesIO(container))).index.n_bytes > _MAX_BYTES:
            return
        sound = pennyweight.verify(io.BytesIO(container), threads=1).ok
        if sound or xxhash.xxh3_64_intdigest(data) % _THOROUGH == 0:
            _read_in_every_way(container, sound)
    except (CorruptError, VersionError):
        assert not sound
    original = _decoded(container)
    assert sound or original is None, "the second decoder takes it"
    if sound:
        out = io.BytesIO()
        try:
            pennyweight.restore(io.BytesIO(container), out, threads=1)
        except CorruptError:  # the SHA-256, which is not looked at on the level default
            assert original is None
        else:
            assert out.getvalue() == original


def _decoded(container: bytes) -> bytes | None:
    try:
        return spec_decoder.decode(container)
    except spec_decoder.SpecError:
        return None


def _read_in_every_way(container: bytes, sound: bool) -> None:
    assert pennyweight.verify(io.BytesIO(container), level="fast", threads=1).ok or not sound
    assert pennyweight.verify(io.BytesIO(container), subset="1/2", threads=1).ok or not sound
    pennyweight.inspect(io.BytesIO(container), plans=True, gains=True)
    with pennyweight.open(io.BytesIO(container), threads=1) as checkpoint:
        for tensor in checkpoint.values():
            assert tensor.numpy().nbytes == tensor.n_bytes


def put_together(data: bytes) -> bytes:
    """The container of any bytes."""
    bits, head, rest = data[:1].ljust(1, b"\0")[0], data[1 : 1 + _FIELDS.size], data[1 + _FIELDS.size :]
    text, _, rest = rest.partition(b"\0")
    table = np.frombuffer(rest[: len(rest) // 4 * 4], "<u4").astype(np.int64)
    n = int(np.argmin(table != 0)) if len(table) and not table.all() else 0
    lengths, body = table[:n], rest[4 * n + 4 :]
    if len(lengths) and not bits & _AS_THEY_ARE:
        lengths[-1] = max(0, len(body) - int(lengths[:-1].sum()))
    ends = np.cumsum(lengths).tolist()
    frames = [body[end - n : end] for n, end in zip(lengths.tolist(), ends, strict=True)]
    major, minor, reserved, required, optional = _FIELDS.unpack(head.ljust(_FIELDS.size, b"\0"))
    made = Container(
        [*frames, body[ends[-1] if ends else 0 :]],
        _lenient(text),
        version=(major, minor),
        reserved=reserved,
        required=required,
        optional=optional,
        lengths=lengths.tolist(),
        digests=[*map(xxhash.xxh3_64_intdigest, frames)],
        batch=1 + (bits >> 4),
        index_tail=b"\0" * (bits & _LONGER),
        index_zstd={"level": 1},
    )
    description, digest = made.described()
    if not bits & _AS_SAID:
        text = re.sub(rb'("description_bytes": ?)\d+', rb"\g<1>%d" % len(description), text)
        text = re.sub(rb'("description_xxh3_64": ?")[0-9a-f]+', rb"\g<1>%016x" % digest, text)
    made.json_text = text
    return made.pack()


def _lenient(text: bytes) -> dict[str, Any]:
    """What it may say."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def taken_apart(container: bytes) -> bytes:
    """The inverse, of a sound one."""
    reader = ContainerReader(Reader(io.BytesIO(container)))
    places = reader.places
    frames = b"".join(container[a:b] for a, b in zip(places.begins.tolist(), places.ends.tolist(), strict=True))
    head = b"\xf0" + container[len(layout.MAGIC) :][: _FIELDS.size]
    lengths = (places.ends - places.begins).astype("<u4").tobytes()
    return head + reader.index.model_dump_json().encode() + b"\0" + lengths + bytes(4) + frames


def seeds() -> list[bytes]:
    """The small golden containers, whole and taken apart."""
    made = []
    for path in sorted(GOLDEN.rglob("*.pwt")):
        data = path.read_bytes()
        if len(data) <= MAX_SEED:
            apart = taken_apart(data)
            made += [data, apart, bytes((apart[0] | _AS_THEY_ARE,)) + apart[1:]]
    return [each for each in made if len(each) <= 2 * MAX_SEED]
