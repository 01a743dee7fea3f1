"""Containers that break one rule of sections 1.6 and 1.7 each: of description, batches and markers."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any

import spec_decoder
import spec_encoder
from honest import zstd_by_hand
from lies_of_containers import Change, W, fields, honest, said, zip_index


def of_description(**values: Any) -> Change:
    """Set keys of the description alone."""
    return lambda made: made.description.update(values)


def description_segment(number: int, **values: Any) -> Change:
    """Set keys of a segment of the description alone."""

    def change(made: spec_encoder.Container) -> None:
        segments = spec_encoder.description_of(made.metadata)["segments"]
        segments[number] |= values
        made.description["segments"] = segments

    return change


def described(change: Callable[[str], str | bytes]) -> Change:
    """Rewrite the JSON of the description as text."""

    def rewrite(made: spec_encoder.Container) -> None:
        new = change(json.dumps(spec_encoder.description_of(made.metadata)))
        made.description_text = new if isinstance(new, bytes) else new.encode("utf-8", "surrogatepass")

    return rewrite


def stored_description(change: Callable[[bytes], bytes], n_raw: int | None = None) -> Change:
    """Store the description in another zstd frame, said to hold so much."""

    def store(made: spec_encoder.Container) -> None:
        raw = json.dumps(spec_encoder.description_of(made.metadata)).encode()
        made.description_frame = change(raw)
        made.description_sizes = len(made.description_frame), len(raw) if n_raw is None else n_raw

    return store


def sizes_of_description(stored: int, raw: int) -> Change:
    """Add so much to what the description says of its sizes."""

    def change(made: spec_encoder.Container) -> None:
        now = struct.unpack_from("<II", made.described()[0])
        made.description_sizes = now[0] + stored, now[1] + raw

    return change


def description_in_index(n_bytes: int = 0, digest: int = 0) -> Change:
    """Add so much to what the index says of the description."""

    def change(made: spec_encoder.Container) -> None:
        said_bytes, said_digest = len(made.described()[0]) + n_bytes, made.described()[1] + digest
        said(description_bytes=said_bytes, description_xxh3_64=f"{said_digest:016x}")(made)

    return change


def marked(number: int, change: Callable[[bytes], bytes]) -> Change:
    """Rewrite a marker, its checksum put right unless that is cut."""

    def rewrite(marker: bytes) -> bytes:
        head = change(marker[:-8])
        return head + spec_decoder.xxh3_64(head).to_bytes(8, "little")

    return lambda made: made.markers.update({number: rewrite})


def put(at: int, new: bytes) -> Callable[[bytes], bytes]:
    return lambda old: old[:at] + new + old[at + len(new) :]


def marker_of(number: int) -> bytes:
    """That of the honest container."""
    kept: list[bytes] = []
    made = honest()
    made.markers[number] = lambda marker: kept.append(marker) or marker
    made.pack()
    return kept[0]


CORRUPT: dict[str, Change] = {
    "two markers for one batch": lambda made: made.markers.update({0: lambda marker: marker * 2}),
    "no marker": lambda made: made.markers.update({1: lambda marker: b""}),
    "marker of zeros": lambda made: made.markers.update({1: lambda marker: bytes(len(marker))}),
    "marker with another magic": marked(0, put(3, b"T")),
    "marker of another container": marked(0, put(8, b"\0")),
    "marker of another batch": marked(1, put(16, b"\0")),
    "marker of one frame less": marked(1, put(24, b"\2")),
    "marker with another length": marked(1, put(28, b"\0")),
    "marker with another digest": marked(1, put(40, b"\0")),
    "checksum of a marker": lambda made: made.markers.update({1: lambda marker: marker[:-1] + b"\0"}),
    "a byte in a marker": lambda made: made.markers.update({0: lambda marker: marker + b"\0"}),
    "marker of the batch before": lambda made: made.markers.update({1: lambda marker: marker_of(0)}),
    "description of another file": of_description(n_bytes=2_060),
    "description of other blocks": of_description(block_bytes=1_280),
    "description of other side frames": of_description(side=[16, 10]),
    "description of another name": description_segment(W, name="v"),
    "description of another dtype": description_segment(W, dtype="F16"),
    "description of another shape": description_segment(W, shape=[512, 2]),
    "description with a digest": description_segment(W, xxh3_128="00" * 16),
    "description with a key of the index": of_description(source="opaque"),
    "description without side": described(lambda text: text.replace('"side": [16, 9], ', "")),
    "description with a fraction": of_description(block_bytes=1024.0),
    "description with a key twice": described(lambda text: text.replace('"side"', '"side": [16, 9], "side"', 1)),
    "description is a list": described(lambda text: f"[{text}]"),
    "description is no JSON": described(lambda text: text[:-1]),
    "description goes on": described(lambda text: text + "{}"),
    "description is no UTF-8": described(lambda text: text.encode().replace(b'"w"', b'"\xff"')),
    "description is not zstd": stored_description(lambda raw: raw),
    "description without content size": stored_description(lambda raw: zip_index(raw, write_content_size=False)),
    "description in two frames": stored_description(lambda raw: zip_index(raw[:9]) + zip_index(raw[9:])),
    "a byte after the description": stored_description(lambda raw: zip_index(raw) + b"\0"),
    "description shorter than it declares": stored_description(lambda raw: zstd_by_hand(raw, declared=999), 999),
    "description of more than 32 MiB": stored_description(
        lambda raw: zstd_by_hand(raw, declared=(32 << 20) + 1), (32 << 20) + 1
    ),
    "stored bytes of the description up": sizes_of_description(1, 0),
    "stored bytes of the description down": sizes_of_description(-1, 0),
    "stored bytes of the description without measure": sizes_of_description(1 << 31, 0),
    "raw bytes of the description up": sizes_of_description(0, 1),
    "raw bytes of the description down": sizes_of_description(0, -1),
    "digest in the description": fields(description_digest=1),
    "description_bytes up": description_in_index(n_bytes=1),
    "description_bytes down": description_in_index(n_bytes=-1),
    "description_xxh3_64 of another": description_in_index(digest=1),
    "description_xxh3_64 too short": said(description_xxh3_64="00" * 7),
    "description_xxh3_64 as a number": said(description_xxh3_64=0),
    **{f"description_bytes of {value!r}": said(description_bytes=value) for value in (-1, 1.0, "90", None, 1 << 26)},
}
