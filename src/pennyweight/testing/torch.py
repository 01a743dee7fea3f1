"""Small files as torch writes them, made without torch: zip, .distcp, pickles in a row of before 1.6, tar of before."""

from __future__ import annotations

import io
import struct
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from operator import mul
from typing import Any, Final, NamedTuple

_LEGACY_MAGIC: Final = 0x1950A86A20F9469CFC6C
_ALIGNMENT: Final = 64


class TorchStorage(NamedTuple):
    """kind: name of the class in torch, such as `FloatStorage`, or `UntypedStorage` for types without one."""

    kind: str
    element_bytes: int
    raw: bytes

    @property
    def n_elements(self) -> int:
        return len(self.raw) // self.element_bytes


class TorchTensor(NamedTuple):
    """A view of a storage. offset and strides: in elements. dtype: of an untyped storage, such as `float8_e4m3fn`."""

    storage: str
    shape: tuple[int, ...]
    offset: int = 0
    strides: tuple[int, ...] | None = None
    dtype: str | None = None


def torch_zip(value: Any, storages: Mapping[str, TorchStorage], *, byteorder: str = "little") -> bytes:
    """What `torch.save` writes: `value` is a nest of dicts, lists, tuples, strings, numbers and TorchTensors."""
    members = {
        "data.pkl": torch_pickle(value, storages),
        "byteorder": byteorder.encode(),
        **{f"data/{key}": storage.raw for key, storage in storages.items()},
        "version": b"3\n",
    }
    return zip_file({f"archive/{name}": data for name, data in members.items()})


def torch_legacy(value: Any, storages: Mapping[str, TorchStorage], *, little_endian: bool = True) -> bytes:
    """The same by `_use_new_zipfile_serialization=False`."""
    machine = _machine(1001, little_endian)
    keys = sorted(storages)
    pickles = b"".join(
        torch_pickle(each, storages, legacy=True) for each in (_LEGACY_MAGIC, 1001, machine, value, keys)
    )
    return pickles + b"".join(storages[key].n_elements.to_bytes(8, "little") + storages[key].raw for key in keys)


def torch_tar(
    value: Any,
    storages: Mapping[str, TorchStorage],
    parts: Mapping[str, tuple[str, int, int]] | None = None,
    *,
    little_endian: bool = True,
) -> bytes:
    """What torch 0.1.9 writes. parts: what are storages to tensors, too, each a storage, first element, and number."""
    parts = parts or {}
    address = {key: 0x7F00_0000_0000 + 64 * i for i, key in enumerate((*storages, *parts))}
    pickler = _TarPickler(storages)
    root = b"".join((b"\x80\2", *pickler.write(value), b"."))
    tensors = [torch_pickle(len(pickler.tensors), {})]
    for i, tensor in enumerate(pickler.tensors):
        kind = storages[parts.get(tensor.storage, (tensor.storage,))[0]].kind.replace("Storage", "Tensor")
        numbers = (*tensor.shape, *_strides(tensor), tensor.offset)
        tensors += (
            _item(i, address[tensor.storage], kind),
            struct.pack(f"<q{len(numbers)}q", len(tensor.shape), *numbers),
        )
    held = [torch_pickle(len(storages), {})]
    for key, storage in storages.items():
        held += _item(address[key], "cpu", storage.kind), storage.n_elements.to_bytes(8, "little"), storage.raw
    views = [(address[key], address[whole], first, n) for key, (whole, first, n) in parts.items()]
    members = {
        "sys_info": torch_pickle(_machine(1000, little_endian), {}),
        "pickle": root,
        "tensors": b"".join(tensors),
        "storages": b"".join((*held, torch_pickle(views, {}))),
    }
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:", format=tarfile.PAX_FORMAT) as tar:
        for name, raw in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(raw), 1483228800.5  # which goes into a header of its own
            tar.addfile(info, io.BytesIO(raw))
    return out.getvalue()


def torch_dcp(items: Iterable[tuple[Any, Mapping[str, TorchStorage]]]) -> bytes:
    """A `.distcp` of torch.distributed.checkpoint: values and their storages, an archive for each."""
    return b"".join(torch_zip(value, storages) for value, storages in items)


def zip_file(members: Mapping[str, bytes]) -> bytes:
    """Stored members as torch stores them: data at multiples of 64, sizes behind it, always with an end of Zip64."""
    out, directory = bytearray(), bytearray()
    for name, raw in members.items():
        offset, label = len(out), name.encode()
        sizes = struct.pack("<III", zlib.crc32(raw), len(raw), len(raw))
        n_extra = 4 + -(len(out) + 30 + len(label) + 4) % _ALIGNMENT
        out += struct.pack("<4s5H12xHH", b"PK\3\4", 0, 0x0808, 0, 0, 0, len(label), n_extra)
        out += label + struct.pack("<2sH", b"FB", n_extra - 4) + b"Z" * (n_extra - 4)
        out += raw + b"PK\7\10" + sizes
        directory += struct.pack("<4s6H", b"PK\1\2", 0, 0, 0x0808, 0, 0, 0) + sizes
        directory += struct.pack("<HHHHHII", len(label), 0, 0, 0, 0, 0, offset) + label
    n, begin, end = len(members), len(out), len(out) + len(directory)
    out += directory
    out += struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 798, 45, 0, 0, n, n, len(directory), begin)
    out += struct.pack("<4sIQI", b"PK\6\7", 0, end, 1)
    few = min(n, 0xFFFF)
    return bytes(out + struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, few, few, len(directory), begin, 0))


def torch_pickle(value: Any, storages: Mapping[str, TorchStorage], *, legacy: bool = False) -> bytes:
    """The object alone, as both kinds of files hold it."""
    return b"".join((b"\x80\2", *_Pickler(storages, legacy).write(value), b"."))


def _machine(protocol: int, little_endian: bool) -> dict[str, Any]:
    sizes = {"short": 2, "int": 4, "long": 4}
    return {"protocol_version": protocol, "little_endian": little_endian, "type_sizes": sizes}


def _item(key: int, other: int | str, kind: str) -> bytes:
    """The pickle before a storage or a tensor of a tar."""
    pickler = _Pickler({}, legacy=True)
    return b"".join((b"\x80\2", *pickler.write(key), *pickler.write(other), *pickler.name("torch", kind), b"\x87."))


class _Pickler:
    """Protocol 2, with strings and names in the memo as Python's pickler has them."""

    def __init__(self, storages: Mapping[str, TorchStorage], legacy: bool) -> None:
        self._storages, self._legacy = storages, legacy
        self._memo: dict[bytes, int] = {}

    def write(self, value: Any) -> Iterator[bytes]:
        """The opcodes that make a value."""
        match value:
            case None | bool():
                yield {None: b"N", True: b"\x88", False: b"\x89"}[value]
            case int():
                yield self._int(value)
            case float():
                yield b"G" + struct.pack(">d", value)
            case str():
                raw = value.encode()
                yield from self._once(b"X" + struct.pack("<I", len(raw)) + raw)
            case TorchTensor():
                yield from self._tensor(value)
            case tuple():
                yield from (b"(", *self._all(value), b"t")
            case list():
                yield from (b"](", *self._all(value), b"e")
            case dict():
                yield from (b"}(", *self._all(each for pair in value.items() for each in pair), b"u")
            case _:
                raise TypeError(f"{type(value).__name__} is in no checkpoint")

    def _all(self, values: Iterable[Any]) -> Iterator[bytes]:
        for value in values:
            yield from self.write(value)

    def _once(self, opcodes: bytes) -> Iterator[bytes]:
        """What these make; from the memo if it is there."""
        number = self._memo.setdefault(opcodes, len(self._memo))
        yield (
            b"j" + struct.pack("<I", number)
            if number < len(self._memo) - 1
            else opcodes + b"r" + struct.pack("<I", number)
        )

    def name(self, module: str, name: str) -> Iterator[bytes]:
        """The opcodes of what Python would import."""
        yield from self._once(f"c{module}\n{name}\n".encode())

    def _int(self, value: int) -> bytes:
        if 0 <= value < 256:
            return b"K" + bytes((value,))
        if -(2**31) <= value < 2**31:
            return b"J" + struct.pack("<i", value)
        raw = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
        return b"\x8a" + bytes((len(raw),)) + raw

    def _tensor(self, tensor: TorchTensor) -> Iterator[bytes]:
        storage = self._storages[tensor.storage]
        yield from self.name("torch._utils", f"_rebuild_tensor_v{3 if tensor.dtype else 2}")
        yield b"(("
        yield from self.write("storage")
        yield from self.name("torch.storage" if storage.kind == "UntypedStorage" else "torch", storage.kind)
        yield from self._all((tensor.storage, "cpu", storage.n_elements, *([None] if self._legacy else [])))
        yield b"tQ"
        yield from self._all((tensor.offset, tensor.shape, _strides(tensor), False))
        yield from self.name("collections", "OrderedDict")
        yield b")R"
        if tensor.dtype:
            yield from self.name("torch", tensor.dtype)
        yield b"tR"


class _TarPickler(_Pickler):
    """Tensors stand in a list of their own; here is their place in it."""

    def __init__(self, storages: Mapping[str, TorchStorage]) -> None:
        super().__init__(storages, legacy=True)
        self.tensors: list[TorchTensor] = []

    def _tensor(self, tensor: TorchTensor) -> Iterator[bytes]:
        yield from self.write(str(len(self.tensors)))
        yield b"Q"
        self.tensors.append(tensor)


def _strides(tensor: TorchTensor) -> tuple[int, ...]:
    if tensor.strides is not None:
        return tensor.strides
    return tuple(accumulate(tensor.shape[:0:-1], mul, initial=1))[::-1] if tensor.shape else ()
