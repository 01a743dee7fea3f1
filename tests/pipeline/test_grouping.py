"""Blocks of several small segments: how they are sorted, and what their frames are."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import samples
from samples import packed

import pennyweight
from pennyweight.errors import CorruptError, UsageError
from pennyweight.pipeline import executor
from pennyweight.pipeline.container.reader import ContainerReader
from pennyweight.pipeline.executor import decode_blocks, encode_blocks, max_frames_bytes
from pennyweight.pipeline.files import Reader
from pennyweight.pipeline.frame import encode_frame, read_frame
from pennyweight.pipeline.grouping import OWN_PART_BYTES, Kind, Member, kind_of
from pennyweight.pipeline.plan import MAX_DEPTH, Plan, parse
from pennyweight.stages.protocol import Stream
from pennyweight.types import DType

ZSTD, HUFFMAN = [parse("zstd", None)], [parse("huffman", None)]
F32, BF16, GAP = (DType.F32, ""), (DType.BF16, ""), (None, "")


def stream(data: bytes) -> Stream:
    return np.frombuffer(data, np.uint8)


def encode_block(members: list[Member], block: Stream) -> Stream:
    out = np.empty(max_frames_bytes([block.size]), np.uint8)
    return out[: encode_blocks(block, [members], out)[0]]


def decoded(frame: Stream, n_bytes: int) -> bytes:
    out = np.empty(n_bytes, np.uint8)
    read_frame(frame, n_bytes).decode(out)
    return out.tobytes()


def test_the_kind_is_the_dtype_and_the_role() -> None:
    assert kind_of(None) == (None, "")
    assert kind_of(DType.F32, "model.layers.0.bias") == (DType.F32, "")
    assert kind_of(DType.F32, "state.7.exp_avg") == (DType.F32, "exp_avg")
    assert kind_of(DType.F32, "exp_avg_sq.weight") == (DType.F32, "exp_avg_sq")
    assert kind_of(DType.F32, "exp_avg.exp_avg_sq") == (DType.F32, "exp_avg_sq")
    assert kind_of(DType.F32, "exp_avg.layer.weight") == (DType.F32, "")
    assert kind_of(DType.F32, "my_exp_avg") == (DType.F32, "")


def test_exact_bytes() -> None:
    members = [Member(9, ZSTD, GAP), Member(40, [parse("constant", None)], F32), Member(1, ZSTD, GAP)]
    block = stream(b"no repeat" + b"a" * 40 + b"!")
    frame = encode_block(members, block)
    assert frame.tobytes() == bytes.fromhex("09 07 02 0009 0128 0001 0c 0000") + b"no repeat!" + bytes.fromhex("010161")
    assert decoded(frame, 50) == block.tobytes()


def test_one_kind_needs_no_group() -> None:
    block = stream(b"abab" * 30)
    alone = encode_frame(HUFFMAN, block)
    assert encode_block([Member(120, HUFFMAN, F32)], block).tobytes() == alone.tobytes()
    assert encode_block([Member(20, HUFFMAN, F32)] * 6, block).tobytes() == alone.tobytes()


def test_neighbours_of_one_part_are_joined() -> None:
    kinds: list[Kind] = [F32, F32, BF16, BF16, F32, F32]
    frame = encode_block([Member(50, HUFFMAN, kind) for kind in kinds], stream(b"abab" * 75))
    node = read_frame(frame, 300)
    assert [tuple(run) for run in node.decoder.runs] == [(0, 100), (1, 100), (0, 100)]  # type: ignore[attr-defined]
    assert str(node) == "group(huffman, huffman)"


def test_what_does_not_pay_is_stored() -> None:
    noise = stream(np.random.default_rng(1).bytes(2000))
    members = [Member(1000, HUFFMAN, F32), Member(1000, HUFFMAN, BF16)]
    assert encode_block(members, noise).tobytes() == b"\0\0" + noise.tobytes()
    half = np.concatenate((noise[:1000], np.resize(stream(b"aab"), 1000)))
    assert str(read_frame(encode_block(members, half), 2000)) == "group(store, huffman)"


def test_the_larger_ones_have_a_part_of_their_own() -> None:
    sizes = [OWN_PART_BYTES, 100, OWN_PART_BYTES - 1, 100, OWN_PART_BYTES + 1]
    members = [Member(n_bytes, ZSTD, F32) for n_bytes in sizes]
    node = read_frame(encode_block(members, np.resize(stream(b"abc"), sum(sizes))), sum(sizes))
    assert [part.n_bytes for part in node.parts] == [sizes[0], sum(sizes[1:4]), sizes[4]]
    same = read_frame(encode_block(members[1:4], np.resize(stream(b"abc"), sum(sizes[1:4]))), sum(sizes[1:4]))
    assert same.name == "zstd"


def test_parts_take_the_fast_path(monkeypatch: pytest.MonkeyPatch) -> None:
    plans = [parse("floatfields[bits=5](exponent: rans)", DType.BF16)]
    members = [Member(20_000, plans, BF16), Member(30, ZSTD, GAP), Member(40_000, plans, BF16)]
    block = stream(samples.bf16(10_000) + b"ab" * 15 + samples.bf16(20_000))
    fast = encode_block(members, block)
    floats = "floatfields(rans, store, store)"
    assert str(read_frame(fast, block.size)) == f"group({floats}, zstd, {floats})"
    calls: list[object] = []
    original = executor.native.decode_blocks
    monkeypatch.setattr(executor.native, "decode_blocks", lambda *given: calls.append(given[2]) or [*original(*given)])
    out = np.empty_like(block)
    decode_blocks(fast, [fast.size], [block.size], out)
    assert out.tobytes() == block.tobytes()
    assert calls == [[block.size], [20_000, 30, 40_000]]
    monkeypatch.setattr(executor, "_fused", lambda plan: None)
    monkeypatch.setattr(executor.native, "decode_blocks", lambda src, frames, *rest: [False] * len(frames))
    assert encode_block(members, block).tobytes() == fast.tobytes()


def test_more_than_64_parts() -> None:
    rng = np.random.default_rng(2)
    kinds = [(dtype, role) for dtype in (*DType, None) for role in ("", "exp_avg", "exp_avg_sq", "max_exp_avg_sq")]
    data = rng.choice(4, (len(kinds), 3, 30), p=[0.7, 0.1, 0.1, 0.1]).astype(np.uint8)
    block = np.concatenate((data.reshape(-1), data.reshape(-1)))
    frame = encode_block([Member(90, ZSTD, kind) for kind in kinds * 2], block)
    node = read_frame(frame, block.size)
    assert len(node.parts) == 64
    assert node.parts[-1].n_bytes == (len(kinds) - 63) * 180
    assert decoded(frame, block.size) == block.tobytes()


def test_a_plan_as_deep_as_can_be_is_passed_over() -> None:
    def nested(depth: int) -> Plan:
        return parse("zstd(" * (depth - 2) + "zstd" + ")" * (depth - 2), None)

    block = stream(b"abcd" * 100)
    for depth in (MAX_DEPTH - 1, MAX_DEPTH):
        assert nested(depth).depth == depth
        frame = encode_block([Member(200, [nested(depth)], kind) for kind in (F32, BF16)], block)
        assert decoded(frame, 400) == block.tobytes()
        assert (str(read_frame(frame, 400)) == "store") is (depth == MAX_DEPTH)
    assert parse("store | byteplane(*: zstd)", DType.F32).depth == 3


def test_blocks_of_one_kind_take_the_fast_path_and_others_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    plans = [parse("floatfields[bits=5](exponent: rans)", DType.BF16)]
    weights = stream(samples.bf16(6000))
    biases = [Member(1000, plans, BF16)] * 4
    contents = [biases, [Member(4000, plans)], [*biases[:2], Member(2000, ZSTD, GAP)]]
    out = np.empty(max_frames_bytes([4000] * 3), np.uint8)
    lengths = encode_blocks(weights, contents, out)
    assert lengths[0] < 4000
    again = np.empty_like(weights)
    decode_blocks(out[: sum(lengths)], lengths, [4000] * 3, again)
    assert again.tobytes() == weights.tobytes()
    frames = np.split(out[: sum(lengths)], np.cumsum(lengths)[:-1])
    assert [frame.tobytes() for frame in frames] == [
        encode_block(members, weights[4000 * i : 4000 * i + 4000]).tobytes() for i, members in enumerate(contents)
    ]


def shapes() -> dict[str, bytes]:
    """Files whose small tensors lie in every way that makes a difference."""
    tiny = [samples.bf16(4, seed) for seed in range(1200)]
    big = samples.bf16(200_000)
    optimizer = ("weight", "exp_avg", "exp_avg_sq")

    def rows(prefix: str, some: list[bytes]) -> list[tuple[str, str, tuple[int, ...], bytes]]:
        return [(f"{prefix}.{i}", "BF16", (4,), raw) for i, raw in enumerate(some)]

    nothing = ("nothing", "F32", (0, 2), b"")
    return {
        "one": samples.safetensors(*rows("a", tiny[:1])),
        "one between": samples.safetensors(
            ("x", "BF16", (200_000,), big), *rows("b", tiny[:1]), ("y", "BF16", (200_000,), big)
        ),
        "a run that ends at a large one": samples.safetensors(
            *rows("a", tiny[:9]), ("big", "BF16", (200_000,), big), *rows("b", tiny[9:20])
        ),
        "more than 1,024": samples.safetensors(*rows("a", tiny)),
        "nothing in between": samples.safetensors(*rows("a", tiny[:3]), nothing, *rows("b", tiny[3:6])),
        "nothing at the ends": samples.safetensors(nothing, *rows("a", tiny[:3]), ("end", "U8", (0,), b"")),
        "more bytes than a block": samples.safetensors(
            *((f"w.{i}", "BF16", (30_000,), big[60_000 * (i % 6) :][:60_000]) for i in range(12))
        ),
        "optimizer": samples.safetensors(
            *((f"{i}.{role}", "F32", (20,), np.random.default_rng(i).bytes(80)) for i in range(9) for role in optimizer)
        ),
    }


@pytest.mark.parametrize("name", shapes())
def test_every_tensor_alone_and_the_whole_file(name: str, preset: Path) -> None:
    data = shapes()[name]
    originals = samples.safetensors_raws(data)
    for chosen in ("default", preset):
        container = packed(data, preset=chosen)
        restored = io.BytesIO()
        pennyweight.restore(io.BytesIO(container), restored)
        assert restored.getvalue() == data
        with pennyweight.open(io.BytesIO(container), threads=1) as checkpoint:
            assert list(checkpoint) == list(originals)
            for tensor in (*originals, *reversed(originals)):
                assert checkpoint[tensor].numpy().tobytes() == originals[tensor]
                assert checkpoint[tensor][1:3].tobytes() == originals[tensor][_rows(checkpoint[tensor], 1, 3)]


def _rows(tensor: Any, first: int, last: int) -> slice:
    row = tensor.n_bytes // tensor.shape[0] if tensor.shape[0] else 0
    return slice(first * row, last * row)


def test_a_block_is_decoded_once_for_all_its_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    data = samples.thousands(500)
    with pennyweight.open(io.BytesIO(packed(data)), threads=1) as checkpoint:
        decodings: list[object] = []
        original = checkpoint._frames.decode
        monkeypatch.setattr(checkpoint._frames, "decode", lambda *a: decodings.append(a) or original(*a))
        for tensor in checkpoint.values():
            tensor.numpy()
    assert 1 <= len(decodings) <= 2


def test_a_tensor_of_a_damaged_block_is_named_when_it_is_read() -> None:
    container = bytearray(packed(samples.thousands(50)))
    container[int(ContainerReader(Reader(io.BytesIO(container))).frames.begins[0]) + 5] ^= 1
    with pennyweight.open(io.BytesIO(bytes(container)), threads=1) as checkpoint:
        for _ in range(2):
            with pytest.raises(CorruptError, match=r"tensor 'layer\.7\.bias': a frame is damaged"):
                checkpoint["layer.7.bias"].numpy()


def test_what_inspect_says_adds_up() -> None:
    data = shapes()["a run that ends at a large one"]
    container = packed(data)
    info = pennyweight.inspect(io.BytesIO(container), plans=True).files[0]
    made = ContainerReader(Reader(io.BytesIO(container)))
    lengths = made.frames.ends - made.frames.begins
    assert sum(t.stored_bytes for t in info.tensors) + info.gap_stored_bytes == lengths.sum()
    stored = {tensor.name: tensor.stored_bytes for tensor in info.tensors}
    first, last = made.blocks.holding(1 + 9)
    assert stored["big"] == lengths[first:last].sum()
    assert {tensor.name: tensor.plans for tensor in info.tensors}["a.3"] == {"group: store": 1}
    assert Counter(info.gap_plans) == {"group: zstd": 1}
    assert {tensor.name: tensor.plans for tensor in info.tensors}["b.2"] in ({"store": 1}, {"floatfields(rans)": 1})


def test_group_is_no_stage_for_a_preset() -> None:
    with pytest.raises(UsageError, match="not written in plans"):
        parse("group", None)
