"""`salvage` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import samples

from pennyweight.cli import main
from pennyweight.pipeline.report import SalvageReport

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model's container in the current folder."""
    monkeypatch.chdir(tmp_path)
    tensors = [(f"layer.{i}.weight", "BF16", (200, 300), samples.bf16(60_000, i)) for i in range(30)]
    Path("model.safetensors.pwt").write_bytes(samples.packed(samples.safetensors(*tensors)))
    return Path("model.safetensors.pwt")


def test_a_whole_one(container: Path, capsys: Capture) -> None:
    assert main(["salvage", str(container), "-o", "out"]) == 0
    assert capsys.readouterr() == (
        "model.safetensors.pwt -> out\n"
        "  model.safetensors: the original, 3.603 MB: nothing is lost\n"
        "  every digest is right\n",
        "",
    )


def test_one_that_is_cut(container: Path, capsys: Capture) -> None:
    data = container.read_bytes()
    container.write_bytes(data[: 3 * len(data) // 5])
    assert main(["salvage", str(container), "-o", "out"]) == 1
    out, err = capsys.readouterr()
    assert out == (
        "model.safetensors.pwt -> out\n"
        "  model.safetensors.salvaged.safetensors: 18 of 30 tensors, 2.160 MB\n"
        "  the index is lost: the digests of frames are right, those of tensors unknown\n"
        "  model.safetensors.salvage.json: the list of all, with what is lost and why\n"
    )
    assert err.splitlines() == [
        f"pennyweight: model.safetensors.pwt: tensor 'layer.{i}.weight': a frame is not found" for i in range(18, 30)
    ]
    assert sorted(path.name for path in Path("out").iterdir()) == [
        "model.safetensors.salvage.json",
        "model.safetensors.salvaged.safetensors",
    ]


def test_many_that_are_lost(container: Path, capsys: Capture) -> None:
    container.write_bytes(container.read_bytes()[:2_000])
    assert main(["salvage", str(container), "-o", "out"]) == 1
    out, err = capsys.readouterr()
    assert "  model.safetensors.pwt: 0 of 30 tensors, 0 B\n" in out
    lines = err.splitlines()
    assert len(lines) == 21
    assert lines[0] == "pennyweight: model.safetensors.pwt: tensor 'layer.0.weight': a frame is not found"
    assert lines[-1] == "pennyweight: model.safetensors.pwt: and 10 more: see the list"


def test_json(container: Path, capsys: Capture) -> None:
    container.write_bytes(container.read_bytes()[:-1])
    assert main(["salvage", str(container), "-o", "out", "--json"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert (found.pop("schema"), err) == ("pennyweight.salvage/1", "")
    assert SalvageReport.model_validate_json(json.dumps(found)).ok
    assert (found["files"][0]["proven"], found["files"][0]["output"]) == ("frames", "model.safetensors")


def test_errors(container: Path, capsys: Capture) -> None:
    assert main(["salvage", str(container)]) == 2
    assert "Missing option '-o'" in capsys.readouterr().err
    container.write_bytes(bytes(500))
    assert main(["salvage", str(container), "-o", "out"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("pennyweight: model.safetensors.pwt: trailer: ")
    assert err.endswith("nothing is left that says what it held\n")
    assert main(["salvage", "missing", "-o", "out"]) == 3
    assert not Path("out").exists()
