"""The notebooks run as they stand, keep their outputs, and use the public face only. Needs the package registry."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
pytestmark = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)


def code_cells(path: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def imports(path: Path) -> Iterator[str]:
    for cell in code_cells(path):
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield node.module or ""


def test_runs(path: Path, tmp_path: Path) -> None:
    # In a process of its own: Jupyter's libraries warn about things that are not ours to mend.
    command = [sys.executable, str(FOLDER / "execute.py"), str(path), "--into", str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert len(code_cells(tmp_path / path.name)) == len(code_cells(path))


def test_outputs_are_committed(path: Path) -> None:
    cells = code_cells(path)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1)), "run `make notebooks`"
    assert any(output.output_type == "display_data" for cell in cells for output in cell.outputs), "no plot"


def test_imports_the_public_face_only(path: Path) -> None:
    assert "pennyweight" in imports(path)
    assert not [name for name in imports(path) if name.startswith("pennyweight.")]
