#include "pennyweight/palette.h"

#include "buffers.h"

namespace pennyweight::python {

namespace {

nb::object palette_split_py(nb::handle src, size_t width) {
    Buffer in(src);
    require(width >= 1 && width <= kMaxPaletteWidth && in.size() % width == 0, "src is not a whole number of elements");
    Bytes values = allocate(kMaxPalette * width), indices = allocate(in.size() / width);
    size_t k;
    {
        nb::gil_scoped_release release;
        k = palette_split(in.data(), in.size(), width, values.get(), indices.get());
    }
    if (k == 0) return nb::none();
    return nb::make_tuple(to_array(std::move(values), k * width), to_array(std::move(indices), in.size() / width));
}

bool palette_merge_py(nb::handle values, size_t width, nb::handle indices, nb::handle out) {
    Buffer v(values), i(indices), dst(out, true);
    require(width >= 1 && width <= kMaxPaletteWidth && v.size() % width == 0, "values are not whole elements");
    const size_t k = v.size() / width;
    require(k >= 1 && k <= kMaxPalette && dst.size() == i.size() * width, "sizes do not fit");
    nb::gil_scoped_release release;
    return palette_merge(v.data(), k, width, i.data(), i.size(), dst.data());
}

}  // namespace

void bind_palette(nb::module_& m) {
    m.def("palette_split", &palette_split_py, nb::arg("src"), nb::arg("width"));
    m.def("palette_merge", &palette_merge_py, nb::arg("values"), nb::arg("width"), nb::arg("indices"), nb::arg("out"));
}

}  // namespace pennyweight::python
