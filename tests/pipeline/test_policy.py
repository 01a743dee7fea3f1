from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from pennyweight.errors import UsageError
from pennyweight.pipeline.plan import parse
from pennyweight.pipeline.policy import load_preset, plan_texts
from pennyweight.types import DType

MINIMAL = 'name = "mine"\ndescription = "."\nblock_bytes = 1024\n[plans]\n'


@pytest.mark.parametrize("name", ["fast", "default"])
def test_shipped_presets_cover_every_dtype(name: str) -> None:
    preset = load_preset(name)
    assert preset.name == name
    assert preset.block_bytes == 262144
    plans = preset.resolve()
    assert plans.keys() == {*DType, None}
    assert all(str(row[0]) == "constant" and len(row) > 1 for row in plans.values())


def test_plans_of_the_issue() -> None:
    fast, default = load_preset("fast").resolve(), load_preset("default").resolve()
    for dtype in (DType.BF16, DType.F16, DType.F32, DType.F64):
        assert fast[dtype][1] == parse("floatfields[bits=4](exponent: rans)", dtype)
    for dtype in (DType.BF16, DType.F16):
        assert default[dtype][1] == parse("floatfields[bits=5](exponent: rans)", dtype)
    for dtype in (DType.F32, DType.F64):
        assert default[dtype][1] == parse("floatfields[bits=5](exponent: rans, low: byteplane(*: huffman))", dtype)


def test_a_file_of_the_user(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(MINIMAL + 'U8 = ["zstd[level=9]"]\n"*" = ["constant"]\n')
    plans = load_preset(path).resolve()
    assert load_preset(str(path)).resolve() == plans
    assert [str(plan) for plan in plans[DType.U8]] == ["zstd[level=9]"]
    assert [str(plan) for plan in plans[DType.F32]] == ["constant"]
    assert plans[None] == ()
    assert plan_texts(plans, [None, DType.U8, DType.U8]) == {"U8": ["zstd[level=9]"], "gap": []}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "name: Field required"),
        ("name = ", "Invalid value"),
        (MINIMAL.replace("1024", "1000"), "block_bytes"),
        (MINIMAL.replace("1024", "1280.0"), "block_bytes"),
        (MINIMAL.replace("1024", "524544"), "block_bytes"),
        (MINIMAL.replace("1024", "1025"), "block_bytes"),
        ("speed = 9\n" + MINIMAL, "speed: Extra inputs"),
        (MINIMAL + "U8 = 'zstd'\n", "plans.U8"),
        (MINIMAL + "U9 = ['zstd']\n", "no dtype 'U9'"),
        (MINIMAL + "U8 = ['lzma']\n", "plan 'lzma' for U8: no stage 'lzma'"),
        (MINIMAL + "'*' = ['byteplane']\n", "plan 'byteplane' for BOOL"),
        (MINIMAL + "gap = ['floatfields[bits=4]']\n", "for a gap: floatfields needs"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"bad\.toml: ") as caught:
        load_preset(path)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_preset_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no preset 'turbo': there are .*default.*fast"):
        load_preset("turbo")
    with pytest.raises(UsageError, match=r"none\.toml: No such file"):
        load_preset(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b"name = '\xe9'")
    with pytest.raises(UsageError, match=r"latin\.toml: "):
        load_preset(tmp_path / "latin.toml")


def test_presets_do_not_change() -> None:
    with pytest.raises(ValidationError):
        load_preset("fast").block_bytes = 1024  # type: ignore[misc]
