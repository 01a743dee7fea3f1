"""Lets test files import the spec decoder and encoder: with --import-mode=importlib nothing else does."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes `each_target` runs once on every target of this CPU."""
    if "each_target" in metafunc.fixturenames:
        from pennyweight import native

        metafunc.parametrize("each_target", native.targets(), indirect=True)


@pytest.fixture
def each_target(request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of the target, which is in use until the test ends."""
    from pennyweight import native

    before = native.target()
    native.set_target(request.param)
    yield request.param
    native.set_target(before)
