"""What the pages say that our encoder writes, against much input: stages of the product, and spec_choices.py."""

from __future__ import annotations

import numpy as np
import pytest
import spec_cells
import spec_choices
import spec_nodes
import spec_split
from spec_maker import Maker

from pennyweight.stages.cells import OF_DTYPE, Layout
from pennyweight.stages.entropy.huffman import Huffman
from pennyweight.stages.entropy.piecewise import Piecewise
from pennyweight.stages.entropy.rans import Rans
from pennyweight.stages.protocol import Stage
from pennyweight.stages.split.bitpack import BitPack
from pennyweight.stages.split.floatfields import FloatFields, FloatFormat
from pennyweight.stages.split.ggml import Ggml
from pennyweight.stages.split.palette import Palette
from pennyweight.testing.gguf import quantised_cells


def encoded(stage: Stage, src: bytes) -> spec_nodes.Encoded | None:
    made = stage.encode(np.frombuffer(src, np.uint8))
    return made and (made.header, [part.tobytes() for part in made.parts])


def agree(stage: Stage, src: bytes, expected: spec_nodes.Encoded | None, what: object) -> bool:
    """Whether both took the stream apart, in the same way."""
    assert encoded(stage, src) == expected, what
    return expected is not None


@pytest.mark.parametrize("bits", [4, 5, 8])
def test_rans_follows_its_page(bits: int, each_target: str) -> None:
    taken = 0
    for seed in range(120):
        rng = np.random.default_rng(seed)
        n_symbols = 1 << int(rng.choice([bits, bits, rng.integers(1, bits + 1)]))
        weights = rng.random(n_symbols) ** rng.choice([0, 0.2, 1, 4, 60])
        n = int(rng.choice([2, 31, 127, 128, 129, 500, 4_096, 16_383, 16_384, 16_500, 20_000]))
        src = bytes(rng.choice(n_symbols, n, p=weights / weights.sum()).astype(np.uint8))
        taken += agree(Rans(bits), src, spec_choices.rans(src, bits), seed)
    assert 20 < taken < 120


def test_noise_is_a_matter_of_the_sample(each_target: str) -> None:
    """Bytes of which only those looked at are uniform, and the other way round."""
    for inverse in (False, True):
        looked_at = (np.arange(16_384) % 512 < 64) != inverse
        src = np.where(looked_at, np.random.default_rng(1).integers(0, 256, 16_384), 7).astype(np.uint8).tobytes()
        assert agree(Rans(8), src, spec_choices.rans(src, 8), inverse) == inverse


def test_huffman_follows_its_page(each_target: str) -> None:
    for seed in range(120):
        maker = Maker(seed)
        src = maker.data(int(maker.pick(1, 2, 5, 300, 4_000)))
        if seed % 4 == 0:  # counts of Fibonacci, which want codes of more than 11 bits
            counts = [1, 1]
            while len(counts) < 18:
                counts.append(counts[-1] + counts[-2])
            values = maker.rng.permutation(256)[:18]
            src = bytes(maker.rng.permutation(np.repeat(values, counts)).astype(np.uint8))
        expected = None
        if len(set(src)) > 1:
            expected = spec_nodes.huffman(src, spec_choices.huffman_lengths(src))
        assert encoded(Huffman(), src) == expected, seed


def some_floats(fmt: FloatFormat, seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    n = int(rng.choice([1, 7, 8, 31, 32, 33, 64, 500, 3_000, 16_383, 16_384, 16_400, 20_001]))
    if seed % 3 == 0:
        return rng.bytes(fmt.width * n)
    weights = rng.standard_normal(n) * rng.choice([1, 1e-3, 1e3])
    if seed % 3 == 2:  # as many exponents as may want a window of 32
        weights *= 2.0 ** rng.integers(0, rng.choice([4, 8, 16, 24]), n)
    with np.errstate(over="ignore"):
        if fmt is FloatFormat.BF16:
            return weights.astype("<f4").view("<u2")[1::2].tobytes()
        if fmt.width == 1:
            return weights.astype("<f2").view("u1")[1::2].tobytes()
        return weights.astype({2: "<f2", 4: "<f4", 8: "<f8"}[fmt.width]).tobytes()


@pytest.mark.parametrize("bits", [4, 5, 16, 17])
@pytest.mark.parametrize("fmt", FloatFormat)
def test_floatfields_follows_its_page(fmt: FloatFormat, bits: int, each_target: str) -> None:
    if (bits, fmt.id) == (17, spec_split.E5M2):
        return
    kinds, n_seeds = set(), 90
    declined = 0
    for seed in range(n_seeds):
        src = some_floats(fmt, seed)
        expected = spec_choices.floatfields(src, fmt.id, bits)
        if agree(FloatFields(fmt, bits), src, expected, seed):
            assert expected is not None
            kinds.add(expected[0][1])
        else:
            declined += 1
    assert kinds == {4: {4}, 5: {5} if fmt.id == spec_split.E4M3 else {5, 6}, 16: {16}, 17: {17}}[bits]
    assert (declined > 0) == (bits not in spec_split.KEYS and (1 << fmt.exponent_bits) > (16, 32)[bits == 5])


def test_floatfields_declines_what_is_empty_or_too_large(each_target: str) -> None:
    for bits in (4, 5, 16, 17):
        assert encoded(FloatFields(FloatFormat.BF16, bits), b"") is None
        too_large = 1 << (22 if bits in (16, 17) else 21)
        assert encoded(FloatFields(FloatFormat.F8_E4M3, bits), bytes(too_large)) is None
    assert encoded(FloatFields(FloatFormat.F8_E4M3, 17), bytes((1 << 22) - 1)) is not None


def test_floatfields_whose_sample_misleads(each_target: str) -> None:
    """The most frequent exponent of the sample lies outside the best window, and yet few weights do."""
    e = np.full(16_384, 100, "<u2")
    looked_at = np.flatnonzero(np.arange(len(e)) % 512 < 64)
    e[looked_at] = 200
    e[looked_at[: 16 * 119]] = np.repeat(np.arange(100, 116), 119)
    src = bytes(e << 7)
    expected = spec_nodes.floatfields(src, 1, 4, 100)
    assert encoded(FloatFields(FloatFormat.BF16, 4), src) == expected
    assert max(expected[1][0]) == 15


@pytest.mark.parametrize("outside", [7, 8, 9])
def test_one_in_2048_outside_keeps_symbols_5(outside: int, each_target: str) -> None:
    """16,384 weights looked at, 8 of which are one in 2,048; beyond that the prices decide, here for 32 exponents."""
    e = np.full(8 * 16_384, 110, "<u2")
    looked_at = np.flatnonzero(np.arange(len(e)) % 512 < 64)
    assert len(looked_at) == 16_384
    e[np.arange(len(e)) % 512 >= 64] += (np.arange(len(e)) % 24)[np.arange(len(e)) % 512 >= 64].astype("<u2")
    e[looked_at[:outside]] = 130
    src = bytes(e << 7 | np.random.default_rng(2).integers(0, 128, len(e), "<u2"))
    made = spec_choices.window_of(src, 1, 5)
    assert made[0] == (5 if outside <= 8 else 6)
    expected = spec_choices.floatfields(src, 1, 5)
    assert agree(FloatFields(FloatFormat.BF16, 5), src, expected, outside) == (outside > 8)


def test_bitpack_follows_its_page(each_target: str) -> None:
    taken = 0
    for seed in range(200):
        maker = Maker(seed)
        width = 1 + seed % 8
        n = width * int(maker.pick(0, 1, 2, 127, 128, 129, 300, 2_000, 5_000))
        src = maker.narrow_elements(n) if seed % 3 else maker.data(n)
        if seed % 2 and n:  # of this width, rather than of any
            values = spec_split.elements(src, width) >> np.uint64(maker.below(8 * width))
            z = np.repeat(maker.rng.integers(0, 8 * width, len(values)), maker.pick(1, 128, 256))[: len(values)]
            src = spec_split.element_bytes(values >> z.astype(np.uint64) << z.astype(np.uint64), width)
        taken += agree(BitPack(width), src, spec_choices.bitpack(src, width), seed)
    assert 60 < taken < 200


@pytest.mark.parametrize("bits", [4, 5, 8])
def test_piecewise_follows_its_page(bits: int) -> None:
    taken, n_pieces = 0, set()
    for seed in range(40):
        rng = np.random.default_rng(seed)
        n, k = int(rng.choice([1, 2, 128, 500, 513, 1_500, 6_000])), int(rng.integers(1, 5))
        parts = [rng.choice(1 << bits, -(-n // k), p=rng.dirichlet(np.full(1 << bits, 0.3))) for _ in range(k)]
        src = np.concatenate(parts)[:n].astype(np.uint8).tobytes()
        if seed % 8 == 0:
            src = rng.integers(0, 1 << bits, n, np.uint8).tobytes()
        if agree(Piecewise(bits), src, expected := spec_choices.piecewise(src, bits), seed):
            assert expected is not None
            taken += 1
            n_pieces.add(len(Piecewise.from_header(expected[0], n).groups))
    assert 20 < taken < 40
    assert n_pieces > {1, 2}


def test_long_streams_are_cut_into_longer_units() -> None:
    src = np.random.default_rng(0).binomial(15, np.repeat([0.2, 0.5], 300_000)).astype(np.uint8)
    made = Piecewise(4).encode(src)
    assert made is not None
    groups = Piecewise.from_header(made.header, src.size).groups
    assert 1 < len(groups) < 9
    assert all(n % 8 == 0 for n in groups[:-1])


@pytest.mark.parametrize("layout", OF_DTYPE.values(), ids=lambda layout: layout.dtype.label)
def test_ggml_follows_its_page(layout: Layout) -> None:
    for seed in range(6):
        rng = np.random.default_rng(seed)
        n = int(rng.choice([1, 2, 40]))
        src = quantised_cells(layout.dtype, n, seed) if seed % 2 else rng.bytes(n * layout.cell_bytes)
        expected = spec_cells.ours(src, layout.id)
        assert agree(Ggml(layout), src, expected, seed)
    cells = np.frombuffer(quantised_cells(layout.dtype, 300), np.uint8).reshape(-1, layout.cell_bytes).copy()
    if layout.wide:
        layout.put_scales(cells, np.arange(300) % 16 * 0x111, layout.take_min(cells))
        expected = spec_cells.ours(cells.tobytes(), layout.id)
        assert agree(Ggml(layout), cells.tobytes(), expected, "listed scales")
        assert expected is not None
        assert expected[1][0]


def test_palette_follows_its_page(each_target: str) -> None:
    taken = 0
    for seed in range(150):
        rng = np.random.default_rng(seed)
        width, k = 1 + seed % 8, int(rng.choice([1, 2, 3, 16, 17, 255, 256, 257]))
        listed = rng.choice(1 << min(8 * width, 62), k)
        values = listed[rng.integers(0, k, int(rng.choice([0, 1, 4 * k - 1, 4 * k, 4 * k + 1, 3_000])))]
        src = spec_split.element_bytes(values.astype(np.uint64), width)
        taken += agree(Palette(width), src, spec_choices.palette(src, width), seed)
    assert 30 < taken < 140
