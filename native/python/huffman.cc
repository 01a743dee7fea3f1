#include <nanobind/stl/tuple.h>

#include "buffers.h"
#include "pennyweight/huffman.h"

namespace pennyweight::python {

namespace {

nb::object huffman_encode_py(nb::handle src) {
    Buffer in(src);
    uint8_t lengths[256];
    uint32_t sizes[4];
    Bytes out;
    bool coded;
    {
        nb::gil_scoped_release release;
        uint32_t counts[256];
        byte_histogram(in.data(), in.size(), counts);
        coded = huffman_lengths(counts, lengths);
        if (coded) {
            out = allocate(huffman_capacity(in.size()));
            huffman_encode(in.data(), in.size(), lengths, sizes, out.get());
        }
    }
    if (!coded) return nb::none();
    const size_t n = size_t{sizes[0]} + sizes[1] + sizes[2] + sizes[3];
    return nb::make_tuple(nb::bytes(lengths, 256), nb::make_tuple(sizes[0], sizes[1], sizes[2], sizes[3]), to_array(std::move(out), n));
}

bool huffman_decode_py(nb::handle lengths, std::tuple<uint32_t, uint32_t, uint32_t, uint32_t> sizes, nb::handle payload, nb::handle out) {
    Buffer l(lengths), in(payload), dst(out, true);
    require(l.size() == 256, "256 lengths");
    const auto [a, b, c, d] = sizes;
    const uint32_t streams[4] = {a, b, c, d};
    nb::gil_scoped_release release;
    return huffman_decode(l.data(), streams, in.data(), in.size(), dst.data(), dst.size());
}

}  // namespace

void bind_huffman(nb::module_& m) {
    m.def("huffman_encode", &huffman_encode_py, nb::arg("src"));
    m.def("huffman_decode", &huffman_decode_py, nb::arg("lengths"), nb::arg("sizes"), nb::arg("payload"), nb::arg("out"));
}

}  // namespace pennyweight::python
