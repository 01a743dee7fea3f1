"""Each stage alone through its Python face, on data of the kind it is for, on every target.

A stage is given blocks one by one, as a plan gives them, so these speeds hold its share of Python; the fused fast paths
that memory.py measures have none of it.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import corpus
from benchmarks.measure import call, median
from benchmarks.tensorfile import Named, read_tensors
from pennyweight import native
from pennyweight.pipeline.files import Reader
from pennyweight.pipeline.plan import parse
from pennyweight.pipeline.policy import Plans
from pennyweight.pipeline.progress import TwoPasses
from pennyweight.pipeline.sources import TensorRange
from pennyweight.pipeline.training import train
from pennyweight.stages.protocol import Encoded, Side, Stage, Stream, StreamSpec
from pennyweight.stages.registry import BY_NAME
from pennyweight.types import DType

BLOCK_BYTES = 1 << 18
BLOCKS = 32  # 8 MB a round
ROUNDS = 5
POISON = 0x5A
BF16 = "minilm.bf16.safetensors"


@dataclass
class StageRow:
    """One stage on one target; `ratio` is of what it was given. Nothing but `note` is set where it was not run."""

    stage: str
    data: str
    target: str = ""
    ratio: float | None = None
    encode: float | None = None  # bytes per second
    decode: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Work:
    """Blocks, the stage for each, and the side frames that they name."""

    stages: Sequence[Stage]
    blocks: Sequence[Stream]
    side: Side = ()

    @classmethod
    def alike(cls, stage: Stage, blocks: Sequence[Stream]) -> Work:
        return cls([stage] * len(blocks), blocks)

    def encode(self) -> list[Encoded | None]:
        return [stage.encode(block) for stage, block in zip(self.stages, self.blocks, strict=True)]

    def decode(self, encoded: Sequence[Encoded], out: Sequence[Stream]) -> None:
        for stage, one, target in zip(self.stages, encoded, out, strict=True):
            stage.from_header(one.header, target.size, self.side).decode(one.parts, target)


@dataclass(frozen=True)
class Fitting:
    """A stage as a plan writes it, with data of its kind. Made when asked for: a stage may fail, or not be there."""

    stage: str
    data: str
    make: Callable[[], Work]


def measure() -> list[StageRow]:
    """Every stage on every target, slowest target first."""
    rows: list[StageRow] = []
    usual = native.target()
    for fitting in FITTING:
        try:
            work = fitting.make()
            for target in native.targets():
                native.set_target(target)
                rows.append(_measure(fitting, work))
        except Exception as error:  # one stage's failure is its row's, not the end of the run
            rows.append(StageRow(fitting.stage, fitting.data, note=f"{type(error).__name__}: {error}"))
        finally:
            native.set_target(usual)
    return rows


def _measure(fitting: Fitting, work: Work) -> StageRow:
    blocks = work.blocks
    n_bytes = sum(block.size for block in blocks)
    out = [np.empty_like(block) for block in blocks]
    encode: list[float] = []
    decode: list[float] = []
    n_encoded = 0
    for _ in range(ROUNDS + 1):
        made = call(work.encode)
        encoded = [one for one in made.result if one is not None]
        if len(encoded) < len(blocks):
            raise RuntimeError(f"declines {len(blocks) - len(encoded)} of {len(blocks)} blocks")
        for one in out:
            one.fill(POISON)
        back = call(partial(work.decode, encoded, out))
        if not all(map(np.array_equal, out, blocks)):
            raise RuntimeError("decodes to other bytes")
        encode.append(made.cpu)
        decode.append(back.cpu)
        n_encoded = sum(len(one.header) + sum(part.size for part in one.parts) for one in encoded)
    return StageRow(
        fitting.stage,
        fitting.data,
        native.target(),
        n_encoded / n_bytes,
        n_bytes / median(encode[1:]),
        n_bytes / median(decode[1:]),
    )


def _blocks(data: NDArray[Any]) -> list[Stream]:
    whole = np.ascontiguousarray(data).view(np.uint8)
    return [whole[at : at + BLOCK_BYTES] for at in range(0, len(whole), BLOCK_BYTES)][:BLOCKS]


def _largest(name: str, dtype: str) -> Named:
    """The largest tensor of that dtype in a file of the corpus."""
    tensors = read_tensors(corpus.fetch(corpus.entry(name)).read_bytes())
    return max((t for t in tensors if t.dtype == dtype), key=lambda t: len(t.data))


def _tensor(name: str, dtype: str) -> Stream:
    """As much of that tensor as the blocks take."""
    return np.frombuffer(_largest(name, dtype).data, np.uint8)[: BLOCKS * BLOCK_BYTES]


def _on_floats(stage: str, dtype: DType, name: str, **params: int) -> Work:
    return Work.alike(BY_NAME[stage].bind(StreamSpec.of(dtype), params), _blocks(_tensor(name, dtype.label)))


def _on_doubles() -> Work:
    values = np.random.default_rng(1).normal(0, 0.05, BLOCKS * BLOCK_BYTES // 8)
    return Work.alike(BY_NAME["floatfields"].bind(StreamSpec.of(DType.F64), {"bits": 5}), _blocks(values))


def _on_part(stage: str, part: str, bits: int) -> Work:
    """A stage under floatfields: on a part of the BF16 model's blocks."""
    above = _on_floats("floatfields", DType.BF16, BF16, bits=bits)
    outputs = above.stages[0].outputs
    return Work.alike(BY_NAME[stage].bind(outputs[part], {}), _parts(above, list(outputs).index(part)))


def _parts(above: Work, number: int) -> list[Stream]:
    return [one.parts[number] for one in above.encode() if one is not None]


def _on_keys(stage: str, bits: int) -> Work:
    """A stage with what it learns of one large tensor."""
    tensor = _largest(BF16, "BF16")
    segment = TensorRange(len(tensor.data), tensor.name, DType.BF16, tensor.shape)
    plans: Plans = {DType.BF16: (parse(f"floatfields[bits={bits}](exponent: {stage})", DType.BF16),)}
    training = train(Reader(io.BytesIO(tensor.data)), [segment], plans, BLOCK_BYTES, TwoPasses(len(tensor.data), None))
    above = _on_floats("floatfields", DType.BF16, BF16, bits=bits)
    places = range(0, len(tensor.data), BLOCK_BYTES)
    stages = [
        next(found for plan in training.plans(0, place) for found in plan.stages if found.name == stage)
        for place in places[: len(above.blocks)]
    ]
    return Work(stages, _parts(above, 0), training.side)


def _on_bytes(stage: str) -> Work:
    return Work.alike(BY_NAME[stage].bind(StreamSpec(), {}), _blocks(_tensor("minilm.f8.safetensors", "F8_E4M3")))


def _on_few_values() -> Work:
    values = _tensor("minilm.f32.safetensors", "F32").view("<f4")
    step = np.float32(np.abs(values).max() / 7)
    return Work.alike(BY_NAME["palette"].bind(StreamSpec.of(DType.F32), {}), _blocks(np.round(values / step) * step))


def _on_indices() -> Work:
    indices = np.cumsum(np.random.default_rng(1).integers(0, 3, BLOCKS * BLOCK_BYTES // 4), dtype="<i4")
    return Work.alike(BY_NAME["zstd"].bind(StreamSpec(), {}), _blocks(indices))


FITTING = (
    Fitting("rans 16", "exponents, BF16", lambda: _on_part("rans", "exponent", 4)),
    Fitting("rans 32", "exponents, BF16", lambda: _on_part("rans", "exponent", 5)),
    Fitting("rans 256", "E4M3", lambda: _on_bytes("rans")),
    Fitting("scales", "keys, BF16", lambda: _on_keys("scales", 16)),
    Fitting("linear_predictor", "signed keys, BF16, rows of 384", lambda: _on_keys("linear_predictor", 17)),
    Fitting("huffman", "E4M3", lambda: _on_bytes("huffman")),
    Fitting("bitpack", "sign and mantissa, BF16", lambda: _on_part("bitpack", "sign_mantissa", 5)),
    Fitting("palette", "F32 of 16 values", _on_few_values),
    Fitting(
        "floatfields BF16",
        "the model",
        lambda: _on_floats("floatfields", DType.BF16, BF16, bits=5),
    ),
    Fitting(
        "floatfields F16", "the model", lambda: _on_floats("floatfields", DType.F16, "minilm.f16.safetensors", bits=5)
    ),
    Fitting(
        "floatfields F32", "the model", lambda: _on_floats("floatfields", DType.F32, "minilm.f32.safetensors", bits=5)
    ),
    Fitting("floatfields F64", "normal numbers", _on_doubles),
    Fitting("byteplane", "the model, F32", lambda: _on_floats("byteplane", DType.F32, "minilm.f32.safetensors")),
    Fitting("zstd", "ascending indices, I32", _on_indices),
)
