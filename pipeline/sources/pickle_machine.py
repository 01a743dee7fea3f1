"""Python's pickle machine with its hands tied: what each opcode does to stack and memo, and nothing else.

Where Python would import, call or make an object, a `Call` says of what and with what; what matters to no checkpoint is
None. docs/sources.md says why.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

_MAX_GLOBAL: Final = 128
"""Characters of a name that Python would import."""


class Lie(ValueError):
    """No pickle, or one that asks for too much."""


class Pairs(list[Any]):
    """A dict: key, value, key, value. Nothing is hashed, since a key may be a tuple as deep as the file likes."""

    __slots__ = ()


class Global(str):
    """A name that Python would import: `torch._utils._rebuild_tensor_v2`."""

    __slots__ = ()


class Persistent(tuple[Any, ...]):
    """What stands outside the pickle; its one element is what the pickle calls it."""

    __slots__ = ()


class Call(list[Any]):
    """[function, arguments], and after them what the result is given: items as Pairs or list, and states."""

    __slots__ = ()


class Machine:
    """Stack and memo. `marks` are lengths of `stack`; `at` is the byte to be read next."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data, self.at = data, at
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def take(self, n: int) -> bytes:
        """The next n bytes."""
        at = self.at + n
        if at > len(self.data):
            raise Lie("it ends inside an argument")
        taken = self.data[self.at : at]
        self.at = at
        return taken

    def sized(self, width: int) -> bytes:
        """Bytes that stand after their number."""
        return self.take(self.number(width))

    def number(self, width: int) -> int:
        return int.from_bytes(self.take(width), "little")

    def line(self) -> bytes:
        """As far as the next line feed."""
        end = self.data.index(b"\n", self.at)
        taken = self.data[self.at : end]
        self.at = end + 1
        return taken

    def push(self, *values: Any) -> None:
        self.stack.extend(values)

    def pop(self) -> Any:
        return self.stack.pop()

    def marked(self) -> list[Any]:
        """What was put on the stack since the last mark, taken from it."""
        mark = self.marks.pop()
        items = self.stack[mark:]
        del self.stack[mark:]
        return items


def text(raw: bytes) -> str:
    """Strings of Python 2 are in no one encoding, and may have lone surrogates in UTF-8: a name must only be a name."""
    return raw.decode("utf-8", "replace")


def _give(machine: Machine, items: list[Any]) -> None:
    """To the container on top of the stack. A set is a list here."""
    target = machine.stack[-1]
    if type(target) is Call:
        target.append(items)
    elif type(target) is type(items):
        target.extend(items)


def _global(machine: Machine, module: Any, name: Any) -> None:
    # One of megabytes could be asked for again and again, by five bytes each time
    short = isinstance(module, str) and isinstance(name, str) and len(module) + len(name) <= _MAX_GLOBAL
    machine.push(Global(f"{module}.{name}") if short else None)


def _stack_global(machine: Machine) -> None:
    name, module = machine.pop(), machine.pop()
    _global(machine, module, name)


def _call(machine: Machine) -> None:
    arguments, function = machine.pop(), machine.pop()
    machine.push(Call((function, arguments)))


def _call_with_keywords(machine: Machine) -> None:
    keywords, arguments, function = machine.pop(), machine.pop(), machine.pop()
    machine.push(Call((function, arguments, keywords)))


def _call_of_marked(machine: Machine) -> None:
    function, *arguments = machine.marked()
    machine.push(Call((function, tuple(arguments))))


def _instance(machine: Machine) -> None:
    function = Global(f"{text(machine.line())}.{text(machine.line())}")
    machine.push(Call((function, tuple(machine.marked()))))


def _build(machine: Machine) -> None:
    state = machine.pop()
    if type(machine.stack[-1]) is Call:
        machine.stack[-1].append(state)


def _pop(machine: Machine) -> None:
    if machine.marks and machine.marks[-1] == len(machine.stack):
        machine.marks.pop()
    else:
        machine.pop()


def _put(machine: Machine, number: int) -> None:
    machine.memo[number] = machine.stack[-1]


def _pair(machine: Machine) -> list[Any]:
    value, key = machine.pop(), machine.pop()
    return Pairs((key, value))


def _nothing_from(argument: Callable[[Machine], object]) -> Callable[[Machine], None]:
    """A value that tells nothing, after an argument that is passed over."""

    def push(machine: Machine) -> None:
        argument(machine)
        machine.push(None)

    return push


def _signed(raw: bytes) -> int:
    return int.from_bytes(raw, "little", signed=True)


OPCODES: Final[dict[bytes, Callable[[Machine], object]]] = {
    b"\x80": lambda m: m.take(1),  # PROTO
    b"\x95": lambda m: m.take(8),  # FRAME
    b"(": lambda m: m.marks.append(len(m.stack)),  # MARK
    b"1": lambda m: m.marked(),  # POP_MARK
    b"0": _pop,
    b"2": lambda m: m.push(m.stack[-1]),  # DUP
    b"N": lambda m: m.push(None),
    b"\x88": lambda m: m.push(True),
    b"\x89": lambda m: m.push(False),
    b"K": lambda m: m.push(m.number(1)),  # BININT1, BININT2, BININT, LONG1
    b"M": lambda m: m.push(m.number(2)),
    b"J": lambda m: m.push(_signed(m.take(4))),
    b"\x8a": lambda m: m.push(_signed(m.sized(1))),
    b"\x8b": _nothing_from(lambda m: m.sized(4)),  # LONG4, FLOAT, BINFLOAT
    b"F": _nothing_from(Machine.line),
    b"G": _nothing_from(lambda m: m.take(8)),
    b"I": lambda m: m.push(int(m.line())),  # Python 2 writes numbers of more than 32 bits so
    b"L": lambda m: m.push(int(m.line().removesuffix(b"L"))),
    b"S": _nothing_from(Machine.line),  # protocol 0, which torch never wrote: STRING, UNICODE
    b"V": _nothing_from(Machine.line),
    b"U": lambda m: m.push(text(m.sized(1))),  # SHORT_BINSTRING, BINSTRING
    b"T": lambda m: m.push(text(m.sized(4))),
    b"\x8c": lambda m: m.push(text(m.sized(1))),  # SHORT_BINUNICODE, BINUNICODE, BINUNICODE8
    b"X": lambda m: m.push(text(m.sized(4))),
    b"\x8d": lambda m: m.push(text(m.sized(8))),
    b"C": _nothing_from(lambda m: m.sized(1)),  # SHORT_BINBYTES, BINBYTES, BINBYTES8, BYTEARRAY8
    b"B": _nothing_from(lambda m: m.sized(4)),
    b"\x8e": _nothing_from(lambda m: m.sized(8)),
    b"\x96": _nothing_from(lambda m: m.sized(8)),
    b"\x97": lambda m: m.push(None),  # NEXT_BUFFER; READONLY_BUFFER
    b"\x98": lambda m: None,
    b")": lambda m: m.push(()),
    b"t": lambda m: m.push(tuple(m.marked())),
    b"\x85": lambda m: m.push((m.pop(),)),
    b"\x86": lambda m: m.push((m.pop(), m.pop())[::-1]),
    b"\x87": lambda m: m.push((m.pop(), m.pop(), m.pop())[::-1]),
    b"]": lambda m: m.push([]),
    b"\x8f": lambda m: m.push([]),  # EMPTY_SET
    b"}": lambda m: m.push(Pairs()),
    b"l": lambda m: m.push(m.marked()),
    b"\x91": lambda m: m.push(m.marked()),  # FROZENSET
    b"d": lambda m: m.push(Pairs(m.marked())),
    b"a": lambda m: _give(m, [m.pop()]),
    b"e": lambda m: _give(m, m.marked()),
    b"\x90": lambda m: _give(m, m.marked()),  # ADDITEMS
    b"s": lambda m: _give(m, _pair(m)),
    b"u": lambda m: _give(m, Pairs(m.marked())),
    b"q": lambda m: _put(m, m.number(1)),
    b"r": lambda m: _put(m, m.number(4)),
    b"p": lambda m: _put(m, int(m.line())),
    b"\x94": lambda m: _put(m, len(m.memo)),
    b"h": lambda m: m.push(m.memo[m.number(1)]),
    b"j": lambda m: m.push(m.memo[m.number(4)]),
    b"g": lambda m: m.push(m.memo[int(m.line())]),
    b"c": lambda m: _global(m, text(m.line()), text(m.line())),
    b"\x93": _stack_global,
    b"R": _call,  # and NEWOBJ
    b"\x81": _call,
    b"\x92": _call_with_keywords,  # NEWOBJ_EX
    b"o": _call_of_marked,
    b"i": _instance,
    b"b": _build,
    b"P": lambda m: m.push(Persistent((text(m.line()),))),
    b"Q": lambda m: m.push(Persistent((m.pop(),))),
    b"\x82": _nothing_from(lambda m: m.take(1)),  # EXT1, EXT2, EXT4
    b"\x83": _nothing_from(lambda m: m.take(2)),
    b"\x84": _nothing_from(lambda m: m.take(4)),
}
"""What each opcode does. STOP is not among them."""
