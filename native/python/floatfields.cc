#include "pennyweight/floatfields.h"

#include <cstring>

#include "buffers.h"
#include "pennyweight/bitpack.h"
#include "pennyweight/kernels.h"

namespace pennyweight::python {

namespace {

constexpr size_t kSpare = 256;

const FloatTraits& traits_of(uint32_t format) {
    const FloatTraits* traits = format < 256 ? float_traits(static_cast<uint8_t>(format)) : nullptr;
    require(traits != nullptr, "no such float format");
    return *traits;
}

// The kernels have sign_mantissa packed, streams have it in bytes: between them stands a bitpack part of one run.
Bytes unpacked(const Bytes& packed, size_t n, uint32_t h) {
    Bytes bytes = allocate(n);
    for (size_t i = 0; i < n; i += kBitpackGroup) {
        const size_t c = n - i < kBitpackGroup ? n - i : kBitpackGroup;
        bitpack_unpack_group(packed.get() + i / 8 * h, c, 1, h, 0, bytes.get() + i);
    }
    return bytes;
}

bool keys_exist(FloatFormat format, uint32_t symbols) { return symbols != 17 || format != FloatFormat::kE5M2; }

nb::tuple split_keys_py(const Buffer& in, FloatFormat format, uint32_t symbols, size_t n) {
    const size_t n_low = n * key_traits(format, symbols).low_bytes;
    Bytes keys = allocate(2 * n), high = allocate(n), low = allocate(n_low);
    {
        nb::gil_scoped_release release;
        kernels().split_keys(format, symbols, in.data(), n, keys.get(), high.get(), low.get());
    }
    return nb::make_tuple(symbols, 0, to_array(std::move(keys), 2 * n), to_array(std::move(high), n), to_array(std::move(low), n_low),
                          to_array(allocate(0), 0));
}

nb::object floatfields_split_py(nb::handle src, uint32_t format, uint32_t bits) {
    Buffer in(src);
    const FloatTraits& traits = traits_of(format);
    require(bits == 4 || bits == 5 || bits == 16 || bits == 17, "bits is 4, 5, 16 or 17");
    require(keys_exist(static_cast<FloatFormat>(format), bits), "no signed keys of this format");
    const size_t n = in.size() / traits.bytes;
    require(in.size() % traits.bytes == 0 && n < (bits >= 16 ? kMaxKeyedWeights : kMaxWeights) && n > 0, "src is not a block of weights");
    if (bits >= 16) return split_keys_py(in, static_cast<FloatFormat>(format), bits, n);
    const size_t n_low = n * traits.low_bytes;
    Bytes symbols = allocate(n + kSpare), high = allocate(n + kSpare), low = allocate(n_low + kSpare);
    Bytes patches = allocate(n / kWeightsPerPatch * 4 + kSpare);
    FloatParts parts{static_cast<FloatFormat>(format), bits, 0, 0, n, symbols.get(), high.get(), low.get(), patches.get()};
    size_t n_patches;
    {
        nb::gil_scoped_release release;
        auto counts = std::make_unique<uint32_t[]>(kWindowCounts);
        uint32_t symbol_counts[kMaxAlphabet];
        choose_window(in.data(), traits, n, bits, counts.get(), &parts);
        n_patches = kernels().split(in.data(), parts, symbol_counts);
        if (n_patches != SIZE_MAX) high = unpacked(high, n, high_bits(traits, parts.symbol_kind));
    }
    if (n_patches == SIZE_MAX) return nb::none();
    return nb::make_tuple(parts.symbol_kind, parts.base, to_array(std::move(symbols), n), to_array(std::move(high), n),
                          to_array(std::move(low), n_low), to_array(std::move(patches), 4 * n_patches));
}

bool floatfields_merge_py(uint32_t format, uint32_t symbols, uint32_t base, nb::handle exponent, nb::handle sign_mantissa, nb::handle low,
                          nb::handle patches, nb::handle out) {
    const FloatTraits& traits = traits_of(format);
    const FloatFormat kind = static_cast<FloatFormat>(format);
    const bool keys = symbols == 16 || symbols == 17;
    require(keys || (symbols >= 4 && symbols <= 6), "symbols is 4, 5, 6, 16 or 17");
    require(keys_exist(kind, symbols), "no signed keys of this format");
    Buffer e(exponent), h(sign_mantissa), l(low), p(patches), dst(out, true);
    const size_t n = h.size(), k = keys ? key_traits(kind, symbols).low_bytes : traits.low_bytes;
    require(n < (keys ? kMaxKeyedWeights : kMaxWeights) && dst.size() == n * traits.bytes && e.size() == (keys ? 2 * n : n),
            "sizes do not fit");
    require(l.size() == n * k && p.size() % 4 == 0, "sizes do not fit");
    require(keys || base + (1u << window_bits(symbols)) <= 1u << traits.exponent_bits, "the window does not fit the exponent");
    nb::gil_scoped_release release;
    if (keys) return p.size() == 0 && kernels().merge_keys(kind, symbols, e.data(), h.data(), l.data(), n, dst.data());
    const uint32_t high = high_bits(traits, symbols);
    Bytes zeros = allocate(bitpack_groups(n)), packed = allocate(n + kSpare);
    if (bitpack_scan(h.data(), n, 1, zeros.get()) > high) return false;
    std::memset(zeros.get(), 0, bitpack_groups(n));
    bitpack_pack(kernels(), zeros.get(), h.data(), n, 1, high, packed.get());
    const FloatParts parts{kind, symbols, base, 0, n, e.data(), packed.get(), l.data(), p.data()};
    return kernels().merge(parts, dst.data()) && apply_patches(traits, n, p.data(), p.size() / 4, dst.data());
}

}  // namespace

void bind_floatfields(nb::module_& m) {
    m.def("floatfields_split", &floatfields_split_py, nb::arg("src"), nb::arg("format"), nb::arg("bits"));
    m.def("floatfields_merge", &floatfields_merge_py, nb::arg("format"), nb::arg("symbols"), nb::arg("base"), nb::arg("exponent"),
          nb::arg("sign_mantissa"), nb::arg("low"), nb::arg("patches"), nb::arg("out"));
}

}  // namespace pennyweight::python
