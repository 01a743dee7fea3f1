"""What verify writes for a CI: every tensor has its case, every problem its bytes, and no name breaks out."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote_to_bytes
from xml.etree import ElementTree

import pytest
import samples
from hypothesis import given
from hypothesis import strategies as st

from pennyweight.cli import main, reports
from pennyweight.pipeline.report import Problem, VerifiedFile, VerifiedTensor, VerifyReport

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> Path:
    """Of three tensors, in the current folder; no CI is around."""
    monkeypatch.chdir(tmp_path)
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
    rows = [(name, "BF16", (200_000,), samples.bf16(200_000)) for name in ("first", "second", "third")]
    Path("w.safetensors").write_bytes(samples.safetensors(*rows))
    assert main(["compress", "w.safetensors", "--quiet"]) == 0
    capsys.readouterr()
    return Path("w.safetensors.pwt")


def verify(capsys: Capture, code: int, *arguments: str) -> tuple[ElementTree.Element, dict[str, object]]:
    """The parsed JUnit and SARIF files of a run."""
    assert main(["verify", *arguments, "--report", "junit=j.xml", "--report", "sarif=s.json"]) == code
    capsys.readouterr()
    return ElementTree.parse("j.xml").getroot(), json.loads(Path("s.json").read_text(encoding="utf-8"))


def cases(root: ElementTree.Element) -> dict[str, bool]:
    """Whether each passed."""
    return {case.attrib["name"]: case.find("failure") is None for case in root.iter("testcase")}


def test_a_sound_container(container: Path, capsys: Capture) -> None:
    root, found = verify(capsys, 0, str(container))
    assert cases(root) == {"(file)": True, "first": True, "second": True, "third": True}
    suite = root[0].attrib
    assert (suite["name"], suite["tests"], suite["failures"]) == (str(container), "4", "0")
    assert found["version"] == "2.1.0"
    assert found["runs"][0]["results"] == []  # type: ignore[index]


def test_damage_has_its_tensor_and_its_bytes(container: Path, capsys: Capture) -> None:
    """Byte 40,000 is in a frame of the first tensor."""
    data = bytearray(container.read_bytes())
    data[40_000] ^= 1
    container.write_bytes(data)
    root, found = verify(capsys, 1, str(container))
    assert cases(root) == {"(file)": True, "first": False, "second": True, "third": True}
    assert root[0].attrib["failures"] == "1"
    (result,) = found["runs"][0]["results"]  # type: ignore[index]
    assert result["ruleId"] == found["runs"][0]["tool"]["driver"]["rules"][0]["id"]  # type: ignore[index]
    (location,) = result["locations"]
    region = location["physicalLocation"]["region"]
    assert region["byteOffset"] <= 40_000 < region["byteOffset"] + region["byteLength"] < len(data) // 2
    assert location["physicalLocation"]["artifactLocation"]["uri"] == str(container)
    assert location["logicalLocations"] == [{"name": "first", "kind": "member"}]


def test_differences_have_the_range_of_the_original(container: Path, capsys: Capture) -> None:
    data = bytearray(Path("w.safetensors").read_bytes())
    for at in (len(data) - 300_007, len(data) - 300_001):
        data[at] ^= 1
    Path("other").write_bytes(data)
    assert main(["verify", str(container), "--against", "other", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    (problem,) = report["problems"]
    assert (problem["tensor"], problem["offset"], problem["n_bytes"]) == ("third", len(data) - 300_007, 7)
    tensors = {tensor.pop("name"): tensor for tensor in report["files"][0]["tensors"]}
    assert {name: tensor["ok"] for name, tensor in tensors.items()} == {"first": True, "second": True, "third": False}
    assert tensors["third"]["offset"] + tensors["third"]["n_bytes"] == len(data)


def test_a_container_that_cannot_be_opened(container: Path, capsys: Capture) -> None:
    container.write_bytes(container.read_bytes()[:1000])
    root, found = verify(capsys, 1, str(container))
    assert cases(root) == {"(file)": False}
    assert len(found["runs"][0]["results"]) == 1  # type: ignore[index]


def test_a_folder_has_a_suite_for_each_container(container: Path, capsys: Capture) -> None:
    Path("f").mkdir()
    for name in ("a.pwt", "b.pwt"):
        (Path("f") / name).write_bytes(container.read_bytes())
    root, _ = verify(capsys, 0, "f")
    assert [suite.attrib["name"] for suite in root] == ["f/a.pwt", "f/b.pwt"]


@pytest.mark.parametrize("value", ["junit", "junit=", "html=x", "=x", ""])
def test_an_unknown_report_is_a_usage_error(container: Path, capsys: Capture, value: str) -> None:
    assert main(["verify", str(container), "--report", value]) == 2
    assert "junit=FILE, sarif=FILE" in capsys.readouterr().err


def test_a_report_that_cannot_be_written(container: Path, capsys: Capture) -> None:
    assert main(["verify", str(container), "--report", "junit=no/such/folder"]) == 3
    assert "no/such/folder" in capsys.readouterr().err


def test_github_is_told(container: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "summary.md")
    assert main(["verify", str(container), "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["ok"]
    assert err == ""
    container.write_bytes(container.read_bytes()[:1000])
    assert main(["verify", str(container)]) == 1
    assert "::error file=w.safetensors.pwt::" in capsys.readouterr().err
    good, bad = re.split(r"(?=### )", Path("summary.md").read_text(encoding="utf-8"))[1:]
    assert "### pennyweight verify: ok" in good
    assert "<code>w.safetensors.pwt</code> | 3 |" in good
    assert "### pennyweight verify: 1 problem" in bad


files = st.binary(min_size=1, max_size=20).map(os.fsdecode)  # as a system says them that checks no encoding
names = st.text(min_size=1, max_size=20)


def report_of(file: str, tensors: Sequence[str], wrong: Sequence[str | None]) -> VerifyReport:
    problems = [Problem(file=file, tensor=name, reason="is <bad> %", offset=3, n_bytes=None) for name in wrong]
    rows = tuple(VerifiedTensor(name=name, offset=0, n_bytes=0, ok=name not in wrong) for name in tensors)
    return VerifyReport(
        path=file, ok=not wrong, level="default", against=None, fidelity="lossless", n_files=1, n_tensors=len(tensors),
        n_bytes=0, stored_bytes=0, ratio=1, seconds=0, threads=1, problems=tuple(problems),
        files=(VerifiedFile(file=file, n_bytes=None, stored_bytes=0, tensors=rows),),
        subset=None, n_checked_tensors=len(tensors), checked_bytes=0, manifest=None,
    )  # fmt: skip


@given(files | names, st.lists(names, unique=True, max_size=6), st.data())
def test_no_name_breaks_a_report(file: str, tensors: list[str], data: st.DataObject) -> None:
    wrong = data.draw(st.lists(st.sampled_from([None, *tensors]), unique=True))
    report = report_of(file, tensors, wrong)
    root = ElementTree.fromstring(reports.junit(report).encode())
    assert len(list(root.iter("testcase"))) == len(tensors) + 1
    assert len(list(root.iter("failure"))) == len(wrong) == int(root[0].attrib["failures"])
    found = json.loads(reports.sarif(report).encode())["runs"][0]["results"]
    assert len(found) == len(wrong)
    for result in found:
        uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        assert os.fsdecode(unquote_to_bytes(uri)) == str(Path(file))


@given(names)
def test_a_note_is_one_line(name: str) -> None:
    assert not set(reports._escaped(name)) & set("\r\n")
    assert not set(reports._escaped(name, ",:")) & set("\r\n,:")
    assert not set(reports._cell(name)[6:-7]) & set("<>|`*[]\n")
