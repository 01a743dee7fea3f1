"""A call that rebuilds a tensor, read in one piece as torch writes it: these thirty opcodes are most of a state dict.

A regular expression takes a tenth of the machine's time, and a model has few shapes. What the opcodes put into the memo
is left out but for the key and the tensor, since torch gets nothing else from it again. A pickle that does is read once
more without this; so is every one that ends as a lie. No pickler puts two things under one number of the memo; if a
file does, names and shapes may come out other than Python's, and that is all.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Any, Final

from pennyweight.pipeline.sources.pickle_machine import Call, Persistent

_GET: Final = rb"(?:h.|j.{4})"
_PUT: Final = rb"(?:q.|r.{4})?"
_INT: Final = rb"(?:K.|M.{2}|J.{4})"
_SIZES: Final = rb"(?:%(int)b\x85|(?:%(int)b){2}\x86|(?:%(int)b){3}\x87|\((?:%(int)b){0,9}t|\))" % {b"int": _INT}

# Of a device with a number, each tensor has a string of its own
_DEVICE: Final = rb"(?:%b|X(?:\x06\0\0\0cuda:[0-9]|\x07\0\0\0cuda:[0-9]{2})%b)" % (_GET, _PUT)

_ARGUMENTS: Final = re.compile(
    # ("storage", class, key, device, n), in legacy files with None; where the tensor begins in it
    rb"\(\((%(get)b)(%(get)b)X(.)\0\0\0([0-9]{1,20})(%(put)b)%(device)b(%(int)b)N?t%(put)bQ(%(int)b)"
    # shape, strides, requires_grad, hooks
    rb"(%(sizes)b)%(put)b(%(sizes)b)%(put)b[\x88\x89]%(get)b\)R%(put)bt%(put)bR(%(put)b)"
    % {b"get": _GET, b"put": _PUT, b"int": _INT, b"sizes": _SIZES, b"device": _DEVICE},
    re.DOTALL,
)

_U32: Final = struct.Struct("<xI").unpack


class Shortcut:
    """Of one pickle. known: what numbers and sizes are, by their opcodes."""

    def __init__(self, data: bytes, memo: dict[int, Any], read: Callable[[bytes], Any]) -> None:
        self._data, self._memo, self._read = data, memo, read
        self._known: dict[bytes, Any] = {}

    def take(self, at: int, function: Any) -> tuple[Call, int] | None:
        """The call of `function` whose arguments begin at byte `at`, and where it ends."""
        found = _ARGUMENTS.match(self._data, at)
        if found is None:
            return None
        what, kind, n_key, digits, key_put, n, first, shape, strides, put = found.groups()
        if n_key[0] != len(digits):
            return None
        memo, known = self._memo, self._known
        try:
            numbers = known[first], known[shape], known[strides]
            n_elements = known[n]
        except KeyError:
            known.update((new, self._read(new)) for new in {first, shape, strides, n} - known.keys())
            return self.take(at, function)
        what = memo[what[1] if len(what) == 2 else _U32(what)[0]]
        kind = memo[kind[1] if len(kind) == 2 else _U32(kind)[0]]
        key = digits.decode()
        call = Call((function, (Persistent(((what, kind, key, None, n_elements),)), *numbers)))
        if key_put:
            memo[key_put[1] if len(key_put) == 2 else _U32(key_put)[0]] = key
        if put:
            memo[put[1] if len(put) == 2 else _U32(put)[0]] = call
        return call, found.end()
