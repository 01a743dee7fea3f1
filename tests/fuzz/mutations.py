"""Spoilt inputs without a fuzzer, the same ones on every run; and what a fuzzer would not think of."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from random import Random
from typing import Final

_NUMBERS: Final = [
    value.to_bytes(width, "little")
    for width in (1, 2, 4, 8)
    for value in (0, 1, (1 << 8 * width - 1) - 1, 1 << 8 * width - 1, (1 << 8 * width) - 1)
]
"""Those at which counts and sizes go wrong."""

_WORD: Final = re.compile(rb"\w+|[!-/:-@\[-`{-~]")
_OPENING: Final = re.compile(rb"[\[{(,]")
_NUMERALS: Final = [
    str(sign * value).encode() for value in (0, 1, 2, 3, 16, 255, 2**31, 2**63, 2**64) for sign in (1, -1)
]


def mutations(seeds: Sequence[bytes], n: int) -> Iterator[bytes]:
    """n inputs, each a seed that was hit once or a few times."""
    random = Random(1)
    for i in range(n):
        data = seeds[i % len(seeds)]
        for _ in range(random.choice((1, 1, 1, 2, 3, 4))):
            hit = random.choice((_hit_bytes, _hit_bytes, _hit_bytes, _hit_a_word, _hit_an_item))
            data = hit(data, random.choice(seeds), random)
        yield data


def other_items(data: bytes, max_bytes: int, seed: int) -> bytes:
    """For a fuzzer, which knows of bytes alone."""
    random = Random(seed)
    for _ in range(random.choice((1, 1, 2))):
        data = random.choice((_hit_a_word, _hit_an_item))(data, data, random)
    return data[:max_bytes]


def _hit_bytes(data: bytes, other: bytes, random: Random) -> bytes:
    # Many hits are near the front, where most formats say what they hold
    at = random.randrange(1 + (len(data) if random.random() < 0.75 else min(len(data), 64)))
    match random.randrange(8):
        case 0 if at < len(data):
            return data[:at] + bytes((data[at] ^ 1 << random.randrange(8),)) + data[at + 1 :]
        case 1:
            return data[:at] + random.randbytes(1) + data[at + 1 :]
        case 2:
            number = random.choice(_NUMBERS)
            return data[:at] + number + data[at + len(number) :]
        case 3:
            return data[:at] + random.randbytes(random.randint(1, 8)) + data[at:]
        case 4:
            return data[:at] + data[at + random.randint(1, 16) :]
        case 6:
            return data[:at] + random.choice(_NUMBERS) + data[at:]
        case 5 if other:
            begin = random.randrange(len(other))
            return data[:at] + other[begin : begin + random.randint(1, 64)] + data[at:]
        case _:
            return data[:at] if random.random() < 0.25 else data


def _hit_a_word(data: bytes, other: bytes, random: Random) -> bytes:
    """Put a number, nothing, many of it, or a few words of the other in the place of one; or drop a few."""
    words, others = list(_WORD.finditer(data)), list(_WORD.finditer(other))
    if not words or not others:
        return data
    numbers = [word for word in words if word[0].isdigit()]
    if numbers and random.random() < 0.3:
        word = random.choice(numbers)
        return data[: word.start()] + random.choice(_NUMERALS) + data[word.end() :]
    at, first = random.randrange(len(words)), random.randrange(len(others))
    last = min(first + random.choice((0, 0, 0, 2, 6)), len(others) - 1)
    taken = other[others[first].start() : others[last].end()]
    begin, end, word = words[at].start(), words[at].end(), words[at][0]
    match random.randrange(8):
        case 0:
            return data[:begin] + data[words[min(at + random.randint(0, 16), len(words) - 1)].end() :]
        case 1:
            return data[:begin] + word[:1] * random.choice((2, 64, 1500)) + data[end:]
        case 2 | 3:
            return data[:begin] + word + taken + data[end:]
        case _:
            return data[:begin] + taken + data[end:]


def _hit_an_item(data: bytes, _: bytes, random: Random) -> bytes:
    """Leave out an item of a list or an object, or say it twice."""
    opening = list(_OPENING.finditer(data))
    if not opening:
        return data
    begin = end = random.choice(opening).end()
    depth = 0
    while end < len(data) and (depth or data[end] not in b"]}),"):
        depth += (data[end] in b"[{(") - (data[end] in b"]})")
        end += 1
    item, rest = data[begin:end], data[end:]
    if random.random() < 0.5:
        return data[:begin] + item + b"," + item + rest
    return data[:begin] + rest.removeprefix(b",")
