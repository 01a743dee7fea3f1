"""Small sound files of every format, for a fuzzer to begin with."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import samples
from fuzz.of_sources import member

from pennyweight.testing.gguf import gguf_file, quantised_cells
from pennyweight.testing.npy import npy_file
from pennyweight.testing.onnx import field, onnx_branch, onnx_constant, onnx_graph, onnx_model, onnx_tensor
from pennyweight.testing.tflite import TFLiteTensor, tflite_model
from pennyweight.testing.torch import (
    TorchStorage,
    TorchTensor,
    torch_dcp,
    torch_legacy,
    torch_pickle,
    torch_tar,
    torch_zip,
    zip_file,
)
from pennyweight.types import DType

RAW = bytes(range(64))
STORAGES = {
    "0": TorchStorage("FloatStorage", 4, RAW),
    "1": TorchStorage("UntypedStorage", 1, RAW[:24]),
    "2": TorchStorage("BFloat16Storage", 2, RAW[:32]),
}
VALUES: list[tuple[Any, str]] = [
    (
        {"w": TorchTensor("0", (4, 4)), "b": TorchTensor("0", (4,), 4), "f": TorchTensor("1", (24,), dtype="uint16")},
        "01",
    ),
    ({"w": TorchTensor("0", (4, 4), strides=(1, 4)), "state": [3, -1, None, TorchTensor("2", (2, 3), 5)]}, "02"),
    (TorchTensor("2", (16,)), "2"),
]
"""What torch saves, and the keys of its storages."""


def safetensors() -> list[bytes]:
    several = samples.safetensors(
        ("a", "BF16", (2, 4), RAW[:16]), ("ä.b", "F4", (3, 2), RAW[:3]), ("c", "I8", (), b"!")
    )
    header = json.dumps({"__metadata__": {"format": "pt"}, "n": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}})
    return [samples.safetensors(), several, len(header).to_bytes(8, "little") + header.encode()]


def gguf() -> list[bytes]:
    cells = {dtype: quantised_cells(dtype, 2) for dtype in (DType.Q4_0, DType.Q6_K)}
    tensors = {dtype.label: (dtype, (2, dtype.weights), raw) for dtype, raw in cells.items()}
    return [gguf_file({"w": (DType.F32, (4, 4), RAW)}), gguf_file({**tensors, "n": (DType.BF16, (8,), RAW[:16])})]


def torch_zips() -> list[bytes]:
    return [torch_zip(value, storages(keys)) for value, keys in VALUES] + [torch_zip([], {})]


def torch_legacies() -> list[bytes]:
    return [torch_legacy(value, storages(keys)) for value, keys in VALUES]


def torch_tars() -> list[bytes]:
    part = torch_tar([TorchTensor("part", (2, 2), 1)], storages("02"), {"part": ("2", 4, 6)})
    return [*(torch_tar(value, storages(keys)) for value, keys in VALUES[1:]), part]


def torch_dcps() -> list[bytes]:
    return [torch_dcp([(VALUES[2][0], storages("2")), ({}, {})]), torch_dcp([(VALUES[1][0], storages("02"))] * 2)]


def pickles() -> list[bytes]:
    return [torch_pickle(value, storages(keys), legacy=old) for value, keys in VALUES for old in (False, True)]


def storages(keys: str) -> dict[str, TorchStorage]:
    return {key: STORAGES[key] for key in keys}


def npy() -> list[bytes]:
    return [
        npy_file("<f4", (4, 4), RAW),
        npy_file("|u1", (8, 2), RAW[:16], fortran_order=True, version=2),
        npy_file("<V2", (), RAW[:2], version=3),
    ]


def npz() -> list[bytes]:
    def archive(save: Callable[..., None]) -> bytes:
        out = io.BytesIO()
        save(out, np.arange(6, dtype="<f4"), b=np.zeros((2, 2), "<i2"))
        return out.getvalue()

    return [archive(np.savez), archive(np.savez_compressed), zip_file({"a.npy": npy()[0], "b.npy": npy()[1]})]


def members() -> list[bytes]:
    torch = member("a/data.pkl", torch_pickle(VALUES[2][0], storages("2"))) + member("a/data/2", RAW[:32])
    script = (
        torch + member("a/constants.pkl", torch_pickle(VALUES[2][0], storages("2"))) + member("a/constants/2", RAW[:32])
    )
    keras = member("config.json", b"{}") + member("model.weights.h5", b"\x89HDF\r\n\x1a\n" + RAW)
    return [torch + member("a/byteorder", b"little"), script, member("x.npy", npy()[0]), keras]


def tflite() -> list[bytes]:
    a, b = TFLiteTensor("a", DType.F32, (2, 2), 1), TFLiteTensor("b", DType.F16, (1, 8), 2)
    return [
        tflite_model([[a, b]], [b"", RAW[:16], RAW[16:32]]),
        tflite_model([[a], [b, TFLiteTensor("a", 17, (8,), 3)]], [b"", RAW[:16]], behind=[RAW[:16], RAW[:4]]),
    ]


def onnx() -> list[bytes]:
    a, b = onnx_tensor("a", DType.F32, (2, 2), RAW[:16]), onnx_tensor("b", DType.F64, (2,), RAW[:16], packed=True)
    inner = onnx_graph([a], [onnx_constant("c", onnx_tensor("", 22, (32,), RAW[:16]))])
    sparse = field(15, field(1, a) + field(2, b) + field(3, 100))
    return [onnx_model(onnx_graph([a])), onnx_model(onnx_graph([a, b], [onnx_branch("y", inner)], more=sparse))]


def runs() -> list[bytes]:
    weights = np.random.default_rng(8).standard_normal(240) * 0.02
    kinds = [weights.astype(kind).tobytes() for kind in ("<f8", "<f4", "<f2")] + [samples.bf16(500), RAW]
    return [n.to_bytes(2, "little") + kind for kind in kinds for n in (31, 0xFFFF)]


def answer() -> list[bytes]:
    return [json.dumps([["w", "F32", [2, 3], 8, 24], ["/a/b", "U8", [], 40, 1]]).encode(), b"[]"]
