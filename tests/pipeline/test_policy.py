from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from pennyweight.errors import UsageError
from pennyweight.pipeline import executor
from pennyweight.pipeline.frame import encode_frame
from pennyweight.pipeline.policy import load_preset, plan_texts
from pennyweight.types import DType

MINIMAL = 'name = "mine"\ndescription = "."\nblock_bytes = 1024\n[plans]\n'


@pytest.mark.parametrize("name", ["fast", "default", "high", "archive"])
def test_shipped_presets_cover_every_dtype(name: str) -> None:
    preset = load_preset(name)
    assert preset.name == name
    assert preset.block_bytes == {"high": 524_288, "archive": 2_097_152}.get(name, 262_144)
    plans = preset.resolve()
    assert plans.keys() == {*DType, None}
    assert all(str(row[0]) == "constant" and len(row) > 1 for row in plans.values())


def test_floats_have_the_fast_path_but_in_high() -> None:
    for dtype in (DType.BF16, DType.F16, DType.F32, DType.F64, DType.C64):
        for name, bits in (("fast", 4), ("default", 5)):
            plans = [plan for plan in load_preset(name).resolve()[dtype] if not isinstance(plan.stage, executor.QUICK)]
            fused = executor._fused(plans[0])
            assert fused is not None
            assert fused.stage.bits == bits


def sample(dtype: DType, kind: str) -> NDArray[np.uint8]:
    """A block of 48 KiB, weights of several scales or what the kind says."""
    rng = np.random.default_rng(11)
    n = 49_152 * 8 // max(8, dtype.bits)
    if kind == "few":
        return rng.choice(rng.integers(0, 256, (9, max(1, dtype.bits // 8)), np.uint8), n).reshape(-1)
    if kind == "noise":
        return rng.integers(0, 256, 49_152, np.uint8)
    values = rng.standard_normal((96, n // 96)) * np.exp2(rng.integers(-3, 4, (96, 1))) * 0.02
    if dtype is DType.BF16:
        return np.ascontiguousarray(values.astype("<f4").view("<u2")[:, 1::2]).reshape(-1).view(np.uint8)
    if dtype.bits == 8 or dtype is DType.C64:
        kinds = values.astype("<f2").view(np.uint8)[:, 1::2] if dtype.bits == 8 else values.astype("<f4").view(np.uint8)
        return np.ascontiguousarray(kinds).reshape(-1)
    return values.astype(f"<f{dtype.bits // 8}").reshape(-1).view(np.uint8)


@pytest.mark.parametrize("kind", ["weights", "few", "noise"])
@pytest.mark.parametrize("dtype", [d for d in DType if d.label.startswith(("F", "BF", "C")) and d.bits >= 8])
def test_presets_are_points_of_one_curve(dtype: DType, kind: str) -> None:
    """On the same block, the higher one is not larger."""
    block = sample(dtype, kind)
    fast, default, high, archive = (
        encode_frame(load_preset(name).resolve()[dtype], block).size for name in ("fast", "default", "high", "archive")
    )
    assert archive <= high <= default <= fast + 8  # a header may have some bytes more
    if kind == "weights":
        assert fast < block.size
    assert (fast == block.size + 2) is (kind == "noise")


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
        (MINIMAL.replace("1024", "2097408"), "block_bytes"),
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
