"""Small npy files, made without NumPy's writer."""

from __future__ import annotations


def npy_file(descr: str, shape: tuple[int, ...], raw: bytes, *, fortran_order: bool = False, version: int = 1) -> bytes:
    """One array. descr: as NumPy spells a dtype, such as `<f4`."""
    text = f"{{'descr': {descr!r}, 'fortran_order': {fortran_order}, 'shape': {shape}, }}".encode()
    n_length = 2 if version == 1 else 4
    text += b" " * (-(8 + n_length + len(text) + 1) % 64) + b"\n"
    return b"\x93NUMPY" + bytes((version, 0)) + len(text).to_bytes(n_length, "little") + text + raw
