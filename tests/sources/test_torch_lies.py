"""Files of torch that lie or are damaged: fewer tensors or none, never an error, and the same bytes again."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from readings import comes_back, flips, map_of, tensors_in

from pennyweight.pipeline.files import Reader
from pennyweight.pipeline.sources.zip_members import Extent, stored_members
from pennyweight.testing.torch import TorchStorage, TorchTensor, torch_legacy, torch_zip, zip_file

RAW = np.random.default_rng(6).bytes(256)
VALUE = {
    "model": {"w": TorchTensor("0", (4, 6)), "b": TorchTensor("1", (6,))},
    "optimizer": [TorchTensor("2", (8,), 2)],
}
STORAGES = {
    "0": TorchStorage("FloatStorage", 4, RAW[:96]),
    "1": TorchStorage("BFloat16Storage", 2, RAW[:12]),
    "2": TorchStorage("HalfStorage", 2, RAW[:24]),
}
ZIP, LEGACY = torch_zip(VALUE, STORAGES), torch_legacy(VALUE, STORAGES)
both = pytest.mark.parametrize("data", [ZIP, LEGACY], ids=["zip", "legacy"])


def changed(old: bytes, new: bytes, data: bytes = ZIP, count: int = 1) -> bytes:
    assert data.count(old) >= 1
    return data.replace(old, new, count)


def packed(**methods: int) -> bytes:
    """By Python's own writer: directory and headers of another habit than torch's."""
    out = io.BytesIO()
    given = zipfile.ZipFile(io.BytesIO(ZIP))
    with zipfile.ZipFile(out, "w") as archive:
        for name in given.namelist():
            archive.writestr(name, given.read(name), methods.get(name.rpartition("/")[2], zipfile.ZIP_STORED))
    return out.getvalue()


@both
def test_the_honest_file_is_understood(data: bytes) -> None:
    assert sorted(tensors_in(data)) == ["model.b", "model.w", "optimizer.0", "storage.2", "storage.2.20"]


@both
def test_every_length_is_read(data: bytes) -> None:
    for n in range(len(data)):
        assert map_of(data[:n]).name == "opaque"


@both
def test_every_byte_may_be_another(data: bytes) -> None:
    names = {map_of(flipped).name for flipped in flips(data)}
    assert "opaque" in names
    assert len(names) == 2


@settings(max_examples=25, deadline=None)
@given(st.sampled_from([ZIP, LEGACY]), st.data())
def test_damaged_files_come_back(data: bytes, draw: st.DataObject) -> None:
    damaged = bytearray(data[: draw.draw(st.integers(0, len(data)))])
    for at in draw.draw(st.lists(st.integers(0, max(0, len(damaged) - 1)), max_size=4)) if damaged else []:
        damaged[at] ^= draw.draw(st.integers(1, 255))
    assert comes_back(bytes(damaged))


def members(data: bytes) -> dict[str, Extent] | None:
    return stored_members(Reader(io.BytesIO(data)))


DIRECTORY = ZIP.index(b"PK\1\2")
END64, END = ZIP.index(b"PK\6\6"), ZIP.index(b"PK\5\6")
ENTRIES = [DIRECTORY + i for i in range(len(ZIP)) if ZIP.startswith(b"PK\1\2", DIRECTORY + i)]


def put(at: int, form: str, *values: int) -> bytes:
    return ZIP[:at] + struct.pack(form, *values) + ZIP[at + struct.calcsize(form) :]


LIES: dict[str, bytes] = {
    "something before it": b"x" + ZIP,
    "something behind it": ZIP + b"x",
    "a comment longer than the file": put(END + 20, "<H", 5),
    "two disks": put(END + 4, "<H", 1),
    "entries that are not there": put(END64 + 24, "<QQ", 2**60, 2**60),
    "another number of entries in all": put(END64 + 32, "<Q", 3),
    "directory of 2**63 bytes": put(END64 + 40, "<Q", 2**63),
    "directory behind the end": put(END64 + 48, "<Q", 2**40),
    "directory in the data": put(END64 + 48, "<Q", DIRECTORY - 64),
    "end of Zip64 that is none": put(END64, "<I", 0),
    "end of Zip64 behind the end": put(END - 12, "<Q", 2**62),
    "entry that is none": put(ENTRIES[1], "<I", 0),
    "name longer than the directory": put(ENTRIES[-1] + 28, "<H", 60_000),
    "raw bytes other than stored ones": put(ENTRIES[1] + 24, "<I", 1),
    "sizes in a field that is not there": put(ENTRIES[1] + 20, "<II", 2**32 - 1, 2**32 - 1),
    "local header elsewhere": put(ENTRIES[1] + 42, "<I", 1),
    "local header behind the end": put(ENTRIES[1] + 42, "<I", 2**32 - 2),
    "local header of another member": put(ENTRIES[2] + 42, "<I", 0),
    "local header of another method": put(8, "<H", 8),
    "local header of another size": put(18, "<I", 7),
    "local header with an extra of 60,000 bytes": put(28, "<H", 60_000),
    "data that goes on into the directory": put(ENTRIES[1] + 20, "<II", 2**30, 2**30),
    "name twice": ZIP.replace(b"archive/data/1", b"archive/data/0"),
    "name that is no UTF-8": ZIP.replace(b"archive/data/1", b"archive/data/\xff"),
}


@pytest.mark.parametrize("name", LIES)
def test_a_zip_that_lies_has_no_members(name: str) -> None:
    assert members(ZIP) is not None
    assert members(LIES[name]) is None
    assert map_of(LIES[name]).name == "opaque"
    assert comes_back(LIES[name])


@pytest.mark.parametrize("flags", [0x0001, 0x0040, 0x2000])
def test_encrypted_members_are_gaps(flags: int) -> None:
    first = next(entry for entry in ENTRIES if ZIP[entry + 46 :].startswith(b"archive/data/0"))
    data = put(first + 8, "<H", 0x0808 | flags)
    found = members(data)
    assert found is not None
    assert "archive/data/0" not in found
    assert "model.w" not in tensors_in(data)


def test_members_of_zip64_are_found() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, raw in (("a", RAW[:100]), ("b", RAW[100:])):
            info = zipfile.ZipInfo(name)
            with archive.open(info, "w", force_zip64=True) as member:
                member.write(raw)
    data = out.getvalue()
    # The same with its sizes and offset in the field of Zip64, as if they had no room elsewhere
    at, n = data.index(b"PK\1\2"), 46 + 1
    entry = data[at : at + n]
    offset = struct.unpack_from("<I", entry, 42)[0]
    wide = struct.pack("<HHHHQQQ", 7, 0, 1, 24, 100, 100, offset)
    entry = entry[:20] + b"\xff" * 8 + entry[28:30] + struct.pack("<H", len(wide)) + entry[32:42] + b"\xff" * 4 + b"a"
    end = bytearray(data[data.index(b"PK\5\6") :])
    struct.pack_into("<I", end, 12, struct.unpack_from("<I", end, 12)[0] + len(wide))
    found = members(data[:at] + entry + wide + data[at + n : -22] + bytes(end))
    assert found is not None
    assert found == members(data)
    assert [data[offset : offset + n] for offset, n in found.values()] == [RAW[:100], RAW[100:]]


def test_headers_by_others_are_read_too() -> None:
    assert sorted(tensors_in(packed())) == sorted(tensors_in(ZIP))


def test_bombs_are_not_inflated() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(1 << 26))
        archive.writestr("archive/data/0", bytes(1 << 26))
    assert members(out.getvalue()) == {}
    assert map_of(out.getvalue()).name == "opaque"


def test_members_named_as_ways_out_are_members_like_others() -> None:
    data = zip_file({"../../data.pkl": b"N.", "/etc/data.pkl": b"N.", "archive/../data/0": RAW})
    assert map_of(data).name == "opaque"
    assert comes_back(data)


def test_storages_that_share_bytes_make_it_opaque() -> None:
    storages = {str(i): TorchStorage("FloatStorage", 4, RAW[:128]) for i in range(2)}
    data = bytearray(torch_zip([TorchTensor("0", (32,)), TorchTensor("1", (32,))], storages))
    inside = data.index(RAW[:128])  # here goes a local header of the second member
    first, second = (data.index(f"archive/data/{i}".encode(), data.index(b"PK\1\2")) for i in range(2))
    header = data[struct.unpack_from("<I", data, second - 4)[0] :][:44]
    struct.pack_into("<H", header, 28, 0)
    assert first < second
    data[inside : inside + 44] = header
    struct.pack_into("<I", data, second - 4, inside)
    assert members(bytes(data)) is not None
    assert map_of(bytes(data)).name == "opaque"


LEGACY_LIES: dict[str, Callable[[], bytes]] = {
    "another count": lambda: changed(
        (24).to_bytes(8, "little") + RAW[:96], (25).to_bytes(8, "little") + RAW[:96], LEGACY
    ),
    "a count of 2**63": lambda: changed((24).to_bytes(8, "little") + RAW[:96], b"\xff" * 8 + RAW[:96], LEGACY),
    "another protocol": lambda: changed(
        b"J" + (1001).to_bytes(4, "little"), b"J" + (1002).to_bytes(4, "little"), LEGACY
    ),
    "a storage that is not named": lambda: changed(b"](X\1\0\0\0000", b"](X\1\0\0\0009", LEGACY),
    "keys that are no list": lambda: LEGACY[: LEGACY.rindex(b"\x80\2")] + b"\x80\2N.",
    "keys that are no strings": lambda: LEGACY[: LEGACY.rindex(b"\x80\2")] + b"\x80\2](K\1K\2e.",
    "no machine": lambda: LEGACY[: LEGACY.index(b"\x80\2}")] + b"\x80\2N." * 3,
}


@pytest.mark.parametrize("name", LEGACY_LIES)
def test_a_legacy_file_that_lies_is_opaque(name: str) -> None:
    data = LEGACY_LIES[name]()
    assert map_of(data).name == "opaque"
    assert comes_back(data)


def test_what_follows_the_last_storage_is_a_gap() -> None:
    assert tensors_in(LEGACY + b"more") == tensors_in(LEGACY)


@pytest.mark.parametrize("write", [torch_zip, torch_legacy])
def test_a_storage_of_more_elements_than_there_are_atoms(write: Any) -> None:
    storage = TorchStorage("FloatStorage", 4, RAW[:16])
    data = write({"w": TorchTensor("0", (4,))}, {"0": storage})
    huge = data.replace(b"K\4", b"\x8a\x0a" + b"\xff" * 9 + b"\x7f")
    assert tensors_in(huge) == {}
    assert comes_back(huge)
