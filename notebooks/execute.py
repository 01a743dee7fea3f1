"""Run notebooks from their first cell to their last, and keep what they show.

    python notebooks/execute.py NOTEBOOK... [--into FOLDER]

Writes each notebook over itself, or into FOLDER. Ends with the error of the first cell that fails.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import nbformat
from nbclient import NotebookClient

CELL_SECONDS = 300


def execute(path: Path) -> nbformat.NotebookNode:
    """The notebook with fresh outputs, run in its own folder as Jupyter would."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute()
    # Of the machine that ran it, not of the notebook: it would be a diff on every run.
    notebook.metadata.pop("language_info", None)
    return notebook


def main() -> None:
    parser = argparse.ArgumentParser(description="Run notebooks and keep their outputs.")
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument("--into", type=Path, help="folder to write to; the notebooks' own by default")
    arguments = parser.parse_args()
    for path in arguments.notebooks:
        target = (arguments.into or path.parent) / path.name
        print(f"{path} -> {target}", flush=True)
        nbformat.write(execute(path), target)


if __name__ == "__main__":
    main()
