#include "pennyweight/piecewise.h"

#include <nanobind/stl/vector.h>

#include <cstring>
#include <numeric>

#include "buffers.h"

namespace pennyweight::python {

namespace {

nb::object piecewise_encode_py(nb::handle symbols, uint32_t bits) {
    require(bits == 4 || bits == 5 || bits == 8, "bits is 4, 5 or 8");
    Buffer in(symbols);
    require(in.size() > 0 && in.size() < size_t{1} << 31, "no symbols, or too many");
    Pieces pieces;
    bool valid, coded = false;
    {
        nb::gil_scoped_release release;
        valid = in_alphabet(in.data(), in.size(), bits);
        if (valid) coded = piecewise_encode(in.data(), in.size(), bits, &pieces);
    }
    require(valid, "a symbol is not below 2^bits");
    if (!coded) return nb::none();
    Bytes payload = allocate(pieces.payload.size());
    std::memcpy(payload.get(), pieces.payload.data(), pieces.payload.size());
    return nb::make_tuple(pieces.groups, nb::bytes(pieces.frequencies.data(), pieces.frequencies.size()),
                          to_array(std::move(payload), pieces.payload.size()));
}

bool piecewise_decode_py(const std::vector<uint32_t>& groups, nb::handle frequencies, nb::handle payload, uint32_t bits, nb::handle out) {
    require(bits == 4 || bits == 5 || bits == 8, "bits is 4, 5 or 8");
    Buffer header(frequencies), in(payload), dst(out, true);
    require(in.size() >= kStateBytes && in.size() % 2 == 0, "sizes do not fit");
    const size_t n_groups = std::accumulate(groups.begin(), groups.end(), size_t{0});
    require(n_groups == (dst.size() + kGroup - 1) / kGroup, "the pieces do not cover out");
    nb::gil_scoped_release release;
    return piecewise_decode(groups, header.data(), header.size(), in.data(), (in.size() - kStateBytes) / 2, bits, dst.data(), dst.size());
}

}  // namespace

void bind_piecewise(nb::module_& m) {
    m.def("piecewise_encode", &piecewise_encode_py, nb::arg("symbols"), nb::arg("bits"));
    m.def("piecewise_decode", &piecewise_decode_py, nb::arg("groups"), nb::arg("frequencies"), nb::arg("payload"), nb::arg("bits"),
          nb::arg("out"));
}

}  // namespace pennyweight::python
