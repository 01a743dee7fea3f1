"""What only tar files of torch before 0.1.10 have; test_torch.py has the rest. torch does not read them safely."""

from __future__ import annotations

import io
import struct
import tarfile
from collections.abc import Callable
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from readings import comes_back, flips, map_of, tensors_in

from pennyweight.pipeline.sources import torch_tar as source
from pennyweight.testing.torch import TorchStorage, TorchTensor, torch_tar
from pennyweight.types import DType

RAW = np.random.default_rng(9).bytes(256)
STORAGES = {
    "0": TorchStorage("FloatStorage", 4, RAW[:96]),
    "1": TorchStorage("ShortStorage", 2, RAW[96:108]),
    "2": TorchStorage("HalfStorage", 2, RAW[108:132]),
}
PARTS = {"part": ("2", 4, 6)}
VALUE = {
    "model": {"w": TorchTensor("0", (4, 6)), "n": TorchTensor("1", (6,))},
    "optimizer": [TorchTensor("part", (2, 2), 1)],
}
DATA = torch_tar(VALUE, STORAGES, PARTS)
FOUND = {
    "model.w": (DType.F32, (4, 6), RAW[:96]),
    "model.n": (DType.I16, (6,), RAW[96:108]),
    "storage.2": (DType.F16, (5,), RAW[108:118]),
    "optimizer.0": (DType.F16, (2, 2), RAW[118:126]),
    "storage.2.18": (DType.F16, (3,), RAW[126:132]),
}


def member(name: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(DATA)) as tar:
        file = tar.extractfile(name)
        assert file is not None
        return file.read()


def packed(**members: bytes | None) -> bytes:
    """The same file with other members, or without them, and without the headers of times."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:", format=tarfile.USTAR_FORMAT) as tar:
        for name in ("sys_info", "pickle", "tensors", "storages"):
            raw = members.get(name, member(name))
            if raw is not None:
                info = tarfile.TarInfo(name)
                info.size = len(raw)
                tar.addfile(info, io.BytesIO(raw))
    return out.getvalue()


SMALL = packed().rstrip(b"\0")


def changed(name: str, old: bytes, new: bytes) -> bytes:
    """A member with the first of those bytes replaced."""
    raw = member(name)
    assert old in raw
    return packed(**{name: raw.replace(old, new, 1)})


def test_the_honest_file_is_understood() -> None:
    assert map_of(DATA).name == "torch-tar"
    for data in (DATA, SMALL):
        assert tensors_in(data) == FOUND
        assert comes_back(data)


def test_a_storage_may_stand_alone_in_the_object() -> None:
    name = b"X\x0f\0\0\0" + str(0x7F00_0000_0000).encode() + b"Q"
    data = packed(pickle=b"\x80\2](" + name + b"e.")
    assert tensors_in(data) == {"0": (DType.F32, (24,), RAW[:96])}
    assert comes_back(data)


def test_addresses_as_python_2_writes_them() -> None:
    wide = {0x7F00_0000_0000 + 64 * i: b"\x8a\6" + (0x7F00_0000_0000 + 64 * i).to_bytes(6, "little") for i in range(4)}
    for form in (b"I%d\n", b"L%dL\n"):
        members = {name: member(name) for name in ("tensors", "storages")}
        for address, long in wide.items():
            assert any(long in raw for raw in members.values())
            members = {name: raw.replace(long, form % address) for name, raw in members.items()}
        assert tensors_in(packed(**members)) == FOUND


def test_a_tensor_without_a_storage_is_left_out() -> None:
    data = changed("tensors", b"\x8a\6" + (0x7F00_0000_0040).to_bytes(6, "little"), b"N")
    assert tensors_in(data) == {name: found for name, found in FOUND.items() if name != "model.n"}


def test_every_length_is_read() -> None:
    for n in range(len(SMALL)):
        assert map_of(SMALL[:n]).name == "opaque"


def test_every_byte_may_be_another() -> None:
    names = {map_of(flipped).name for flipped in islice(flips(SMALL), 0, None, 3)}
    assert names == {"opaque", "torch-tar"}


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_damaged_files_come_back(draw: st.DataObject) -> None:
    damaged = bytearray(DATA[: draw.draw(st.integers(0, len(DATA)))])
    for at in draw.draw(st.lists(st.integers(0, max(0, len(damaged) - 1)), max_size=4)) if damaged else []:
        damaged[at] ^= draw.draw(st.integers(1, 255))
    assert comes_back(bytes(damaged))


def header(at: int, field: bytes) -> bytes:
    """The file with a field of its first header changed, and a checksum that agrees."""
    first = bytearray(packed())
    first[at : at + len(field)] = field
    first[148:156] = b" " * 8
    first[148:156] = b"%06o\0 " % sum(first[:512])
    return bytes(first)


def test_a_first_header_of_the_same_words_is_the_same() -> None:
    assert header(0, b"sys_info") == packed()


def i64(*numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}q", *numbers)


ADDRESS = b"\x8a\6" + (0x7F00_0000_0000).to_bytes(6, "little")
DEEP = b")" + b"\x85" * 80
LIES: dict[str, Callable[[], bytes]] = {
    "checksum": lambda: packed()[:100] + b"1" + packed()[101:],
    "a member of 8 GiB": lambda: header(124, b"77777777777\0"),
    "a member of fewer than no bytes": lambda: header(124, b"-0000001000\0"),
    "a size that is no number": lambda: header(124, b"0000000x000\0"),
    "a name that is no UTF-8": lambda: header(0, b"\xff"),
    "no storages": lambda: packed(storages=None),
    "no tensors": lambda: packed(tensors=None),
    "no object": lambda: packed(pickle=None),
    "no machine": lambda: packed(sys_info=None),
    "an object that is no pickle": lambda: packed(pickle=b"nothing"),
    "another number of elements": lambda: changed("storages", i64(24), i64(25)),
    "more elements than there are atoms": lambda: changed("storages", i64(24), i64(2**63 - 1)),
    "fewer elements than none": lambda: changed("storages", i64(24), i64(-1)),
    "more storages than there are": lambda: changed("storages", b"K\3", b"K\4"),
    "fewer storages than there are": lambda: changed("storages", b"K\3", b"K\2"),
    "two storages at one address": lambda: changed(
        "storages", (0x40).to_bytes(1, "little") + b"\0\0\0\0\x7f", b"\0" * 5 + b"\x7f"
    ),
    "a class of tomorrow": lambda: changed("storages", b"FloatStorage", b"BloatStorage"),
    "a class that is a number": lambda: changed("storages", b"ctorch\nFloatStorage\n", b"K\1"),
    "parts of what is no storage": lambda: changed("storages", b"K\4K\6", b"t(K\1K\2K\3K\4"),
    "parts that are none": lambda: packed(
        storages=member("storages")[: member("storages").rindex(b"\x80\2")] + b"\x80\2N."
    ),
    "a key that is a deep tuple": lambda: changed("tensors", b"K\0" + ADDRESS, DEEP + ADDRESS),
    "a storage that is a deep tuple": lambda: changed("tensors", ADDRESS, DEEP),
    "a storage that is not there": lambda: changed("tensors", ADDRESS, b"K\1"),
    "more tensors than there are": lambda: changed("tensors", b"K\3", b"K\4"),
    "a number that is none": lambda: changed("tensors", b"K\3", b"X\0\0\0\0"),
    "a thousand dimensions": lambda: changed("tensors", i64(2), i64(1000)),
    "fewer dimensions than none": lambda: changed("tensors", i64(2), i64(2**32 - 1)),
}


@pytest.mark.parametrize("name", LIES)
def test_a_tar_that_lies_is_opaque(name: str) -> None:
    data = LIES[name]()
    assert map_of(data).name == "opaque"
    assert comes_back(data)


def test_other_tar_files_are_opaque() -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:") as tar:
        for i in range(100):
            tar.addfile(tarfile.TarInfo(f"{i}.txt"))
    assert map_of(out.getvalue()).name == "opaque"


def test_items_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "_MAX_ITEMS", 3)
    assert tensors_in(DATA) == FOUND
    monkeypatch.setattr(source, "_MAX_ITEMS", 2)
    assert map_of(DATA).name == "opaque"


def test_members_behind_many_others_are_not_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "_MAX_MEMBERS", 4)
    assert tensors_in(packed()) == FOUND
    assert map_of(DATA).name == "opaque"
