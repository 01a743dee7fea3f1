"""What the documents show can be done, and what they link to exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from pennyweight.cli import commands

CHECKOUT = Path(__file__).resolve().parents[1]
README = (CHECKOUT / "README.md").read_text()
DOCUMENTS = [*CHECKOUT.glob("*.md"), *(CHECKOUT / "docs").rglob("*.md"), *(CHECKOUT / "stages").rglob("*.md")]


def shown_commands() -> list[str]:
    """Lines of README's code blocks that are typed at a prompt."""
    return [line.removeprefix("$ ").split("#")[0].strip() for line in README.splitlines() if line.startswith("$ ")]


def signatures() -> list[str]:
    """The list of commands with their options."""
    return re.findall(r"^pennyweight [a-z]+ .*$", README, re.MULTILINE)


@pytest.mark.parametrize("line", [line for line in shown_commands() if line.startswith("pennyweight ")])
def test_shown_command_parses(line: str) -> None:
    name, *arguments = shlex.split(line)[1:]
    commands.commands[name].make_context(name, arguments)


@pytest.mark.parametrize("line", [line for line in shown_commands() if line.startswith("make ")])
def test_shown_target_exists(line: str) -> None:
    target = line.split()[1]
    assert re.search(rf"^{target}:", (CHECKOUT / "Makefile").read_text(), re.MULTILINE)


def test_every_command_is_listed() -> None:
    assert {line.split()[1] for line in signatures()} == set(commands.commands)


@pytest.mark.parametrize("line", signatures())
def test_listed_options_are_the_real_ones(line: str) -> None:
    command = commands.commands[line.split()[1]]
    real = {option for param in command.params for option in param.opts if isinstance(param, click.Option)}
    assert set(re.findall(r"--?[a-z0-9]+(?:-[a-z0-9]+)*", line)) == real - {"--output"}


def test_python_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    monkeypatch.chdir(tmp_path)
    save_file({"weight": np.ones((4, 3), dtype=np.float32)}, "model.safetensors")
    (example,) = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    scope: dict[str, object] = {}
    exec(example, scope)
    assert "weight F32 (4, 3)" in capsys.readouterr().out
    assert np.array_equal(np.asarray(scope["weights"]), np.ones((4, 3), dtype=np.float32))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_links_lead_somewhere(document: Path) -> None:
    prose = re.sub(r"`[^`\n]*`", "", document.read_text())
    for target in re.findall(r"\]\(([^)#]+)\)", prose):
        assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_readme_is_short() -> None:
    assert len(README.splitlines()) <= 150
