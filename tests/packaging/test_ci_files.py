"""What others' CI runs: the steps of action.yml as a runner would run them, and the hook of pre-commit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import samples
import yaml

import pennyweight

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """The folder of a job that has a container, and the runner's own with the package installed."""
    (tmp_path / "w.safetensors").write_bytes(samples.small())
    pennyweight.compress(tmp_path / "w.safetensors")
    installed = tmp_path / "temp" / "pennyweight" / "bin"
    installed.mkdir(parents=True)
    (installed / "pennyweight").write_text(f'#!/bin/sh\nexec {sys.executable} -m pennyweight "$@"\n', encoding="utf-8")
    (installed / "pennyweight").chmod(0o755)
    return tmp_path


def run(job: Path, **inputs: str) -> subprocess.CompletedProcess[str]:
    """The action's last step, with these inputs."""
    action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    given = {name: str(row.get("default", "")) for name, row in action["inputs"].items()}
    given |= {name.replace("_", "-"): value for name, value in inputs.items()}
    step = action["runs"]["steps"][-1]
    env = {name: given[text.removeprefix("${{ inputs.").removesuffix(" }}")] for name, text in step["env"].items()}
    env |= {"RUNNER_TEMP": str(job / "temp"), "GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(job / "summary.md")}
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        cwd=job, env=os.environ | env, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("level", ["fast", "default", "full"])
def test_a_sound_container_passes(job: Path, level: str) -> None:
    done = run(job, path="w.safetensors.pwt", level=level, junit="j.xml", sarif="s.json", require_lossless="true")
    assert (done.returncode, done.stderr) == (0, "")
    assert {"j.xml", "s.json", "summary.md"} <= {path.name for path in job.iterdir()}


def test_damage_fails_the_job(job: Path) -> None:
    container = job / "w.safetensors.pwt"
    data = bytearray(container.read_bytes())
    data[len(data) // 3] ^= 4
    container.write_bytes(data)
    done = run(job, path="w.safetensors.pwt")
    assert done.returncode == 1
    assert "::error file=w.safetensors.pwt::" in done.stderr


def test_another_original_fails_the_job(job: Path) -> None:
    (job / "other").write_bytes(samples.small() + b"!")
    assert run(job, path="w.safetensors.pwt", against="w.safetensors").returncode == 0
    assert run(job, path="w.safetensors.pwt", against="other").returncode == 1


@pytest.mark.parametrize("path", ["$(touch broken)", "--help", "; touch broken", ""])
def test_inputs_are_words(job: Path, path: str) -> None:
    done = run(job, path=path)
    assert done.returncode in (2, 3)
    assert not (job / "broken").exists()
    assert run(job, path="w.safetensors.pwt", level="; touch broken").returncode == 2
    assert not (job / "broken").exists()


def test_the_hook_runs_what_there_is(job: Path) -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    assert not hook["pass_filenames"]
    command = [sys.executable, "-m", *hook["entry"].split(), *hook["args"]]
    assert subprocess.run(command, cwd=job, capture_output=True, check=False).returncode == 0
    (job / "w.safetensors.pwt").write_bytes(b"broken")
    assert subprocess.run(command, cwd=job, capture_output=True, check=False).returncode == 1
