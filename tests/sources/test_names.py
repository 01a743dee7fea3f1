"""Names are counted as they are made: a short file can have a long one said of each of a million tensors."""

from __future__ import annotations

import pytest
from readings import comes_back, map_of, tensors_in

from pennyweight.pipeline.container import limits
from pennyweight.testing.onnx import field, onnx_graph, onnx_model
from pennyweight.testing.tflite import TFLiteTensor, tflite_model
from pennyweight.testing.torch import TorchStorage, TorchTensor, torch_dcp, torch_legacy, torch_tar, torch_zip
from pennyweight.types import DType

LONG = "n" * 500
STORAGES = {str(i): TorchStorage("FloatStorage", 4, bytes(16)) for i in range(3)}
VALUE = {LONG: [TorchTensor(key, (4,)) for key in STORAGES]}
ONE = {LONG: TorchTensor("0", (4,))}, {"0": STORAGES["0"]}
TENSOR = field(1, 16) + field(2, 3) + field(9, bytes(16))
NODE = field(2, LONG) + field(5, field(5, TENSOR)) * 3

FILES = {
    "torch-zip": torch_zip(VALUE, STORAGES),
    "torch-legacy": torch_legacy(VALUE, STORAGES),
    "torch-tar": torch_tar(VALUE, STORAGES),
    "torch-dcp": torch_dcp([ONE] * 3),
    "onnx": onnx_model(onnx_graph([], [NODE])),
    "tflite": tflite_model([[TFLiteTensor(LONG, DType.I8, (4,), i) for i in (1, 2, 3)]], [b"", *[bytes(4)] * 3]),
}


@pytest.mark.parametrize("name", FILES)
def test_longer_than_an_index_they_are_not_believed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = FILES[name]
    assert map_of(data).name == name
    assert len(tensors_in(data)) == 3
    monkeypatch.setattr(limits, "MAX_INDEX_BYTES", 1400)
    assert map_of(data).name == "opaque"
    monkeypatch.undo()
    assert comes_back(data)


def test_long_keys_of_storages_are_not_used_for_names() -> None:
    key = "9" * 65
    data = torch_zip([TorchTensor(key, (2,), 1), TorchTensor("0", (4,))], {key: STORAGES["0"], "0": STORAGES["0"]})
    assert list(tensors_in(data)) == ["1"]
    assert comes_back(data)
