"""Writes frames and containers from docs/format.md and the stage pages alone, in the spirit of zstd's `decodecorpus`.

The first half is the pages, read from the encoder's side: one function per stage, where every choice that the format
leaves open is an argument. The second half, `Maker`, makes those choices at random from a seed: what comes out is
valid, and mostly nothing that our own encoder would write.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xxhash
import zstandard
from numpy.typing import NDArray
from spec_decoder import DTYPE_BITS
from spec_stages import FORMATS, codes, slots

STORE, CONSTANT, BYTEPLANE, FLOATFIELDS, RANS, HUFFMAN, ZSTD = range(7)
Encoded = tuple[bytes, list[bytes]]
"""Header and decoded parts of a node."""


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def node(stage: int, header: bytes = b"", parts: Sequence[bytes] = (), tail: bytes = b"") -> bytes:
    """A node of parts that are nodes already; `tail` is the stream of a `store`."""
    body = b"".join(varint(len(part)) + part for part in parts[:-1]) + b"".join(parts[-1:])
    return varint(stage) + varint(len(header)) + header + body + tail


def store(data: bytes) -> bytes:
    return node(STORE, tail=data)


def byteplane(data: bytes, width: int) -> Encoded:
    return bytes([width]), [data[j::width] for j in range(width)]


def exponents(data: bytes, format_id: int) -> NDArray[np.int64]:
    fmt = FORMATS[format_id]
    bits = np.frombuffer(data, f"<u{fmt.n_bytes}").astype(np.uint64)
    return (bits >> fmt.mantissa_bits & ((1 << fmt.exponent_bits) - 1)).astype(np.int64)


def sampled(e: NDArray[np.int64]) -> NDArray[np.int64]:
    """The exponents that our encoder looks at: of 16,384 or more, the first 64 of each 512."""
    return e if len(e) < 16_384 else e[np.arange(len(e)) % 512 < 64]


def best_base(data: bytes, format_id: int) -> int:
    """The base with the most weights in its window, the lowest of equals."""
    n_exponents = 1 << FORMATS[format_id].exponent_bits
    counts = np.bincount(sampled(exponents(data, format_id)), minlength=n_exponents)
    return int(np.argmax(np.convolve(counts, np.ones(16, np.int64), "valid")))


def floatfields(data: bytes, format_id: int, symbol_bits: int, base: int, place: int | None = None) -> Encoded:
    """`place`: where in the window a patched weight is put; without it, where its most frequent exponent is."""
    fmt, m_bits = FORMATS[format_id], symbol_bits - 4
    weights, e = np.frombuffer(data, f"<u{fmt.n_bytes}").astype(np.uint64), exponents(data, format_id)
    outside = np.flatnonzero((e < base) | (e >= base + 16))
    if place is None:
        place = int(np.argmax(np.bincount(sampled(e), minlength=base + 16)[base : base + 16]))
    window = e - base
    window[outside] = place
    mantissa = (weights & ((1 << fmt.mantissa_bits) - 1)).astype(np.int64)
    symbol = window << m_bits | (mantissa >> (fmt.mantissa_bits - 1) if m_bits else 0)
    kept = fmt.mantissa_bits - 8 * fmt.low_bytes - m_bits
    sign = (weights >> (8 * fmt.n_bytes - 1)).astype(np.int64)
    rest = sign << kept | mantissa >> (8 * fmt.low_bytes) & ((1 << kept) - 1)
    low = weights.astype("<u8").view(np.uint8).reshape(-1, 8)[:, : fmt.low_bytes].tobytes()
    header = bytes([format_id, symbol_bits]) + varint(base) + varint(len(outside))
    patches = (outside << 11 | e[outside]).astype("<u4").tobytes()
    streams = [symbol.astype(np.uint8).tobytes(), pack(rest, kept + 1), *([low] if fmt.low_bytes else []), patches]
    return header, streams


def pack(values: NDArray[np.int64], h: int) -> bytes:
    """Eight values of h bits to h bytes; a byte each where h is 8."""
    if h == 8:
        return values.astype(np.uint8).tobytes()
    padded = np.concatenate([values, np.zeros(-len(values) % 8, np.int64)])
    return np.packbits(padded[:, None] >> np.arange(h) & 1, bitorder="little").tobytes()


def rans_frequencies(data: bytes, a: int) -> list[int]:
    """Those of our encoder. The fractions are compared exactly: by whole numbers."""
    counts = np.bincount(np.frombuffer(data, np.uint8), minlength=1 << a).tolist()
    n = len(data)
    f = [max(1, (2 * 4096 * c + n) // (2 * n)) if c else 0 for c in counts]
    while (total := sum(f)) != 4096:
        best = -1
        for s, c in enumerate(counts):
            if total < 4096 and (best < 0 or c * (2 * f[best] + 1) > counts[best] * (2 * f[s] + 1)):
                best = s
            if total > 4096 and f[s] > 1 and (best < 0 or c * (2 * f[best] - 1) < counts[best] * (2 * f[s] - 1)):
                best = s
        f[best] += 1 if total < 4096 else -1
    return f


def rans_header(f: Sequence[int], n_words: int) -> bytes:
    packed = sum(frequency << 12 * s for s, frequency in enumerate(f))
    return bytes([len(f).bit_length() - 1]) + varint(n_words) + packed.to_bytes(len(f) * 3 // 2, "little")


def rans(data: bytes, f: Sequence[int], start: int = 1 << 16) -> Encoded:
    """`start`: the state of every lane after the last symbol; other than 2^16 it is a lie."""
    symbol_of, rank_of = slots(list(f))
    by_rank = np.lexsort((rank_of, symbol_of))  # slots, symbol after symbol, rank after rank
    first, frequency = np.cumsum([0, *f[:-1]]), np.array(f)
    padded = np.full(-(-len(data) // 128) * 128, 255, np.uint8)
    padded[: len(data)] = np.frombuffer(data, np.uint8)
    steps = padded.reshape(-1, 32, 4).transpose(0, 2, 1).reshape(-1, 32)
    x, words = np.full(32, start, np.int64), []
    for step in steps[::-1]:
        lanes = np.flatnonzero(step != 255)
        s, state = step[lanes], x[lanes]
        full = state >= frequency[s] << 20
        words.append(state[full] & 0xFFFF)
        state = np.where(full, state >> 16, state)
        x[lanes] = state // frequency[s] * 4096 + by_rank[first[s] + state % frequency[s]]
    part = x.astype("<u4").tobytes() + np.concatenate([x[:0], *words[::-1]]).astype("<u2").tobytes()
    return rans_header(f, len(part) // 2 - 64), [part]


def huffman_lengths(data: bytes) -> list[int]:
    """Those of our encoder: package-merge with 11 levels."""
    counts = np.bincount(np.frombuffer(data, np.uint8)).tolist()
    leaves = sorted((count, [value]) for value, count in enumerate(counts) if count)
    level = leaves
    for _ in range(10):
        pairs = [(a[0] + b[0], a[1] + b[1]) for a, b in zip(level[::2], level[1::2], strict=False)]
        level = sorted(leaves + pairs, key=lambda item: item[0])  # stable: a leaf comes before a package
    taken = [value for _, values in level[: 2 * len(leaves) - 2] for value in values]
    return [taken.count(value) for value in range(len(counts))]


def huffman_header(lengths: Sequence[int], stream_bytes: Sequence[int]) -> bytes:
    nibbles = [*lengths, 0]
    packed = bytes(nibbles[i] | nibbles[i + 1] << 4 for i in range(0, len(lengths), 2))
    return bytes([len(lengths) - 1]) + packed + b"".join(map(varint, stream_bytes))


def huffman_streams(data: bytes, lengths: Sequence[int]) -> list[bytes]:
    text = {value: format(code, f"0{lengths[value]}b") for value, code in codes(list(lengths)).items()}
    q = -(-len(data) // 4)
    streams = []
    for j in range(4):
        bits = "".join([text[value] for value in data[j * q : (j + 1) * q]])
        streams.append(np.packbits(np.frombuffer(bits.encode(), np.uint8) & 1, bitorder="little").tobytes())
    return streams


def huffman(data: bytes, lengths: Sequence[int]) -> Encoded:
    streams = huffman_streams(data, lengths)
    return huffman_header(lengths, [len(stream) for stream in streams]), [b"".join(streams)]


def zstd(frame: bytes) -> Encoded:
    return varint(len(frame)), [frame]


# The container


def cut(n_bytes: int, block_bytes: int) -> list[int]:
    """Sizes of the blocks of a segment, section 1.4."""
    sizes = [block_bytes] * (n_bytes // block_bytes)
    remainder = n_bytes % block_bytes
    if remainder and (remainder >= block_bytes / 2 or not sizes):
        sizes.append(remainder)
    elif remainder:
        sizes[-1] += remainder
    return sizes


@dataclass
class Container:
    """A container in pieces; `pack` puts right every digest and length that is not given. Tests of lies set them."""

    frames: list[bytes]
    metadata: dict[str, Any]
    version: tuple[int, int] = (0, 1)
    reserved: int = 0
    required: int = 0
    optional: int = 0
    lengths: list[int] | None = None
    digests: list[int] | None = None
    json_text: bytes | None = None
    index_tail: bytes = b""
    index_zstd: dict[str, Any] = field(default_factory=lambda: {"level": 3, "write_content_size": True})
    index_frame: bytes | None = None
    trailer: dict[str, int] = field(default_factory=dict)

    def raw_index(self) -> bytes:
        text = json.dumps(self.metadata).encode() if self.json_text is None else self.json_text
        lengths = [len(frame) for frame in self.frames] if self.lengths is None else self.lengths
        digests = [xxhash.xxh3_64_intdigest(frame) for frame in self.frames] if self.digests is None else self.digests
        table = struct.pack(f"<{len(lengths)}I", *lengths) + struct.pack(f"<{len(digests)}Q", *digests)
        return struct.pack("<Q", len(text)) + text + table + self.index_tail

    def pack(self) -> bytes:
        fields = (b"\x89PWT\r\n\x1a\n", *self.version, self.reserved, self.required, self.optional)
        header = struct.pack("<8sHHIQQ", *fields)
        header += struct.pack("<Q", xxhash.xxh3_64_intdigest(header))
        body, raw = b"".join(self.frames), self.raw_index()
        stored = self.index_frame
        if stored is None:
            stored = zstandard.ZstdCompressor(**self.index_zstd).compress(raw)
        where = {"offset": len(header) + len(body), "stored": len(stored), "raw": len(raw)} | self.trailer
        trailer = struct.pack("<4Q", where["offset"], where["stored"], where["raw"], xxhash.xxh3_64_intdigest(stored))
        trailer += struct.pack("<Q", xxhash.xxh3_64_intdigest(trailer)) + b"PWTEND\r\n"
        return header + body + stored + trailer


def tensor(name: str, dtype: str, shape: Sequence[int], raw: bytes) -> dict[str, Any]:
    digest = xxhash.xxh3_128_hexdigest(raw)
    return {"name": name, "dtype": dtype, "shape": list(shape), "n_bytes": len(raw), "xxh3_128": digest}


def describe(segments: Sequence[dict[str, Any]], raws: Sequence[bytes], block_bytes: int) -> dict[str, Any]:
    """The JSON of the index."""
    original = b"".join(raws)
    gaps = b"".join(raw for segment, raw in zip(segments, raws, strict=True) if "name" not in segment)
    return {
        "encoder": "spec_encoder",
        "preset": "none",
        "plans": {},
        "fidelity": "lossless",
        "source": "opaque",
        "n_bytes": len(original),
        "sha256": hashlib.sha256(original).hexdigest(),
        "gaps_xxh3_128": xxhash.xxh3_128_hexdigest(gaps),
        "block_bytes": block_bytes,
        "segments": list(segments),
    }


def one_frame(frame: bytes, data: bytes) -> Container:
    """A container of one gap in one block of any size that a block can have."""
    block_bytes = min(524_288, max(1_024, -(-len(data) // 256) * 256))
    return Container([frame], describe([{"n_bytes": len(data)}], [data], block_bytes))


def safetensors_file(tensors: Sequence[tuple[str, str, Sequence[int], bytes]], pad: int = 0) -> bytes:
    """(name, dtype, shape, raw) of each tensor, in the order of the file."""
    header, at = {}, 0
    for name, dtype, shape, raw in tensors:
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + len(raw)]}
        at += len(raw)
    text = json.dumps(header).encode() + b" " * pad
    return struct.pack("<Q", len(text)) + text + b"".join(raw for *_, raw in tensors)


# At random


class Maker:
    """Valid frames and containers, decided by a seed."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def below(self, n: int) -> int:
        return int(self.rng.integers(n))

    def pick(self, *choices: Any) -> Any:
        return choices[self.below(len(choices))]

    def data(self, n: int) -> bytes:
        """n bytes of one of many characters."""
        kind = self.below(8)
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
        scale = 10.0 ** self.rng.integers(-30, 30)
        weights32 = (self.rng.standard_normal(n // 2 + 8) * self.pick(1.0, 0.02, scale)).astype("<f4")
        specials = np.array([np.nan, np.inf, -np.inf, -0.0, 0.0, 1e-45, -3e38], "<f4")
        weights32[self.rng.random(len(weights32)) < self.pick(0, 0.01)] = self.pick(*specials)
        if kind == 5:  # BF16
            return bytes(weights32.view("<u2")[1::2])[:n]
        with np.errstate(over="ignore", invalid="ignore"):
            return bytes(weights32.astype(self.pick("<f4", "<f2", "<f8")))[:n]

    def size(self) -> int:
        """A size of one block, in the neighbourhood of where something may break."""
        near = self.pick(1, 8, 16, 32, 64, 128, 256, 384, 512, 1024, 2048, 4096, 6000)
        return int(max(0, near * self.pick(1, 1, 1, 3) + self.below(5) - 2))

    def frame(self, data: bytes) -> bytes:
        """Of any shape, but not so long that nobody could want it."""
        made = self.fast_frame(data) if self.chance(0.3) else self.node(data, int(self.rng.integers(1, 9)))
        return made if len(made) <= 2 * len(data) + 1_024 else store(data)

    def node(self, data: bytes, levels: int) -> bytes:
        """A node that decodes to `data`, of at most that many levels."""
        n, top = len(data), max(data, default=0)
        elements = [data[:w] or self.rng.bytes(w) for w in range(1, 17) if n % w == 0]
        elements = [element for element in elements if element * (n // len(element)) == data]
        widths = [w for w in range(2, 17) if n % w == 0]
        formats = [format_id for format_id, fmt in FORMATS.items() if n % fmt.n_bytes == 0]
        choices = [CONSTANT] * bool(elements)
        if levels > 1:
            choices += [BYTEPLANE] * bool(widths) + [FLOATFIELDS] * 2 * bool(formats)
            choices += [RANS] * 3 * (top < 32) + [HUFFMAN] * 2 + [ZSTD]
        stage = STORE if not choices or self.chance(0.1) else self.pick(*choices)
        if stage == CONSTANT:
            return node(CONSTANT, self.pick(*elements))
        if stage == BYTEPLANE:
            return self.wrap(stage, byteplane(data, self.pick(*widths)), levels)
        if stage == FLOATFIELDS:
            return self.wrap(stage, self.floatfields(data, self.pick(*formats)), levels)
        if stage == RANS:
            return self.wrap(stage, rans(data, self.frequencies(data, 5 if top > 15 else self.pick(4, 5))), levels)
        if stage == HUFFMAN:
            return self.wrap(stage, huffman(data, self.lengths(data)), levels)
        if stage == ZSTD:
            return self.wrap(stage, zstd(self.zstd_frame(data)), levels)
        return store(data)

    def wrap(self, stage: int, encoded: Encoded, levels: int) -> bytes:
        header, parts = encoded
        return node(stage, header, [self.node(part, levels - 1) for part in parts])

    def fast_frame(self, data: bytes) -> bytes:
        """The shape that a decoder is likely to have a fast path for, with odd choices inside; store if none fits."""
        formats = [format_id for format_id, fmt in FORMATS.items() if len(data) % fmt.n_bytes == 0]
        if not formats or not data:
            return store(data)
        header, (exponent, *others) = self.floatfields(data, self.pick(*formats))
        rans_head, rans_parts = rans(exponent, self.frequencies(exponent, header[1]))
        nodes = [node(RANS, rans_head, [store(rans_parts[0])]), *map(store, others)]
        return node(FLOATFIELDS, header, nodes)

    def floatfields(self, data: bytes, format_id: int) -> Encoded:
        last = (1 << FORMATS[format_id].exponent_bits) - 16
        base = self.pick(0, last, self.below(last + 1), best_base(data, format_id), best_base(data, format_id))
        return floatfields(data, format_id, self.pick(4, 5), base, self.below(16))

    def frequencies(self, data: bytes, a: int) -> list[int]:
        """Any that code `data`: 1 and 4095 among them, and symbols that never occur."""
        used = set(data)
        if len(used) > 1 and self.chance(0.3):
            return rans_frequencies(data, a)
        if len(used) < 2 or self.chance(0.5):
            used |= set(self.rng.integers(0, 1 << a, self.pick(2, 4, 64)).tolist())
        if len(used) == 1:
            used |= {(min(used) + 1) % (1 << a)}
        given = self.rng.permutation(sorted(used))
        share = self.rng.random(len(given)) ** self.pick(1, 4, 40)
        f = np.zeros(1 << a, np.int64)
        f[given] = 1 + (share / share.sum() * (4096 - len(given))).astype(np.int64)
        f[given[0]] += 4096 - f.sum()
        return [int(frequency) for frequency in f]

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

    def tensor(self, name: str) -> tuple[dict[str, Any], bytes]:
        dtype = str(self.pick(*DTYPE_BITS))
        shape = [self.below(self.pick(3, 3, 12, 40)) for _ in range(self.below(4))]
        if self.chance(0.1):
            shape = [1] * 64
        n_bits = DTYPE_BITS[dtype] * int(np.prod(shape, dtype=np.int64))
        if n_bits % 8:
            shape, n_bits = [*shape[:63], 8], 8 * n_bits
        raw = self.data(n_bits // 8)
        return tensor(name, dtype, shape, raw), raw

    def container(self) -> tuple[bytes, bytes]:
        """A container, and the file in it."""
        block_bytes = int(self.pick(1_024, 1_280, 4_096, 65_536, 524_288))
        segments, raws, frames = [], [], []
        for number in range(self.below(12)):
            if self.chance(0.3):
                raw = self.data(1 + self.below(self.pick(10, 3_000)))
                segment: dict[str, Any] = {"n_bytes": len(raw)}
            else:
                segment, raw = self.tensor(self.pick("w", "größe.", "重み/", "n" * 4_000) + str(number or ""))
            segments.append(segment)
            raws.append(raw)
            at = 0
            for size in cut(len(raw), block_bytes):
                frames.append(self.frame(raw[at : at + size]))
                at += size
        made = Container(frames, describe(segments, raws, block_bytes), optional=self.below(1 << 62))
        self.decorate(made)
        return made.pack(), b"".join(raws)

    def decorate(self, made: Container) -> None:
        """What a reader must not care about."""
        made.metadata["encoder"] = self.pick("", "x 9.9", "é\u0000\U0001f40d")
        made.metadata["source"] = self.pick("opaque", "safetensors")
        made.metadata["plans"] = self.pick({}, {"BF16": ["rans", "store"], "gap": []})
        if self.chance(0.5):
            made.metadata["sha256"] = None
        shuffled = self.rng.permutation(list(made.metadata)).tolist()
        made.metadata = {key: made.metadata[key] for key in shuffled}
        text = json.dumps(made.metadata, ensure_ascii=self.chance(0.5), indent=self.pick(None, 1, 4))
        made.json_text = text.encode()
        made.index_zstd = {"level": self.pick(-3, 1, 19), "write_checksum": self.chance(0.5)}
