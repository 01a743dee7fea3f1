"""Checkpoints: whatever a file is, its map covers it, and it comes back byte for byte."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Final
from unittest.mock import patch

import xxhash
from readings import comes_back

from pennyweight.pipeline.container import limits
from pennyweight.pipeline.files import Reader
from pennyweight.pipeline.sources import SourceMap, TensorRange, guess, hdf5, npz, safetensors, torch_tar, torch_zip
from pennyweight.pipeline.sources.pickle_machine import Lie
from pennyweight.pipeline.sources.pickles import read_pickle
from pennyweight.pipeline.sources.torch_storages import read_storages
from pennyweight.testing.torch import zip_file

Read = Callable[[Reader], SourceMap | None]

_ROUND_TRIPS: Final = 64
"""One of so many files that are of the format is compressed and restored: it takes far longer than reading it."""

_MAX_MEMBERS: Final = 8
_MAX_STORAGE: Final = 4096


def of_format(read: Read) -> Callable[[bytes], None]:
    """The check of one format: no map, or a sound one; never an error."""

    def check(data: bytes) -> None:
        found = read(Reader(io.BytesIO(data)))
        if found is not None:
            check_map(found, len(data))
            if xxhash.xxh3_64_intdigest(data) % _ROUND_TRIPS == 0:
                assert comes_back(data)

    return check


def check_map(found: SourceMap, n_bytes: int) -> None:
    """It covers a file of n_bytes, and says nothing that the index of a container may not."""
    assert sum(segment.n_bytes for segment in found.segments) == n_bytes
    tensors = [segment for segment in found.segments if isinstance(segment, TensorRange)]
    assert all(segment.n_bytes > 0 for segment in found.segments if not isinstance(segment, TensorRange))
    assert len({tensor.name for tensor in tensors}) == len(tensors)
    for tensor in tensors:
        assert len(tensor.name.encode()) <= limits.MAX_NAME_BYTES
        assert len(tensor.shape) <= limits.MAX_RANK
        assert all(0 <= dim <= limits.MAX_INT for dim in tensor.shape)
        assert tensor.dtype.n_bytes(tensor.shape) == tensor.n_bytes >= 0


check_guess = of_format(guess.read)


def check_runs(data: bytes) -> None:
    """A file long enough to be searched for floats: u16, how often what follows it is repeated, and in what steps."""
    n, piece = int.from_bytes(data[:2], "little"), data[2:]
    if piece:
        repeated = bytearray(piece * min(1 + n % 512, 1 + (256 << 10) // len(piece)))
        repeated[:: 3 + (n >> 9)] = bytes(len(range(0, len(repeated), 3 + (n >> 9))))
        check_guess(bytes(repeated))


def check_pickle(data: bytes) -> None:
    """A pickle, read alone, and in a file with the storages that it names."""
    try:
        root, end = read_pickle(data)
        storages = read_storages(root)
    except Lie:
        return
    assert 0 < end <= len(data)
    sizes = {key: storage.n_bytes for key, storage in storages.items() if storage.n_bytes <= _MAX_STORAGE}
    few = dict(list(sizes.items())[:_MAX_MEMBERS])
    members = {f"archive/data/{key}".encode(errors="replace").decode(): bytes(n) for key, n in few.items()}
    _check_torch_zip(zip_file({"archive/data.pkl": data, **members}))


_check_safetensors = of_format(safetensors.read)
_check_torch_zip = of_format(torch_zip.read)
_check_npz = of_format(npz.read)
_check_keras = of_format(hdf5.read_keras)
_check_tar = of_format(torch_tar.read)


def check_members(data: bytes) -> None:
    """A sound zip of odd members. Of each: u8 bytes of its name, the name, u16 bytes of its data, the data."""
    members: dict[str, bytes] = {}
    at = 0
    while at < len(data) and len(members) < _MAX_MEMBERS:
        name, at = data[at + 1 : at + 1 + data[at]], at + 1 + data[at]
        n, at = int.from_bytes(data[at : at + 2], "little"), at + 2
        members[name.decode(errors="replace")], at = data[at : at + n], at + n
    file = zip_file(members)
    for check in (_check_torch_zip, _check_npz, _check_keras):
        check(file)


def member(name: str, data: bytes) -> bytes:
    """One as `check_members` takes it."""
    return bytes((len(name),)) + name.encode() + len(data).to_bytes(2, "little") + data


def check_safetensors(data: bytes) -> None:
    """As it is, and with a header that ends with its last brace."""
    _check_safetensors(data)
    end = data.rfind(b"}") + 1
    if end > 8:
        _check_safetensors((end - 8).to_bytes(8, "little") + data[8:])


def check_tar(data: bytes) -> None:
    """As it is, and with the checksums of the headers put right."""
    _check_tar(data)
    mended, at = bytearray(data), 0
    while at + 512 <= len(mended) and any(header := mended[at : at + 512]):
        mended[at + 148 : at + 156] = b"%06o\0 " % (sum(header) - sum(header[148:156]) + 8 * 32)
        digits = bytes(header[124:136]).strip(b"\0 ")
        n = int(digits, 8) if digits.isdigit() and not set(digits) & set(b"89") else 0
        at += 512 + -(-n // 512) * 512
    if mended != data:
        _check_tar(bytes(mended))


def check_answer(data: bytes) -> None:
    """What the process says that walks a HDF5 file, which may have been taken over by the file."""
    with patch.object(hdf5, "_ask", lambda *_: data):
        file = b"\x89HDF\r\n\x1a\n" + bytes(248)
        found = hdf5.read(Reader(io.BytesIO(file)))
    if found is not None:
        check_map(found, len(file))
