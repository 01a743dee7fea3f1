"""Where frames are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


class Places(NamedTuple):
    """Where frames are in the container, and the XXH3-64 that each must have: (n,) each."""

    begins: Ints
    ends: Ints
    digests: NDArray[np.uint64]

    def part(self, first: int, last: int | None = None) -> Places:
        """Those of first <= frame < last."""
        return Places(self.begins[first:last], self.ends[first:last], self.digests[first:last])
