"""salvage of what lies, is none, or changes meanwhile: bounded, refused or passed over."""

from __future__ import annotations

import io

import pytest
import samples
import spec_encoder
import xxhash
from fuzz.bounds import bounded_memory, bounded_time
from salvaged import salvage, salvage_from
from wrecks import DATA, damaged, opened, zeros

from pennyweight.errors import CorruptError, InputError, VersionError
from pennyweight.pipeline.container import layout
from pennyweight.pipeline.files import Reader

pytestmark = pytest.mark.usefixtures("small_tasks")


def test_another_version_is_not_salvaged() -> None:
    made = spec_encoder.one_frame(spec_encoder.store(b"x"), b"x")
    made.version = (1, 1)
    with pytest.raises(VersionError, match=r"needs format 1\.1"):
        salvage(made.pack())


@pytest.mark.parametrize("data", [b"", b"x" * 500, samples.small(), layout.MAGIC], ids=["none", "x", "model", "magic"])
def test_what_is_no_container(data: bytes) -> None:
    with pytest.raises(CorruptError, match="nothing is left that says what it held"):
        salvage(data)


def test_a_description_of_a_petabyte() -> None:
    metadata = spec_encoder.describe([], [], 1024)
    metadata |= {"n_bytes": 10**15, "segments": [{"n_bytes": 10**15}]}
    with bounded_memory(), bounded_time(), pytest.raises(CorruptError, match="976562500000 blocks are more than"):
        salvage(spec_encoder.Container([], metadata).pack())


def test_markers_that_all_name_the_same_bytes_are_not_read_for_ever() -> None:
    """32,000 markers, each before a frame of a megabyte that holds the others: 32 GB to be compared."""
    n, size = 16_000, 1 << 20
    segments = [{"n_bytes": size}] * n
    made = spec_encoder.Container([], spec_encoder.describe([], [], size), batches=[])
    made.metadata |= {"n_bytes": n * size, "segments": segments}
    description, digest = made.described()
    many = b"".join(spec_encoder.marker(digest, i % n, [size], [1]) for i in range(2 * n))
    head = made.pack()[:40]
    with bounded_memory(), bounded_time():
        found = salvage(head + description + many + bytes(size))
    assert found.file.saved_bytes == 0


def test_hostile_markers_are_passed_over(container: bytes) -> None:
    made = opened(container)
    end = len(container) - 48 - made.index_bytes
    digest = int(made.index.description_xxh3_64, 16)
    n = len(made.places.begins)
    lies = [
        spec_encoder.marker(digest, n, [5], [1]),
        spec_encoder.marker(digest, n - 1, [5, 5], [1, 1]),
        spec_encoder.marker(digest, (1 << 64) - 1, [5], [1]),
        spec_encoder.marker(digest, 0, [1 << 31], [1]),
        spec_encoder.marker(digest, 0, [], []),
        spec_encoder.marker(digest, 0, [5] * 513, [1] * 513),
        spec_encoder.marker(digest, 0, [0] * 5, [xxhash.xxh3_64_intdigest(b"")] * 5),
        spec_encoder.marker(digest, 0, [5], [1])[:-1] + b"\0",
    ]
    first = 40 + made.index.description_bytes
    spoilt = container[:first] + b"".join(lies) + container[first:end] + lies[0][:30]
    assert salvage(spoilt).original == DATA


def test_a_file_that_changes_meanwhile(container: bytes) -> None:
    class Changing(Reader):
        n_reads = 0

        def pread_into(self, offset: int, view: memoryview) -> None:
            super().pread_into(offset, view)
            self.n_reads += 1
            if self.n_reads > 20:
                view[0] ^= 1

    begin = int(opened(container).frames.begins[0])
    spoilt = damaged(container, zeros(begin, begin + 9))
    for data in (container, spoilt):
        with pytest.raises(InputError, match="changed while it was read"):
            salvage_from(Changing(io.BytesIO(data)))
