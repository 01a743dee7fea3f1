"""torch tar (.pt .pth of before 0.1.10): a tar of `storages`, of `tensors` that are views of them, and of the `pickle`.

`storages` is a pickle of their number; of each a pickle (key, device, class), i64 number of elements, and bytes; then a
pickle of those that are parts of others, [(key, key of the whole, first element, number)]. `tensors` is a pickle of
their number; of each a pickle (key, key of its storage, class), i32 rank, 4 bytes, and i64 shape, strides and first
element. Keys are addresses; in the object they stand for tensors and storages.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pennyweight.pipeline.container import limits
from pennyweight.pipeline.files import Reader
from pennyweight.pipeline.sources.glimpse import Glimpse
from pennyweight.pipeline.sources.pickle_machine import Call, Global, Lie, Persistent
from pennyweight.pipeline.sources.pickles import MAX_PICKLE_BYTES, read_pickle
from pennyweight.pipeline.sources.segments import SourceMap, TensorRange, cover
from pennyweight.pipeline.sources.torch_legacy import is_little_endian
from pennyweight.pipeline.sources.torch_storages import element_of, read_storages
from pennyweight.pipeline.sources.torch_tensors import distinct, tensors_of
from pennyweight.pipeline.sources.zip_members import Extent

_BLOCK: Final = 512
_MAX_MEMBERS: Final = 16
"""They are four, and before each there may be one that says to the microsecond when it was made."""

_MAX_ITEMS: Final = 100_000
"""Storages, and tensors: five seconds, and twice that for one made to be slow."""

_MAX_ITEM_BYTES: Final = 128
"""Of a pickle of two numbers, or a number and a device, and a class: some 80."""

_REBUILD: Final = Global("torch._utils._rebuild_tensor")


def read(file: Reader) -> SourceMap | None:
    """None if it is not such a file, is big-endian, or says what cannot be."""
    if file.size < _BLOCK or file.pread(257, 5) != b"ustar":
        return None
    try:
        tensors = list(distinct(_tensors(file, _members(file))))
    except (KeyError, TypeError, ValueError, struct.error):  # of ours, and of what is missing or something else
        return None
    return cover("torch-tar", file.size, tensors) if tensors else None


def _members(file: Reader) -> dict[str, Extent]:
    """The data of the first members by name."""
    members: dict[str, Extent] = {}
    at = 0
    for _ in range(_MAX_MEMBERS):
        header = file.pread(at, min(_BLOCK, file.size - at))
        if not any(header):
            break
        name, n_bytes, checksum = header[:100].rstrip(b"\0"), _octal(header[124:136]), _octal(header[148:156])
        if sum(header) - sum(header[148:156]) + sum(b" " * 8) != checksum:
            raise Lie("no header where one must be")
        at += _BLOCK
        if not 0 <= n_bytes <= file.size - at:
            raise Lie("a member goes on behind the end")
        members[name.decode()] = Extent(at, n_bytes)
        at = min(at + n_bytes + -n_bytes % _BLOCK, file.size)
    return members


def _octal(digits: bytes) -> int:
    return int(digits.strip(b"\0 "), 8)


def _tensors(file: Reader, members: Mapping[str, Extent]) -> Iterator[tuple[int, TensorRange]]:
    if not is_little_endian(_pickle(file, members["sys_info"])):
        raise Lie("big-endian")
    glimpse = Glimpse(file)
    offsets, storages = _storages(_Items(glimpse, members["storages"]))
    named = storages | dict(_views(_Items(glimpse, members["tensors"]), storages))
    found = read_storages(_pickle(file, members["pickle"]), {str(key): value for key, value in named.items()})
    for number, storage in found.items():
        for offset, tensor in tensors_of(number, storage):
            yield offsets[number] + offset, tensor


def _pickle(file: Reader, member: Extent) -> Any:
    """A member that is one."""
    return read_pickle(file.pread(member.offset, min(member.n_bytes, MAX_PICKLE_BYTES)))[0]


class _Items:
    """A member, from its front to its end. at: offset in the file."""

    def __init__(self, glimpse: Glimpse, member: Extent) -> None:
        self._glimpse, self.at, self._end = glimpse, member.offset, member.offset + member.n_bytes

    def pickle(self, max_bytes: int = _MAX_ITEM_BYTES) -> Any:
        value, n = read_pickle(self._glimpse.read(self.at, min(max_bytes, self._end - self.at)))
        self.at += n
        return value

    def numbers(self, layout: str) -> tuple[int, ...]:
        at = self.at
        self.skip(struct.calcsize(layout))
        return struct.unpack(layout, self._glimpse.read(at, self.at - at))

    def skip(self, n: int) -> None:
        if not 0 <= n <= self._end - self.at:
            raise Lie("the member ends before")
        self.at += n

    def each(self) -> Iterator[tuple[int, Any, Any]]:
        """What the pickle of each item says. What follows that is read before the next."""
        n = self.pickle()
        if n > _MAX_ITEMS:
            raise Lie("more than any file has")
        for _ in range(n):
            key, other, kind = self.pickle()
            yield _key(key), other, kind


def _key(value: Any) -> int:
    if type(value) is not int:  # tuples may be nested too deep to be hashed
        raise Lie("no address")
    return value


def _storages(items: _Items) -> tuple[dict[str, int], dict[int, Persistent]]:
    """Where each lies, by its number. By address, what it is in the words of later files, and what each part is."""
    offsets: dict[str, int] = {}
    storages: dict[int, Persistent] = {}
    for key, _, kind in items.each():
        element, (n_elements,) = element_of(kind), items.numbers("<q")
        if element is None or key in storages:
            raise Lie("of no class that was there, or a second one at the same address")
        number = str(len(offsets))
        offsets[number] = items.at
        storages[key] = Persistent((("storage", kind, number, None, n_elements),))
        items.skip(n_elements * element.n_bytes)
    parts = {_key(key): (_key(whole), (None, first, n)) for key, whole, first, n in items.pickle(MAX_PICKLE_BYTES)}
    return offsets, storages | {key: Persistent(((*storages[whole][0], part),)) for key, (whole, part) in parts.items()}


def _views(items: _Items, storages: Mapping[int, Persistent]) -> Iterator[tuple[int, Call]]:
    """What each tensor is, in the words of later files; those without a storage are left out."""
    for key, storage, _ in items.each():
        (rank,) = items.numbers("<i4x")
        if not 0 <= rank <= limits.MAX_RANK:
            raise Lie("more dimensions than a tensor has")
        *sizes, first = items.numbers(f"<{2 * rank + 1}q")
        if storage is not None:
            view = storages[_key(storage)], first, tuple(sizes[:rank]), tuple(sizes[rank:])
            yield key, Call((_REBUILD, view))
