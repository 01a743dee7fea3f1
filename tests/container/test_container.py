"""Containers in pieces: what test_hostile_containers.py, which breaks one rule at a time, does not look at."""

from __future__ import annotations

import io
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import spec_encoder
import xxhash

from pennyweight.errors import CorruptError, InputError, VersionError
from pennyweight.pipeline.container import layout, limits, markers, side
from pennyweight.pipeline.container.description import description_of
from pennyweight.pipeline.container.index import FrameTable, GapRecord, Index, TensorRecord, pack_index, unpack_index
from pennyweight.pipeline.container.reader import ContainerReader
from pennyweight.pipeline.container.writer import ContainerWriter
from pennyweight.pipeline.files import Reader
from pennyweight.pipeline.frame import encode_frame
from pennyweight.pipeline.plan import parse


def index(segments: tuple[TensorRecord | GapRecord, ...], side_bytes: tuple[int, ...] = ()) -> Index:
    return Index(
        encoder="test",
        preset="none",
        plans={},
        fidelity="lossless",
        source="opaque",
        n_bytes=sum(segment.n_bytes for segment in segments),
        sha256=None,
        gaps_xxh3_128="0" * 32,
        block_bytes=1024,
        side=side_bytes,
        segments=segments,
        description_bytes=0,
        description_xxh3_64="0" * 16,
    )


def writer_of(made: Index) -> tuple[ContainerWriter, Index]:
    """One for it, and it with what there is to say of the description."""
    writer = ContainerWriter(description_of(made), lossy=False)
    said = {"description_bytes": writer.description_bytes, "description_xxh3_64": writer.description_xxh3_64}
    return writer, made.model_copy(update=said)


def written(made: Index, frames: list[bytes], batch: int = limits.MAX_BATCH_FRAMES) -> bytes:
    """Its container."""
    writer, made = writer_of(made)
    parts = [writer.head]
    for held in (frames[at : at + batch] for at in range(0, len(frames), batch)):
        at, marker = writer.place([*map(len, held)], [*map(xxhash.xxh3_64_intdigest, held)])
        assert at == sum(map(len, parts))
        parts += [marker, *held]
    at, tail = writer.finish(made)
    assert at == sum(map(len, parts))
    return b"".join((*parts, *tail))


def opened(data: bytes) -> ContainerReader:
    return ContainerReader(Reader(io.BytesIO(data)))


def test_sizes_of_the_layout() -> None:
    assert len(layout.pack_header(lossy=False)) == layout.HEADER_BYTES == 40
    assert len(layout.pack_trailer(layout.Trailer(40, 1, 1, 0))) == layout.TRAILER_BYTES == 48


def test_header_says_what_it_was_told() -> None:
    assert layout.unpack_header(layout.pack_header(lossy=False)) == 0
    assert layout.unpack_header(layout.pack_header(lossy=True)) == layout.LOSSY


@pytest.mark.parametrize(("version", "word"), [((0, 2), "too old"), ((1, 1), "too new"), ((2, 0), "too new")])
def test_another_version_is_not_called_corrupt(version: tuple[int, int], word: str) -> None:
    data = spec_encoder.Container([], spec_encoder.describe([], [], 1024), version=version).pack()
    said = rf"container is {word}: it needs format {version[0]}\.{version[1]}, this package reads 1\.0"
    with pytest.raises(VersionError, match=said):
        opened(data)


def test_unknown_required_feature_is_too_new_and_optional_is_nothing() -> None:
    metadata = spec_encoder.describe([], [], 1024)
    with pytest.raises(VersionError, match=r"too new: it needs features 0x200, which are not in format 1\.0"):
        opened(spec_encoder.Container([], metadata, required=1 << 9).pack())
    assert opened(spec_encoder.Container([], metadata, optional=1 << 9).pack()).index.n_bytes == 0


def test_index_round_trips() -> None:
    tensor = TensorRecord(name="é\n", dtype="F4", shape=(2, 0), n_bytes=0, xxh3_128="a" * 32)
    made = index((GapRecord(n_bytes=7), tensor))
    frames = FrameTable(np.array([9, 2], np.uint32), np.array([2**64 - 1, 0], np.uint64), np.array([2], np.uint32))
    again, tables = unpack_index(pack_index(made, frames))
    assert again == made
    assert [column.tolist() for column in FrameTable.unpack(tables, 2)] == [[9, 2], [2**64 - 1, 0], [2]]


@pytest.mark.parametrize("name", ["x" * 4096, "é" * 2048])
def test_longest_name(name: str) -> None:
    TensorRecord(name=name, dtype="U8", shape=(0,), n_bytes=0, xxh3_128="a" * 32)
    made = index((TensorRecord(name=name, dtype="U8", shape=(0,), n_bytes=0, xxh3_128="a" * 32),))
    assert made.segments
    with pytest.raises(ValueError, match="longer than"):
        index((TensorRecord(name=name + "x", dtype="U8", shape=(0,), n_bytes=0, xxh3_128="a" * 32),))


def test_deep_json_is_corrupt() -> None:
    text = b"[" * 100_000 + b"]" * 100_000
    with pytest.raises(CorruptError, match="index"):
        opened(spec_encoder.Container([], {}, json_text=text).pack())


def test_empty_container() -> None:
    assert len(opened(written(index(()), [])).blocks) == 0


def test_writer_places_frames_one_after_the_other() -> None:
    writer, _ = writer_of(index(()))
    begin = len(writer.head)
    assert begin == 40 + writer.description_bytes
    at, marker = writer.place([3, 4], [1, 2])
    assert (at, len(marker)) == (begin, markers.marker_bytes(2))
    assert writer.place([5], [3])[0] == begin + len(marker) + 7
    assert writer.offset == begin + len(marker) + 7 + markers.marker_bytes(1) + 5


def test_an_index_that_readers_refuse_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    writer, whole = writer_of(index(()))
    nothing = FrameTable(np.empty(0, np.uint32), np.empty(0, np.uint64), np.empty(0, np.uint32))
    n_raw = len(pack_index(whole, nothing))
    monkeypatch.setattr(limits, "MAX_INDEX_BYTES", n_raw)
    writer.finish(whole)
    monkeypatch.setattr(limits, "MAX_INDEX_BYTES", n_raw - 1)
    with pytest.raises(InputError, match="more than readers take"):
        writer.finish(whole)


def with_side(streams: list[bytes], frames: list[bytes]) -> bytes:
    """A container of nothing but side frames."""
    return written(index((), tuple(map(len, streams))), frames)


def begins_of_side(made: ContainerReader) -> list[int]:
    begins: list[int] = made.places.begins[: len(made.side)].tolist()
    return begins


def test_side_frames_come_when_they_are_asked_for() -> None:
    streams = [b"a" * 300, b"abc", bytes(range(256)) * 8]
    frames = [encode_frame([parse("constant", None)], np.frombuffer(stream, np.uint8)).tobytes() for stream in streams]
    reads: list[tuple[int, int]] = []

    class Counting(Reader):
        def pread_into(self, offset: int, view: memoryview) -> None:
            reads.append((offset, len(view)))
            super().pread_into(offset, view)

    made = ContainerReader(Counting(io.BytesIO(with_side(streams, frames))))
    assert made.side_bytes == sum(map(len, frames))
    assert len(made.side) == 3
    reads.clear()
    for _ in range(2):
        assert made.side[1].tobytes() == b"abc"
        assert made.side[0].tobytes() == streams[0]
    first, second, _ = begins_of_side(made)
    assert reads == [(second, 5), (first, len(frames[0]))]  # each once, the third not at all
    assert [stream.tobytes() for stream in made.side] == streams
    with pytest.raises(ValueError, match="read-only"):
        made.side[0][0] = 1
    for number in (3, -1):
        with pytest.raises(IndexError):
            made.side[number]


def test_side_frames_for_many_threads_are_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = bytes(range(256)) * 64
    made = opened(with_side([stream], [b"\0\0" + stream]))
    decodings: list[int] = []
    original = side.read_frame
    monkeypatch.setattr(side, "read_frame", lambda *given: decodings.append(1) or original(*given))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: made.side[0], range(64)))
    assert len({id(stream) for stream in found}) == 1
    assert decodings == [1]


def test_a_damaged_side_frame_is_named_and_the_others_are_sound() -> None:
    streams = [b"first", b"second", b"third"]
    data = bytearray(with_side(streams, [b"\0\0" + stream for stream in streams]))
    place = begins_of_side(opened(bytes(data)))[1]
    data[place + 4] ^= 1
    made = opened(bytes(data))
    assert (made.side[0].tobytes(), made.side[2].tobytes()) == (b"first", b"third")
    for _ in range(2):
        with pytest.raises(
            CorruptError, match=rf"side frame 1: its digest does not match \(at byte {place}\)"
        ) as caught:
            made.side[1]
        assert caught.value.offset == place
    assert [made.side.check(number) is None for number in range(3)] == [True, False, True]


def test_a_side_frame_that_does_not_decode_is_named() -> None:
    made = opened(with_side([b"four"], [b"\0\0five!"]))
    assert made.side.check(0) is None
    with pytest.raises(CorruptError, match="side frame 0: store: holds 5 bytes where 4 are due"):
        made.side[0]


@pytest.mark.parametrize(
    ("sizes", "reason"),
    [
        ([0], "greater than or equal to 1"),
        ([1_048_577], "less than or equal to 1048576"),
        ([1_048_576] * 65, "side frames of 68157440 bytes"),
        ([1] * 1_000_001, "at most 1000000 items"),
    ],
)
def test_limits_of_side_frames(sizes: list[int], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        index((), tuple(sizes))
    if len(sizes) < 1000:
        assert index((), (1_048_576,) * 64).side


@pytest.mark.parametrize("n_frames", [0, 1, 3])
def test_a_frame_for_every_side_stream(n_frames: int) -> None:
    with pytest.raises(CorruptError, match=r"its (tables|batches) do not"):
        opened(with_side([b"a", b"b"], [b"\0\0a"] * n_frames))


def test_a_side_frame_far_longer_than_it_may_be_is_refused() -> None:
    with pytest.raises(CorruptError, match="far longer"):
        opened(with_side([b"a"], [bytes(2 + 1024 + 1)]))
    assert len(opened(with_side([b"a"], [bytes(2 + 1024)])).side) == 1


def test_a_frame_far_longer_than_its_block_is_refused() -> None:
    data = b"x" * 1024
    frame = bytes(int(limits.max_node_bytes(len(data))) + 1)
    with pytest.raises(CorruptError, match="longer than its block"):
        opened(spec_encoder.one_frame(frame, data).pack())


def test_100_000_tensors_open_in_about_a_second() -> None:
    made = index(
        tuple(
            TensorRecord(
                name=f"model.layers.{i}.weight", dtype="U8", shape=(2, 3 + i % 2 * 200), n_bytes=n, xxh3_128=digest
            )
            for i, (n, digest) in enumerate([(6, "0" * 32), (406, "1" * 32)] * 50_000)
        )
    )
    blocks = [b"\0\0" + bytes(6), b"\0\0" + bytes(406)] * 50_000
    data = written(made, blocks)
    begun = time.process_time()
    assert len(opened(data).segments) == 100_000
    assert time.process_time() - begun < 5  # about 0.8 s on an idle core
