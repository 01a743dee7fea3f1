#include "pennyweight/bitpack.h"

#include "buffers.h"

namespace pennyweight::python {

namespace {

void require_shape(const Buffer& elements, uint32_t width) {
    require(width >= 1 && width <= 8, "width is 1 to 8");
    require(elements.size() > 0 && elements.size() % width == 0, "not a whole number of elements");
}

nb::object bitpack_pack_py(nb::handle src, uint32_t width) {
    Buffer in(src);
    require_shape(in, width);
    const size_t n = in.size() / width;
    Bytes zeros = allocate(bitpack_groups(n)), runs = allocate(bitpack_runs_capacity(n)), out;
    size_t n_runs_bytes, n_bytes = 0;
    uint32_t h;
    {
        nb::gil_scoped_release release;
        h = bitpack_scan(in.data(), n, width, zeros.get());
        n_runs_bytes = bitpack_write_runs(zeros.get(), n, width, h, runs.get());
        if (n_runs_bytes > 0) {
            out = allocate(in.size() + 8);
            n_bytes = bitpack_pack(kernels(), zeros.get(), in.data(), n, width, h, out.get());
        }
    }
    if (n_runs_bytes == 0) return nb::none();
    return nb::make_tuple(h, nb::bytes(runs.get(), n_runs_bytes), to_array(std::move(out), n_bytes));
}

nb::object bitpack_part_bytes_py(nb::handle runs, size_t n, uint32_t h) {
    Buffer in(runs);
    const size_t n_bytes = bitpack_part_bytes(in.data(), in.size(), n, h);
    return n_bytes == SIZE_MAX ? nb::none() : nb::object(nb::int_(n_bytes));
}

void bitpack_unpack_py(nb::handle runs, nb::handle bits, uint32_t width, uint32_t h, nb::handle out) {
    Buffer r(runs), in(bits), dst(out, true);
    require_shape(dst, width);
    require(h >= 1 && h <= 8 * width, "h is 1 to 8 width");
    const size_t n = dst.size() / width;
    require(bitpack_part_bytes(r.data(), r.size(), n, h) == in.size(), "the runs do not fit");
    nb::gil_scoped_release release;
    bitpack_unpack(kernels(), r.data(), r.size(), in.data(), n, width, h, dst.data());
}

}  // namespace

void bind_bitpack(nb::module_& m) {
    m.def("bitpack_pack", &bitpack_pack_py, nb::arg("src"), nb::arg("width"));
    m.def("bitpack_part_bytes", &bitpack_part_bytes_py, nb::arg("runs"), nb::arg("n"), nb::arg("h"));
    m.def("bitpack_unpack", &bitpack_unpack_py, nb::arg("runs"), nb::arg("bits"), nb::arg("width"), nb::arg("h"), nb::arg("out"));
}

}  // namespace pennyweight::python
