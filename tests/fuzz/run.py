"""A target under atheris: its name, and options and folders of libFuzzer.

Or its name, --seeds, and a folder to write them to. Without a name: the names, a line each.
"""

from __future__ import annotations

import gc
import sys
import types
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from fuzz.bounds import bounded_memory
from fuzz.mutations import other_items
from fuzz.targets import TARGETS

_SEEN = "pennyweight", "spec_", "json.", "tomllib"
"""Modules whose branches guide it: of the core it sees nothing, but of the second decoder, which has the same rules."""


def main() -> None:
    name, *options = sys.argv[1:] or [""]
    if not name:
        print(*TARGETS, sep="\n")
    elif options[:1] == ["--seeds"]:
        for i, seed in enumerate(TARGETS[name].seeds()):
            Path(options[1], f"seed-{i}").write_bytes(seed)
    else:
        _fuzz(name, options)


def _fuzz(name: str, options: list[str]) -> None:
    import atheris

    # The hooks of an editable install are not atheris' own, and with those it sees nothing
    for each in gc.get_objects():
        module = (each.__module__ or "") if isinstance(each, types.FunctionType) else ""
        if module.startswith(_SEEN):
            atheris.instrument_func(each)

    def mutate(data: bytes, max_bytes: int, seed: int) -> bytes:
        return other_items(data, max_bytes, seed) if seed % 4 == 0 else atheris.Mutate(data, max_bytes)

    atheris.Setup([name, *options, f"-max_len={TARGETS[name].max_bytes}"], TARGETS[name].check, custom_mutator=mutate)
    with bounded_memory():
        atheris.Fuzz()


if __name__ == "__main__":
    main()
