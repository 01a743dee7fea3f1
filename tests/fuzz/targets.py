"""What is fuzzed in Python: each a function that takes any bytes and returns, or raises what it must not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from fuzz import of_containers, of_frames, of_salvage, of_sources, of_texts, seeds_of_sources
from fuzz.of_sources import of_format

from pennyweight.pipeline.sources import gguf, npy, npz, onnx, tflite, torch_dcp, torch_legacy, torch_zip

FINDINGS: Final = Path(__file__).parent / "findings"
"""A folder for each target: what was found once, and mended since."""


class Target(NamedTuple):
    """seeds: sound inputs. n: mutations that its test tries, about two seconds. max_bytes: of what a fuzzer makes."""

    check: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]
    n: int = 6000
    max_bytes: int = 2048

    def kept(self, name: str) -> list[bytes]:
        """What was found."""
        return [path.read_bytes() for path in sorted((FINDINGS / name).glob("*"))]


TARGETS: Final = {
    "container_open": Target(of_containers.check, of_containers.seeds, n=2500, max_bytes=4096),
    "salvage": Target(of_salvage.check, of_salvage.seeds, n=1000, max_bytes=4096),
    "frame": Target(of_frames.check, of_frames.seeds),
    "plan": Target(of_texts.check_plan, of_texts.plans, max_bytes=1024),
    "preset": Target(of_texts.check_preset, of_texts.presets, n=1500, max_bytes=8192),
    "manifest": Target(of_texts.check_manifest, of_texts.manifests, n=3000),
    "subset": Target(of_texts.check_subset, of_texts.subsets, max_bytes=64),
    "safetensors": Target(of_sources.check_safetensors, seeds_of_sources.safetensors),
    "gguf": Target(of_format(gguf.read), seeds_of_sources.gguf),
    "torch_zip": Target(of_format(torch_zip.read), seeds_of_sources.torch_zips, max_bytes=4096),
    "torch_dcp": Target(of_format(torch_dcp.read), seeds_of_sources.torch_dcps, max_bytes=4096),
    "torch_legacy": Target(of_format(torch_legacy.read), seeds_of_sources.torch_legacies),
    "torch_tar": Target(of_sources.check_tar, seeds_of_sources.torch_tars, n=3000, max_bytes=16_384),
    "pickle": Target(of_sources.check_pickle, seeds_of_sources.pickles),
    "zip_members": Target(of_sources.check_members, seeds_of_sources.members),
    "npy": Target(of_format(npy.read), seeds_of_sources.npy),
    "npz": Target(of_format(npz.read), seeds_of_sources.npz),
    "hdf5_answer": Target(of_sources.check_answer, seeds_of_sources.answer),
    "tflite": Target(of_format(tflite.read), seeds_of_sources.tflite),
    "onnx": Target(of_format(onnx.read), seeds_of_sources.onnx),
    "float_runs": Target(of_sources.check_runs, seeds_of_sources.runs, n=3000, max_bytes=8192),
}
