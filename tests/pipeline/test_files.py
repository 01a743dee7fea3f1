"""Reading and writing files: short reads, changing files, and what is left behind when something goes wrong."""

from __future__ import annotations

import gzip
import io
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from pennyweight.errors import InputError, UsageError
from pennyweight.pipeline import filesystem
from pennyweight.pipeline.files import Reader
from pennyweight.pipeline.output import AtomicFile, StreamWriter, check_space


def read(reader: Reader, offset: int, n: int) -> bytes:
    return reader.pread(offset, n)


def test_reader_of_a_path(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    with Reader(path) as reader:
        assert reader.size == 10
        assert reader.name == str(path)
        assert read(reader, 3, 4) == b"3456"
        assert read(reader, 10, 0) == b""
        with pytest.raises(InputError, match="changed while it was read"):
            read(reader, 8, 3)


class OnlyRead:
    """A file object without readinto or fileno."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def read(self, n: int = -1) -> bytes:
        return self._file.read(min(n, 3) if n >= 0 else n)  # and it gives less than asked for

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def seekable(self) -> bool:
        return True


def test_reader_of_file_objects(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    packed = tmp_path / "packed.gz"
    packed.write_bytes(gzip.compress(b"0123456789"))
    objects: list[Any] = [
        io.BytesIO(b"0123456789"),
        OnlyRead(b"0123456789"),
        io.FileIO(path),
        io.BufferedReader(io.FileIO(path)),
        io.BufferedRandom(io.FileIO(path, "r+")),
        gzip.GzipFile(packed),  # its descriptor is that of another file
    ]
    for file in objects:
        reader = Reader(file)
        assert reader.size == 10
        assert read(reader, 2, 5) == b"23456"
        reader.check_unchanged()
        reader.close()
        if not isinstance(file, OnlyRead):
            assert not file.closed
            file.close()


def test_a_file_object_is_shared_by_threads() -> None:
    data = os.urandom(100_000)
    reader = Reader(io.BytesIO(data))
    wrong = []

    def work(seed: int) -> None:
        for i in range(200):
            offset = (seed * 7919 + i * 104_729) % 99_000
            if read(reader, offset, 1000) != data[offset : offset + 1000]:
                wrong.append(offset)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("size", [0, 5, 20])
def test_a_source_that_changes_is_noticed(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    with Reader(path) as reader:
        reader.check_unchanged()
        path.write_bytes(b"x" * size)
        with pytest.raises(InputError, match="changed while it was read"):
            reader.check_unchanged()


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="missing: No such file"):
        Reader(tmp_path / "missing")
    with pytest.raises(InputError, match="not a regular file"):
        Reader(tmp_path)
    with pytest.raises(InputError, match="null"):
        Reader("nul\0name")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="pipe: not a regular file"):
        Reader(tmp_path / "pipe")
    with pytest.raises(UsageError, match="binary"):
        Reader(io.StringIO("text"))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="binary"):
        Reader(b"bytes")  # type: ignore[arg-type]
    reading, writing = os.pipe()
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe, pytest.raises(UsageError, match="seekable"):
        Reader(pipe)


def test_atomic_file_appears_at_commit(tmp_path: Path) -> None:
    path = tmp_path / "new"
    with AtomicFile(path, force=False) as file:
        file.write_at(3, [b"def", b"", bytearray(b"gh")])
        file.write_at(0, [memoryview(b"abc")])
        assert not path.exists()
        (temporary,) = tmp_path.iterdir()
        assert temporary.name.startswith(".new.pwt-")
        assert temporary.name.endswith(".tmp")
        file.commit()
    assert path.read_bytes() == b"abcdefgh"
    assert [entry.name for entry in tmp_path.iterdir()] == ["new"]


def test_atomic_file_without_commit_leaves_nothing(tmp_path: Path) -> None:
    with AtomicFile(tmp_path / "new", force=False) as file:
        file.write_at(0, [b"abc"])
        assert list(tmp_path.iterdir())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_mode_of_a_new_file_follows_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with AtomicFile(tmp_path / "new", force=False) as file:
            file.commit()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o666 & ~umask


def test_a_replaced_file_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "old"
    path.write_bytes(b"old")
    path.chmod(0o640)
    with pytest.raises(InputError, match=r"old: exists already"):
        AtomicFile(path, force=False)
    with AtomicFile(path, force=True) as file:
        file.write_at(0, [b"new"])
        assert path.read_bytes() == b"old"
        file.commit()
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_target_that_comes_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "new"
    with AtomicFile(path, force=False) as file:
        path.write_bytes(b"of somebody else")
        with pytest.raises(InputError, match="exists already"):
            file.commit()
    assert path.read_bytes() == b"of somebody else"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_link_is_replaced_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"real")
    (tmp_path / "link").symlink_to("real")
    with AtomicFile(tmp_path / "link", force=True) as file:
        file.write_at(0, [b"new"])
        file.commit()
    assert (tmp_path / "real").read_bytes() == b"real"
    assert not (tmp_path / "link").is_symlink()


def test_targets_that_cannot_be(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, reason in [("missing/new", "No such file"), ("", "is a folder"), ("pipe", "not a regular file")]:
        with pytest.raises(InputError, match=reason):
            AtomicFile(tmp_path / name, force=True)
    with pytest.raises(InputError, match="null"):
        AtomicFile(Path("nul\0name"), force=True)


def test_a_name_of_255_bytes_has_room_for_a_temporary_one(tmp_path: Path) -> None:
    path = tmp_path / ("é" * 127)
    with AtomicFile(path, force=False) as file:
        file.commit()
    assert path.exists()


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def three_bytes(fd: int, views: list[memoryview], offset: int) -> int:
        return os.pwrite(fd, b"".join(views)[:3], offset)

    monkeypatch.setattr(filesystem, "_PWRITEV", three_bytes)
    with AtomicFile(tmp_path / "new", force=False) as file:
        file.write_at(0, [b"ab", b"", b"cdefg", b"h"])
        file.commit()
    assert (tmp_path / "new").read_bytes() == b"abcdefgh"


def test_without_pwritev(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filesystem, "_PWRITEV", None)
    with AtomicFile(tmp_path / "new", force=False) as file:
        file.write_at(2, [b"c", b"def"])
        file.write_at(0, [b"ab"])
        file.commit()
    assert (tmp_path / "new").read_bytes() == b"abcdef"


class Slow(io.RawIOBase):
    """Takes two bytes at a time."""

    def __init__(self) -> None:
        self.data = b""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.data += bytes(data[:2])
        return min(2, len(data))


def test_stream_writer() -> None:
    slow = Slow()
    writer = StreamWriter(slow)  # type: ignore[arg-type]
    writer.write_at(0, [b"abc"])
    writer.write_at(3, [b"", memoryview(b"defg")])
    writer.commit()
    assert slow.data == b"abcdefg"
    with pytest.raises(UsageError):
        StreamWriter(io.StringIO())  # type: ignore[arg-type]


def test_space_is_checked_before(tmp_path: Path) -> None:
    check_space(tmp_path / "new", 1)
    with pytest.raises(InputError, match=r"new: needs .* bytes"):
        check_space(tmp_path / "new", 1 << 60)
    with pytest.raises(InputError, match="No such file"):
        check_space(tmp_path / "missing" / "new", 1)
