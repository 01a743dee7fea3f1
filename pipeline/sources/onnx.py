"""ONNX: a protobuf message, the tensors of its graphs where they lie in it. docs/sources.md

Tensors are the initializers, and those in the attributes of nodes (`Constant`), of functions and of graphs within
graphs (`If`, `Loop`), with their values in `raw_data` or, packed, in `float_data` and `double_data`. The other typed
fields are varints, which no plan for tensors fits; what lies in a file of its own is not in this one. A tensor whose
bytes do not fit its shape is left to the gaps.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Final, NamedTuple

from pennyweight.pipeline.container import limits
from pennyweight.pipeline.files import Reader
from pennyweight.pipeline.sources.protobuf import BYTES, VARINT, BadWire, Messages
from pennyweight.pipeline.sources.segments import Names, SourceMap, TensorRange, cover
from pennyweight.types import DType

_MAX_DEPTH: Final = 32
"""Of messages. Three for each graph within a graph."""

_MAX_OUTERMOST: Final = 65_536
"""Fields, functions most of them. Files of other formats end within so many, if not at once."""

_DTYPES: Final = {
    1: DType.F32,
    2: DType.U8,
    3: DType.I8,
    4: DType.U16,
    5: DType.I16,
    6: DType.I32,
    7: DType.I64,
    9: DType.BOOL,
    10: DType.F16,
    11: DType.F64,
    12: DType.U32,
    13: DType.U64,
    14: DType.C64,
    16: DType.BF16,
    17: DType.F8_E4M3,
    18: DType.F8_E4M3FNUZ,
    19: DType.F8_E5M2,
    20: DType.F8_E5M2FNUZ,
    23: DType.F4,
    24: DType.F8_E8M0,
}
"""TensorProto.DataType"""


def _of_bytes(number: int) -> int:
    """The key of a field of that number that holds text, bytes, packed numbers or a message."""
    return number << 3 | BYTES


class _Message(NamedTuple):
    """A kind of message, by keys: its fields that may hold tensors, that are tensors, and the one that is its name."""

    messages: Mapping[int, str]
    tensors: tuple[int, ...] = ()
    name: int | None = None


_KINDS: Final = {
    "model": _Message({_of_bytes(7): "graph", _of_bytes(20): "training", _of_bytes(25): "function"}),
    "training": _Message({_of_bytes(1): "graph", _of_bytes(2): "graph"}),
    "function": _Message({_of_bytes(7): "node", _of_bytes(11): "attribute"}, name=_of_bytes(1)),
    "graph": _Message({_of_bytes(1): "node", _of_bytes(15): "sparse"}, (_of_bytes(5),)),
    "node": _Message({_of_bytes(5): "attribute"}, name=_of_bytes(2)),  # its first output, which others know it by
    "attribute": _Message(
        {_of_bytes(6): "graph", _of_bytes(11): "graph", _of_bytes(22): "sparse", _of_bytes(23): "sparse"},
        (_of_bytes(5), _of_bytes(10)),
    ),
    "sparse": _Message({}, (_of_bytes(1), _of_bytes(2))),
}

_IR_VERSION: Final = 1 << 3 | VARINT
_GRAPH: Final = _of_bytes(7)

_DIMS, _PACKED_DIMS, _TYPE, _LOCATION = 1 << 3 | VARINT, _of_bytes(1), 2 << 3 | VARINT, 14 << 3 | VARINT
_NAME, _RAW, _FLOATS, _DOUBLES = _of_bytes(8), _of_bytes(9), _of_bytes(4), _of_bytes(10)
_DATA: Final = {_RAW: (), _FLOATS: (DType.F32, DType.C64), _DOUBLES: (DType.F64,)}
"""Fields that hold elements as they would be in memory, and of which dtypes."""


def read(file: Reader) -> SourceMap | None:
    """The map of a model with a tensor at least; None if it is none, or no protobuf, or nests too deep."""
    if file.size < 2 or file.pread(0, 1)[0] & 7 not in (VARINT, BYTES):
        return None
    walk = _Walk(file)
    try:
        if not walk.is_model(file.size):
            return None
        walk.message(_KINDS["model"], 0, file.size, "", 0)
    except ValueError:  # of the wire, of UTF-8
        return None
    return cover("onnx", file.size, walk.found) if walk.found else None


class _Walk:
    """found: offset and tensor, in the order of the file."""

    def __init__(self, file: Reader) -> None:
        self.found: list[tuple[int, TensorRange]] = []
        self._messages = Messages(file)
        self._names = Names()

    def is_model(self, n_bytes: int) -> bool:
        """Whether the outermost message says once which version it is of, has one graph, and few fields in all."""
        keys = [key for key, *_ in islice(self._messages.fields(0, n_bytes), _MAX_OUTERMOST + 1)]
        return len(keys) <= _MAX_OUTERMOST and keys.count(_GRAPH) == 1 and keys.count(_IR_VERSION) == 1

    def message(self, kind: _Message, begin: int, end: int, name: str, depth: int) -> None:
        """Find the tensors of a message of that kind. name: of what is around it."""
        if depth > _MAX_DEPTH:
            raise BadWire("nested too deep")
        messages, tensors, name_key = kind
        for key, _, at, stop in self._messages.fields(begin, end):
            if key in tensors:
                self._tensor(at, stop, name)
            elif key in messages:
                self.message(_KINDS[messages[key]], at, stop, name, depth + 1)
            elif key == name_key:
                name, name_key = self._messages.text(at, stop, limits.MAX_NAME_BYTES), None  # the first of them

    def _tensor(self, begin: int, end: int, name: str) -> None:
        shape: list[int] = []
        kind = start = stop = number = location = 0
        for key, value, at, after in self._messages.fields(begin, end):
            if key == _DIMS:
                shape.append(value)
            elif key == _TYPE:
                number = value
            elif key == _NAME:
                name = self._messages.text(at, after, limits.MAX_NAME_BYTES) or name
            elif key in _DATA:
                if kind:
                    return  # in pieces
                kind, start, stop = key, at, after
            elif key == _PACKED_DIMS:
                shape.extend(islice(self._messages.varints(at, after), limits.MAX_RANK + 1))
            elif key == _LOCATION:
                location = value
        if not kind or location or len(shape) > limits.MAX_RANK:
            return
        n_bytes = stop - start
        dtype = _DTYPES.get(number)
        if dtype is None and kind == _RAW:
            dtype, shape = DType.U8, [n_bytes]
        if dtype is None or not (kind == _RAW or dtype in _DATA[kind]) or dtype.n_bytes(tuple(shape)) != n_bytes:
            return
        # Many constants have no name, and a graph within a graph may use one again
        self.found.append((start, TensorRange(n_bytes, self._names.give(name), dtype, tuple(shape))))
