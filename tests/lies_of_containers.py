"""Containers that break one rule of sections 1.1 to 1.5 each, with every checksum put right that is not the lie."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import spec_decoder
import spec_encoder
import spec_nodes
import spec_scaled
import zstandard
from honest import zstd_by_hand

Change = Callable[[spec_encoder.Container], object]

WEIGHTS = bytes(i * i % 251 for i in range(2_048))
GAP = b"a header"
SIDE = b"read by no stage", b"\0" * 9


def honest() -> spec_encoder.Container:
    """Two gaps, a tensor of two blocks, one of none, and a scalar that shares a block with a gap; two side frames.

    Two batches of three frames: side, side, gap; and the blocks of the tensor, and that of scalar and gap.
    """
    raws = [GAP, WEIGHTS, b"", b"\x80\x3f", b"!"]
    segments: list[dict[str, Any]] = [
        {"n_bytes": len(GAP)},
        spec_encoder.tensor("w", "BF16", [2, 512], WEIGHTS),
        spec_encoder.tensor("nothing", "F64", [3, 0], b""),
        spec_encoder.tensor("scalar", "BF16", [], raws[3]),
        {"n_bytes": 1},
    ]
    blocks = [GAP, WEIGHTS[:1024], WEIGHTS[1024:], raws[3] + b"!"]
    frames = [*map(spec_encoder.store, [*SIDE, *blocks])]
    return spec_encoder.Container(frames, spec_encoder.describe(segments, raws, 1_024, [*map(len, SIDE)]), batch=3)


def fields(**values: Any) -> Change:
    """Set fields of the container itself."""
    return lambda made: vars(made).update(values)


def said(**values: Any) -> Change:
    """Set keys of the JSON."""
    return lambda made: made.metadata.update(values)


def segment(number: int, **values: Any) -> Change:
    """Set keys of a segment."""
    return lambda made: made.metadata["segments"][number].update(values)


def without(key: str) -> Change:
    """Leave a key of the JSON out."""

    def leave_out(made: spec_encoder.Container) -> None:
        kept = {name: value for name, value in made.whole_metadata().items() if name != key}
        made.json_text = json.dumps(kept).encode()

    return leave_out


def segment_without(number: int, key: str) -> Change:
    return lambda made: made.metadata["segments"][number].pop(key)


def frame_digests(made: spec_encoder.Container) -> list[int]:
    return [spec_decoder.xxh3_64(frame) for frame in made.frames]


def hole(made: spec_encoder.Container) -> None:
    fields(lengths=[len(frame) for frame in made.frames], digests=frame_digests(made))(made)
    made.frames.append(b"hole")


def zeros_at_the_side(made: spec_encoder.Container, sizes: list[int]) -> None:
    """Valid side frames of such sizes in place of the others."""
    made.frames[:2] = [spec_encoder.node(1, b"\0")] * len(sizes)
    said(side=sizes)(made)


def scales_at_the_side(made: spec_encoder.Container, tables: int) -> None:
    """A side frame 3 of one key, whose tables are in that side frame; sound but for that: 2 holds tables."""
    frames = spec_scaled.tables_frame([[1024] * 16] * 8)
    header = spec_scaled.header_of(spec_scaled.Geometry(0, 0, 1, 1, 1, tables, None), 80, 0, 0)
    words = spec_nodes.interleaved(np.array([5]), [[1024] * 16] * 8, np.array([0]), 14)
    key = spec_nodes.stored(spec_nodes.SCALES, header, b"\0", b"", words)
    if tables == 2:
        assert spec_decoder.decode_frame(key, 2, [b"", b"", frames]) == b"\4\0"
    made.frames[2:2] = [spec_encoder.store(frames), key]
    made.metadata["side"] += [256, 2]


def text(change: Callable[[str], str | bytes]) -> Change:
    """Rewrite the JSON as text."""

    def rewrite(made: spec_encoder.Container) -> None:
        new = change(json.dumps(made.whole_metadata()))
        made.json_text = new if isinstance(new, bytes) else new.encode("utf-8", "surrogatepass")

    return rewrite


def stored(change: Callable[[bytes], bytes]) -> Change:
    """Store the index in another zstd frame."""
    return lambda made: setattr(made, "index_frame", change(made.raw_index()))


def moved(**by: int) -> Change:
    """Change fields of the trailer by so much."""

    def move(made: spec_encoder.Container) -> None:
        trailer = struct.unpack("<4Q", made.pack()[-48:-16])
        now = dict(zip(("offset", "stored", "raw"), trailer, strict=False))
        made.trailer = {key: (now[key] + delta) % 2**64 for key, delta in by.items()}

    return move


def zip_index(raw: bytes, **options: Any) -> bytes:
    return zstandard.ZstdCompressor(**options).compress(raw)


W, NOTHING, SCALAR = 1, 2, 3
NOT_A_NUMBER_OF_BYTES: list[Any] = [-1, 1.0, True, "1", None, [1], 1 << 64]

CORRUPT: dict[str, Change] = {
    "reserved field": fields(reserved=1),
    "lossy bit, lossless file": fields(required=1),
    "lossy file, no bit": said(fidelity="lossy"),
    "offset of the index up": moved(offset=1),
    "offset of the index down": moved(offset=-1),
    "stored bytes up": moved(stored=1),
    "stored bytes down": moved(stored=-1),
    "offset and stored bytes against each other": moved(offset=1, stored=-1),
    "offset and stored bytes wrap": moved(offset=1 << 63, stored=1 << 63),
    "offset before the file": moved(offset=-4096, stored=4096),
    "raw bytes up": moved(raw=1),
    "raw bytes down": moved(raw=-1),
    "raw bytes without measure": moved(raw=1 << 62),
    "index of more than 64 MiB": lambda made: (
        fields(trailer={"raw": (64 << 20) + 1})(made),
        stored(lambda raw: zstd_by_hand(raw, declared=(64 << 20) + 1))(made),
    ),
    "index that is shorter than it declares": lambda made: (
        fields(trailer={"raw": 64 << 20})(made),
        stored(lambda raw: zstd_by_hand(raw, declared=64 << 20))(made),
    ),
    "index that is longer than it declares": lambda made: (
        fields(trailer={"raw": 100})(made),
        stored(lambda raw: zstd_by_hand(raw, declared=100))(made),
    ),
    "index is not zstd": stored(lambda raw: raw),
    "index without content size": stored(lambda raw: zip_index(raw, write_content_size=False)),
    "index in two frames": stored(lambda raw: zip_index(raw[:9]) + zip_index(raw[9:])),
    "a byte after the zstd frame": stored(lambda raw: zip_index(raw) + b"\0"),
    "a frame after the zstd frame": stored(lambda raw: zip_index(raw) + zip_index(b"")),
    "index is empty": stored(lambda raw: b""),
    "a byte after the index": fields(index_tail=b"\0"),
    "a frame too many": lambda made: made.frames.append(b""),
    "a frame too few": lambda made: made.frames.pop(),
    "a length too small": fields(lengths=[18, 11, 9, 1026, 1026, 5]),
    "a length too large": fields(lengths=[18, 11, 11, 1026, 1026, 5]),
    "a byte moved to the next frame": fields(lengths=[18, 11, 10, 1025, 1027, 5]),
    "a byte moved to the next batch": fields(lengths=[18, 11, 9, 1027, 1026, 5]),
    "a byte moved to the next side frame": fields(lengths=[17, 12, 10, 1026, 1026, 5]),
    "side frame behind its blocks": lambda made: made.frames.append(made.frames.pop(1)),
    "side frames exchanged": lambda made: made.frames.insert(0, made.frames.pop(1)),
    "digest of a side frame": lambda made: fields(digests=[1, *frame_digests(made)[1:]])(made),
    "side frame too many": lambda made: made.frames.insert(2, spec_encoder.store(b"x")),
    "side frame that is no frame": lambda made: made.frames.__setitem__(1, b""),
    "side frame of another size": said(side=[16, 10]),
    "one side frame said": said(side=[16]),
    "three side frames said": said(side=[16, 9, 1]),
    "side frame of no bytes": lambda made: (said(side=[16, 9, 0])(made), made.frames.insert(2, b"\0\0")),
    "side frames without end": said(side=[1] * 1_000_001),
    "side frame of more than 1 MiB": lambda made: zeros_at_the_side(made, [(1 << 20) + 1]),
    "side frames of more than 64 MiB": lambda made: zeros_at_the_side(made, [1 << 20] * 65),
    "side frame that names another": lambda made: scales_at_the_side(made, 0),
    "side frame that names the one before": lambda made: scales_at_the_side(made, 2),
    "side frame that names itself": lambda made: scales_at_the_side(made, 3),
    "blocks not joined": lambda made: made.frames.__setitem__(
        slice(5, 6), [*map(spec_encoder.store, (b"\x80\x3f", b"!"))]
    ),
    **{
        f"side of {value!r}": said(side=value)
        for value in [
            None,
            {},
            25,
            "16",
            [16.0, 9],
            [16, "9"],
            [[16], [9]],
            [16, -9],
            [16, True],
            [16, None],
            [16, 1 << 64],
        ]
    },
    "a hole before the index": hole,
    "digest of a frame": lambda made: fields(digests=[*frame_digests(made)[:-1], 1])(made),
    "digests exchanged": lambda made: fields(digests=frame_digests(made)[::-1])(made),
    "frames exchanged": lambda made: made.frames.insert(3, made.frames.pop(2)),
    "blocks exchanged": lambda made: made.frames.insert(3, made.frames.pop(4)),
    "batch of no frames": fields(batches=[3, 0, 3]),
    "a batch of no frames at the end": fields(batches=[3, 3, 0]),
    "batch of 513 frames": lambda made: (zeros_at_the_side(made, [1] * 512), fields(batches=[513, 3])(made)),
    "a frame in no batch": fields(batches=[3, 2]),
    "a frame too many in the batches": fields(batches=[3, 4]),
    "no batches": fields(batches=[]),
    "half a number of a batch": fields(index_tail=b"\0\0"),
    "JSON is no UTF-8": text(
        lambda json_text: json_text.replace("opaque", "\udcff").encode("utf-8", "surrogateescape")
    ),
    "surrogate in UTF-8": text(lambda json_text: json_text.replace("opaque", "\ud800")),
    "escaped surrogate": text(lambda json_text: json_text.replace("opaque", "\\ud800")),
    "escaped surrogate in a name": text(lambda json_text: json_text.replace("scalar", "\\ud800")),
    "JSON with a byte order mark": text(lambda json_text: "\ufeff" + json_text),
    "JSON is a list": text(lambda json_text: f"[{json_text}]"),
    "JSON is cut off": text(lambda json_text: json_text[:-1]),
    "JSON is empty": text(lambda json_text: ""),
    "JSON goes on": text(lambda json_text: json_text + "{}"),
    "JSON with a comma too many": text(lambda json_text: json_text[:-1] + ",}"),
    "JSON with NaN": text(lambda json_text: json_text.replace("1024", "NaN")),
    "JSON with a zero byte": text(lambda json_text: json_text + "\0"),
    "JSON of great depth": text(lambda json_text: "[" * 200_000),
    "number of 5,000 digits": text(lambda json_text: json_text.replace("1024", "1" * 5_000)),
    "unknown key": said(note="x"),
    "sha256 in capitals": lambda made: made.metadata.update(sha256=made.metadata["sha256"].upper()),
    "sha256 too short": said(sha256="00" * 31),
    "sha256 of another file": said(sha256="00" * 32),
    "sha256 as a number": said(sha256=0),
    "gaps digest of others": said(gaps_xxh3_128="00" * 16),
    "gaps digest too long": said(gaps_xxh3_128="00" * 17),
    "gaps digest null": said(gaps_xxh3_128=None),
    "gaps digest not hexadecimal": said(gaps_xxh3_128="g" * 32),
    "fidelity unknown": said(fidelity="nearly"),
    "segments are no list": said(segments={}),
    "no segments": said(segments=[]),
    "a segment is no object": lambda made: made.metadata["segments"].append(1),
    "unknown key of a gap": segment(0, note=1),
    "unknown key of a tensor": segment(W, offset=0),
    "empty gap": lambda made: made.metadata["segments"].append({"n_bytes": 0}),
    "empty object": lambda made: made.metadata["segments"].append({}),
    "file larger than its segments": said(n_bytes=len(GAP) + len(WEIGHTS) + 4),
    "tensor larger than its shape": segment(W, n_bytes=2_050),
    "shape larger than the tensor": segment(W, shape=[2, 513]),
    "shape of another product": segment(W, shape=[1 << 32, 1 << 32, 2, 512]),
    "shape of a scalar": segment(W, shape=[]),
    "rank 65": segment(W, shape=[1] * 63 + [2, 512]),
    "negative shape": segment(W, shape=[-2, -512]),
    "shape with a fraction": segment(W, shape=[2.0, 512]),
    "shape with a truth value": segment(SCALAR, shape=[True]),
    "shape is a number": segment(SCALAR, shape=1),
    "half a byte": segment(SCALAR, dtype="F4", shape=[3]),
    "unknown dtype": segment(W, dtype="BF17"),
    "dtype in small letters": segment(W, dtype="bf16"),
    "plans of 257 dtypes": said(plans={str(i): [] for i in range(257)}),
    "name twice": segment(SCALAR, name="w"),
    "name too long": segment(W, name="é" * 2_049),
    "name is a number": segment(W, name=1),
    "tensor digest of others": segment(W, xxh3_128="00" * 16),
    "tensor digest in capitals": segment(W, xxh3_128="AA" * 16),
    "digest of an empty tensor": segment(NOTHING, xxh3_128="00" * 16),
    "plans are a list": said(plans=[]),
    "plans are text": said(plans={"BF16": "store"}),
    "encoder is null": said(encoder=None),
    "preset is a number": said(preset=1),
    "source is a list": said(source=["opaque"]),
    **{
        f"block_bytes of {value!r}": said(block_bytes=value)
        for value in [0, 512, 1_000, 1_025, 524_544, "1024", 1024.0]
    },
    "block_bytes of others": said(block_bytes=1_280),
    **{f"n_bytes of {value!r}": said(n_bytes=value) for value in NOT_A_NUMBER_OF_BYTES},
    "n_bytes right, but a fraction": said(n_bytes=float(honest().metadata["n_bytes"])),
    **{f"gap of {value!r}": segment(0, n_bytes=value) for value in NOT_A_NUMBER_OF_BYTES},
    **{f"tensor of {value!r}": segment(SCALAR, n_bytes=value) for value in NOT_A_NUMBER_OF_BYTES},
    **{f"index without {key}": without(key) for key in honest().whole_metadata()},
    **{f"tensor without {key}": segment_without(W, key) for key in ("name", "dtype", "shape", "n_bytes", "xxh3_128")},
    "key twice": text(lambda json_text: json_text.replace('"preset"', '"preset": "x", "preset"', 1)),
    "key of a tensor twice": text(lambda json_text: json_text.replace('"dtype"', '"dtype": "BF16", "dtype"', 1)),
    "gap of 2^62": lambda made: (said(n_bytes=2**62 + 2_051)(made), segment(0, n_bytes=2**62)(made)),
    "tensor of 2^62": lambda made: (
        said(n_bytes=2**62 + 2_059)(made),
        segment(NOTHING, n_bytes=2**62, shape=[2**59])(made),
    ),
}

VERSIONS = (0, 0), (0, 1), (0, 2), (0, 3), (1, 1), (2, 0), (0, 65535), (65535, 0)
OTHER_VERSION: dict[str, Change] = {
    **{f"version {major}.{minor}": fields(version=(major, minor)) for major, minor in VERSIONS},
    "newer, with a reserved field": fields(version=(1, 1), reserved=1, required=2),
    **{f"required feature {bit}": fields(required=1 << bit) for bit in (1, 2, 31, 63)},
}
