"""The storages that a torch pickle names, and the tensors that are views of them.

A tensor is known by the call that would rebuild it: storage, first element, shape, strides. Its dtype is that of the
storage's class, or, for types that came after such classes, an argument of the call.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import prod
from typing import Any, Final, NamedTuple

from pennyweight.pipeline.container import limits
from pennyweight.pipeline.sources.pickle_machine import Call, Global, Lie, Pairs, Persistent
from pennyweight.types import DType


class Element(NamedTuple):
    """What torch calls an element; where it is several of ours, `parts` is the axis that they are."""

    dtype: DType
    n_bytes: int
    parts: tuple[int, ...] = ()


_DTYPES: Final = {
    "float64": Element(DType.F64, 8),
    "float32": Element(DType.F32, 4),
    "float16": Element(DType.F16, 2),
    "bfloat16": Element(DType.BF16, 2),
    "float8_e4m3fn": Element(DType.F8_E4M3, 1),
    "float8_e5m2": Element(DType.F8_E5M2, 1),
    "float8_e8m0fnu": Element(DType.F8_E8M0, 1),
    "float8_e4m3fnuz": Element(DType.F8_E4M3FNUZ, 1),
    "float8_e5m2fnuz": Element(DType.F8_E5M2FNUZ, 1),
    "float4_e2m1fn_x2": Element(DType.F4, 1, (2,)),
    "complex128": Element(DType.F64, 16, (2,)),
    "complex64": Element(DType.C64, 8),
    "complex32": Element(DType.F16, 4, (2,)),
    "int64": Element(DType.I64, 8),
    "int32": Element(DType.I32, 4),
    "int16": Element(DType.I16, 2),
    "int8": Element(DType.I8, 1),
    "uint64": Element(DType.U64, 8),
    "uint32": Element(DType.U32, 4),
    "uint16": Element(DType.U16, 2),
    "uint8": Element(DType.U8, 1),
    "bool": Element(DType.BOOL, 1),
}
_STORAGES: Final = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "ComplexDoubleStorage": "complex128",
    "ComplexFloatStorage": "complex64",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "QInt32Storage": "int32",
    "QInt8Storage": "int8",
    "QUInt8Storage": "uint8",
    "UntypedStorage": "uint8",
}

_MAX_KEY: Final = 64
"""Characters. They are numbers, or addresses; each piece of a storage without a name of its own is called after it."""

_REBUILD: Final = "torch._utils._rebuild_"
_TENSORS: Final = frozenset(_REBUILD + name for name in ("tensor", "tensor_v2", "tensor_v3", "qtensor"))
_WITH_DTYPE: Final = _REBUILD + "tensor_v3"
_WITH_PARAMETERS: Final = _REBUILD + "qtensor"  # scales and zero points, which may be tensors
_WRAPPERS: Final = frozenset(_REBUILD + name for name in ("parameter", "parameter_with_state"))
_SUBCLASS: Final = "torch._tensor._rebuild_from_type_v2"
_ORDERED: Final = "collections.OrderedDict"
_NESTED: Final = frozenset((Pairs, list, tuple, Call, Persistent))


class View(NamedTuple):
    """A tensor: n_bytes of its storage from `offset` on. shape: as they lie there; None if they are no run of bytes."""

    offset: int
    n_bytes: int
    name: str
    element: Element
    shape: tuple[int, ...] | None


class Storage:
    """Memory of tensors. element: of the storage's class; bytes where that has none."""

    __slots__ = ("element", "n_elements", "views")

    def __init__(self, element: Element, n_elements: int) -> None:
        self.element, self.n_elements = element, n_elements
        self.views: list[View] = []

    @property
    def n_bytes(self) -> int:
        return self.n_elements * self.element.n_bytes


def read_storages(root: Any, outside: Mapping[str, Any] | None = None) -> dict[str, Storage]:
    """Those in what `read_pickle` gives, by key. Lie where their names would not fit an index.

    outside: storages, and calls that rebuild tensors, which the pickle knows by a word alone.

    A tensor is named by the keys and indexes that lead to it, joined by dots: `optimizer.state.3.exp_avg`. Of several
    ways the shortest counts. What makes no sense is passed over.
    """
    storages: dict[str, Storage] = {}
    layouts: dict[tuple[int, int], _Layout | None] = {}
    for name, value in _Walk(root, outside or {}):
        call = type(value) is Call
        found = _find(value[1][0] if call else value, storages)
        if found is None:
            continue
        storage, offset = found
        if not call:
            storage.views.append(View(offset, storage.n_bytes, name, storage.element, (storage.n_elements,)))
            continue
        function, (_, first, shape, strides, *more) = value[:2]
        # A model has few shapes, and a pickle is read so that equal ones are one object
        key = id(shape), id(strides)
        if key not in layouts:
            layouts[key] = _layout(shape, strides)
        layout = layouts[key]
        if layout is not None and _is_size(first):
            element = _element(more) if function == _WITH_DTYPE else storage.element
            n_bytes, at = layout.n_elements * element.n_bytes, offset + first * element.n_bytes
            storage.views.append(View(at, n_bytes, name, element, layout.shape))
    return storages


class _Walk:
    """Calls that rebuild tensors, and storages that stand alone, with their names. Breadth first, each value once."""

    def __init__(self, root: Any, outside: Mapping[str, Any]) -> None:
        self._outside = outside
        self._queue: list[tuple[str, Any]] = []  # never shrinks, so that all values live and no id comes twice
        self._seen: set[int] = set()
        self._n_names = 0
        self._add([("", root)])

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        for name, value in self._queue:  # which grows meanwhile
            kind = type(value)
            if kind is Call:
                function = value[0] if type(value[0]) is Global else ""
                if function not in _TENSORS:
                    self._add_results(name, value, function)
                elif type(value[1]) is tuple and len(value[1]) >= 4:
                    yield name, value
                    if function == _WITH_PARAMETERS:
                        self._add([(name, value[1])])
            elif kind is Persistent:
                word = value[0]
                yield name, self._outside.get(word, value) if type(word) is str else value
            else:
                pairs = zip(value[::2], value[1::2], strict=False) if kind is Pairs else enumerate(value)
                self._add(pairs, f"{name}." if name else "")

    def _add_results(self, name: str, call: Call, function: str) -> None:
        """What a call works on, and what its result is given."""
        arguments = call[1] if type(call[1]) is tuple else ()
        parts = call[1:]
        if function in _WRAPPERS:
            parts = [*arguments[:1]]
        elif function == _SUBCLASS and len(arguments) > 3:
            parts = [Call((arguments[0], arguments[2])), arguments[3]]
        elif function == _ORDERED and len(arguments) == 1 and type(arguments[0]) is list:  # of Python 2: pairs
            pairs = (pair for pair in arguments[0] if type(pair) is list and len(pair) == 2)
            self._add(pairs, f"{name}." if name else "")
            return
        self._add((name, part) for part in parts)

    def _add(self, items: Iterable[Any], prefix: str = "") -> None:
        """Key and value of each. Names are counted as they are made: a long one may go before a million values."""
        for number, (key, child) in enumerate(items):
            if type(child) in _NESTED and id(child) not in self._seen:
                name = f"{prefix}{key if isinstance(key, (str, int)) else number}"
                self._n_names += len(name)
                if self._n_names > limits.MAX_INDEX_BYTES:
                    raise Lie("names longer than an index")
                self._seen.add(id(child))
                self._queue.append((name, child))


def _find(value: Any, storages: dict[str, Storage]) -> tuple[Storage, int] | None:
    """A storage, entered where it is new, and the byte of it where the one meant begins: old files have parts."""
    name = value[0] if type(value) is Persistent else None
    if type(name) is not tuple or len(name) < 5:
        return None
    what, kind, key, _, n_elements, *part = name
    if what != "storage" or type(kind) is not Global or not _is_key(key) or not _is_size(n_elements):
        return None
    storage = storages.get(key)
    if storage is None:
        element = element_of(kind)
        if element is None:
            return None
        storage = storages[key] = Storage(element, n_elements)
    if part and type(part[0]) is tuple and len(part[0]) == 3 and _is_size(part[0][1]):
        return storage, part[0][1] * storage.element.n_bytes
    return storage, 0


def _is_key(value: Any) -> bool:
    return type(value) is str and len(value) <= _MAX_KEY


def element_of(kind: Any) -> Element | None:
    """Of a class of storages that is known."""
    return _DTYPES.get(_STORAGES.get(kind.rpartition(".")[2], "")) if type(kind) is Global else None


def _element(arguments: list[Any]) -> Element:
    """That which a call names behind its strides; bytes for a type of tomorrow."""
    dtype = arguments[2] if len(arguments) > 2 and type(arguments[2]) is Global else ""
    return _DTYPES.get(dtype.removeprefix("torch."), _DTYPES["uint8"])


class _Layout(NamedTuple):
    """shape: that of the bytes, another one if the tensor is permuted. None if they are no run."""

    n_elements: int
    shape: tuple[int, ...] | None


def _layout(shape: Any, strides: Any) -> _Layout | None:
    """None if it makes no sense."""
    if type(shape) is not tuple or type(strides) is not tuple or not len(shape) == len(strides) <= limits.MAX_RANK:
        return None
    if not all(map(_is_size, (*shape, *strides))):
        return None
    order: Sequence[int] = range(len(shape))
    if not _is_contiguous(shape, strides):
        order = sorted(order, key=lambda axis: -strides[axis])
    in_memory = tuple(shape[axis] for axis in order)
    run = _is_contiguous(in_memory, [strides[axis] for axis in order])
    return _Layout(prod(shape), in_memory if run else None)


def _is_contiguous(shape: Sequence[int], strides: Sequence[int]) -> bool:
    n = 1
    for dim, stride in zip(reversed(shape), reversed(strides), strict=True):
        if stride != n and dim != 1:
            return False
        n *= dim
    return True


def _is_size(number: Any) -> bool:
    return type(number) is int and 0 <= number <= limits.MAX_INT
