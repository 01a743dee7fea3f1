"""The product and the decoder written from the documents agree: on what the generator writes, and on what we write."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import spec_decoder
import spec_encoder
import spec_stages

import pennyweight
from pennyweight import native
from pennyweight.pipeline.executor import decode_blocks

BATCH = 50


@pytest.fixture(scope="module")
def frames() -> list[tuple[int, bytes, bytes]]:
    """(seed, frame, data) of generated frames, each checked with the spec decoder."""
    made = []
    for seed in range(10 * BATCH):
        maker = spec_encoder.Maker(seed)
        data = maker.data(maker.size())
        frame = maker.frame(data)
        assert spec_decoder.decode_frame(frame, len(data)) == data, seed
        made.append((seed, frame, data))
    return made


def test_generated_frames(frames: list[tuple[int, bytes, bytes]], each_target: str) -> None:
    for seed, frame, data in frames:
        out = np.full(len(data), 0xA5, np.uint8)
        decode_blocks(np.frombuffer(frame, np.uint8), [len(frame)], [len(data)], out)
        assert out.tobytes() == data, seed


def test_generated_frames_in_a_row(frames: list[tuple[int, bytes, bytes]], each_target: str) -> None:
    """Many blocks in one call: no frame may touch its neighbour's bytes."""
    for first in range(0, len(frames), BATCH):
        _, row, blocks = zip(*frames[first : first + BATCH], strict=True)
        out = np.full(sum(map(len, blocks)), 0xA5, np.uint8)
        decode_blocks(np.frombuffer(b"".join(row), np.uint8), [*map(len, row)], [*map(len, blocks)], out)
        assert out.tobytes() == b"".join(blocks)


@pytest.mark.parametrize("format_id", spec_stages.FORMATS)
@pytest.mark.parametrize("symbol_bits", [4, 5])
def test_sizes_around_the_groups(format_id: int, symbol_bits: int, each_target: str) -> None:
    """Every remainder of the groups of 128 and of 8, with patches at the ends."""
    fmt = spec_stages.FORMATS[format_id]
    rng = np.random.default_rng(format_id)
    for n in [*range(1, 20), *range(120, 136), *range(250, 260), 383, 385, 511, 512, 513, 4_095, 4_097]:
        weights = rng.standard_normal(n).astype({2: "<f2", 4: "<f4", 8: "<f8"}[fmt.n_bytes])
        raw = weights.tobytes() if format_id != 1 else weights.astype("<f4").view("<u2")[1::2].tobytes()
        data = bytearray(raw)
        data[-1] = 0xFF
        data[fmt.n_bytes - 1] = 0x7F
        base = spec_encoder.best_base(raw, format_id)
        header, (exponent, *others) = spec_encoder.floatfields(bytes(data), format_id, symbol_bits, base, place=5)
        frequencies = [4096 // (1 << symbol_bits)] * (1 << symbol_bits)
        rans_header, (part,) = spec_encoder.rans(exponent, frequencies)
        rans_node = spec_encoder.node(spec_encoder.RANS, rans_header, [spec_encoder.store(part)])
        frame = spec_encoder.node(spec_encoder.FLOATFIELDS, header, [rans_node, *map(spec_encoder.store, others)])
        assert spec_decoder.decode_frame(frame, len(data)) == data
        out = np.full(len(data), 0xA5, np.uint8)
        decode_blocks(np.frombuffer(frame, np.uint8), [len(frame)], [len(data)], out)
        assert out.tobytes() == data, n


def test_filling_of_sign_mantissa_is_ignored(each_target: str) -> None:
    """The bits past the last weight: our encoders write 0 and no decoder looks."""
    data = b"\x80\x3f" * 9
    header, (exponent, sign_mantissa, patches) = spec_encoder.floatfields(data, 1, 5, 120)
    filled = sign_mantissa[:7] + bytes([sign_mantissa[7] | 0x80]) + b"\xff" * 6
    streams = [exponent, filled, patches]
    frame = spec_encoder.node(spec_encoder.FLOATFIELDS, header, [*map(spec_encoder.store, streams)])
    assert spec_decoder.decode_frame(frame, len(data)) == data
    out = np.zeros(len(data), np.uint8)
    decode_blocks(np.frombuffer(frame, np.uint8), [len(frame)], [len(data)], out)
    assert out.tobytes() == data


@pytest.mark.parametrize("batch", range(4))
def test_generated_containers(batch: int, each_target: str, tmp_path: Path) -> None:
    for seed in range(batch * 20, batch * 20 + 20):
        container, original = spec_encoder.Maker(seed).container()
        assert spec_decoder.decode(container) == original, seed
        source, restored = tmp_path / f"{seed}.pwt", tmp_path / f"{seed}.out"
        source.write_bytes(container)
        pennyweight.restore(source, restored, threads=1 + seed % 2)
        assert restored.read_bytes() == original, seed
        metadata, _, _ = spec_decoder.split_index(spec_decoder.read_index(container)[1])
        report = pennyweight.verify(source, level="default" if metadata["sha256"] is None else "full")
        assert report.ok, (seed, report.problems)


def test_tensors_of_generated_containers(tmp_path: Path) -> None:
    for seed in range(40):
        container, original = spec_encoder.Maker(seed).container()
        source = tmp_path / f"{seed}.pwt"
        source.write_bytes(container)
        _, index = spec_decoder.read_index(container)
        at = 0
        with pennyweight.open(source) as checkpoint:
            for segment in spec_decoder.split_index(index)[0]["segments"]:
                raw, at = original[at : at + segment["n_bytes"]], at + segment["n_bytes"]
                if "name" in segment and spec_decoder.DTYPE_BITS[segment["dtype"]] >= 8:
                    assert checkpoint[segment["name"]].numpy().tobytes() == raw, (seed, segment["name"])


def our_container(data: bytes, folder: Path, preset: str, threads: int) -> bytes:
    source, made = folder / "model", folder / "model.pwt"
    source.write_bytes(data)
    pennyweight.compress(source, made, preset=preset, threads=threads, force=True)
    return made.read_bytes()


@pytest.mark.parametrize("preset", ["default", "fast"])
def test_our_containers_decode_by_the_documents(preset: str, tmp_path: Path) -> None:
    """Files of many characters, on every target: the same bytes from each, and the original from those."""
    before = native.target()
    for seed in range(12):
        maker = spec_encoder.Maker(seed)
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
@pytest.mark.parametrize("preset", ["default", "fast"])
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
