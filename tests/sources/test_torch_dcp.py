"""Files of torch.distributed.checkpoint: archives in a row, each by itself."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from readings import check_damaged, comes_back, map_of, tensors_in

import pennyweight
from pennyweight.pipeline.sources import Gap, torch_dcp
from pennyweight.testing.torch import TorchStorage, TorchTensor, torch_zip
from pennyweight.testing.torch import torch_dcp as write
from pennyweight.types import DType

RAW = np.random.default_rng(8).bytes(512)
FLOATS = {"0": TorchStorage("FloatStorage", 4, RAW[:96])}
HALVES = {"0": TorchStorage("BFloat16Storage", 2, RAW[:12])}
ITEMS = [
    (TorchTensor("0", (4, 6)), FLOATS),
    ({"step": 3}, {}),
    (TorchTensor("0", (6,)), HALVES),
    ([TorchTensor("0", (24,))], FLOATS),
]
DATA = write(ITEMS)
FOUND = {"0": (DType.F32, (4, 6), RAW[:96]), "2": (DType.BF16, (6,), RAW[:12]), "3.0": (DType.F32, (24,), RAW[:96])}


def test_each_archive_gives_its_tensors() -> None:
    assert map_of(DATA).name == "torch-dcp"
    assert tensors_in(DATA) == FOUND
    assert comes_back(DATA)


def test_damaged_files_have_fewer_tensors_and_come_back() -> None:
    check_damaged(write(ITEMS[1:3]))


def test_what_stands_before_the_first_archive_is_a_gap() -> None:
    data = torch_zip(None, {})[:-30] + DATA
    assert list(tensors_in(data).values()) == list(FOUND.values())
    assert isinstance(map_of(data).segments[0], Gap)


def test_an_archive_that_lies_is_a_gap_between_others() -> None:
    middle = write(ITEMS[2:3])
    lying = middle.replace(b"archive/data/0", b"archive/data/1", 1)  # the name in its local header
    data = write(ITEMS[:1]) + lying + write(ITEMS[3:])
    assert list(tensors_in(data)) == ["0", "2.0"]
    assert comes_back(data)


def test_one_archive_is_a_zip_like_any_other() -> None:
    assert map_of(write(ITEMS[:1])).name == "torch-zip"


def test_archives_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_dcp, "MAX_ARCHIVES", 2)
    assert [shape for _, shape, _ in tensors_in(DATA).values()] == [(6,), (24,)]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.sampled_from(ITEMS), min_size=2, max_size=8))
def test_any_row_of_archives_is_understood(items: list[tuple[object, dict[str, TorchStorage]]]) -> None:
    data = write(items)
    held = [storage.raw for _, storages in items for storage in storages.values()]
    assert [raw for _, _, raw in tensors_in(data).values()] == held
    assert comes_back(data)


def test_folders_of_them_come_back(tmp_path: Path) -> None:
    src, container, back = tmp_path / "src", tmp_path / "container", tmp_path / "back"
    src.mkdir()
    (src / "__0_0.distcp").write_bytes(DATA)
    (src / ".metadata").write_bytes(b"\x80\x04cos\nsystem\n.")
    pennyweight.compress(src, container)
    assert (container / "__0_0.distcp.pwt").exists()
    pennyweight.restore(container, back)
    assert {path.name: path.read_bytes() for path in back.iterdir()} == {
        path.name: path.read_bytes() for path in src.iterdir()
    }


def test_torch_saves_such_files(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="`make frameworks` installs it")
    checkpoint = pytest.importorskip("torch.distributed.checkpoint")
    state = {"w": torch.arange(24.0).view(4, 6), "b": torch.ones(6).bfloat16(), "step": 3}
    with pytest.warns(UserWarning, match="single process"):
        checkpoint.save(state, checkpoint_id=tmp_path)
    data = (tmp_path / "__0_0.distcp").read_bytes()
    assert sorted(shape for _, shape, _ in tensors_in(data).values()) == [(4, 6), (6,)]
    container = io.BytesIO()
    pennyweight.compress(io.BytesIO(data), container)
    with (tmp_path / "__0_0.distcp").open("wb") as out:
        pennyweight.restore(container, out)
    again = {"w": torch.zeros(4, 6), "b": torch.zeros(6).bfloat16(), "step": 0}
    with pytest.warns(UserWarning, match="single process"):
        checkpoint.load(again, checkpoint_id=tmp_path)
    assert again["step"] == 3
    assert torch.equal(again["w"], state["w"])
