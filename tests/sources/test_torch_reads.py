"""torch itself, where `make frameworks` installed it, writes what is understood, and reads what was restored."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from readings import map_of, restored, tensors_in

from pennyweight.pipeline.sources import Gap
from pennyweight.testing.torch import TorchStorage, TorchTensor, torch_legacy, torch_zip

torch = pytest.importorskip("torch", reason="`make frameworks` installs it")

SAVES: dict[str, Callable[..., None]] = {
    "zip": torch.save,
    "protocol 4": lambda value, out: torch.save(value, out, pickle_protocol=4),
    "legacy": lambda value, out: torch.save(value, out, _use_new_zipfile_serialization=False),
}
saves = pytest.mark.parametrize("save", SAVES.values(), ids=list(SAVES))
DTYPES = ["float64", "float32", "float16", "bfloat16", "complex64", "int64", "int32", "int16", "int8", "uint8", "bool"]
LATER = ["float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e8m0fnu", "uint16", "uint32", "uint64"]


def saved(value: Any, save: Callable[..., None] = torch.save) -> bytes:
    out = io.BytesIO()
    save(value, out)
    return out.getvalue()


def loaded(data: bytes) -> Any:
    """By torch, from what was restored."""
    return torch.load(io.BytesIO(restored(data)), weights_only=True)


def raw(tensor: Any) -> bytes:
    array: bytes = tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    return array


def random(dtype: str, *shape: int) -> Any:
    """Any bits, of booleans 0 and 1."""
    kind = getattr(torch, dtype)
    n = int(np.prod(shape)) * kind.itemsize
    bits = np.random.default_rng(n).integers(0, 2 if dtype == "bool" else 256, n, np.uint8)
    return torch.from_numpy(bits).view(kind).reshape(shape)


@saves
def test_every_dtype_is_found_and_is_read_again(save: Callable[..., None]) -> None:
    value = {dtype: random(dtype, 3, 5) for dtype in DTYPES + (LATER if save is not SAVES["legacy"] else [])}
    data = saved(value, save)
    found = tensors_in(data)
    assert {name: (shape, held) for name, (_, shape, held) in found.items()} == {
        name: ((3, 5), raw(tensor)) for name, tensor in value.items()
    }
    if save is not SAVES["protocol 4"]:  # which torch does not read with weights_only
        assert all(raw(tensor) == raw(value[name]) for name, tensor in loaded(data).items())


@saves
def test_a_training_state_is_named_by_its_parts(save: Callable[..., None]) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(8, 4), torch.nn.BatchNorm1d(4))
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(2, 8)).sum().backward()
    optimizer.step()
    value = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 1}
    found = tensors_in(saved(value, save))
    assert found["model.0.weight"][1:] == ((4, 8), raw(model[0].weight))
    assert found["optimizer.state.0.exp_avg"][1:] == ((4, 8), raw(optimizer.state[model[0].weight]["exp_avg"]))
    assert "optimizer.state.3.exp_avg_sq" in found


@saves
def test_storages_that_are_shared_are_stored_once(save: Callable[..., None]) -> None:
    base = torch.arange(24.0)
    views = {"a": base[:12].view(3, 4), "b": base[16:], "part": base[3:5], "t": torch.ones(2, 3).t()}
    shapes = {name: shape for name, (_, shape, _) in tensors_in(saved(views, save)).items()}
    assert {shapes.pop(name) for name in shapes.keys() - views.keys()} == {(4,)}  # between a and b
    assert shapes == {"a": (3, 4), "b": (8,), "t": (2, 3)}
    whole = tensors_in(saved({**views, "parameter": torch.nn.Parameter(base)}, save))
    assert set(whole) == {"parameter", "t"}


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_script_is_understood() -> None:
    module = torch.jit.script(torch.nn.Linear(3, 2))
    out = io.BytesIO()
    torch.jit.save(module, out)
    found = tensors_in(out.getvalue())
    assert {name: shape for name, (_, shape, _) in found.items()} == {"weight": (2, 3), "bias": (2,)}
    again = torch.jit.load(io.BytesIO(restored(out.getvalue())))
    assert raw(again.weight) == raw(module.weight)


def test_a_module_saved_whole_is_understood() -> None:
    assert tensors_in(saved(torch.nn.Linear(3, 2)))["_parameters.weight"][1] == (2, 3)


@pytest.mark.parametrize("write", [torch_zip, torch_legacy])
def test_torch_reads_what_the_generators_write(write: Callable[..., bytes]) -> None:
    array = np.arange(24, dtype="f4")
    storages = {
        "0": TorchStorage("FloatStorage", 4, array.tobytes()),
        "1": TorchStorage("BFloat16Storage", 2, bytes(8)),
    }
    value = {
        "w": [TorchTensor("0", (4, 6)), TorchTensor("0", (2, 3), 6, (1, 2))],
        "b": TorchTensor("1", (4,)),
        "n": (1, -2, 2**40, None),
    }
    data = write(value, storages)
    again = loaded(data)
    assert again["n"] == value["n"]
    assert raw(again["w"][0]) == array.tobytes()
    assert again["w"][1].tolist() == array[6:12].reshape(3, 2).T.tolist()
    assert again["b"].dtype is torch.bfloat16
    assert any(not isinstance(segment, Gap) for segment in map_of(data).segments)
