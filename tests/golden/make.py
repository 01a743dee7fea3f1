"""Write the golden containers of this format version: `python tests/golden/make.py`. No test runs this.

A container that is here is decoded for ever. One that would be made otherwise today means that the encoder changed,
which the changelog must say: it is kept as NAME@1, NAME@2 and so on, from then on only decoded.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import zstandard

HERE = Path(__file__).parent
FOLDER = HERE / "v1"
RETIRED = "@"
MAX_BYTES, MAX_TOTAL = 32 << 10, 800_000  # training wants a tensor of 2^14 keys

sys.path.insert(0, str(HERE.parent))
sys.path.insert(0, str(HERE))

import originals  # noqa: E402
import spec_decoder  # noqa: E402

import pennyweight  # noqa: E402


def contain(golden: originals.Golden) -> bytes:
    if golden.container is not None:
        return golden.container
    assert golden.original is not None
    preset = str(HERE / golden.preset) if golden.preset.endswith(".toml") else golden.preset
    with tempfile.TemporaryDirectory() as folder:
        source, made = Path(folder) / "original", Path(folder) / "made.pwt"
        source.write_bytes(golden.original)
        pennyweight.compress(source, made, preset=preset, sha256=golden.sha256)
        return made.read_bytes()


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    kept, entries = kept_before(), list[dict[str, Any]]()
    made: dict[str, bytes] = {}
    for golden in originals.goldens():
        container = contain(golden)
        original = spec_decoder.decode(container)
        assert golden.original in (None, original), golden.name
        assert len(container) <= MAX_BYTES, f"{golden.name}: {len(container)} bytes"
        assert golden.name not in made, golden.name
        made[golden.name] = container
        entries.append(
            {
                "name": golden.name,
                "shows": golden.shows,
                "preset": golden.preset,
                "held_sha256": golden.sha256,
                "container": hashlib.sha256(container).hexdigest(),
                "original": hashlib.sha256(original).hexdigest(),
            }
        )
    changed = []
    for name, entry in kept.items():
        if hashlib.sha256(made.get(name, b"")).hexdigest() != entry["container"]:
            retired = name if RETIRED in name else next(free for free in names_after(name) if free not in kept)
            changed += [retired] * (retired != name)
            (FOLDER / f"{name}.pwt").rename(FOLDER / f"{retired}.pwt")
            entries.append(entry | {"name": retired, "preset": ""})
    for name, container in made.items():
        (FOLDER / f"{name}.pwt").write_bytes(container)
    total = sum(path.stat().st_size for path in FOLDER.glob("*.pwt"))
    assert total < MAX_TOTAL, total
    rows = [f'zstd = "{".".join(map(str, zstandard.ZSTD_VERSION))}"']
    for entry in entries:
        rows += ["", "[[golden]]", *(f"{key} = {json.dumps(value)}" for key, value in entry.items())]
    (FOLDER / "MANIFEST.toml").write_text("\n".join(rows) + "\n")
    new = len(made.keys() - kept.keys())
    print(f"{len(entries)} containers, {total} bytes; {new} new; changed, kept as {', '.join(changed) or 'none'}")


def kept_before() -> dict[str, dict[str, Any]]:
    """What the manifest says now, by name."""
    manifest = FOLDER / "MANIFEST.toml"
    return {one["name"]: one for one in tomllib.loads(manifest.read_text())["golden"]} if manifest.exists() else {}


def names_after(name: str) -> Iterator[str]:
    return (f"{name}{RETIRED}{i}" for i in count(1))


if __name__ == "__main__":
    main()
