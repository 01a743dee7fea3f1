"""One container back into its file: exact, or an error and nothing left behind."""

from __future__ import annotations

import errno
import io
import os
import shutil
import threading
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import samples
import spec_encoder
from samples import packed

import pennyweight
from pennyweight.errors import CorruptError, InputError, UsageError, VersionError
from pennyweight.pipeline import filesystem, output


def restored(container: bytes, **options: Any) -> bytes:
    target = io.BytesIO()
    pennyweight.restore(io.BytesIO(container), target, **options)
    return target.getvalue()


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("preset_name", ["default", "fast"])
@pytest.mark.parametrize("name", samples.FILES)
def test_round_trip(name: str, preset_name: str, threads: int, tmp_path: Path) -> None:
    data = samples.FILES[name]
    container = packed(data, preset=preset_name)
    (tmp_path / "file.pwt").write_bytes(container)
    report = pennyweight.restore(tmp_path / "file.pwt", threads=threads)
    assert (tmp_path / "file").read_bytes() == data
    assert report.n_bytes == len(data)
    assert restored(container, threads=threads) == data


def test_blocks_of_1024(preset: Path) -> None:
    for name in ("small", "mixed"):
        assert restored(packed(samples.FILES[name], preset=preset)) == samples.FILES[name]


def test_damage_names_file_tensor_and_place_and_leaves_nothing(tmp_path: Path) -> None:
    container = bytearray(packed(samples.mixed()))
    container[100_000] ^= 1
    (tmp_path / "file.pwt").write_bytes(container)
    with pytest.raises(CorruptError, match=r"file\.pwt: tensor 'big': .* \(at byte \d+\)") as caught:
        pennyweight.restore(tmp_path / "file.pwt")
    assert caught.value.tensor == "big"
    assert caught.value.offset is not None
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.pwt"]


class Lie(NamedTuple):
    field: str
    value: str
    reason: str


@pytest.mark.parametrize(
    "lie",
    [
        Lie("xxh3_128", "0" * 32, "tensor 'a': decoded bytes do not match the tensor's digest"),
        Lie("gaps_xxh3_128", "0" * 32, "decoded bytes outside of the tensors"),
        Lie("sha256", "0" * 64, "SHA-256"),
    ],
)
@pytest.mark.parametrize("threads", [1, 3])
def test_every_digest_is_compared(lie: Lie, threads: int, tmp_path: Path) -> None:
    raws = [b"gap", samples.bf16(600)]
    segments = [{"n_bytes": 3}, spec_encoder.tensor("a", "BF16", [600], raws[1])]
    metadata = spec_encoder.describe(segments, raws, 1024)
    (segments[1] if lie.field == "xxh3_128" else metadata)[lie.field] = lie.value
    frames = [spec_encoder.store(raws[0]), spec_encoder.store(raws[1])]
    (tmp_path / "file.pwt").write_bytes(spec_encoder.Container(frames, metadata).pack())
    with pytest.raises(CorruptError, match=lie.reason):
        pennyweight.restore(tmp_path / "file.pwt", threads=threads)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.pwt"]


def test_unknown_stage_is_too_new_not_corrupt() -> None:
    frame = spec_encoder.node(99, b"", [], b"x" * 30)
    with pytest.raises(VersionError, match="stage 99"):
        restored(spec_encoder.one_frame(frame, b"x" * 30).pack())


def test_truncation_at_every_length_is_refused(preset: Path) -> None:
    container = packed(samples.small(), preset=preset)
    for n in range(len(container)):
        with pytest.raises(CorruptError):
            restored(container[:n], threads=1)
    with pytest.raises(CorruptError):
        restored(container + b"\n", threads=1)


def test_a_flip_of_any_bit_never_gives_wrong_bytes(preset: Path) -> None:
    data = samples.safetensors(("a", "BF16", (600,), samples.bf16(600)), ("b", "U8", (64,), bytes(range(64))))
    container = bytearray(packed(data, preset=preset))
    for bit in range(8 * len(container)):
        container[bit // 8] ^= 1 << bit % 8
        with pytest.raises((CorruptError, VersionError)):
            restored(bytes(container), threads=1)
        container[bit // 8] ^= 1 << bit % 8


def test_interrupt_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file.pwt").write_bytes(packed(samples.mixed()))

    def progress(n_bytes: int) -> None:
        raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        pennyweight.restore(tmp_path / "file.pwt", progress=progress)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.pwt"]
    assert threading.active_count() == before


def test_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file.pwt").write_bytes(packed(samples.mixed()))

    def full(fd: int, views: list[memoryview], offset: int) -> int:
        if offset:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return os.pwritev(fd, views, offset)

    monkeypatch.setattr(filesystem, "_PWRITEV", full)
    with pytest.raises(InputError, match="file: cannot be written: No space left on device"):
        pennyweight.restore(tmp_path / "file.pwt")
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.pwt"]


def test_no_room_is_said_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file.pwt").write_bytes(packed(samples.mixed()))
    usage = type(shutil.disk_usage(tmp_path))(1000, 1000, 10)
    monkeypatch.setattr(output.shutil, "disk_usage", lambda path: usage)
    monkeypatch.setattr(output, "AtomicFile", None)
    with pytest.raises(InputError, match="but only 10 are free"):
        pennyweight.restore(tmp_path / "file.pwt")


def test_a_declared_petabyte_is_refused_without_allocating(tmp_path: Path) -> None:
    metadata = spec_encoder.describe([], [], 1024)
    metadata["n_bytes"] = 10**15
    metadata["segments"] = [{"n_bytes": 10**15}]
    (tmp_path / "file.pwt").write_bytes(spec_encoder.Container([], metadata).pack())
    with pytest.raises(CorruptError, match="its tables do not fit 976562500000 frames"):
        pennyweight.restore(tmp_path / "file.pwt")


def test_default_target_needs_the_suffix(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(packed(b"x"))
    with pytest.raises(UsageError, match="-o"):
        pennyweight.restore(tmp_path / "file")
    (tmp_path / ".pwt").write_bytes(packed(b"x"))
    with pytest.raises(UsageError, match="-o"):
        pennyweight.restore(tmp_path / ".pwt")
    pennyweight.restore(tmp_path / "file", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"x"


def test_foreign_file_is_refused(tmp_path: Path) -> None:
    for data in (b"", b"x" * 500, samples.small()):
        (tmp_path / "file.pwt").write_bytes(data)
        with pytest.raises(CorruptError, match=r"file\.pwt: not a Pennyweight container"):
            pennyweight.restore(tmp_path / "file.pwt")
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.pwt"]


def test_frames_too_large_to_be_read_together(preset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pennyweight.pipeline.decode.MAX_STORED_BYTES", 3000)
    container = packed(samples.mixed(), preset=preset)
    assert restored(container) == samples.mixed()
    for level in ("fast", "default"):
        assert pennyweight.verify(io.BytesIO(container), level=level).ok
