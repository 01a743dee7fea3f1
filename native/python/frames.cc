#include <nanobind/stl/vector.h>

#include <numeric>
#include <vector>

#include "buffers.h"
#include "pennyweight/frame.h"

namespace pennyweight::python {

namespace {

size_t total(const std::vector<size_t>& sizes) {
    size_t sum = 0;
    for (const size_t n : sizes) {
        require(n <= kMaxBlockBytes, "a block or frame is at most 2^22 bytes");
        sum += n;
    }
    return sum;
}

std::vector<size_t> encode_float_blocks_py(nb::handle src, const std::vector<size_t>& sizes, uint32_t format, uint32_t bits,
                                           uint32_t sign_mantissa, uint32_t low, nb::handle dst) {
    Buffer in(src), out(dst, true);
    const FloatTraits* traits = format < 256 ? float_traits(static_cast<uint8_t>(format)) : nullptr;
    require(traits != nullptr && (bits == 4 || bits == 5), "no such float format");
    require(sign_mantissa < 4 && low < 4, "a plan beside the exponent is 0 to 3");
    const FloatPlan plan{static_cast<FloatFormat>(format), bits, static_cast<Beside>(sign_mantissa), static_cast<Beside>(low)};
    const size_t bytes = total(sizes);
    require(in.size() == bytes && out.size() >= bytes, "sizes do not fit");
    for (const size_t n : sizes) require(n % traits->bytes == 0, "a block is not a whole number of weights");
    std::vector<size_t> frames(sizes.size());
    nb::gil_scoped_release release;
    encode_float_blocks(kernels(), in.data(), sizes.data(), sizes.size(), plan, out.data(), frames.data());
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

void bind_frames(nb::module_& m) {
    m.def("encode_float_blocks", &encode_float_blocks_py, nb::arg("src"), nb::arg("sizes"), nb::arg("format"), nb::arg("bits"),
          nb::arg("sign_mantissa"), nb::arg("low"), nb::arg("dst"));
    m.def("decode_blocks", &decode_blocks_py, nb::arg("src"), nb::arg("frames"), nb::arg("sizes"), nb::arg("out"),
          nb::arg("stream") = false);
}

}  // namespace pennyweight::python
