#include "buffers.h"
#include "pennyweight/kernels.h"

namespace pennyweight::python {

namespace {

Array byteplane_split_py(nb::handle src, size_t width) {
    Buffer in(src);
    require(width >= 2 && width <= 16 && in.size() % width == 0, "src is not a whole number of elements");
    Bytes out = allocate(in.size());
    {
        nb::gil_scoped_release release;
        kernels().byteplane_split(in.data(), in.size(), width, out.get());
    }
    return to_array(std::move(out), in.size());
}

void byteplane_merge_py(nb::handle planes, size_t width, nb::handle out) {
    Buffer in(planes), dst(out, true);
    require(width >= 2 && width <= 16 && in.size() % width == 0 && dst.size() == in.size(), "sizes do not fit");
    nb::gil_scoped_release release;
    kernels().byteplane_merge(in.data(), in.size(), width, dst.data());
}

}  // namespace

void bind_byteplane(nb::module_& m) {
    m.def("byteplane_split", &byteplane_split_py, nb::arg("src"), nb::arg("width"));
    m.def("byteplane_merge", &byteplane_merge_py, nb::arg("planes"), nb::arg("width"), nb::arg("out"));
}

}  // namespace pennyweight::python
