"""Tensors of a container by name, decoded when they are asked for."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Self

import numpy as np
import xxhash
from numpy.typing import NDArray

from pennyweight.errors import CorruptError, UsageError
from pennyweight.pipeline.blocks import Task
from pennyweight.pipeline.container.index import TensorRecord
from pennyweight.pipeline.container.reader import ContainerReader
from pennyweight.pipeline.decode import FrameDecoder
from pennyweight.pipeline.files import Reader, naming
from pennyweight.pipeline.window import Buffers, Stream, in_order, tasks_ahead
from pennyweight.types import DType

_ML_DTYPES: Final = {
    DType.BF16: "bfloat16",
    DType.F8_E5M2: "float8_e5m2",
    DType.F8_E4M3: "float8_e4m3fn",
    DType.F8_E8M0: "float8_e8m0fnu",
    DType.F8_E4M3FNUZ: "float8_e4m3fnuz",
    DType.F8_E5M2FNUZ: "float8_e5m2fnuz",
}


class Tensor:
    """One tensor of an open checkpoint. Nothing is decoded until an array is asked for.

    Nothing is kept but the last block that held several tensors, at most 512 KiB for the whole checkpoint.

    Attributes:
        name: as in the original file.
        dtype: name of the safetensors dtype, such as "BF16".
        shape: elements along each axis; () is a scalar.
        n_bytes: of the decoded tensor.
    """

    def __init__(self, checkpoint: Checkpoint, segment: int, record: TensorRecord) -> None:
        self._checkpoint, self._segment, self._record = checkpoint, segment, record
        self.name = record.name
        self.dtype = record.dtype
        self.shape = record.shape
        self.n_bytes = record.n_bytes

    def numpy(self, out: NDArray[Any] | None = None, *, ml_dtypes: bool = False) -> NDArray[Any]:
        """The whole tensor; its digest is checked.

        BF16 comes as uint16 and 8-bit floats as uint8, the raw bits, unless `ml_dtypes`: then in the types of that
        package. F4 and F6 come packed, as a one-dimensional uint8 array of `n_bytes`.

        Args:
            out: C-contiguous memory of `n_bytes`, of any dtype and shape; decoded into, and the result is a view of it.

        Raises:
            CorruptError: the data is damaged; `out` then holds nothing of meaning.
            UsageError: `out` does not fit, or ml_dtypes is not installed.
        """
        kind = self._kind(ml_dtypes)
        memory = np.empty(self.n_bytes, dtype=np.uint8) if out is None else self._bytes_of(out)
        self._checkpoint._read(self._segment, 0, self.n_bytes, memory, self._record.xxh3_128)
        return memory.view(kind).reshape(self._array_shape) if self.n_bytes else np.empty(self._array_shape, kind)

    def __getitem__(self, key: int | slice) -> NDArray[Any]:
        """Rows along the first axis, as numpy gives them (IndexError too); only the blocks that hold them are read."""
        kind = self._kind(ml_dtypes=False)
        if not self.shape or DType[self.dtype].numpy is None:
            raise UsageError(f"tensor {self.name!r}: {self.dtype} of shape {self.shape} has no rows to take")
        if isinstance(key, slice):
            rows = range(*key.indices(self.shape[0]))
        else:
            at = range(self.shape[0])[key]
            rows = range(at, at + 1)
        first, last = (min(rows), max(rows) + 1) if rows else (0, 0)
        row_bytes = self.n_bytes // self.shape[0] if self.shape[0] else 0
        memory = np.empty((last - first) * row_bytes, dtype=np.uint8)
        self._checkpoint._read(self._segment, first * row_bytes, last * row_bytes, memory, None)
        block = memory.view(kind).reshape((last - first, *self.shape[1:]))
        if not isinstance(key, slice):
            row: NDArray[Any] = block[0]
            return row
        if rows.step == 1:
            return block
        return np.ascontiguousarray(block[:: rows.step])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """For numpy.asarray: the raw bits, as in `numpy`."""
        if copy is False:
            raise ValueError(f"tensor {self.name!r} cannot be an array without decoding it")
        array = self.numpy()
        return array if dtype is None else array.astype(dtype, copy=False)

    def __repr__(self) -> str:
        return f"Tensor({self.name!r}, {self.dtype}, {self.shape})"

    @property
    def _array_shape(self) -> tuple[int, ...]:
        return self.shape if DType[self.dtype].numpy else (self.n_bytes,)

    def _kind(self, ml_dtypes: bool) -> np.dtype[Any]:
        dtype = DType[self.dtype]
        if ml_dtypes and dtype in _ML_DTYPES:
            try:
                package = importlib.import_module("ml_dtypes")
            except ImportError:
                raise UsageError(
                    f"tensor {self.name!r}: {self.dtype} needs ml_dtypes: pip install pennyweight[ml_dtypes]"
                ) from None
            kind: np.dtype[Any] = np.dtype(getattr(package, _ML_DTYPES[dtype]))
            return kind
        return np.dtype(dtype.numpy or "u1")

    def _bytes_of(self, out: NDArray[Any]) -> Stream:
        if not isinstance(out, np.ndarray) or not out.flags.c_contiguous or not out.flags.writeable:
            raise UsageError(f"tensor {self.name!r}: out must be a writable C-contiguous array")
        if out.nbytes != self.n_bytes:
            raise UsageError(f"tensor {self.name!r}: out has {out.nbytes} bytes, the tensor {self.n_bytes}")
        return out.reshape(-1).view(np.uint8)


class Checkpoint(Mapping[str, Tensor]):
    """The tensors of a container, in the order of the original file. A context manager. Threads may share it."""

    def __init__(self, file: Reader, *, threads: int) -> None:
        """Takes over `file`. Raises CorruptError or VersionError."""
        self._file, self._threads = file, threads
        with naming(file.name):
            self._container = ContainerReader(file)
        self._frames = FrameDecoder(self._container, Buffers())
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="pennyweight")
        self._shared: tuple[int, Stream] | None = None
        self._closed = False
        self._tensors = {
            record.name: Tensor(self, i, record)
            for i, record in enumerate(self._container.segments)
            if isinstance(record, TensorRecord)
        }

    def __getitem__(self, name: str) -> Tensor:
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def close(self) -> None:
        """No tensor can be decoded any more: UsageError."""
        self._closed = True
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _read(self, segment: int, begin: int, end: int, out: Stream, digest: str | None) -> None:
        """Decode bytes begin to end of a segment into `out`; compare with the XXH3-128 if it is given."""
        if self._closed:  # another file may have the descriptor by now
            raise UsageError(f"{self._file.name}: is closed")
        blocks = self._container.blocks
        start = int(blocks.starts[segment])
        first, last = blocks.holding(segment)
        if begin < end:
            edges = blocks.offsets[first : last + 1] - start
            last = first + int(np.searchsorted(edges, end, side="left"))
            first += int(np.searchsorted(edges, begin, side="right")) - 1
        else:
            last = first

        def decode(task: Task) -> Stream:
            at = task.offset - start - begin  # of the task, in out
            if at >= 0 and at + task.n_bytes <= len(out):
                return self._decode(task, segment, out[at : at + task.n_bytes])
            whole = self._whole(task, segment)
            piece = out[max(at, 0) : at + task.n_bytes]
            piece[:] = whole[max(-at, 0) :][: len(piece)]
            return piece

        hasher = xxhash.xxh3_128()
        with naming(self._file.name):
            tasks = blocks.tasks(first, last)
            one = last - first == 1  # not worth waking another thread
            pieces = map(decode, tasks) if one else in_order(self._pool, decode, tasks, tasks_ahead(self._threads))
            for piece in pieces:
                if digest is not None:
                    hasher.update(piece.data)
            if digest is not None and hasher.hexdigest() != digest:
                name = self._container.tensor_name(segment)
                raise CorruptError("decoded bytes do not match the tensor's digest", tensor=name)

    def _whole(self, task: Task, segment: int) -> Stream:
        """All bytes of a task of which the segment needs some. Where it is a block of several, it is kept for them."""
        kept = self._shared  # one tuple, so that another thread cannot tear it
        if kept and kept[0] == task.first and task.last == task.first + 1:
            return kept[1]
        whole = self._decode(task, segment, np.empty(task.n_bytes, dtype=np.uint8))
        if len(self._container.blocks.segments_in(task.first)) > 1:
            self._shared = task.first, whole
        return whole

    def _decode(self, task: Task, segment: int, out: Stream) -> Stream:
        damage = self._frames.decode(task.first, task.last, out)
        if damage:
            raise next((one for one in damage if one.segment == segment), damage[0]).error()
        return out
