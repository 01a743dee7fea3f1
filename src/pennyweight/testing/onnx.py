"""Small ONNX models, made without the package: messages of protobuf, field by field."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pennyweight.types import DType

_TYPES: Final = {
    DType.F32: 1,
    DType.U8: 2,
    DType.I8: 3,
    DType.U16: 4,
    DType.I16: 5,
    DType.I32: 6,
    DType.I64: 7,
    DType.BOOL: 9,
    DType.F16: 10,
    DType.F64: 11,
    DType.U32: 12,
    DType.U64: 13,
    DType.C64: 14,
    DType.BF16: 16,
    DType.F8_E4M3: 17,
    DType.F8_E4M3FNUZ: 18,
    DType.F8_E5M2: 19,
    DType.F8_E5M2FNUZ: 20,
    DType.F4: 23,
    DType.F8_E8M0: 24,
}

_RAW: Final = 9
_PACKED: Final = {DType.F32: 4, DType.F64: 10}
_TENSOR_ATTRIBUTE, _GRAPH_ATTRIBUTE = 4, 5


def field(number: int, value: int | str | bytes) -> bytes:
    """A field of a message: a varint, or text, bytes or a message of its own."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def onnx_tensor(
    name: str, dtype: DType | int, shape: tuple[int, ...], raw: bytes, *, packed: bool = False, more: bytes = b""
) -> bytes:
    """A TensorProto.

    Args:
        dtype: or the number of a type that has no name here, such as 22 for INT4.
        packed: in `float_data` or `double_data` instead of `raw_data`.
        more: fields behind those.
    """
    number = _PACKED[dtype] if packed and isinstance(dtype, DType) else _RAW
    dims = b"".join(field(1, dim) for dim in shape)
    kind = field(2, _TYPES[dtype] if isinstance(dtype, DType) else dtype)
    values = field(number, raw)
    return dims + kind + (values + field(8, name) if packed else field(8, name) + values) + more


def onnx_constant(output: str, tensor: bytes) -> bytes:
    """A NodeProto with a tensor in an attribute."""
    attribute = field(1, "value") + field(5, tensor) + field(20, _TENSOR_ATTRIBUTE)
    return field(2, output) + field(3, f"make {output}") + field(4, "Constant") + field(5, attribute)


def onnx_branch(output: str, graph: bytes) -> bytes:
    """A NodeProto with a graph in an attribute."""
    attribute = field(1, "then_branch") + field(6, graph) + field(20, _GRAPH_ATTRIBUTE)
    return field(1, "condition") + field(2, output) + field(4, "If") + field(5, attribute)


def onnx_graph(initializers: Iterable[bytes], nodes: Iterable[bytes] = (), *, more: bytes = b"") -> bytes:
    """A GraphProto of such tensors and nodes."""
    made = b"".join(field(1, node) for node in nodes)
    return made + field(2, "graph") + b"".join(field(5, tensor) for tensor in initializers) + more


def onnx_model(graph: bytes, *, more: bytes = b"") -> bytes:
    """The file: a ModelProto."""
    return field(1, 10) + field(2, "pennyweight") + field(7, graph) + field(8, field(2, 21)) + more


def _varint(value: int) -> bytes:
    """LEB128; the shortest form."""
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*made, value))
