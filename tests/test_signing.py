"""What docs/ci.md says of model-signing, as a user would type it. Skipped where the extra `sign` is not installed."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import samples

import pennyweight

ROOT = Path(__file__).resolve().parents[1]
pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("model_signing") is None, reason="needs the extra: pennyweight[sign]"),
    pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a key with the command openssl"),
]


@pytest.fixture
def steps(tmp_path: Path) -> list[str]:
    """The paragraphs of the shown commands: the key, the signature, the verification. A model to sign is there."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "a.safetensors").write_bytes(samples.small())
    (tmp_path / "model" / "config.json").write_text("{}")
    pennyweight.compress(tmp_path / "model")
    section = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8").partition("## Signed manifests")[2]
    shown = re.search(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    assert shown
    return shown[1].strip().split("\n\n")


def run(folder: Path, text: str) -> int:
    """In a shell where both commands are those of this environment."""
    names = "pennyweight", "model_signing"
    functions = "".join(f'{name}() {{ "{sys.executable}" -m {name} "$@"; }}\n' for name in names)
    return subprocess.run(["bash", "-ec", functions + text], cwd=folder, capture_output=True, check=False).returncode


def test_a_signed_model_verifies_also_when_restored(tmp_path: Path, steps: list[str]) -> None:
    assert [run(tmp_path, step) for step in steps] == [0, 0, 0]
    pennyweight.restore(tmp_path / "model.pwt", tmp_path / "back")
    assert run(tmp_path, steps[2].replace("model.pwt", "back")) == 0
    for name in ("model.json", "model.json.sig"):
        shutil.move(tmp_path / name, tmp_path / "back" / name)
    assert run(tmp_path, steps[2].replace("model.json", "back/model.json").replace("model.pwt", "back")) == 0


def test_other_weights_and_another_manifest_fail(tmp_path: Path, steps: list[str]) -> None:
    assert [run(tmp_path, step) for step in steps[:2]] == [0, 0]
    (tmp_path / "model" / "a.safetensors").write_bytes(samples.small()[:-1] + b"!")
    pennyweight.compress(tmp_path / "model", force=True)
    assert pennyweight.verify(tmp_path / "model.pwt").ok  # it agrees with itself
    assert run(tmp_path, steps[2]) == 1
    assert run(tmp_path, "pennyweight manifest model.pwt -o model.json --force") == 0
    assert run(tmp_path, steps[2]) == 1  # the manifest agrees, but nobody signed it


def test_another_key_fails(tmp_path: Path, steps: list[str]) -> None:
    assert [run(tmp_path, step) for step in (*steps, steps[0])] == [0, 0, 0, 0]
    assert run(tmp_path, steps[2]) == 1
