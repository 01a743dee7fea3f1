"""Manifests: the same model has the same one, everything in it is checked, and a hostile one is refused."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import samples
import spec_encoder
import xxhash
from fuzz.bounds import bounded_memory, bounded_time
from hypothesis import given
from hypothesis import strategies as st
from samples import packed

import pennyweight
from pennyweight import api
from pennyweight.cli import main
from pennyweight.errors import CorruptError, InputError, UsageError, VersionError
from pennyweight.pipeline.container.reader import ContainerReader
from pennyweight.pipeline.files import Reader
from pennyweight.pipeline.manifest import MAX_MANIFEST_BYTES, SCHEMA, is_name_of_file, read_manifest
from pennyweight.pipeline.report import VerifyReport

SHA = "0" * 64


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model, and beside it its containers in `packed` and the manifest of these."""
    root = tmp_path / "model"
    (root / "sub").mkdir(parents=True)
    (root / "a.safetensors").write_bytes(samples.small())
    (root / "sub" / "b.safetensors").write_bytes(samples.thousands(20))
    (root / "config.json").write_text("{}")
    pennyweight.compress(root, tmp_path / "packed")
    write(tmp_path / "m.json", tmp_path / "packed")
    return root


def write(path: Path, src: Path) -> None:
    path.write_text(api.manifest(src, leave_out=[path]).to_json(), encoding="ascii")


def problems(src: Path, **options: Any) -> list[tuple[str, str | None, str]]:
    """File, tensor and reason, with the manifest beside it."""
    report = pennyweight.verify(src, manifest=src.parent / "m.json", **options)
    assert report.ok == (not report.problems)
    return [(Path(one.file).name, one.tensor, one.reason.split(":")[0]) for one in report.problems]


def test_it_says_what_there_is(model: Path) -> None:
    held = json.loads((model.parent / "m.json").read_text())
    assert held.pop("schema") == "pennyweight.manifest/1"
    assert [file["name"] for file in held["files"]] == ["a.safetensors", "config.json", "sub/b.safetensors"]
    for file in held["files"]:
        data = (model / file["name"]).read_bytes()
        assert (file["n_bytes"], file["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
        if file["container"]:
            container = (model.parent / "packed" / (file["name"] + ".pwt")).read_bytes()
            found = {"n_bytes": len(container), "sha256": hashlib.sha256(container).hexdigest()}
            assert file["container"] == found
        for tensor in file["tensors"]:
            raw = data[tensor["offset"] : tensor["offset"] + tensor["n_bytes"]]
            assert tensor["xxh3_128"] == xxhash.xxh3_128_hexdigest(raw)
            assert raw == samples.safetensors_raws(data)[tensor["name"]]
    assert [len(file["tensors"]) for file in held["files"]] == [2, 0, 20]


def test_of_containers_and_of_originals_it_is_the_same_but_for_the_containers(model: Path) -> None:
    one, other = (json.loads(api.manifest(src).to_json()) for src in (model, model.parent / "packed"))
    for file in other["files"]:
        file["container"] = None
    assert one == other
    single = api.manifest(model / "sub" / "b.safetensors").files
    assert single[0].model_dump(exclude={"name"}) == api.manifest(model).files[2].model_dump(exclude={"name"})
    assert single[0].name == "b.safetensors"


def test_it_does_not_depend_on_place_time_or_threads(model: Path) -> None:
    text = (model.parent / "m.json").read_text()
    moved = (model.parent / "packed").rename(model.parent / "elsewhere")
    assert api.manifest(moved, threads=1).to_json() == text
    assert str(model.parent) not in text


@pytest.mark.parametrize("name", samples.FILES)
def test_any_file(name: str, tmp_path: Path) -> None:
    """Reading what was written gives the same; a container and its original pass."""
    (tmp_path / "x").write_bytes(samples.FILES[name])
    (tmp_path / "x.pwt").write_bytes(packed(samples.FILES[name], sha256=name != "small"))
    for src in ("x", "x.pwt"):
        write(tmp_path / "m.json", tmp_path / src)
        assert read_manifest(tmp_path / "m.json").manifest == api.manifest(tmp_path / src)
        assert not problems(tmp_path / "x")
        assert not problems(tmp_path / "x.pwt")


def test_containers_originals_and_both(model: Path) -> None:
    done: list[int] = []
    for level in ("fast", "default", "full"):
        assert not problems(model, level=level)
        assert not problems(model.parent / "packed", level=level)
    assert not problems(model, progress=done.append)
    assert sum(done) == sum(path.stat().st_size for path in model.rglob("*") if path.is_file())
    (model.parent / "packed" / "a.safetensors.pwt").rename(model / "a.safetensors.pwt")
    assert not problems(model)
    report = pennyweight.verify(model, manifest=model.parent / "m.json")
    assert (report.n_files, report.n_tensors, report.n_checked_tensors) == (4, 24, 24)
    assert report.manifest == str(model.parent / "m.json")
    (model / "a.safetensors").unlink()
    assert not problems(model)


def test_missing_and_extra_files(model: Path) -> None:
    (model / "a.safetensors").unlink()
    (model / "config.json").rename(model / "sub" / "config.json")
    pennyweight.compress(model / "sub" / "b.safetensors", model / "new.pwt")
    assert problems(model) == [
        ("new.pwt", None, "is not in the manifest"),
        ("config.json", None, "is not in the manifest"),
        ("a.safetensors", None, "is missing"),
        ("config.json", None, "is missing"),
    ]


def test_a_changed_original(model: Path) -> None:
    data = bytearray(samples.small())
    data[-1] ^= 1
    (model / "a.safetensors").write_bytes(data)
    sha256 = ("a.safetensors", None, "the original has another SHA-256 in the manifest")
    assert problems(model) == [("a.safetensors", "b", "has another digest in the manifest"), sha256]
    (model / "a.safetensors").write_bytes(samples.small()[:-2100])
    size = len(samples.small())
    assert problems(model) == [
        ("a.safetensors", None, f"has {size - 2100} bytes, and {size} by the manifest"),
        ("a.safetensors", "b", "lies beyond the end of the file"),
        sha256,
    ]


def test_another_container_of_the_same_original(model: Path) -> None:
    container = model.parent / "packed" / "a.safetensors.pwt"
    pennyweight.compress(model / "a.safetensors", container, preset="fast", force=True)
    reason = "is another container than that of the manifest"
    for level in ("fast", "default"):
        assert problems(model.parent / "packed", level=level) == [(container.name, None, reason)]
    write(model.parent / "m.json", model)  # where there is none, any will do; but it must be decoded
    assert not problems(model.parent / "packed")
    (fast, *_) = problems(model.parent / "packed", level="fast")
    assert "only decoding it can prove anything" in fast[2]


def test_a_container_of_another_original(model: Path) -> None:
    """That agrees with itself in everything."""
    write(model.parent / "m.json", model)
    container = model.parent / "packed" / "a.safetensors.pwt"
    container.write_bytes(packed(samples.small()[:-1] + b"!"))
    assert problems(container.parent) == [
        (container.name, "b", "has another digest in the manifest"),
        (container.name, None, "the original has another SHA-256 in the manifest"),
    ]
    rows = ("b", "U8", (3, 700), bytes(2100)), ("c", "I8", (3,), b"123")
    container.write_bytes(packed(samples.safetensors(*rows)))
    found = {(tensor, reason) for _, tensor, reason in problems(container.parent)}
    assert {("a", "is in the manifest only"), ("c", "is not in the manifest")} <= found


def test_damage_is_told_as_ever(model: Path) -> None:
    container = model.parent / "packed" / "a.safetensors.pwt"
    data = bytearray(container.read_bytes())
    data[int(ContainerReader(Reader(io.BytesIO(data))).frames.begins[0]) + 5] ^= 1
    container.write_bytes(data)
    reasons = [reason for _, _, reason in problems(container.parent)]
    assert "a frame is damaged" in reasons
    assert "is another container than that of the manifest" in reasons
    assert "the original has another SHA-256 in the manifest" in reasons
    with pytest.raises(CorruptError, match=r"a\.safetensors\.pwt: .*a frame is damaged"):
        api.manifest(container.parent)


def test_a_container_that_lies_of_its_sha256_gets_no_manifest(tmp_path: Path) -> None:
    metadata = spec_encoder.describe([{"n_bytes": 3}], [b"abc"], 1024) | {"sha256": SHA}
    (tmp_path / "x.pwt").write_bytes(spec_encoder.Container([spec_encoder.store(b"abc")], metadata).pack())
    with pytest.raises(CorruptError, match="does not match its SHA-256"):
        api.manifest(tmp_path / "x.pwt")


def test_what_is_beside_each_other_must_be_the_same(model: Path) -> None:
    pennyweight.compress(model / "a.safetensors")
    assert [bool(file.container) for file in api.manifest(model).files] == [True, False, False]
    (model / "a.safetensors").write_bytes(samples.thousands(3))
    with pytest.raises(InputError, match=r"a\.safetensors: is not what is in the \.pwt beside it"):
        api.manifest(model)


def test_the_manifest_may_lie_in_the_folder(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (model / ".git").mkdir()
    (model / ".git" / "config").write_text("")
    path = model / "manifest.json"
    assert main(["manifest", str(model), "-o", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}: 3 files, 22 tensors\n"
    Path(f"{path}.sig").write_text("signature")
    assert main(["verify", str(model), "--manifest", str(path)]) == 0
    assert f"every file is that of {path}" in capsys.readouterr().out
    assert main(["manifest", str(model), "-o", str(path)]) == 3
    text = path.read_text()
    assert main(["manifest", str(model), "-o", str(path), "--force"]) == 0
    assert path.read_text() == text
    capsys.readouterr()
    assert main(["manifest", str(model / "config.json")]) == 0
    assert json.loads(capsys.readouterr().out)["files"][0]["name"] == "config.json"
    path.unlink()
    assert main(["verify", str(model), "--manifest", str(path)]) == 3


def test_a_single_file_is_found_by_its_name_or_is_the_only_one(model: Path, tmp_path: Path) -> None:
    assert not problems(model)
    (tmp_path / "other").write_bytes(samples.small())
    assert problems(tmp_path / "other") == [("other", None, "is not in the manifest")]
    (tmp_path / "a.safetensors").write_bytes(samples.small())
    assert not problems(tmp_path / "a.safetensors")
    write(tmp_path / "m.json", model / "a.safetensors")
    assert not problems(tmp_path / "other")
    held = tmp_path / "m.json"
    assert pennyweight.verify(io.BytesIO(packed(samples.small())), manifest=held).ok
    assert not pennyweight.verify(io.BytesIO(b"?"), manifest=held).ok


def test_what_it_cannot_go_with(model: Path) -> None:
    for options in ({"against": model}, {"subset": "1/2"}):
        with pytest.raises(UsageError):
            pennyweight.verify(model, manifest="m.json", **options)  # type: ignore[arg-type]


def document(change: Callable[[dict[str, Any]], object]) -> str:
    """A sound manifest, changed."""
    tensors = [
        {"name": name, "dtype": "U8", "shape": [3], "offset": offset, "n_bytes": 3, "xxh3_128": "0" * 32}
        for name, offset in (("a", 0), ("b", 3))
    ]
    file = {"name": "x", "n_bytes": 6, "sha256": SHA, "container": None, "tensors": tensors}
    whole: dict[str, Any] = {"schema": "pennyweight.manifest/1", "files": [file]}
    change(whole)
    return json.dumps(whole)


def file_with(**fields: Any) -> Callable[[dict[str, Any]], object]:
    return lambda whole: whole["files"][0].update(fields)


def tensor_with(**fields: Any) -> Callable[[dict[str, Any]], object]:
    return lambda whole: whole["files"][0]["tensors"][1].update(fields)


LIES: dict[str, Callable[[dict[str, Any]], object]] = {
    "no schema": lambda whole: whole.pop("schema"),
    "another schema": lambda whole: whole.update(schema="pennyweight.verify/1"),
    "a schema that is a number": lambda whole: whole.update(schema=1),
    "no files": lambda whole: whole.pop("files"),
    "an unknown key": lambda whole: whole.update(more=1),
    "the same file twice": lambda whole: whole["files"].append(whole["files"][0]),
    "files out of order": lambda whole: whole["files"].append({**whole["files"][0], "name": "a"}),
    "a size as text": file_with(n_bytes="6"),
    "a negative size": file_with(n_bytes=-1),
    "a size of 2^63": file_with(n_bytes=1 << 63),
    "a size that is a float": file_with(n_bytes=6.0),
    "a short digest": file_with(sha256="0" * 63),
    "a digest in capitals": file_with(sha256="A" * 64),
    "a digest and a newline": file_with(sha256=SHA + "\n"),
    "no container key": lambda whole: whole["files"][0].pop("container"),
    "an unknown dtype": tensor_with(dtype="F7"),
    "bytes that do not fit": tensor_with(n_bytes=4),
    "a negative dimension": tensor_with(shape=[-3]),
    "a large dimension": tensor_with(shape=[1 << 62, 1 << 62]),
    "rank 65": tensor_with(shape=[1] * 65),
    "tensors that overlap": tensor_with(offset=2),
    "tensors beyond the end": tensor_with(offset=4),
    "tensors of one name": tensor_with(name="a"),
    **{
        f"the name {name[:20]!r}": file_with(name=name)
        for name in (
            *("", ".", "..", "/", "/etc/passwd", "../x", "a/../x", "a//b", "a/", "./a", "\\", "a\\b", "C:x", "C:/x"),
            *("\\\\host\\x", "a\0", "a" * 4097, "\ud800"),
        )
    },
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_lies_are_refused(lie: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abcdef")
    (tmp_path / "m.json").write_text(document(LIES[lie]))
    with pytest.raises(InputError, match=r"m\.json: not a manifest: ") as caught:
        pennyweight.verify(tmp_path / "x", manifest=tmp_path / "m.json")
    assert len(str(caught.value)) < 1000


def test_what_is_no_json(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    sound = document(lambda whole: None)
    path.write_text(sound)
    read_manifest(path)
    for text in (b"", b"[]", b"3", b"\xff", b"[" * 200_000, sound.encode() + b"x", b'{"schema":1,"schema":1}'):
        path.write_bytes(text)
        with pytest.raises(InputError, match="not a manifest"):
            read_manifest(path)
    for n in range(len(sound)):
        path.write_text(sound[:n])
        with pytest.raises(InputError, match="not a manifest"):
            read_manifest(path)


def test_a_newer_one_and_a_huge_one(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_text(document(lambda whole: whole.update(schema="pennyweight.manifest/2", more=1)))
    with pytest.raises(VersionError, match="manifest/2"):
        read_manifest(path)
    with path.open("r+b") as file:
        file.truncate(MAX_MANIFEST_BYTES + 1)
    with pytest.raises(InputError, match="too many for a manifest"):
        read_manifest(path)


@given(st.text(max_size=12) | st.text(alphabet="./\\a:\0", max_size=6))
def test_no_name_leads_out_of_a_folder(name: str) -> None:
    if is_name_of_file(name):
        root = Path("/folder")
        assert (root / name).is_relative_to(root)
        assert ".." not in (root / name).parts
        assert Path(name).as_posix() == name


@given(st.data())
def test_any_flip_in_a_manifest_of_a_model_is_refused_or_found(data: st.DataObject) -> None:
    """But for those that change nothing that is said: a space where JSON takes any."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "x").write_bytes(samples.small())
        text = api.manifest(root / "x").to_json().encode()
        at, bit = data.draw(st.integers(0, len(text) - 1)), data.draw(st.integers(0, 7))
        changed = text[:at] + bytes([text[at] ^ 1 << bit]) + text[at + 1 :]
        (root / "m.json").write_bytes(changed)
        report: VerifyReport | None = None
        try:
            report = pennyweight.verify(root / "x", manifest=root / "m.json", threads=1)
        except (InputError, VersionError):
            return
        if report.ok:
            said, meant = json.loads(changed)["files"][0], json.loads(text)["files"][0]
            assert said["sha256"] == meant["sha256"]
            assert [tensor["xxh3_128"] for tensor in said["tensors"]] == [one["xxh3_128"] for one in meant["tensors"]]


MANY = 300_000
ONE_FILE = {"name": "a", "n_bytes": 0, "sha256": "0" * 64, "container": None, "tensors": [0] * MANY}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"files": [{}] * MANY}, "files.0"),
        ({"files": [ONE_FILE]}, "files.0.tensors.0"),
        ({"files": []} | {str(i): 0 for i in range(MANY)}, "an object has more keys"),
    ],
    ids=["files", "tensors", "keys"],
)
def test_one_error_is_enough(fields: dict[str, Any], reason: str, tmp_path: Path) -> None:
    """A million of them took gigabytes."""
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({"schema": SCHEMA} | fields))
    with bounded_memory(), bounded_time(), pytest.raises(InputError, match=re.escape(f"not a manifest: {reason}")):
        read_manifest(path)
