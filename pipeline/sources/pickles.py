"""A pickle's objects without Python's: pickle_machine.py says what they are.

The state of the machine is lists, nothing recurses, and each opcode takes a time in proportion to what it takes from
the stack. What comes out may be cyclic, or shared, and nested as deep as the pickle is long.
"""

from __future__ import annotations

import struct
from typing import Any, Final

from pennyweight.pipeline.sources.pickle_machine import OPCODES, Call, Lie, Machine, Persistent, text
from pennyweight.pipeline.sources.pickle_shortcut import Shortcut

MAX_OPCODES: Final = 5_000_000
"""Of one pickle: 150,000 tensors, half a gigabyte of what they say, two seconds."""

MAX_PICKLE_BYTES: Final = 64 << 20

_STEPS: Final = [OPCODES.get(bytes((opcode,))) for opcode in range(256)]


def read_pickle(data: bytes, at: int = 0) -> tuple[Any, int]:
    """What the pickle that begins at byte `at` would make, and where it ends. Lie for anything out of order.

    Arguments of calls that rebuild tensors may be cut after the fourth.
    """
    try:
        return _read(data, at, shortcut=True)
    except Lie:
        return _read(data, at, shortcut=False)


def _read(data: bytes, at: int, *, shortcut: bool) -> tuple[Any, int]:
    machine = Machine(data, at)
    try:
        _run(machine, Shortcut(data, machine.memo, _value) if shortcut else None)
        return machine.pop(), machine.at
    except (IndexError, KeyError, TypeError, ValueError, struct.error) as error:
        raise Lie(str(error)) from None


def _value(opcodes: bytes) -> Any:
    return _read(opcodes + b".", 0, shortcut=False)[0]


def _run(machine: Machine, shortcut: Shortcut | None) -> None:
    """Until STOP. The opcodes of state dicts are repeated here, for speed alone: four of five never leave this loop."""
    data, at, stack, marks, memo = machine.data, machine.at, machine.stack, machine.marks, machine.memo
    u32 = struct.Struct("<I").unpack_from
    for _ in range(MAX_OPCODES):
        opcode = data[at]
        at += 1
        if opcode == 0x72:  # LONG_BINPUT
            memo[u32(data, at)[0]] = stack[-1]
            at += 4
        elif opcode == 0x71:  # BINPUT
            memo[data[at]] = stack[-1]
            at += 1
        elif opcode == 0x68:  # BINGET
            stack.append(memo[data[at]])
            at += 1
        elif opcode == 0x4B:  # BININT1
            stack.append(data[at])
            at += 1
        elif opcode == 0x28:  # MARK
            taken = shortcut.take(at - 1, stack[-1]) if shortcut and data[at] == 0x28 else None
            if taken is None:
                marks.append(len(stack))
            else:
                stack[-1], at = taken
        elif opcode == 0x74:  # TUPLE
            mark = marks.pop()
            stack[mark:] = [tuple(stack[mark:])]
        elif opcode == 0x58:  # BINUNICODE
            begin = at + 4
            at = begin + u32(data, at)[0]
            if at > len(data):
                raise Lie("a string goes on behind the end")
            stack.append(text(data[begin:at]))
        elif opcode == 0x52:  # REDUCE
            arguments = stack.pop()
            stack[-1] = Call((stack[-1], arguments))
        elif opcode == 0x51:  # BINPERSID
            stack[-1] = Persistent((stack[-1],))
        elif opcode == 0x85:  # TUPLE1
            stack[-1] = (stack[-1],)
        elif opcode == 0x86:  # TUPLE2
            second = stack.pop()
            stack[-1] = stack[-1], second
        elif opcode == 0x2E:  # STOP
            machine.at = at
            return
        else:
            step = _STEPS[opcode]
            if step is None:
                raise Lie(f"unknown opcode {opcode}")
            machine.at = at
            step(machine)
            at = machine.at
    raise Lie("too many opcodes")
