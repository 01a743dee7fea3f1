"""Write the golden containers of this format version: `python tests/golden/make.py`. No test runs this.

Until 1.0 they are made again when the format changes, with its version. Otherwise a changed file means that the encoder
changed: say so in the changelog.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from pathlib import Path

import zstandard

HERE = Path(__file__).parent
FOLDER = HERE / "v0.2"
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
    before = {path.name: path.read_bytes() for path in FOLDER.glob("*.pwt")}
    rows = [f'zstd = "{".".join(map(str, zstandard.ZSTD_VERSION))}"']
    now: dict[str, bytes] = {}
    for golden in originals.goldens():
        container = contain(golden)
        original = spec_decoder.decode(container)
        assert golden.original in (None, original), golden.name
        assert len(container) <= MAX_BYTES, f"{golden.name}: {len(container)} bytes"
        assert f"{golden.name}.pwt" not in now, golden.name
        now[f"{golden.name}.pwt"] = container
        fields = {
            "name": golden.name,
            "shows": golden.shows,
            "preset": golden.preset,
            "held_sha256": golden.sha256,
            "container": hashlib.sha256(container).hexdigest(),
            "original": hashlib.sha256(original).hexdigest(),
        }
        rows += ["", "[[golden]]", *(f"{key} = {json.dumps(value)}" for key, value in fields.items())]
    assert sum(map(len, now.values())) < MAX_TOTAL
    for name in before.keys() - now.keys():
        (FOLDER / name).unlink()
    for name, container in now.items():
        (FOLDER / name).write_bytes(container)
    (FOLDER / "MANIFEST.toml").write_text("\n".join(rows) + "\n")
    changed = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    print(f"{len(now)} containers, {sum(map(len, now.values()))} bytes; changed: {', '.join(changed) or 'none'}")


if __name__ == "__main__":
    main()
