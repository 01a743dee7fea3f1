// The Python module: checks sizes, allocates results, releases the GIL. The only C++ here that knows Python; see _core.pyi.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <array>
#include <cstring>
#include <memory>
#include <numeric>
#include <stdexcept>

#include "pennyweight/byteplane.h"
#include "pennyweight/bytes.h"
#include "pennyweight/frame.h"
#include "pennyweight/huffman.h"

namespace nb = nanobind;
using namespace pennyweight;

namespace {

// A contiguous buffer of any Python object, held while a call runs without the GIL.
class Buffer {
 public:
    Buffer(nb::handle object, bool writable = false) {
        if (PyObject_GetBuffer(object.ptr(), &view_, writable ? PyBUF_WRITABLE : PyBUF_SIMPLE) != 0) throw nb::python_error();
    }
    ~Buffer() { PyBuffer_Release(&view_); }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;

    uint8_t* data() const { return static_cast<uint8_t*>(view_.buf); }
    size_t size() const { return static_cast<size_t>(view_.len); }

 private:
    Py_buffer view_;
};

void require(bool condition, const char* message) {
    if (!condition) throw std::invalid_argument(message);
}

using Array = nb::ndarray<nb::numpy, uint8_t, nb::ndim<1>>;
using Bytes = std::unique_ptr<uint8_t[]>;

Bytes allocate(size_t n) { return Bytes(new uint8_t[n == 0 ? 1 : n]); }

Array to_array(Bytes bytes, size_t n) {
    uint8_t* data = bytes.release();
    nb::capsule owner(data, [](void* p) noexcept { delete[] static_cast<uint8_t*>(p); });
    return Array(data, {n}, owner);
}

const FloatTraits& traits_of(uint32_t format, uint32_t symbol_bits) {
    const FloatTraits* traits = format < 256 ? float_traits(static_cast<uint8_t>(format)) : nullptr;
    require(traits != nullptr, "no such float format");
    require(symbol_bits == 4 || symbol_bits == 5, "symbol_bits is 4 or 5");
    return *traits;
}

size_t total(const std::vector<size_t>& sizes) {
    size_t sum = 0;
    for (const size_t n : sizes) {
        require(n <= kMaxBlockBytes, "a block or frame is at most 2^20 bytes");
        sum += n;
    }
    return sum;
}

std::vector<std::string> target_names() {
    const Kernels* list[3];
    const size_t n = available_targets(list);
    std::vector<std::string> names;
    for (size_t i = 0; i < n; ++i) names.emplace_back(list[i]->name);
    return names;
}

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

nb::object rans_encode_py(nb::handle symbols, uint32_t symbol_bits) {
    Buffer in(symbols);
    require(symbol_bits == 4 || symbol_bits == 5, "symbol_bits is 4 or 5");
    const size_t n = in.size();
    uint8_t packed[kMaxAlphabet * 3 / 2];
    Bytes payload;
    size_t payload_bytes = 0;
    bool coded = false, valid = true;
    {
        nb::gil_scoped_release release;
        uint32_t counts[256] = {};
        byte_histogram(in.data(), n, counts);
        for (uint32_t s = 1u << symbol_bits; s < 256; ++s) valid &= counts[s] == 0;
        uint16_t frequency[kMaxAlphabet];
        if (valid && normalize_frequencies(counts, symbol_bits, frequency)) {
            RansTable table;
            auto encode_table = std::make_unique<RansEncodeTable>();
            build_rans_table(frequency, symbol_bits, &table);
            build_rans_encode_table(table, encode_table.get());
            pack_frequencies(frequency, symbol_bits, packed);
            // Vector kernels read whole groups of symbols: give them a copy with room to read.
            Bytes padded = allocate(n + kGroup), words = allocate(2 * n + 256);
            std::memcpy(padded.get(), in.data(), n);
            uint8_t states[kStateBytes];
            RansEncodeJob job{encode_table.get(), padded.get(), n, words.get() + 2 * n + 256, states, 0};
            kernels().rans_encode(&job, 1);
            payload_bytes = kStateBytes + 2 * job.n_words;
            payload = allocate(payload_bytes);
            std::memcpy(payload.get(), states, kStateBytes);
            std::memcpy(payload.get() + kStateBytes, job.words_end - 2 * job.n_words, 2 * job.n_words);
            coded = true;
        }
    }
    require(valid, "a symbol is not below 2^symbol_bits");
    if (!coded) return nb::none();
    return nb::make_tuple(nb::bytes(packed, packed_frequency_bytes(symbol_bits)), to_array(std::move(payload), payload_bytes));
}

bool rans_decode_py(nb::handle frequencies, nb::handle payload, uint32_t symbol_bits, nb::handle out) {
    require(symbol_bits == 4 || symbol_bits == 5, "symbol_bits is 4 or 5");
    Buffer packed(frequencies), in(payload), dst(out, true);
    require(packed.size() == packed_frequency_bytes(symbol_bits), "sizes do not fit");
    require(in.size() >= kStateBytes && in.size() % 2 == 0, "sizes do not fit");
    nb::gil_scoped_release release;
    uint16_t frequency[kMaxAlphabet];
    RansTable table;
    unpack_frequencies(packed.data(), symbol_bits, frequency);
    if (!build_rans_table(frequency, symbol_bits, &table)) return false;
    return kernels().rans_decode(table, in.data(), (in.size() - kStateBytes) / 2, dst.data(), dst.size());
}

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

std::vector<size_t> encode_float_blocks_py(nb::handle src, const std::vector<size_t>& sizes, uint32_t format, uint32_t symbol_bits,
                                           nb::handle dst) {
    Buffer in(src), out(dst, true);
    const FloatTraits& traits = traits_of(format, symbol_bits);
    const size_t bytes = total(sizes);
    require(in.size() == bytes && out.size() >= bytes, "sizes do not fit");
    for (const size_t n : sizes) require(n % traits.bytes == 0, "a block is not a whole number of weights");
    std::vector<size_t> frames(sizes.size());
    nb::gil_scoped_release release;
    encode_float_blocks(kernels(), in.data(), sizes.data(), sizes.size(), static_cast<FloatFormat>(format), symbol_bits, out.data(),
                        frames.data());
    return frames;
}

std::vector<bool> decode_blocks_py(nb::handle src, const std::vector<size_t>& frames, const std::vector<size_t>& sizes, nb::handle out,
                                   bool stream) {
    Buffer in(src), dst(out, true);
    require(frames.size() == sizes.size(), "a size for each frame");
    require(std::accumulate(frames.begin(), frames.end(), size_t{0}) == in.size() && total(sizes) == dst.size(), "sizes do not fit");
    auto decoded = std::make_unique<bool[]>(frames.size() + 1);
    {
        nb::gil_scoped_release release;
        decode_blocks(kernels(), in.data(), frames.data(), sizes.data(), frames.size(), dst.data(), stream, decoded.get());
    }
    return std::vector<bool>(decoded.get(), decoded.get() + frames.size());
}

}  // namespace

NB_MODULE(_core, m) {
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
    m.def("byteplane_split", &byteplane_split_py, nb::arg("src"), nb::arg("width"));
    m.def("byteplane_merge", &byteplane_merge_py, nb::arg("planes"), nb::arg("width"), nb::arg("out"));
    m.def("floatfields_split", &floatfields_split_py, nb::arg("src"), nb::arg("format"), nb::arg("symbol_bits"));
    m.def("floatfields_merge", &floatfields_merge_py, nb::arg("format"), nb::arg("symbol_bits"), nb::arg("base"), nb::arg("exponent"),
          nb::arg("sign_mantissa"), nb::arg("low"), nb::arg("patches"), nb::arg("out"));
    m.def("rans_encode", &rans_encode_py, nb::arg("symbols"), nb::arg("symbol_bits"));
    m.def("rans_decode", &rans_decode_py, nb::arg("frequencies"), nb::arg("payload"), nb::arg("symbol_bits"), nb::arg("out"));
    m.def("huffman_encode", &huffman_encode_py, nb::arg("src"));
    m.def("huffman_decode", &huffman_decode_py, nb::arg("lengths"), nb::arg("sizes"), nb::arg("payload"), nb::arg("out"));
    m.def("encode_float_blocks", &encode_float_blocks_py, nb::arg("src"), nb::arg("sizes"), nb::arg("format"), nb::arg("symbol_bits"),
          nb::arg("dst"));
    m.def("decode_blocks", &decode_blocks_py, nb::arg("src"), nb::arg("frames"), nb::arg("sizes"), nb::arg("out"),
          nb::arg("stream") = false);
}
