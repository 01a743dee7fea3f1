"""What the stage pages say of decoding: the second half of spec_decoder.py, and just as far from the package.

A stage is named as its page is. Each is a function from a header, the decoded size and the side frames to a `Stage`.
"""

from __future__ import annotations

from spec_cells import ggml
from spec_entropy import huffman, piecewise, rans, zstd
from spec_predictor import linear_predictor
from spec_scales import scales
from spec_split import bitpack, byteplane, constant, floatfields, group, palette, transpose
from spec_wire import Read

STAGES: dict[int, tuple[str, Read | None]] = {
    0: ("store", None),
    1: ("constant", constant),
    2: ("byteplane", byteplane),
    3: ("floatfields", floatfields),
    4: ("rans", rans),
    5: ("huffman", huffman),
    6: ("zstd", zstd),
    7: ("bitpack", bitpack),
    8: ("palette", palette),
    9: ("group", group),
    10: ("scales", scales),
    11: ("linear_predictor", linear_predictor),
    12: ("transpose", transpose),
    13: ("ggml", ggml),
    14: ("piecewise", piecewise),
}
