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
from pennyweight.pipeline.container import layout, limits, side
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
    )


def opened(data: bytes) -> ContainerReader:
    return ContainerReader(Reader(io.BytesIO(data)))


def test_sizes_of_the_layout() -> None:
    assert len(layout.pack_header(lossy=False)) == layout.HEADER_BYTES == 40
    assert len(layout.pack_trailer(layout.Trailer(40, 1, 1, 0))) == layout.TRAILER_BYTES == 48


def test_header_says_what_it_was_told() -> None:
    assert layout.unpack_header(layout.pack_header(lossy=False)) == 0
    assert layout.unpack_header(layout.pack_header(lossy=True)) == layout.LOSSY


@pytest.mark.parametrize(("version", "word"), [((0, 1), "too old"), ((0, 3), "too new"), ((1, 0), "too new")])
def test_another_version_is_not_called_corrupt(version: tuple[int, int], word: str) -> None:
    data = spec_encoder.Container([], spec_encoder.describe([], [], 1024), version=version).pack()
    with pytest.raises(VersionError, match=word):
        opened(data)


def test_unknown_required_feature_is_too_new_and_optional_is_nothing() -> None:
    metadata = spec_encoder.describe([], [], 1024)
    with pytest.raises(VersionError, match="too new"):
        opened(spec_encoder.Container([], metadata, required=1 << 9).pack())
    assert opened(spec_encoder.Container([], metadata, optional=1 << 9).pack()).index.n_bytes == 0


def test_index_round_trips() -> None:
    tensor = TensorRecord(name="é\n", dtype="F4", shape=(2, 0), n_bytes=0, xxh3_128="a" * 32)
    made = index((GapRecord(n_bytes=7), tensor))
    frames = FrameTable(np.array([9], np.uint32), np.array([2**64 - 1], np.uint64))
    again, table = unpack_index(pack_index(made, frames))
    assert again == made
    assert table.lengths.tolist() == [9]
    assert table.digests.tolist() == [2**64 - 1]


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
    writer = ContainerWriter()
    head = writer.header(lossy=False)
    at, tail = writer.finish(index(()))
    data = b"".join((head, *tail))
    assert at == len(head)
    assert writer.offset == len(data)
    assert len(opened(data).blocks) == 0


def test_writer_places_frames_one_after_the_other() -> None:
    writer = ContainerWriter()
    writer.header(lossy=False)
    assert writer.place([3, 4], [1, 2]) == 40
    assert writer.place([5], [3]) == 47
    assert writer.offset == 52


def test_an_index_that_readers_refuse_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    writer = ContainerWriter()
    writer.header(lossy=False)
    whole = index(())
    n_raw = len(pack_index(whole, FrameTable(np.empty(0, np.uint32), np.empty(0, np.uint64))))
    monkeypatch.setattr(limits, "MAX_INDEX_BYTES", n_raw)
    writer.finish(whole)
    monkeypatch.setattr(limits, "MAX_INDEX_BYTES", n_raw - 1)
    with pytest.raises(InputError, match="more than readers take"):
        writer.finish(whole)


def with_side(streams: list[bytes], frames: list[bytes]) -> bytes:
    """A container of nothing but side frames."""
    writer = ContainerWriter()
    head = writer.header(lossy=False)
    writer.place([*map(len, frames)], [*map(xxhash.xxh3_64_intdigest, frames)])
    _, tail = writer.finish(index((), tuple(map(len, streams))))
    return b"".join((head, *frames, *tail))


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
    assert reads == [(40 + len(frames[0]), 5), (40, len(frames[0]))]  # each once, the third not at all
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
    data[40 + 7 + 4] ^= 1
    made = opened(bytes(data))
    assert (made.side[0].tobytes(), made.side[2].tobytes()) == (b"first", b"third")
    for _ in range(2):
        with pytest.raises(CorruptError, match=r"side frame 1: its digest does not match \(at byte 47\)") as caught:
            made.side[1]
        assert caught.value.offset == 47
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
    with pytest.raises(CorruptError, match=f"{n_frames} frames for 0 blocks and 2 side frames"):
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
    writer = ContainerWriter()
    head = writer.header(lossy=False)
    writer.place([*map(len, blocks)], [*map(xxhash.xxh3_64_intdigest, blocks)])
    data = b"".join((head, *blocks, *writer.finish(made)[1]))
    begun = time.process_time()
    assert len(opened(data).segments) == 100_000
    assert time.process_time() - begun < 5  # about 0.8 s on an idle core
