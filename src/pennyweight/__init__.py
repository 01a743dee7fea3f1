"""Makes neural-network checkpoints smaller without changing a bit, and proves it."""

from pennyweight.api import compress, inspect, manifest, open, restore, salvage, verify
from pennyweight.errors import (
    CorruptError,
    InputError,
    LossyError,
    PennyweightError,
    UsageError,
    VerificationError,
    VersionError,
)

__all__ = [
    "CorruptError",
    "InputError",
    "LossyError",
    "PennyweightError",
    "UsageError",
    "VerificationError",
    "VersionError",
    "compress",
    "inspect",
    "manifest",
    "open",
    "restore",
    "salvage",
    "verify",
]
