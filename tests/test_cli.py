"""The command line as a user meets it: what is printed where, exit codes, one line for every error."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from pennyweight.cli import main, text

Capture = pytest.CaptureFixture[str]


def weights(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.02, n).astype(np.float32)


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small model in the current folder."""
    monkeypatch.chdir(tmp_path)
    tensors = {"layer.weight": weights(60_000).reshape(300, 200), "layer.bias": weights(200), "step": np.array(7)}
    save_file(tensors, "model.safetensors", metadata={"format": "np"})
    return Path("model.safetensors")


@pytest.fixture
def packed(model: Path, capsys: Capture) -> Path:
    """The model's container beside it."""
    assert main(["compress", str(model), "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    return Path(f"{model}.pwt")


def fails(capsys: Capture, code: int, *arguments: str) -> str:
    """The one line on stderr of a command that must fail."""
    assert main(list(arguments)) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"pennyweight: [^\n]+\n", err), err
    return err.removeprefix("pennyweight: ").strip()


def report(capsys: Capture, *arguments: str, code: int = 0) -> dict[str, Any]:
    assert main([*arguments, "--json"]) == code
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert next(iter(found)) == "schema"
    assert found["schema"] == f"pennyweight.{arguments[0]}/1"
    return found


# What works


def test_there_and_back(model: Path, capsys: Capture) -> None:
    assert main(["compress", "model.safetensors"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("model.safetensors -> model.safetensors.pwt\n")
    assert err == ""
    assert main(["restore", "model.safetensors.pwt", "-o", "again"]) == 0
    assert capsys.readouterr().out.startswith("model.safetensors.pwt -> again\n")
    assert Path("again").read_bytes() == model.read_bytes()


def test_folder_there_and_back(model: Path, capsys: Capture) -> None:
    folder = Path("repository")
    folder.mkdir()
    model.rename(folder / model.name)
    (folder / "config.json").write_text("{}")
    assert main(["compress", "repository", "-o", "small", "--quiet"]) == 0
    assert sorted(p.name for p in Path("small").iterdir()) == ["config.json", "model.safetensors.pwt"]
    assert main(["verify", "small", "--against", "repository"]) == 0
    assert main(["restore", "small", "-o", "again", "--quiet"]) == 0
    assert {p.name: p.read_bytes() for p in Path("again").iterdir()} == {
        p.name: p.read_bytes() for p in folder.iterdir()
    }
    assert main(["inspect", "small"]) == 0
    assert "model.safetensors.pwt" in capsys.readouterr().out


def test_reports_as_json(model: Path, capsys: Capture) -> None:
    made = report(capsys, "compress", "model.safetensors")
    assert made["n_bytes"] == model.stat().st_size
    assert made["stored_bytes"] == Path(made["output"]).stat().st_size
    assert report(capsys, "restore", made["output"], "-o", "again")["sha256"] == made["sha256"]
    assert report(capsys, "verify", made["output"])["ok"] is True
    tensors = report(capsys, "inspect", made["output"])["files"][0]["tensors"]
    assert {t["name"] for t in tensors} == {"layer.weight", "layer.bias", "step"}


def test_presets_differ(model: Path, capsys: Capture) -> None:
    assert report(capsys, "compress", "model.safetensors", "--preset", "fast", "-o", "f")["preset"] == "fast"
    assert report(capsys, "compress", "model.safetensors", "--no-sha256", "-o", "d")["sha256"] is None


@pytest.mark.parametrize("level", ["--fast", "--full", "--require-lossless"])
def test_verify_levels(packed: Path, capsys: Capture, level: str) -> None:
    assert main(["verify", str(packed), level]) == 0
    assert capsys.readouterr().out.startswith(f"{packed}: ok\n")


def test_inspect_fits_a_terminal(packed: Path, capsys: Capture) -> None:
    assert main(["inspect", str(packed), "--tensors"]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= text.WIDTH
    assert re.search(r"^layer\.weight +F32 +300x200 +240\.0 kB +[0-9.]+ % +[A-D]$", out, re.MULTILINE), out
    assert re.search(r"^step +I64 +scalar +8 B", out, re.MULTILINE), out


def test_extract(packed: Path, capsys: Capture) -> None:
    assert main(["extract", str(packed), "layer.weight"]) == 0
    assert capsys.readouterr().out == "layer.weight.npy: F32 as float32, shape (300, 200), 240.0 kB\n"
    assert np.array_equal(np.load("layer.weight.npy"), weights(60_000).reshape(300, 200))
    assert main(["extract", str(packed), "step", "-o", "s.npy"]) == 0
    assert np.load("s.npy") == 7


def test_bench(model: Path, capsys: Capture) -> None:
    found = report(capsys, "bench", "model.safetensors")
    assert [row["name"] for row in found["rows"]] == ["fast", "default", "zstd -3"]
    assert found["measured_bytes"] == model.stat().st_size
    assert main(["bench", "model.safetensors"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "memcpy" in out
    assert max(map(len, out.splitlines())) <= text.WIDTH


@pytest.mark.parametrize("arguments", [[], ["--help"], ["compress", "-h"]])
def test_help_fits_a_terminal(capsys: Capture, arguments: list[str]) -> None:
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "Usage: pennyweight" in out
    assert max(map(len, out.splitlines())) <= text.WIDTH


def test_version(capsys: Capture) -> None:
    assert main(["--version"]) == 0
    assert re.fullmatch(r"pennyweight \d+\.\d+\.\d+\S*\n", capsys.readouterr().out)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_progress_is_for_terminals_only(packed: Path) -> None:
    import pty
    import select
    import termios

    command = [sys.executable, "-m", "pennyweight", "verify", str(packed)]
    assert subprocess.run(command, capture_output=True, check=True).stderr == b""
    controller, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 80))
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=terminal, check=True)
    assert select.select([controller], [], [], 10)[0], "nothing was shown"
    assert b"B/s" in os.read(controller, 4096)
    os.close(terminal)
    os.close(controller)


# What does not


def test_usage(capsys: Capture) -> None:
    assert "'DST'" not in fails(capsys, 2, "compress")
    assert "--wrong" in fails(capsys, 2, "restore", "x", "--wrong")
    assert "nonsense" in fails(capsys, 2, "nonsense")
    assert "threads" in fails(capsys, 2, "compress", "x", "--threads", "0")


def test_unknown_preset(model: Path, capsys: Capture) -> None:
    assert "nonesuch" in fails(capsys, 2, "compress", str(model), "--preset", "nonesuch")


@pytest.mark.parametrize("command", ["compress", "restore", "verify", "inspect", "bench"])
def test_missing_source(command: str, capsys: Capture, tmp_path: Path) -> None:
    path = str(tmp_path / "nowhere.pwt")
    assert fails(capsys, 3, command, path).startswith(f"{path}: ")


@pytest.mark.parametrize("command", ["restore", "verify", "inspect"])
def test_foreign_file(command: str, model: Path, capsys: Capture) -> None:
    output = ["-o", "again"] if command == "restore" else []
    assert main([command, str(model), *output]) == 1
    assert re.fullmatch(r"pennyweight: model\.safetensors: [^\n]+\n", capsys.readouterr().err)


def test_target_that_exists(packed: Path, model: Path, capsys: Capture) -> None:
    before = packed.read_bytes()
    assert fails(capsys, 3, "compress", str(model)).startswith(f"{packed}: ")
    assert packed.read_bytes() == before
    assert main(["compress", str(model), "--force", "--quiet"]) == 0


def test_damage_is_named(packed: Path, capsys: Capture) -> None:
    data = bytearray(packed.read_bytes())
    data[len(data) // 2] ^= 1
    packed.write_bytes(data)
    for command in (["verify", str(packed)], ["restore", str(packed), "-o", "again"]):
        assert re.match(r"model\.safetensors\.pwt: tensor 'layer\.weight': ", fails(capsys, 1, *command))
    assert not list(Path().glob("*again*"))
    found = report(capsys, "verify", str(packed), code=1)
    assert found["ok"] is False
    assert found["problems"][0]["tensor"] == "layer.weight"


def test_verify_against_another_file(packed: Path, model: Path, capsys: Capture) -> None:
    data = bytearray(model.read_bytes())
    data[-1] ^= 1
    Path("other").write_bytes(data)
    fails(capsys, 1, "verify", str(packed), "--against", "other")


def test_newer_version(packed: Path, capsys: Capture) -> None:
    import xxhash

    data = bytearray(packed.read_bytes())
    data[8] = 9  # major
    data[32:40] = xxhash.xxh3_64_intdigest(data[:32]).to_bytes(8, "little")
    packed.write_bytes(data)
    assert fails(capsys, 4, "restore", str(packed), "-o", "again").startswith(f"{packed}: ")


def test_extract_unknown_tensor(packed: Path, capsys: Capture) -> None:
    assert "'layer.weight'" in fails(capsys, 2, "extract", str(packed), "layer.wieght")


def test_extract_keeps_what_is_there(packed: Path, capsys: Capture) -> None:
    Path("step.npy").write_text("mine")
    assert fails(capsys, 3, "extract", str(packed), "step").startswith("step.npy: ")
    assert Path("step.npy").read_text() == "mine"


def test_extract_stays_in_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    monkeypatch.chdir(inner)
    save_file({"../x": weights(4)}, "m")
    assert main(["compress", "m", "--quiet"]) == 0
    assert "-o" in fails(capsys, 2, "extract", "m.pwt", "../x")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["inner", "m", "m.pwt"]


def test_hostile_name_stays_on_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.chdir(tmp_path)
    save_file({"a\n\x1b[31mb": weights(4)}, "m")
    assert main(["compress", "m", "--quiet"]) == 0
    assert main(["inspect", "m.pwt", "--tensors"]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert r"a\n\x1b[31mb" in out


def test_closed_pipe_is_quiet(packed: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "pennyweight", "inspect", str(packed)]
    result = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert (result.returncode, result.stderr) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux only")
def test_full_disk_under_stdout(packed: Path) -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "pennyweight", "inspect", str(packed)]
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert result.returncode == 3
    assert re.fullmatch(r"pennyweight: standard output: [^\n]+\n", result.stderr)


def hearing(*arguments: str) -> list[str]:
    """A command that heeds signals even where this test's process ignores them: a background job, or under nohup."""
    heard = "import signal as s; s.signal(s.SIGINT, s.default_int_handler); s.signal(s.SIGHUP, s.SIG_DFL)"
    return [
        sys.executable,
        "-c",
        f"{heard}; import sys; from pennyweight.cli import main; sys.exit(main())",
        *arguments,
    ]


NOHUP = """
import os, signal, sys
signal.signal(signal.SIGHUP, signal.SIG_IGN)
from pennyweight import api, cli
inspect = api.inspect
def hang_up(*arguments, **options):
    os.kill(os.getpid(), signal.SIGHUP)
    return inspect(*arguments, **options)
api.inspect = hang_up
sys.exit(cli.main(["inspect", sys.argv[1]]))
"""


def test_nohup_is_heeded(packed: Path) -> None:
    result = subprocess.run([sys.executable, "-c", NOHUP, str(packed)], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")


def written(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_stopped_run_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    source = tmp_path / "big.safetensors"
    save_file({f"t{i}": weights(4_000_000, seed=i) for i in range(4)}, source)
    with subprocess.Popen(
        hearing("compress", str(source), "--threads", "1"), stderr=subprocess.PIPE, text=True
    ) as running:
        deadline = time.monotonic() + 30
        while not any(map(written, tmp_path.glob(".*"))) and running.poll() is None and time.monotonic() < deadline:
            time.sleep(0.001)
        running.send_signal(number)
        _, err = running.communicate(timeout=30)
    assert running.returncode == 128 + number, err
    assert re.fullmatch(r"pennyweight: [^\n]+\n", err), err
    assert [p.name for p in tmp_path.iterdir()] == ["big.safetensors"]


# Numbers and tables


@pytest.mark.parametrize(
    ("n_bytes", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.000 kB"),
        (45_442_040, "45.44 MB"),
        (999_949_999, "999.9 MB"),
        (999_950_000, "1.000 GB"),
        (2e15, "2.000 PB"),
    ],
)
def test_size(n_bytes: float, shown: str) -> None:
    assert text.size(n_bytes) == shown


def test_shortened_keeps_both_ends() -> None:
    assert text.shortened("model.layers.31.self_attn.q_proj.weight", 16) == "model.l…j.weight"
    assert text.shortened("short", 16) == "short"


def test_table_is_as_wide_as_it_must_be_for_a_pipe() -> None:
    assert text.table(("a", "b"), [("x" * 200, "1")]).splitlines()[1] == "x" * 200 + "  1"
