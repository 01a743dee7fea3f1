"""For tests, ours and those of others: checks that every stage must pass, streams to pass them on, and small files.

Needs `hypothesis`, which is no dependency of the package: import it in tests only.
"""

from __future__ import annotations

from pennyweight.testing.stages import check_stage
from pennyweight.testing.streams import byte_streams, float_streams, special_floats

__all__ = ["byte_streams", "check_stage", "float_streams", "special_floats"]
