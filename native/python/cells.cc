#include "pennyweight/cells.h"

#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <array>
#include <cstring>
#include <tuple>
#include <vector>

#include "buffers.h"

namespace pennyweight::python {

namespace {

using Planes = std::vector<std::tuple<size_t, size_t, uint32_t, size_t>>;

// Checked: within a cell, and as many numbers in each as in the first. Returns how many.
size_t check_planes(const Planes& planes, size_t cell_bytes) {
    size_t numbers = 0;
    uint32_t all_bits = 0;
    for (const auto& [at, n_bytes, bits, run] : planes) {
        require(bits == 1 || bits == 2 || bits == 4 || bits == 8, "bits of a plane are 1, 2, 4 or 8");
        require(run > 0 && n_bytes % run == 0 && n_bytes <= cell_bytes && at <= cell_bytes - n_bytes, "a plane does not fit its cell");
        require(numbers == 0 || n_bytes * 8 / bits == numbers, "planes of different numbers");
        numbers = n_bytes * 8 / bits;
        all_bits += bits;
    }
    require(all_bits <= 8, "numbers of more than a byte");
    return numbers;
}

Array take_planes_py(nb::handle cells, size_t cell_bytes, const Planes& planes) {
    Buffer in(cells);
    require(cell_bytes > 0 && in.size() % cell_bytes == 0, "cells are not whole");
    const size_t n_cells = in.size() / cell_bytes, n = n_cells * check_planes(planes, cell_bytes);
    Bytes numbers = allocate(n);
    {
        nb::gil_scoped_release release;
        std::memset(numbers.get(), 0, n);
        uint32_t shift = 0;
        for (const auto& [at, n_bytes, bits, run] : planes) {
            take_plane(in.data(), n_cells, cell_bytes, {at, n_bytes, bits, run}, shift, numbers.get());
            shift += bits;
        }
    }
    return to_array(std::move(numbers), n);
}

void put_planes_py(nb::handle numbers, size_t cell_bytes, const Planes& planes, nb::handle cells) {
    Buffer in(numbers), out(cells, true);
    require(cell_bytes > 0 && out.size() % cell_bytes == 0, "cells are not whole");
    const size_t n_cells = out.size() / cell_bytes;
    require(in.size() == n_cells * check_planes(planes, cell_bytes), "not the numbers of the cells");
    nb::gil_scoped_release release;
    uint32_t shift = 0;
    for (const auto& [at, n_bytes, bits, run] : planes) {
        put_plane(in.data(), n_cells, cell_bytes, {at, n_bytes, bits, run}, shift, out.data());
        shift += bits;
    }
}

Extremes extremes_of(const std::vector<std::vector<uint32_t>>& sets, size_t group) {
    Extremes made{};
    require(sets.size() <= kMaxSets, "too many sets of extremes");
    made.n_sets = sets.size();
    for (size_t s = 0; s < sets.size(); ++s) {
        require((sets[s].size() + 1) * group <= 256, "too many extremes for their place");
        made.size[s] = static_cast<uint8_t>(sets[s].size());
        for (size_t i = 0; i < sets[s].size(); ++i) {
            const uint32_t quant = sets[s][i];
            require(quant < 256 && made.set[quant] == 0, "an extreme twice");
            made.set[quant] = static_cast<uint8_t>(s + 1);
            made.number[quant] = static_cast<uint8_t>(i);
            made.quant[s][i] = static_cast<uint8_t>(quant);
        }
    }
    return made;
}

void check_classes(const Buffer& classes) {
    bool small = true;
    for (size_t i = 0; i < classes.size(); ++i) small &= classes.data()[i] < kGroupClasses;
    require(small, "a class is not below 16");
}

nb::object sort_quants_py(nb::handle quants, size_t group, nb::handle classes, const std::vector<std::vector<uint32_t>>& extremes) {
    Buffer in(quants), of(classes);
    require(group > 0 && in.size() == of.size() * group, "not a class for each group");
    check_classes(of);
    const Extremes sets = extremes_of(extremes, group);
    Bytes first = allocate(of.size() * sets.n_sets), left = allocate(in.size());
    size_t n_left;
    {
        nb::gil_scoped_release release;
        n_left = sort_quants(in.data(), of.size(), group, of.data(), sets, first.get(), left.get());
    }
    return nb::make_tuple(to_array(std::move(first), of.size() * sets.n_sets), to_array(std::move(left), n_left));
}

bool unsort_quants_py(nb::handle left, nb::handle first, size_t group, nb::handle classes,
                      const std::vector<std::vector<uint32_t>>& extremes, nb::handle out) {
    Buffer in(left), positions(first), of(classes), dst(out, true);
    require(group > 0 && dst.size() == of.size() * group, "not a class for each group");
    check_classes(of);
    const Extremes sets = extremes_of(extremes, group);
    require(positions.size() == of.size() * sets.n_sets, "not a first extreme for each group and set");
    nb::gil_scoped_release release;
    return unsort_quants(in.data(), in.size(), positions.data(), of.size(), group, of.data(), sets, dst.data());
}

// Where the elements of each class begin among those sorted by class.
std::array<size_t, 257> class_starts(const Buffer& classes) {
    std::array<size_t, 257> starts{};
    for (size_t i = 0; i < classes.size(); ++i) ++starts[classes.data()[i] + size_t{1}];
    for (size_t c = 0; c < 256; ++c) starts[c + 1] += starts[c];
    return starts;
}

Array sort_by_class_py(nb::handle values, nb::handle classes) {
    Buffer in(values), of(classes);
    require(in.size() == of.size(), "not a class for each value");
    Bytes sorted = allocate(in.size());
    {
        nb::gil_scoped_release release;
        auto next = class_starts(of);
        for (size_t i = 0; i < in.size(); ++i) sorted[next[of.data()[i]]++] = in.data()[i];
    }
    return to_array(std::move(sorted), in.size());
}

void unsort_by_class_py(nb::handle sorted, nb::handle classes, nb::handle out) {
    Buffer in(sorted), of(classes), dst(out, true);
    require(in.size() == of.size() && dst.size() == of.size(), "not a class for each value");
    nb::gil_scoped_release release;
    auto next = class_starts(of);
    for (size_t i = 0; i < of.size(); ++i) dst.data()[i] = in.data()[next[of.data()[i]]++];
}

}  // namespace

void bind_cells(nb::module_& m) {
    m.def("take_planes", &take_planes_py, nb::arg("cells"), nb::arg("cell_bytes"), nb::arg("planes"));
    m.def("put_planes", &put_planes_py, nb::arg("numbers"), nb::arg("cell_bytes"), nb::arg("planes"), nb::arg("cells"));
    m.def("sort_quants", &sort_quants_py, nb::arg("quants"), nb::arg("group"), nb::arg("classes"), nb::arg("extremes"));
    m.def("unsort_quants", &unsort_quants_py, nb::arg("left"), nb::arg("first"), nb::arg("group"), nb::arg("classes"), nb::arg("extremes"),
          nb::arg("out"));
    m.def("sort_by_class", &sort_by_class_py, nb::arg("values"), nb::arg("classes"));
    m.def("unsort_by_class", &unsort_by_class_py, nb::arg("sorted"), nb::arg("classes"), nb::arg("out"));
}

}  // namespace pennyweight::python
