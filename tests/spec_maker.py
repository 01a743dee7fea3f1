"""Makes valid frames and containers, in the spirit of zstd's `decodecorpus`: every choice that the format leaves open
is made at random from a seed, so that what comes out is mostly nothing that our own encoder would write.
"""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import numpy as np
from spec_cells import MAX_CENTER, TYPES, fields_of, split
from spec_choices import best_base, bitpack, low_zeros, sampled
from spec_encoder import Container, cut, describe, description_of, tensor
from spec_index import DTYPE_BITS
from spec_nodes import (
    BITPACK,
    BYTEPLANE,
    CONSTANT,
    FLOATFIELDS,
    GGML,
    GROUP_ID,
    HUFFMAN,
    PALETTE,
    PIECEWISE,
    PREDICTOR,
    RANS,
    SCALES,
    STORE,
    TRANSPOSE,
    ZSTD,
    Encoded,
    byteplane,
    exponents,
    floatfields,
    group,
    huffman,
    node,
    palette,
    piecewise,
    rans,
    store,
    transpose,
    zstd,
)  # fmt: skip
from spec_nodes import bitpack as pack
from spec_predictions import MAX_COLUMNS, Predictions
from spec_scaled import MAX_BASE, Geometry, columns_frame, our_rows, scales, symbols, tables_frame
from spec_split import E4M3, E5M2, FORMATS, KEYS, elements, layout

MAX_NODES = 60


class Maker(Predictions):
    """Valid frames and containers, decided by a seed."""

    def __init__(self, seed: int, newest: bool = True) -> None:
        super().__init__(seed, newest)
        self.limit = self.n_nodes = 0
        self.no_side = False

    def frame(self, data: bytes, runs: list[tuple[int, int]] | None = None) -> bytes:
        """Of any shape, but none that nobody could want; with `runs`, perhaps a group of these."""
        self.limit, self.n_nodes = 2 * len(data) + 1_024, 0
        if runs and self.chance(0.6):
            made = self.wrap(GROUP_ID, group(data, runs), 8)
        else:
            made = self.fast_frame(data) if self.chance(0.3) else self.node(data, int(self.rng.integers(1, 9)))
        return made if len(made) <= self.limit else store(data)

    def node(self, data: bytes, levels: int) -> bytes:
        """A node that decodes to `data`, of at most that many levels."""
        self.n_nodes += 1
        if self.n_nodes > MAX_NODES:
            return store(data)
        n, top = len(data), max(data, default=0)
        repeated = [data[:w] or self.rng.bytes(w) for w in range(1, 17) if n % w == 0]
        repeated = [element for element in repeated if element * (n // len(element)) == data]
        widths = [w for w in range(1, 17) if n % w == 0]
        narrow = [w for w in widths if w <= 8]
        few = [w for w in narrow if len(np.unique(elements(data, w))) <= 256]
        formats = [format_id for format_id, fmt in FORMATS.items() if n % fmt.n_bytes == 0]
        choices = [CONSTANT] * bool(repeated)
        if levels > 1:
            choices += [BYTEPLANE] * (len(widths) > 1) + [FLOATFIELDS] * 2 * bool(formats)
            choices += [RANS] * (3 if top < 32 else 1) + [HUFFMAN] * 2 + [ZSTD]
            choices += ([BITPACK] * 2 + [GROUP_ID]) * (n > 0) + [PALETTE] * bool(few)
            choices += [TRANSPOSE] * (self.newest and n > 1)
            if self.newest and n > 0:
                choices += [PIECEWISE] * 2 + [GGML] * any(n % one.cell_bytes == 0 for one in TYPES.values())
            if n > 0 and n % 2 == 0 and not self.no_side:
                choices += [SCALES] * 2 + [PREDICTOR] * self.newest
        stage = STORE if not choices or self.chance(0.1) else self.pick(*choices)
        if stage == CONSTANT:
            return node(CONSTANT, self.pick(*repeated))
        if stage == STORE:
            return store(data)
        made: Encoded | None
        if stage == BYTEPLANE:
            made = byteplane(data, self.pick(*widths[1:]))
        elif stage == FLOATFIELDS:
            made = self.floatfields(data, self.pick(*formats))
        elif stage == RANS:
            a = self.pick(*(a for a in (4, 5, 8) if top < 1 << a))
            made = rans(data, self.frequencies(data, a))
        elif stage == HUFFMAN:
            made = huffman(data, self.lengths(data))
        elif stage == ZSTD:
            made = zstd(self.zstd_frame(data))
        elif stage == BITPACK:
            made = self.bitpack(data, self.pick(*narrow))
        elif stage == PALETTE:
            made = self.palette(data, self.pick(*few))
        elif stage == GROUP_ID:
            made = self.group(data)
        elif stage == TRANSPOSE:
            made = self.transpose(data)
        elif stage == PREDICTOR:
            made = self.linear_predictor(data)
        elif stage == GGML:
            made = self.ggml(data)
        elif stage == PIECEWISE:
            made = self.piecewise(data)
        else:
            made = self.scales(data)
        fits = made is not None and max(map(len, made[1])) <= self.limit
        return self.wrap(stage, made, levels) if made and fits else store(data)

    def wrap(self, stage: int, encoded: Encoded, levels: int) -> bytes:
        header, parts = encoded
        return node(stage, header, [self.node(part, levels - 1) for part in parts])

    def fast_frame(self, data: bytes) -> bytes:
        """The shape that a decoder is likely to have a fast path for, with odd choices inside; store if none fits."""
        formats = [format_id for format_id, fmt in FORMATS.items() if len(data) % fmt.n_bytes == 0]
        made = self.floatfields(data, self.pick(*formats)) if formats and data else None
        if made is None or made[0][1] in KEYS or max(map(len, made[1])) > self.limit:
            return self.node(data, 8)
        header, (exponent, field, *others) = made
        low_bytes, window_bits, m, h = layout(header[0], header[1])
        rans_head, rans_parts = rans(exponent, self.frequencies(exponent, self.pick(max(4, window_bits + m), 8)))
        parts = [node(RANS, rans_head, [store(rans_parts[0])])]
        zeros = [0] * -(-len(field) // 128) if self.chance(0.8) else low_zeros(field, 1, h)
        packed = pack(field, 1, h, zeros)
        parts.append(node(BITPACK, packed[0], [store(packed[1][0])]) if self.chance(0.8) else store(field))
        if low_bytes and self.chance(0.5) and (low := bitpack(others[0], low_bytes)):
            parts.append(node(BITPACK, low[0], [store(low[1][0])]))
            others = others[1:]
        return node(FLOATFIELDS, header, [*parts, *map(store, others)])

    def floatfields(self, data: bytes, format_id: int) -> Encoded | None:
        kinds = [4, 5, 16] if format_id == E4M3 else [4, 5, 6, 16]
        kinds += [17] * (self.newest and format_id != E5M2)
        kind = int(self.pick(*kinds))
        if kind in KEYS:
            return floatfields(data, format_id, kind)
        window = 1 << layout(format_id, kind).window_bits
        last = (1 << FORMATS[format_id].exponent_bits) - window
        best = best_base(sampled(exponents(data, format_id)), format_id, window)
        base = self.pick(0, last, self.below(last + 1), best, best)
        return floatfields(data, format_id, kind, base, self.below(window))

    def bitpack(self, data: bytes, width: int) -> Encoded | None:
        """With fewer bits left out than could be."""
        top = max(1, int(elements(data, width).max()).bit_length())
        h = self.pick(top, 8 * width, int(self.rng.integers(top, 8 * width + 1)))
        ours, zeros = low_zeros(data, width, h), list[int]()
        for z in ours:
            near = zeros[-1] if zeros and zeros[-1] <= z else z
            zeros.append(self.pick(z, z, near, near, self.below(z + 1)))
        return pack(data, width, h, zeros)

    def palette(self, data: bytes, width: int) -> Encoded | None:
        spare = 256 - len(np.unique(elements(data, width)))
        n_others = min(self.pick(0, 0, 3, 255), spare, self.limit // width - (256 - spare))
        bound = (1 << 8 * width) - 1
        others = self.rng.integers(0, bound, max(0, n_others), np.uint64, endpoint=True)
        made = palette(data, width, others.tolist())
        return made if made[1][0] else None  # of no elements there is no palette

    def group(self, data: bytes) -> Encoded:
        """Runs of a byte and of many, neighbours of one part among them."""
        n_runs = min(len(data), self.pick(1, 2, 7, 60, 1_023))
        ends = np.unique([*self.rng.integers(1, len(data) + 1, n_runs), len(data)])
        k, used, runs = self.pick(1, 2, 64), 0, []
        for n_bytes in np.diff(ends, prepend=0).tolist():
            part = self.below(min(k, used + 1))
            used = max(used, part + 1)
            runs.append((part, n_bytes))
        return group(data, runs)

    def transpose(self, data: bytes) -> Encoded:
        """Of any shape that the bytes have, a row or a column of bytes too."""
        shapes = [(w, len(data) // w // k) for w in range(1, 17) if len(data) % w == 0 for k in (1, 2, 3, 16)]
        fitting = [(w, rows) for w, rows in shapes if rows > 1 and len(data) % (w * rows) == 0]
        width, rows = fitting[self.below(len(fitting))]
        return transpose(data, width, rows)

    def ggml(self, data: bytes) -> Encoded | None:
        """Of any type that fits, with any center, and any list that holds its scales."""
        type_id = self.pick(*(number for number, one in TYPES.items() if len(data) % one.cell_bytes == 0))
        center = 0 if TYPES[type_id].m is not None else self.pick(0, self.below(1 << 15), MAX_CENTER - 1)
        scales = set(fields_of(data, type_id).d.tolist())
        if self.chance(0.5) and len(scales) < 200:
            scales |= set(self.rng.integers(0, 1 << 16, self.pick(0, 1, 50)).tolist())
            return split(data, type_id, center, sorted(scales))
        return split(data, type_id, center)

    def piecewise(self, data: bytes) -> Encoded:
        """Of pieces of one group and of many."""
        a, n_groups = self.pick(*(a for a in (4, 5, 8) if max(data) < 1 << a)), -(-len(data) // 128)
        ends = np.unique([*self.rng.integers(1, n_groups + 1, self.pick(0, 1, 5, 40)), n_groups])
        groups = np.diff(ends, prepend=0).tolist()
        starts = [0, *(128 * ends).tolist()]
        tables = [self.frequencies(data[at:end], a) for at, end in pairwise(starts)]
        return piecewise(data, groups, tables)

    def scales(self, data: bytes) -> Encoded | None:
        """Of any geometry and any scales; None where these leave too many far outside."""
        keys = np.frombuffer(data, "<u2")
        m, n = self.below(4), len(keys)
        d = self.pick(1, 2, 64, 1 + self.below(2 * n), 1 + self.below(300), 1 << 40)
        shared, g = (min(d, self.pick(1, d, 64, 1 + self.below(d))) for _ in range(2))
        first = self.pick(0, self.below(4 * n), self.below(d), (1 << 48) - n - 1)
        columns = None
        if -(-d // g) <= MAX_COLUMNS and self.chance(0.6):
            columns = self.rng.integers(-self.pick(1, 8, 128), self.pick(1, 9, 128), -(-d // g)).tolist()
        before, after = (self.pick(0, 0, 1, 300) for _ in range(2))
        number = len(self.side)
        at = Geometry(m, first, d, shared, g, number, None if columns is None else number + 1, before)
        n_rows = int(at.row_scale(n)[-1]) + 1
        rows = self.rng.integers(0, self.pick(1, 9, 60, 256), n_rows).tolist()
        middle = 8 * int(np.median(keys >> m)) - 2 * int(np.median(rows)) + self.below(40)
        base = min(max(0, middle), MAX_BASE - 1)
        if self.chance(0.5):
            base, rows = our_rows(keys, at, columns)
        if base >= MAX_BASE:
            return None
        made = symbols(keys, at, base, rows, columns)
        if sum(v // 15 + 1 for v in made.distances) > 8 * n:
            return None
        tables = self.tables(made.phase, made.symbol, m)
        encoded = scales(keys, at, base, rows, columns, tables)
        frame = (
            b"" if columns is None else self.rng.bytes(at.columns_at) + columns_frame(columns) + self.rng.bytes(after)
        )
        self.side += [tables_frame(tables)] + [frame] * bool(frame)
        return encoded

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

    def segments(self) -> tuple[list[dict[str, Any]], list[bytes]]:
        if self.chance(0.05):  # more in a row than one block may hold
            sizes = self.rng.integers(1, 3, 1_000 + self.below(2_000)).tolist()
            return [{"n_bytes": size} for size in sizes], [self.rng.bytes(size) for size in sizes]
        segments, raws = list[dict[str, Any]](), list[bytes]()
        for number in range(self.below(12)):
            if self.chance(0.3):
                raw = self.data(1 + self.below(self.pick(10, 200, 3_000)))
                segment: dict[str, Any] = {"n_bytes": len(raw)}
            else:
                segment, raw = self.tensor(self.pick("w", "größe.", "重み/", "n" * 4_000) + str(number or ""))
            segments.append(segment)
            raws.append(raw)
        return segments, raws

    def container(self) -> tuple[bytes, bytes]:
        """A container, and the file in it."""
        block_bytes = int(self.pick(1_024, 1_280, 4_096, 65_536, 524_288, *[2_097_152] * self.newest))
        segments, raws = self.segments()
        original, at, frames = b"".join(raws), 0, []
        for block in cut([*map(len, raws)], block_bytes):
            size = sum(n_bytes for _, n_bytes in block)
            parts = [self.below(min(64, i + 1)) for i in range(len(block))]
            numbered = [*dict.fromkeys(parts)]
            runs = [(numbered.index(part), n_bytes) for part, (_, n_bytes) in zip(parts, block, strict=True)]
            frames.append(self.frame(original[at : at + size], runs if len(runs) > 1 else None))
            at += size
        if self.chance(0.2):  # one that nothing names
            self.side.append(self.data(1 + self.below(2_000)))
        self.no_side = True
        frames = [*[self.frame(data) for data in self.side], *frames]
        metadata = describe(segments, raws, block_bytes, [*map(len, self.side)])
        made = Container(frames, metadata, optional=self.below(1 << 62), batch=self.pick(1, 2, 7, 512))
        self.decorate(made)
        return made.pack(), original

    def decorate(self, made: Container) -> None:
        """What a reader must not care about."""
        made.metadata["encoder"] = self.pick("", "x 9.9", "é\u0000\U0001f40d")
        made.metadata["source"] = self.pick("opaque", "safetensors")
        made.metadata["plans"] = self.pick({}, {"BF16": ["rans", "store"], "gap": []})
        if self.chance(0.5):
            made.metadata["sha256"] = None
        made.description_text = self.text(description_of(made.metadata)).encode()
        made.description_zstd = {"level": self.pick(-3, 1, 19), "write_checksum": self.chance(0.5)}
        made.metadata = made.whole_metadata()
        shuffled = self.rng.permutation(list(made.metadata)).tolist()
        made.metadata = {key: made.metadata[key] for key in shuffled}
        made.json_text = self.text(made.metadata).encode()
        made.index_zstd = {"level": self.pick(-3, 1, 19), "write_checksum": self.chance(0.5)}

    def text(self, value: Any) -> str:
        """The JSON of it."""
        return json.dumps(value, ensure_ascii=self.chance(0.5), indent=self.pick(None, 1, 4))
