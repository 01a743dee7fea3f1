"""Varints, as docs/format.md defines them: LEB128, in the fewest bytes, below 2**63."""

from __future__ import annotations

from pennyweight.errors import CorruptError

MAX_BYTES = 9


def varint(value: int) -> bytes:
    """0 <= value < 2**63 as 1 to 9 bytes."""
    if value < 128:
        return bytes((value,))  # nearly all are: lengths of headers, stage ids
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(src: bytes | memoryview, at: int) -> tuple[int, int]:
    """The varint at src[at:] and the position after it. CorruptError where it is cut, too long or not the shortest."""
    if at < len(src) and src[at] < 128:
        return src[at], at + 1  # nearly all are
    value = 0
    for count, byte in enumerate(src[at : at + MAX_BYTES]):
        value |= (byte & 127) << (7 * count)
        if byte < 128:
            if byte == 0 and count:
                raise CorruptError("a varint is longer than it needs to be")
            return value, at + count + 1
    raise CorruptError("a varint is cut short or too large")
