"""The house stands as docs/architecture.md draws it, in the checkout and once installed."""

from __future__ import annotations

import importlib.metadata
import importlib.resources
import importlib.util
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
FRAMEWORKS = ("torch", "transformers", "huggingface_hub", "ray", "ml_dtypes")


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run this Python outside the checkout, where only what is installed can be imported."""
    return subprocess.run([sys.executable, *arguments], cwd=CHECKOUT.anchor, capture_output=True, text=True)


def test_import_contracts_hold() -> None:
    result = python(str(CHECKOUT / "tools" / "check_layers.py"))
    assert result.returncode == 0, result.stdout + result.stderr
    assert " 0 broken" in result.stdout


@pytest.mark.parametrize("module", ["pennyweight", "pennyweight.cli"])
def test_import_brings_no_framework(module: str) -> None:
    result = python("-c", f"import sys, {module}; print(*sys.modules)")
    assert result.returncode == 0, result.stderr
    assert not set(FRAMEWORKS) & set(result.stdout.split())


@pytest.mark.parametrize("folder", ["pipeline", "stages", "configs"])
def test_rooms_are_installed_inside_the_package_only(folder: str) -> None:
    result = python("-c", f"import pennyweight.{folder}")
    assert result.returncode == 0, result.stderr
    assert python("-c", f"import {folder}").returncode != 0, f"a global module {folder!r} was installed"


def test_installed_presets_are_those_of_the_checkout() -> None:
    # An editable install copies them; `make` installs again when they change.
    installed = importlib.resources.files("pennyweight.configs")
    names = {path.name for path in (CHECKOUT / "configs").glob("*.toml")}
    assert names == {entry.name for entry in installed.iterdir() if entry.name.endswith(".toml")}
    for name in names:
        assert (installed / name).read_bytes() == (CHECKOUT / "configs" / name).read_bytes(), f"{name}: run `make test`"


def test_version_is_that_of_the_project() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    assert importlib.metadata.version("pennyweight") == project["version"]
    assert f"\n## {project['version']} " in (CHECKOUT / "CHANGELOG.md").read_text()


def test_package_is_typed() -> None:
    spec = importlib.util.find_spec("pennyweight")
    assert spec is not None
    assert spec.origin is not None
    assert (Path(spec.origin).parent / "py.typed").exists()


def test_face_is_small() -> None:
    import pennyweight

    assert 1 <= len(pennyweight.__all__) <= 14
    assert all(hasattr(pennyweight, name) for name in pennyweight.__all__)
