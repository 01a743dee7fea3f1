"""Containers in pieces: what test_hostile_containers.py, which breaks one rule at a time, does not look at."""

from __future__ import annotations

import io
import time

import numpy as np
import pytest
import spec_encoder

from pennyweight.errors import CorruptError, InputError, VersionError
from pennyweight.pipeline.container import layout, limits
from pennyweight.pipeline.container.index import FrameTable, GapRecord, Index, TensorRecord, pack_index, unpack_index
from pennyweight.pipeline.container.reader import ContainerReader
from pennyweight.pipeline.container.writer import ContainerWriter
from pennyweight.pipeline.files import Reader


def index(segments: tuple[TensorRecord | GapRecord, ...]) -> Index:
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


@pytest.mark.parametrize(("version", "word"), [((0, 0), "too old"), ((0, 2), "too new"), ((1, 0), "too new")])
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


def test_a_frame_far_longer_than_its_block_is_refused() -> None:
    data = b"x" * 1024
    frame = bytes(int(limits.max_node_bytes(len(data))) + 1)
    with pytest.raises(CorruptError, match="longer than its block"):
        opened(spec_encoder.one_frame(frame, data).pack())


def test_100_000_tensors_open_in_about_a_second() -> None:
    tensors = [spec_encoder.tensor(f"model.layers.{i}.weight", "U8", [2, 3], bytes(6)) for i in range(100_000)]
    metadata = spec_encoder.describe(tensors, [bytes(6)] * len(tensors), 1024)
    data = spec_encoder.Container([spec_encoder.store(bytes(6))] * len(tensors), metadata).pack()
    begun = time.process_time()
    assert len(opened(data).segments) == 100_000
    assert time.process_time() - begun < 5  # about 0.8 s on an idle core
