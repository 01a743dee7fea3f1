"""What the page of `group` says that our encoder writes: containers of ours, and spec_choices.py."""

from __future__ import annotations

import numpy as np
import pytest
import samples
import spec_choices
import spec_decoder
import spec_index
import spec_nodes
from spec_encoder import cut
from spec_wire import Cursor


def large_and_small() -> bytes:
    """Members of a block on both sides of 16,384 bytes, gaps between segments of every kind."""
    rng = np.random.default_rng(8)
    tensors: list[tuple[str, str, tuple[int, ...], bytes]] = []
    for i, size in enumerate([40, 8_191, 8_192, 8_193, 300, 20_000, 0, 9_000, 100, 1]):
        for name in ("BF16.weight", "BF16.exp_avg", "F16.exp_avg.step", "I16.exp_avg.exp_avg_sq"):
            dtype = name.split(".")[0]
            raw = (rng.standard_normal(size) * 20).astype("<i2").tobytes()
            tensors.append((f"{i}.{name}", dtype, (size,), raw))
    return samples.safetensors(*tensors)


def every_kind() -> bytes:
    """More kinds than parts, compressible ones."""
    tensors: list[tuple[str, str, tuple[int, ...], bytes]] = []
    for again in range(3):
        for dtype, bits in spec_index.DTYPE_BITS.items():
            for role in ("weight", *samples.ROLES):
                tensors.append((f"{again}.{dtype}.{role}", dtype, (64,), bytes(64 * bits // 8)))
    return samples.safetensors(*tensors)


FILES = {"optimizer": samples.optimizer(600), "sizes": large_and_small(), "kinds": every_kind()}


@pytest.mark.parametrize("preset", ["default", "fast", "high", "archive"])
@pytest.mark.parametrize("name", FILES)
def test_group_follows_its_page(name: str, preset: str) -> None:
    container = samples.packed(FILES[name], preset=preset)
    metadata, frames = spec_decoder.read_frames(container)
    segments, groups = metadata["segments"], 0
    blocks = cut([segment["n_bytes"] for segment in segments], metadata["block_bytes"])
    for block, frame in zip(blocks, frames[len(metadata["side"]) :], strict=True):
        node = Cursor(frame)
        members = [(segments[i].get("name"), segments[i].get("dtype"), n_bytes) for i, n_bytes in block]
        runs = spec_choices.group_runs(members)
        stage = node.varint()
        if len(runs) == 1:
            assert stage != spec_nodes.GROUP_ID
        elif stage != spec_nodes.STORE:
            assert stage == spec_nodes.GROUP_ID
            expected = spec_nodes.group(bytes(sum(n_bytes for *_, n_bytes in members)), runs)[0]
            assert node.take(node.varint()) == expected
            groups += 1
    assert groups > 0
