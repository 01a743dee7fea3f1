"""Bytes of many characters and the choices of a coder, all decided by a seed; for spec_maker.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import zstandard
from spec_choices import huffman_lengths, rans_frequencies
from spec_nodes import Ints


class Dice:
    """Choices and data at random."""

    def __init__(self, seed: int, newest: bool = True) -> None:
        """Without `newest`, nothing of `linear_predictor` and symbols 17: golden containers that are older come from
        such seeds, and must not change.
        """
        self.rng, self.newest = np.random.default_rng(seed), newest

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def below(self, n: int) -> int:
        return int(self.rng.integers(n))

    def pick(self, *choices: Any) -> Any:
        return choices[self.below(len(choices))]

    def size(self) -> int:
        """A size of one block, in the neighbourhood of where something may break."""
        near = self.pick(1, 8, 16, 32, 64, 128, 256, 384, 512, 1024, 2048, 4096, 6000)
        return int(max(0, near * self.pick(1, 1, 1, 3) + self.below(5) - 2))

    def data(self, n: int) -> bytes:
        """n bytes of one of many characters."""
        kind = self.below(12 if self.newest else 11)
        if kind == 0:
            return self.rng.bytes(n)
        if kind == 1:
            element = self.rng.bytes(1 + self.below(16))
            return (element * n)[:n]
        if kind in (2, 3):  # symbols, at times of one value only
            n_symbols = self.pick(1, 2, 16, 32)
            weights = self.rng.random(n_symbols) ** self.pick(1, 8)
            return self.rng.choice(n_symbols, n, p=weights / weights.sum()).astype(np.uint8).tobytes()
        if kind == 4:
            return bytes((self.rng.zipf(1.5, n) % 256).astype(np.uint8))
        if kind == 5:
            return self.few_elements(n)
        if kind == 6:
            return self.narrow_elements(n)
        if kind == 7:
            return self.keys(n)
        if kind == 11:
            return self.signed_keys(n)
        return self.floats(n, kind)

    def few_elements(self, n: int) -> bytes:
        """As dequantised weights are."""
        width, k = 1 + self.below(8), self.pick(1, 2, 15, 16, 200, 256)
        listed = [self.rng.bytes(width) for _ in range(k)]
        return b"".join(listed[i] for i in self.rng.integers(0, k, n // width + 1))[:n]

    def narrow_elements(self, n: int) -> bytes:
        """Bits that are 0 above and, in some groups of 128, below."""
        width = 1 + self.below(8)
        h = 1 + self.below(8 * width)
        values = self.rng.integers(0, 1 << 63, n // width + 128, np.uint64) << np.uint64(1)
        values >>= np.uint64(64 - h)
        for at in range(0, len(values), 128):
            if self.chance(0.7):
                z = np.uint64(self.pick(0, h // 2, h - 1))
                values[at : at + 128] = values[at : at + 128] >> z << z
        return values.astype("<u8").view(np.uint8).reshape(-1, 8)[:, :width].tobytes()[:n]

    def keys(self, n: int) -> bytes:
        """Keys of weights whose rows are of other sizes."""
        m, d = self.below(4), 1 + self.below(200)
        e = self.pick(20, 110, 120, 500) + 3 * self.rng.standard_normal(n // 2 + 1)
        e += self.rng.integers(-4, 5, n + 1)[np.arange(len(e)) // d]
        e[self.rng.random(len(e)) < self.pick(0, 0.02)] = self.pick(0, 255)
        keys = np.maximum(e, 0).astype(np.int64) << m | self.rng.integers(0, 1 << m, len(e))
        return keys.astype("<u2").tobytes()[:n]

    def signed_keys(self, n: int) -> bytes:
        """Keys with a sign, each of which says something of the next; zeros and a few of any kind among them."""
        weights, tie = self.rng.standard_normal(n // 2 + 1), self.pick(0.0, 0.5, 0.98)
        for i in range(1, len(weights)):
            weights[i] += tie * weights[i - 1]
        mantissa, e = np.frexp(np.abs(weights) * 2.0 ** self.pick(0, 20, 120, 3_000 / 8))
        keys = (weights < 0).astype(np.int64) << 15 | np.maximum(e, 0) << 2 | (8 * mantissa).astype(np.int64) & 3
        keys[self.rng.random(len(keys)) < self.pick(0, 0.3)] &= 0x8000
        odd = self.rng.random(len(keys)) < self.pick(0, 0, 0.01)
        keys[odd] = self.rng.integers(0, 1 << 16, odd.sum())
        return keys.astype("<u2").tobytes()[:n]

    def floats(self, n: int, kind: int) -> bytes:
        scale = 10.0 ** self.rng.integers(-30, 30)
        weights = (self.rng.standard_normal(n + 8) * self.pick(1.0, 0.02, scale)).astype("<f4")
        specials = np.array([np.nan, np.inf, -np.inf, -0.0, 0.0, 1e-45, -3e38], "<f4")
        weights[self.rng.random(len(weights)) < self.pick(0, 0.01)] = self.pick(*specials)
        if kind == 8:  # BF16, or the half of it that is an F8_E5M2 of as many exponents
            return bytes(weights.view("<u2")[1::2])[:n] if self.chance(0.7) else bytes(weights.view("u1")[3::4])[:n]
        with np.errstate(over="ignore", invalid="ignore"):
            return bytes(weights[: n // 2 + 8].astype(self.pick("<f4", "<f2", "<f8")))[:n]

    def shares(self, used: set[int], n_symbols: int, total: int) -> list[int]:
        """Frequencies that add up to `total`, at least 1 where used and below the total: 1 and total - 1 among them."""
        if len(used) < 2 or self.chance(0.5):
            used = used | set(self.rng.integers(0, n_symbols, self.pick(2, 4, 64)).tolist())
        if len(used) == 1:
            used = used | {(min(used) + 1) % n_symbols}
        given = self.rng.permutation(sorted(used))
        share = self.rng.random(len(given)) ** self.pick(1, 4, 40)
        f = np.zeros(n_symbols, np.int64)
        f[given] = 1 + (share / share.sum() * (total - len(given))).astype(np.int64)
        f[given[0]] += total - f.sum()
        return [int(frequency) for frequency in f]

    def frequencies(self, data: bytes, a: int) -> list[int]:
        """Any that code `data`."""
        if len(set(data)) > 1 and self.chance(0.3):
            return rans_frequencies(data, a)
        return self.shares(set(data), 1 << a, 4096)

    def tables(self, phase: Ints, symbol: Ints, m: int) -> list[list[int]]:
        """Any that code these symbols."""
        return [self.shares(set(symbol[phase == p].tolist()), 1 << (4 + m), 1 << 14) for p in range(8)]

    def lengths(self, data: bytes) -> list[int]:
        """Any complete code that has all of `data`."""
        used = set(data)
        if len(used) > 1 and self.chance(0.3):
            return huffman_lengths(data)
        used |= set(self.rng.integers(0, 256, self.pick(2, 2, 20, 400)).tolist())
        if len(used) == 1:
            used |= {(min(used) + 1) % 256}
        leaves = [0]
        while len(leaves) < len(used):  # split one leaf of the tree in two
            leaf = leaves.pop(self.pick(-1, -1, self.below(len(leaves))))
            leaves = leaves + [leaf + 1] * 2 if leaf < 11 else [leaf, *leaves]
        lengths = [0] * (max(used) + 1)
        for value, length in zip(self.rng.permutation(sorted(used)), leaves, strict=True):
            lengths[int(value)] = length
        return lengths

    def zstd_frame(self, data: bytes) -> bytes:
        """One frame with any of the optional fields, of one block or of several."""
        window = zstandard.ZstdCompressionParameters.from_level(
            self.pick(-5, 1, 3, 7),
            window_log=self.pick(10, 11, 13, 16, 17, 18, 20, 23),
            write_content_size=self.chance(0.5),
            write_checksum=self.chance(0.5),
        )
        compressor = zstandard.ZstdCompressor(compression_params=window)
        if self.chance(0.5):
            return compressor.compress(data)
        stream, half = compressor.compressobj(), self.below(len(data) + 1)
        blocks = [stream.compress(data[:half]), stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)]
        return b"".join([*blocks, stream.compress(data[half:]), stream.flush()])
