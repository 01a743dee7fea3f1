"""The product and the decoder written from the documents agree: on what the generator writes, and on what we write."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import spec_choices
import spec_decoder
import spec_encoder
import spec_index
import spec_maker
import spec_nodes
import spec_split
from numpy.typing import NDArray

import pennyweight
from pennyweight import native
from pennyweight.pipeline.executor import decode_blocks

BATCH = 50
PRESETS = ["default", "fast", "high", "archive"]


class Made(NamedTuple):
    seed: int
    frame: bytes
    data: bytes
    side: list[bytes]


def decoded(frames: Sequence[bytes], blocks: Sequence[bytes], side: Sequence[bytes] = ()) -> bytes:
    """By the product, in one call."""
    out = np.full(sum(map(len, blocks)), 0xA5, np.uint8)
    streams = [np.frombuffer(stream, np.uint8) for stream in side]
    decode_blocks(
        np.frombuffer(b"".join(frames), np.uint8), [*map(len, frames)], [*map(len, blocks)], out, side=streams
    )
    return out.tobytes()


@pytest.fixture(scope="module")
def frames() -> list[Made]:
    """Generated frames, each checked with the spec decoder."""
    made = []
    for seed in range(12 * BATCH):
        maker = spec_maker.Maker(seed)
        data = maker.data(maker.size())
        frame = maker.frame(data)
        assert spec_decoder.decode_frame(frame, len(data), maker.side) == data, seed
        made.append(Made(seed, frame, data, maker.side))
    return made


def test_generated_frames(frames: list[Made], each_target: str) -> None:
    for seed, frame, data, side in frames:
        assert decoded([frame], [data], side) == data, seed


def test_generated_frames_in_a_row(frames: list[Made], each_target: str) -> None:
    """Many blocks in one call: no frame may touch its neighbour's bytes."""
    for first in range(0, len(frames), BATCH):
        row = [made for made in frames[first : first + BATCH] if not made.side]  # side frames are numbered for one file
        blocks = [made.data for made in row]
        assert decoded([made.frame for made in row], blocks) == b"".join(blocks)


@pytest.mark.parametrize("format_id", spec_split.FORMATS)
@pytest.mark.parametrize("kind", [4, 5, 6, 16, 17])
def test_sizes_around_the_groups(format_id: int, kind: int, each_target: str) -> None:
    """Every remainder of the groups of 128 and of 8, with patches at the ends, packed and not."""
    fmt = spec_split.FORMATS[format_id]
    if (kind, format_id) in ((6, spec_split.E4M3), (17, spec_split.E5M2)):
        return
    _, window_bits, m, h = spec_split.layout(format_id, kind)
    rng = np.random.default_rng(format_id)
    for n in [*range(1, 20), *range(120, 136), *range(250, 260), 383, 385, 511, 512, 513, 4_095, 4_097]:
        raw = floats(rng.standard_normal(n), format_id)
        data = bytearray(raw)
        data[-1] = 0xFF
        data[fmt.n_bytes - 1] = 0x7F
        base = 0
        if kind not in spec_split.KEYS:
            base = spec_choices.best_base(spec_nodes.exponents(raw, format_id), format_id, 1 << window_bits)
        header, (exponent, field, *others) = spec_nodes.floatfields(bytes(data), format_id, kind, base, place=5)
        symbols = spec_nodes.store(exponent)
        if kind not in spec_split.KEYS:
            n_symbols = 1 << max(4, window_bits + m)
            rans = spec_nodes.rans(exponent, [4096 // n_symbols] * n_symbols)
            symbols = spec_nodes.stored(spec_nodes.RANS, rans[0], *rans[1])
        packed = spec_nodes.bitpack(field, 1, h, [0] * -(-n // 128))
        fields = spec_nodes.stored(spec_nodes.BITPACK, packed[0], *packed[1])
        for field_node in (fields, spec_nodes.store(field)):
            parts = [symbols, field_node, *map(spec_nodes.store, others)]
            frame = spec_nodes.node(spec_nodes.FLOATFIELDS, header, parts)
            if len(frame) > 2 * len(data) + 1_024:  # keys and fields of 8-bit weights, stored
                continue
            assert spec_decoder.decode_frame(frame, len(data)) == data
            assert decoded([frame], [data]) == data, n


def floats(values: NDArray[np.float64], format_id: int) -> bytes:
    """As elements of the format; the 8-bit ones by their upper byte of a wider float, which is close enough."""
    if format_id == 1:
        return values.astype("<f4").view("<u2")[1::2].tobytes()
    if format_id in (5, 6):
        return values.astype("<f2").view("u1")[1::2].tobytes()
    return values.astype({2: "<f2", 3: "<f4", 4: "<f8"}[format_id]).tobytes()


def test_bits_past_the_last_element_are_ignored(each_target: str) -> None:
    """Of bitpack, alone and under floatfields: our encoders write 0 and no decoder looks."""
    data = b"\x80\x3f" * 9
    header, (exponent, field, patches) = spec_nodes.floatfields(data, 1, 5, 120)
    pack_header, (packed,) = spec_nodes.bitpack(field, 1, 7, [0])
    filled = packed[:7] + bytes([packed[7] | 0x80])
    fields = spec_nodes.stored(spec_nodes.BITPACK, pack_header, filled)
    assert len(packed) == 8
    assert decoded([fields], [field]) == field == spec_decoder.decode_frame(fields, 9)
    frame = spec_nodes.node(
        spec_nodes.FLOATFIELDS, header, [spec_nodes.store(exponent), fields, spec_nodes.store(patches)]
    )
    assert decoded([frame], [data]) == data == spec_decoder.decode_frame(frame, len(data))


@pytest.mark.parametrize("batch", range(4))
def test_generated_containers(batch: int, each_target: str, tmp_path: Path) -> None:
    for seed in range(batch * 20, batch * 20 + 20):
        container, original = spec_maker.Maker(seed).container()
        assert spec_decoder.decode(container) == original, seed
        source, restored = tmp_path / f"{seed}.pwt", tmp_path / f"{seed}.out"
        source.write_bytes(container)
        pennyweight.restore(source, restored, threads=1 + seed % 2)
        assert restored.read_bytes() == original, seed
        metadata, _ = spec_decoder.read_frames(container)
        report = pennyweight.verify(source, level="default" if metadata["sha256"] is None else "full")
        assert report.ok, (seed, report.problems)


def test_tensors_of_generated_containers(tmp_path: Path) -> None:
    for seed in range(40):
        container, original = spec_maker.Maker(seed).container()
        source = tmp_path / f"{seed}.pwt"
        source.write_bytes(container)
        metadata, _ = spec_decoder.read_frames(container)
        at = 0
        with pennyweight.open(source) as checkpoint:
            for segment in metadata["segments"]:
                raw, at = original[at : at + segment["n_bytes"]], at + segment["n_bytes"]
                if "name" in segment and spec_index.DTYPE_BITS[segment["dtype"]] >= 8:
                    assert checkpoint[segment["name"]].numpy().tobytes() == raw, (seed, segment["name"])


def our_container(data: bytes, folder: Path, preset: str, threads: int) -> bytes:
    source, made = folder / "model", folder / "model.pwt"
    source.write_bytes(data)
    pennyweight.compress(source, made, preset=preset, threads=threads, force=True)
    return made.read_bytes()


@pytest.mark.parametrize("preset", PRESETS)
def test_our_containers_decode_by_the_documents(preset: str, tmp_path: Path) -> None:
    """Files of many characters, on every target: the same bytes from each, and the original from those."""
    before = native.target()
    for seed in range(12):
        maker = spec_maker.Maker(seed)
        tensors = []
        for number in range(maker.below(8)):
            segment, raw = maker.tensor(f"t{number}")
            tensors.append((segment["name"], segment["dtype"], segment["shape"], raw))
        for dtype, width in {"BF16": 2, "F16": 2, "F32": 4, "F64": 8, "I32": 4, "U8": 1}.items():
            n = maker.below(40_000)
            tensors.append((dtype, dtype, [n], maker.data(width * n)))
        data = spec_encoder.safetensors_file(tensors, pad=maker.below(9))
        if seed % 4 == 3:
            data = data[1:]  # no longer a safetensors file
        made = set()
        for target in native.targets():
            native.set_target(target)
            made.add(our_container(data, tmp_path, preset, threads=1 + seed % 3))
        native.set_target(before)
        assert len(made) == 1, seed
        assert spec_decoder.decode(made.pop()) == data, seed


@pytest.mark.parametrize("dtype", ["BF16", "F16", "F32", "F64"])
@pytest.mark.parametrize("preset", PRESETS)
def test_whole_blocks_decode_by_the_documents(preset: str, dtype: str, tmp_path: Path) -> None:
    """More than one block of 256 KiB of something like weights."""
    weights = np.random.default_rng(3).standard_normal(150_001) * 0.02
    weights[[0, -1]] = np.nan, 1e-30
    if dtype == "BF16":
        raw = weights.astype("<f4").view("<u2")[1::2].tobytes()
    else:
        raw = weights.astype({"F16": "<f2", "F32": "<f4", "F64": "<f8"}[dtype]).tobytes()
    data = spec_encoder.safetensors_file([("w", dtype, [len(weights)], raw)])
    container = our_container(data, tmp_path, preset, threads=2)
    assert len(container) < len(data)
    assert spec_decoder.decode(container) == data


def test_empty_file_and_file_objects() -> None:
    made = io.BytesIO()
    pennyweight.compress(io.BytesIO(b""), made)
    assert spec_decoder.decode(made.getvalue()) == b""
