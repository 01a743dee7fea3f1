#include "buffers.h"
#include "pennyweight/kernels.h"

namespace pennyweight::python {

namespace {

const FloatTraits& traits_of(uint32_t format, uint32_t symbol_bits) {
    const FloatTraits* traits = format < 256 ? float_traits(static_cast<uint8_t>(format)) : nullptr;
    require(traits != nullptr, "no such float format");
    require(symbol_bits == 4 || symbol_bits == 5, "symbol_bits is 4 or 5");
    return *traits;
}

nb::object floatfields_split_py(nb::handle src, uint32_t format, uint32_t symbol_bits) {
    Buffer in(src);
    const FloatTraits& traits = traits_of(format, symbol_bits);
    const size_t n = in.size() / traits.bytes;
    require(in.size() % traits.bytes == 0 && n < kMaxWeights && n > 0, "src is not a block of weights");
    constexpr size_t kSpare = 256;
    const size_t n_high = sign_mantissa_bytes(n, high_bits(traits, symbol_bits)), n_low = n * traits.low_bytes;
    Bytes symbols = allocate(n + kSpare), high = allocate(n_high + kSpare), low = allocate(n_low);
    Bytes patches = allocate(n / kWeightsPerPatch * 4 + kSpare);
    FloatParts parts{static_cast<FloatFormat>(format), symbol_bits, 0, 0, n, symbols.get(), high.get(), low.get(), patches.get()};
    size_t n_patches;
    {
        nb::gil_scoped_release release;
        uint32_t counts[kWindowCounts], symbol_counts[kMaxAlphabet];
        choose_window(in.data(), traits, n, counts, &parts);
        n_patches = kernels().split(in.data(), parts, symbol_counts);
    }
    if (n_patches == SIZE_MAX) return nb::none();
    return nb::make_tuple(parts.base, to_array(std::move(symbols), n), to_array(std::move(high), n_high), to_array(std::move(low), n_low),
                          to_array(std::move(patches), 4 * n_patches));
}

bool floatfields_merge_py(uint32_t format, uint32_t symbol_bits, uint32_t base, nb::handle exponent, nb::handle sign_mantissa,
                          nb::handle low, nb::handle patches, nb::handle out) {
    const FloatTraits& traits = traits_of(format, symbol_bits);
    Buffer e(exponent), h(sign_mantissa), l(low), p(patches), dst(out, true);
    const size_t n = e.size();
    require(n < kMaxWeights && dst.size() == n * traits.bytes, "sizes do not fit");
    require(h.size() == sign_mantissa_bytes(n, high_bits(traits, symbol_bits)) && l.size() == n * traits.low_bytes, "sizes do not fit");
    require(p.size() % 4 == 0 && base + kWindow <= 1u << traits.exponent_bits, "sizes do not fit");
    const FloatParts parts{static_cast<FloatFormat>(format), symbol_bits, base, 0, n, e.data(), h.data(), l.data(), p.data()};
    nb::gil_scoped_release release;
    return kernels().merge(parts, dst.data()) && apply_patches(traits, n, p.data(), p.size() / 4, dst.data());
}

}  // namespace

void bind_floatfields(nb::module_& m) {
    m.def("floatfields_split", &floatfields_split_py, nb::arg("src"), nb::arg("format"), nb::arg("symbol_bits"));
    m.def("floatfields_merge", &floatfields_merge_py, nb::arg("format"), nb::arg("symbol_bits"), nb::arg("base"), nb::arg("exponent"),
          nb::arg("sign_mantissa"), nb::arg("low"), nb::arg("patches"), nb::arg("out"));
}

}  // namespace pennyweight::python
