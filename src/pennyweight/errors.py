"""What can go wrong, as a tree of exceptions. Each class carries the exit code of the command line."""

from __future__ import annotations

from typing import ClassVar


class PennyweightError(Exception):
    """Base of every error this package raises on purpose. `str()` is one line that names the file and the reason."""

    exit_code: ClassVar[int] = 3


class UsageError(PennyweightError, ValueError):
    """The caller asked for something that makes no sense: an unknown preset, a malformed plan."""

    exit_code = 2


class InputError(PennyweightError):
    """A file or folder cannot be read, written or used: missing, in the way, no weights in it."""


class VersionError(PennyweightError):
    """The container needs a version or feature that this package does not have."""

    exit_code = 4


class VerificationError(PennyweightError):
    """What was decoded is not what was compressed, or the two things compared differ."""

    exit_code = 1


class LossyError(VerificationError):
    """A lossy stage where only lossless ones are allowed."""


class CorruptError(VerificationError):
    """A container breaks a rule of the format, or a digest does not match.

    Args:
        reason: what is wrong, without file or tensor.
        tensor: name of the tensor in which it is wrong, if it is known.
        offset: position in the container, bytes, if it is known.
    """

    def __init__(self, reason: str, *, tensor: str | None = None, offset: int | None = None) -> None:
        self.reason, self.tensor, self.offset = reason, tensor, offset
        where = "" if tensor is None else f"tensor {tensor!r}: "
        super().__init__(where + reason + ("" if offset is None else f" (at byte {offset})"))
