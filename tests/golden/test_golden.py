"""The golden containers: both decoders read them, and the encoder still writes them, on every target.

`preset` is empty in the manifest for a container of spec_encoder, which is only decoded. No original is stored: the
spec decoder takes it out of the container, and its SHA-256 stands in the manifest.
"""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path
from typing import Any

import pytest
import spec_decoder
import zstandard

import pennyweight

HERE = Path(__file__).parent
FOLDER = HERE / "v1"
MANIFEST: dict[str, Any] = tomllib.loads((FOLDER / "MANIFEST.toml").read_text())
GOLDENS: list[dict[str, Any]] = MANIFEST["golden"]
WRITTEN = [golden for golden in GOLDENS if golden["preset"]]

every_golden = pytest.mark.parametrize("golden", GOLDENS, ids=lambda golden: golden["name"])


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def container_of(golden: dict[str, Any]) -> bytes:
    return (FOLDER / f"{golden['name']}.pwt").read_bytes()


def test_no_file_is_missing_or_too_many() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {f"{g['name']}.pwt" for g in GOLDENS} | {"MANIFEST.toml"}
    used = {golden["preset"] for golden in WRITTEN}
    assert {f"presets/{path.name}" for path in (HERE / "presets").iterdir()} == {p for p in used if "/" in p}


@every_golden
def test_the_spec_decoder_reads_it(golden: dict[str, Any]) -> None:
    container = container_of(golden)
    assert sha256(container) == golden["container"]
    assert sha256(spec_decoder.decode(container)) == golden["original"]


@every_golden
def test_we_read_it(golden: dict[str, Any], each_target: str, tmp_path: Path) -> None:
    source, restored = FOLDER / f"{golden['name']}.pwt", tmp_path / "restored"
    pennyweight.restore(source, restored)
    assert sha256(restored.read_bytes()) == golden["original"]
    held = index_of(container_of(golden))["sha256"] is not None
    report = pennyweight.verify(source, level="full" if held else "default")
    assert report.ok, report.problems


def test_what_we_write_shows_every_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every stage, every kind of symbols of every format, every alphabet, and nothing that is not known."""
    seen: set[tuple[int, ...]] = set()
    decode_node = spec_decoder.decode_node

    def note(data: bytes, *rest: Any) -> bytes:
        header = 2 + (data[1] >> 7)  # after the id and the length
        modes = {3: 2, 4: 1}.get(data[0], 0)  # bytes at its start that say a mode
        seen.add((data[0], *data[header : header + modes]))
        return decode_node(data, *rest)

    monkeypatch.setattr(spec_decoder, "decode_node", note)
    for golden in WRITTEN:
        spec_decoder.decode(container_of(golden))
    fields = {(3, format_id, kind) for format_id in range(1, 7) for kind in (4, 5, 6, 16)} - {(3, 5, 6)}
    fields |= {(3, format_id, 17) for format_id in range(1, 6)}
    assert seen == fields | {(4, a) for a in (4, 5, 8)} | {
        (stage,) for stage in (0, 1, 2, 5, 6, 7, 8, 9, 10, 11, 13, 14)
    }


def index_of(container: bytes) -> dict[str, Any]:
    return spec_decoder.split_index(spec_decoder.read_index(container)[1])[0]


def without_encoder(container: bytes) -> tuple[bytes, dict[str, Any], list[list[int]]]:
    """All but the encoder's name and version, and how zstd stored the index."""
    offset, index = spec_decoder.read_index(container)
    metadata, *tables = spec_decoder.split_index(index)
    return container[:offset], metadata | {"encoder": ""}, tables


@pytest.mark.skipif(
    MANIFEST["zstd"] != ".".join(map(str, zstandard.ZSTD_VERSION)), reason="another libzstd writes other bytes"
)
@pytest.mark.parametrize("golden", WRITTEN, ids=lambda golden: golden["name"])
def test_we_still_write_it(golden: dict[str, Any], each_target: str, tmp_path: Path) -> None:
    container = container_of(golden)
    source, made = tmp_path / "original", tmp_path / "made.pwt"
    source.write_bytes(spec_decoder.decode(container))
    preset = str(HERE / golden["preset"]) if golden["preset"].endswith(".toml") else golden["preset"]
    pennyweight.compress(source, made, preset=preset, sha256=golden["held_sha256"], threads=2)
    again = made.read_bytes()
    assert without_encoder(again) == without_encoder(container)
    if index_of(again)["encoder"] == index_of(container)["encoder"]:
        assert again == container
