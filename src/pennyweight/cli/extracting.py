"""`extract`."""

from __future__ import annotations

import difflib
import io
import os
from pathlib import Path

import click
import numpy as np

from pennyweight import api
from pennyweight.cli import options
from pennyweight.cli.outcome import SourceCommand, say
from pennyweight.cli.text import size
from pennyweight.errors import UsageError
from pennyweight.pipeline.output import AtomicFile


@click.command(cls=SourceCommand)
@options.source("a container")
@click.argument("tensor")
@options.output("FILE.npy", "where to write it; TENSOR.npy by default")
def extract(src: str, tensor: str, output: str | None) -> None:
    """Write one tensor of SRC as a NumPy file.

    Floats that NumPy does not have (BF16 and all of 8 bits or fewer) are written as raw unsigned integers.
    """
    with api.open(src) as checkpoint:
        if tensor not in checkpoint:
            near = difflib.get_close_matches(tensor, checkpoint.keys(), n=3)
            hint = f"; near it are {', '.join(map(repr, near))}" if near else ""
            raise UsageError(f"{src}: no tensor {tensor!r}{hint}")
        path = Path(output) if output is not None else _default_path(src, tensor)
        found = checkpoint[tensor]
        values = found.numpy()
    # The header by NumPy, the data without a copy
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, np.lib.format.header_data_from_array_1_0(values))
    with AtomicFile(path, force=False) as file:
        file.write_at(0, [head.getvalue(), values.reshape(-1).view(np.uint8).data])
        file.commit()
    say(f"{path}: {found.dtype} as {values.dtype}, shape {values.shape}, {size(found.n_bytes)}")


def _default_path(src: str, tensor: str) -> Path:
    """TENSOR.npy here. A name comes from the file, and must not choose the folder."""
    name = f"{tensor}.npy"
    if Path(name).name != name or name.startswith(".") or "\\" in name or "\0" in name or len(os.fsencode(name)) > 255:
        raise UsageError(f"{src}: tensor {tensor!r}: its name makes no file name here; give one with -o")
    return Path(name)
