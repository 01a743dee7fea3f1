#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cstring>
#include <string>
#include <vector>

#include "buffers.h"
#include "pennyweight/byteplane.h"
#include "pennyweight/kernels.h"
#include "pennyweight/price.h"

namespace pennyweight::python {

namespace {

std::vector<std::string> target_names() {
    const Kernels* list[3];
    const size_t n = available_targets(list);
    std::vector<std::string> names;
    for (size_t i = 0; i < n; ++i) names.emplace_back(list[i]->name);
    return names;
}

}  // namespace

void bind_targets(nb::module_& m) {
    m.def("targets", &target_names);
    m.def("target", [] { return std::string(kernels().name); });
    m.def(
        "set_target", [](const std::string& name) { require(!name.empty() && set_target(name.c_str()), "this CPU has no such target"); },
        nb::arg("name"));
    m.def(
        "equal",
        [](nb::handle a, nb::handle b) {
            Buffer x(a), y(b);
            nb::gil_scoped_release release;
            return x.size() == y.size() && std::memcmp(x.data(), y.data(), x.size()) == 0;
        },
        nb::arg("a"), nb::arg("b"));
    m.def(
        "is_constant",
        [](nb::handle src, size_t width) {
            Buffer in(src);
            require(width >= 1 && width <= 16 && in.size() > 0 && in.size() % width == 0, "src is not a whole number of elements");
            nb::gil_scoped_release release;
            return is_constant(in.data(), in.size(), width);
        },
        nb::arg("src"), nb::arg("width"));
    m.def(
        "repeats_percent",
        [](nb::handle src) {
            Buffer in(src);
            nb::gil_scoped_release release;
            return repeats_percent(in.data(), in.size());
        },
        nb::arg("src"));
}

}  // namespace pennyweight::python
