"""TFLite: a flatbuffer, the buffers of its tensors. docs/sources.md

Tables point to tables, each with a list of where its fields are, if it has them. A buffer that several tensors share is
that of the first; one that no tensor names, or that does not fit the tensor's shape, is left to the gaps.
"""

from __future__ import annotations

from typing import Final

from pennyweight.pipeline.container import limits
from pennyweight.pipeline.files import Reader
from pennyweight.pipeline.sources.flatbuffer import Flatbuffer
from pennyweight.pipeline.sources.segments import Names, SourceMap, TensorRange, cover
from pennyweight.types import DType

_IDENTIFIER: Final = b"TFL3"

_SUBGRAPHS, _BUFFERS = 2, 4  # of the model
_TENSORS: Final = 0  # of a subgraph
_SHAPE, _TYPE, _BUFFER, _NAME = 0, 1, 2, 3  # of a tensor
_DATA, _OFFSET, _SIZE = 0, 1, 2  # of a buffer
"""Numbers of fields in TFLite's schema."""

_DTYPES: Final = {
    0: DType.F32,
    1: DType.F16,
    2: DType.I32,
    3: DType.U8,
    4: DType.I64,
    6: DType.BOOL,
    7: DType.I16,
    8: DType.C64,
    9: DType.I8,
    10: DType.F64,
    12: DType.U64,
    15: DType.U32,
    16: DType.U16,
    18: DType.BF16,
}
"""TensorType"""

_INT4: Final = 17


def read(file: Reader) -> SourceMap | None:
    """The map of a model with a tensor at least; None if it is no TFLite file, or points where it must not."""
    if file.size < 8 or file.pread(4, 4) != _IDENTIFIER:
        return None
    try:
        found = _tensors(Flatbuffer(file))
    except ValueError:  # of the tables, of UTF-8
        return None
    return cover("tflite", file.size, found.items()) if found else None


def _tensors(flatbuffer: Flatbuffer) -> dict[int, TensorRange]:
    """By the offset of their data. The first that names some data is told."""
    model = flatbuffer.fields(flatbuffer.root())
    buffers = [_data(flatbuffer, buffer) for buffer in flatbuffer.tables(model[_BUFFERS])]
    found: dict[int, TensorRange] = {}
    names = Names()
    for subgraph in flatbuffer.tables(model[_SUBGRAPHS]):
        for tensor in flatbuffer.tables(flatbuffer.fields(subgraph)[_TENSORS]):
            fields = flatbuffer.fields(tensor)
            index = flatbuffer.u32(fields[_BUFFER]) if fields[_BUFFER] else 0
            start, n_bytes = buffers[index] if index < len(buffers) else (0, 0)
            if not n_bytes or start in found:
                continue
            kind = flatbuffer.number(fields[_TYPE], 1)
            shape = flatbuffer.integers(fields[_SHAPE], limits.MAX_RANK)
            dtype = _DTYPES.get(kind)
            if kind == _INT4:
                dtype, shape = DType.U8, (n_bytes,)
            if dtype is None or min(shape, default=0) < 0 or dtype.n_bytes(shape) != n_bytes:
                continue
            name = flatbuffer.text(fields[_NAME], limits.MAX_NAME_BYTES)
            found[start] = TensorRange(n_bytes, names.give(name), dtype, shape)  # subgraphs may use one again
    return found


def _data(flatbuffer: Flatbuffer, buffer: int) -> tuple[int, int]:
    """Where the bytes of a buffer begin, and their number: 0 if it is empty. Those of large models lie behind."""
    fields = flatbuffer.fields(buffer)
    if (offset := flatbuffer.number(fields[_OFFSET], 8)) > 1:  # 1 marks a file that was not finished
        return offset, flatbuffer.number(fields[_SIZE], 8)
    return flatbuffer.vector(fields[_DATA], 1)
