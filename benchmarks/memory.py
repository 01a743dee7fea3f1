"""In memory, one thread: encode and decode next to memcpy, in rounds that take each case once.

Three kinds of rows. `blocks`: this tool's frames of the float tensors alone, on each target, into memory that exists
already, as its file pipeline does it. `kernel`: the compiled core under that. `file`: a whole file through a codec's
public face, for this tool and its peers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks import tensorfile
from benchmarks.codecs import PEERS, Codec, Data, NotRun, load, same
from benchmarks.measure import Call, call, free_memory, median

Buffer = NDArray[np.uint8]
MEMCPY_COPIES = 6  # 272 MB: past the caches, where its speed no longer depends on the size
PATIENT_SECONDS = 2  # a case that takes longer in a round, both ways, is not asked again
WARM_UP = 2  # rounds that do not count: the first touch of fresh memory is many times slower than the second


class Case(Protocol):
    """Something timed both ways: only `encode` and `decode` are. `check` raises where the bytes differ."""

    kind: str
    name: str
    target: str
    n_bytes: int

    def prepare(self) -> None: ...
    def encode(self) -> Any: ...
    def pack(self, encoded: Any) -> Any: ...
    def n_packed(self, packed: Any) -> int: ...
    def decode(self, packed: Any) -> Any: ...
    def check(self, packed: Any, decoded: Any) -> None: ...
    def finish(self) -> None: ...


@dataclass
class Speed:
    """Medians over the rounds: CPU seconds, bytes per CPU second, and the memcpy just before it over that time."""

    seconds: float
    bytes_per_second: float
    of_memcpy: float


@dataclass
class MemoryRow:
    """One case; nothing but `note` is set where it was not run."""

    kind: str
    name: str
    target: str = ""
    n_bytes: int = 0
    ratio: float | None = None
    encode: Speed | None = None
    decode: Speed | None = None
    note: str = ""


class FileCase:
    """A codec on the bytes of a whole file."""

    kind, target = "file", ""

    def __init__(self, codec: Codec, data: bytes) -> None:
        self.name, self.n_bytes = codec.name, len(data)
        self._codec, self._data, self._copy = codec, data, bytearray()

    def prepare(self) -> None:
        self._copy = bytearray(self._data)  # of its own: a codec may spoil its input

    def encode(self) -> bytes:
        return self._codec.encode(self._copy)

    def pack(self, encoded: bytes) -> bytes:
        return encoded

    def n_packed(self, packed: bytes) -> int:
        return len(packed)

    def decode(self, packed: bytes) -> Data:
        return self._codec.decode(packed)

    def check(self, packed: bytes, decoded: Data) -> None:
        if not same(decoded, self._data):
            raise RuntimeError("decodes to other bytes")

    def finish(self) -> None:
        self._copy = bytearray()


@dataclass
class _Runs:
    case: Case
    encode: list[tuple[Call, Call]] = field(default_factory=list)  # each with the memcpy before it
    decode: list[tuple[Call, Call]] = field(default_factory=list)
    n_packed: int = 0
    failure: str = ""
    slow: bool = False


def measure(path: Path, dtype: str, copies: int, rounds: int, *, whole_files: bool) -> list[MemoryRow]:
    """Rows for the tensors of `dtype` of a file, `copies` times over; `whole_files` adds the file with every codec."""
    data = path.read_bytes()
    tensors = [tensor for tensor in tensorfile.read_tensors(data) if tensor.dtype == dtype]
    needed = 5 * copies * len(data)
    if 0 < free_memory() < needed:
        return [MemoryRow("memcpy", "memcpy", note=f"needs {needed / 1e9:.1f} GB of free memory")]
    runs: list[_Runs] = []
    rows: list[MemoryRow] = []
    try:
        from benchmarks.blocks import block_cases

        runs += [_Runs(case) for case in block_cases(tensors, copies)]
    except Exception as error:  # without this tool the peers' rows are still worth having
        rows.append(MemoryRow("blocks", "pennyweight", note=f"{type(error).__name__}: {error}"))
    for peer in PEERS if whole_files else ():
        loaded = load(peer, dtype)
        if isinstance(loaded, NotRun):
            rows.append(MemoryRow("file", loaded.name, note=loaded.reason))
        else:
            runs += [_Runs(FileCase(codec, data)) for codec in loaded]
    body = np.frombuffer(b"".join(tensor.data for tensor in tensors), np.uint8)
    copy = Memcpy(np.tile(body, min(copies, MEMCPY_COPIES)))
    for round_number in range(WARM_UP + rounds):
        for run in runs:
            if not run.failure and not run.slow:
                _one_round(run, copy, counts=round_number >= WARM_UP)
    speed = _speed([(one, one) for one in copy.calls], copy.n_bytes, copy.n_bytes)
    memcpy = MemoryRow("memcpy", "memcpy", "", copy.n_bytes, 1.0, speed, speed)
    return [memcpy, *(_row(run, copy.n_bytes) for run in runs), *rows]


class Memcpy:
    """Copies the tensors into memory that exists already; remembers what it took."""

    def __init__(self, body: Buffer) -> None:
        self._body, self._target = body, np.zeros_like(body)
        self.n_bytes = body.nbytes
        self.calls: list[Call] = []

    def __call__(self) -> Call:
        done = call(lambda: np.copyto(self._target, self._body))
        self.calls.append(done)
        return done


def _one_round(run: _Runs, copy: Memcpy, *, counts: bool) -> None:
    case = run.case
    try:
        case.prepare()
        before_encode = copy()
        encode = call(case.encode)
        packed = case.pack(encode.result)
        encode = _bare(encode)
        before_decode = copy()
        decode = call(lambda: case.decode(packed))
        case.check(packed, decode.result)
        run.n_packed = case.n_packed(packed)
    except Exception as error:  # a failure is a row with its reason, not the end of the run
        run.failure = f"{type(error).__name__}: {error}"
        return
    finally:
        case.finish()
    run.slow = case.kind == "file" and encode.cpu + decode.cpu > PATIENT_SECONDS
    if counts or run.slow:
        run.encode.append((encode, before_encode))
        run.decode.append((_bare(decode), before_decode))


def _bare(one: Call) -> Call:
    return Call(one.wall, one.cpu, None)  # drops the result: gigabytes that nobody needs again


def _row(run: _Runs, n_memcpy: int) -> MemoryRow:
    case = run.case
    if run.failure:
        return MemoryRow(case.kind, case.name, case.target, note=run.failure)
    encode, decode = (_speed(calls, case.n_bytes, n_memcpy) for calls in (run.encode, run.decode))
    return MemoryRow(case.kind, case.name, case.target, case.n_bytes, run.n_packed / case.n_bytes, encode, decode)


def _speed(calls: list[tuple[Call, Call]], n_bytes: int, n_memcpy: int) -> Speed:
    """CPU seconds of the whole process, because other programs share the cores; a codec's own threads count too."""
    seconds = median([one.cpu for one, _ in calls])
    of_memcpy = median([(copy.cpu / n_memcpy) / (one.cpu / n_bytes) for one, copy in calls])
    return Speed(seconds, n_bytes / seconds, of_memcpy)
