"""Checkpoints of other formats as safetensors: what a file's tensors are worth, without what its format adds.

Read as data only: nothing is unpickled but plain tensors, and no code of a package runs.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.tensorfile import Named, make_file

TFLITE_MAGIC = b"TFL3"
CT2_VERSION = 6
CT2_DTYPES = ("F32", "I8", "I16", "I32", "F16", "BF16")
TFLITE_DTYPES = {0: "F32", 1: "F16", 2: "I32", 3: "U8", 4: "I64", 6: "BOOL", 7: "I16", 9: "I8", 10: "F64"}


def to_safetensors(name: str, data: bytes) -> bytes:
    """The tensors of a file, which its name's ending tells the format of; a safetensors file as it is.

    Raises:
        ValueError: no format that is read here.
    """
    if name.endswith(".safetensors"):
        return data
    if name.endswith((".pt", ".pth", ".pth.tar")):
        return make_file(_torch_tensors(data), {"format": "pt"})
    if name.endswith(".tflite"):
        return make_file(_tflite_tensors(data), None)
    if name.endswith(".bin"):
        return make_file(_ct2_tensors(data), None)
    raise ValueError(f"{name}: no format that can be converted")


def _torch_tensors(data: bytes) -> Iterator[Named]:
    """Tensors in the order in which the pickle names them, each under the path that leads to it."""
    import torch  # only here: a large import, and only the environment of the benchmarks has it

    dtypes = {
        torch.float32: "F32",
        torch.float64: "F64",
        torch.float16: "F16",
        torch.bfloat16: "BF16",
        torch.int64: "I64",
        torch.int32: "I32",
    }

    def walk(node: object, path: str) -> Iterator[Named]:
        if isinstance(node, torch.Tensor):
            flat = node.detach().contiguous().view(-1).view(torch.uint8)
            yield Named(path, dtypes[node.dtype], tuple(node.shape), flat.numpy().tobytes())
        elif isinstance(node, Mapping):
            for key, value in node.items():
                yield from walk(value, f"{path}.{key}" if path else str(key))
        elif isinstance(node, list | tuple):
            for number, value in enumerate(node):
                yield from walk(value, f"{path}.{number}" if path else str(number))

    yield from walk(torch.load(io.BytesIO(data), map_location="cpu", weights_only=True), "")


@dataclass(frozen=True)
class _Table:
    """A table of a FlatBuffer. struct.error or IndexError where an offset leads out of the data."""

    data: bytes
    at: int

    def _u32(self, at: int) -> int:
        value: int = struct.unpack_from("<I", self.data, at)[0]
        return value

    def _field(self, number: int) -> int | None:
        """Where the field stands, None where it has its default value."""
        vtable = self.at - struct.unpack_from("<i", self.data, self.at)[0]
        n_bytes = struct.unpack_from("<H", self.data, vtable)[0]
        if vtable < 0 or 4 + 2 * number >= n_bytes:
            return None
        offset = struct.unpack_from("<H", self.data, vtable + 4 + 2 * number)[0]
        return self.at + offset if offset else None

    def integer(self, number: int, kind: str) -> int:
        """A scalar of a kind of `struct`, or 0."""
        at = self._field(number)
        return 0 if at is None else int(struct.unpack_from(f"<{kind}", self.data, at)[0])

    def vector(self, number: int, width: int) -> tuple[int, int]:
        """(where its elements start, how many of `width` bytes they are); ValueError if they do not lie in the data."""
        at = self._field(number)
        if at is None:
            return 0, 0
        start = at + self._u32(at)
        n, start = self._u32(start), start + 4
        if start + n * width > len(self.data):
            raise ValueError("a vector reaches past the end")
        return start, n

    def tables(self, number: int) -> Sequence[_Table]:
        start, n = self.vector(number, 4)
        return [_Table(self.data, at + self._u32(at)) for at in range(start, start + 4 * n, 4)]

    def content(self, number: int) -> bytes:
        start, n = self.vector(number, 1)
        return self.data[start : start + n]


def _tflite_tensors(data: bytes) -> Iterator[Named]:
    """The constant tensors of every subgraph. Field numbers are those of the public schema of the format."""
    if data[4:8] != TFLITE_MAGIC:
        raise ValueError("not a TFLite file")
    model = _Table(data, struct.unpack_from("<I", data)[0])
    buffers = [buffer.content(0) for buffer in model.tables(4)]
    for graph_number, graph in enumerate(model.tables(2)):
        for number, tensor in enumerate(graph.tables(0)):
            content = buffers[tensor.integer(2, "I")]
            if content:
                start, rank = tensor.vector(0, 4)
                shape = struct.unpack_from(f"<{rank}i", data, start)
                name = f"{graph_number}.{number}.{tensor.content(3).decode()}"
                yield Named(name, TFLITE_DTYPES[tensor.integer(1, "b")], shape, content)


def _ct2_tensors(data: bytes) -> Iterator[Named]:
    """The variables of a CTranslate2 file. struct.error where it ends too early."""
    at = 0

    def read(kinds: str) -> tuple[int, ...]:
        nonlocal at
        values = struct.unpack_from(f"<{kinds}", data, at)
        at += struct.calcsize(f"<{kinds}")
        return values

    def read_bytes(n: int) -> bytes:
        nonlocal at
        at += n
        if at > len(data):
            raise ValueError("a variable reaches past the end")
        return data[at - n : at]

    def read_text() -> str:
        return read_bytes(*read("H")).rstrip(b"\0").decode()

    (version,) = read("I")
    if version != CT2_VERSION:
        raise ValueError(f"version {version} of CTranslate2 files is not read here")
    read_text()  # what kind of model
    _, n_variables = read("II")
    for _ in range(n_variables):
        name, (rank,) = read_text(), read("B")
        shape = read(f"{rank}I")
        dtype, n_bytes = read("BI")
        yield Named(name, CT2_DTYPES[dtype], shape, read_bytes(n_bytes))
