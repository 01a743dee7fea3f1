// The Python module: checks sizes, allocates results, releases the GIL. The only C++ that knows Python is in this folder; see _core.pyi.
#include "buffers.h"

NB_MODULE(_core, m) {
    using namespace pennyweight::python;
    bind_targets(m);
    bind_bitpack(m);
    bind_byteplane(m);
    bind_floatfields(m);
    bind_palette(m);
    bind_rans(m);
    bind_piecewise(m);
    bind_cells(m);
    bind_huffman(m);
    bind_predictor(m);
    bind_scales(m);
    bind_predictor_fit(m);
    bind_frames(m);
}
