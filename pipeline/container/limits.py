"""Every bound of docs/format.md, in one place. A reader compares with these before it allocates anything."""

from __future__ import annotations

from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

MAX_INT: Final = (1 << 63) - 1
"""Largest size, offset or dimension."""

MAX_INDEX_BYTES: Final = 64 << 20
"""Of the index, stored and raw, each."""

MAX_JSON_BYTES: Final = 32 << 20
"""Of the JSON of the index, and of the description, stored and raw, each. Models take up to 13 times that in memory."""

MAX_KEYS: Final = 256
"""Of an object in the JSON; `plans` has the most, one for each dtype."""

MAX_SEGMENTS: Final = 1_000_000
MAX_NAME_BYTES: Final = 4096
MAX_RANK: Final = 64

MIN_BLOCK_BYTES: Final = 1024
MAX_BLOCK_BYTES: Final = 2_097_152
BLOCK_MULTIPLE: Final = 256

MAX_SIDE_BYTES: Final = 1_048_576
"""Of a side frame, decoded."""

MAX_SIDE_FRAMES: Final = 1_000_000
MAX_ALL_SIDE_BYTES: Final = 64 << 20

MAX_BATCH_FRAMES: Final = 512
"""Behind one marker."""

MAX_FRAMES: Final = MAX_INDEX_BYTES // 12
"""More an index has no room for."""

T = TypeVar("T", int, NDArray[np.int64])


def max_node_bytes(block: T) -> T:
    """Bytes that no node in the frame of such a block may pass, stored or decoded: docs/format.md section 2."""
    return 2 * block + 1024
