#include "pennyweight/byteplane.h"

#include <cstring>

namespace pennyweight {
namespace {

// With the width known the compiler can vectorise; 0 stands for a width known at run time only.
template <size_t kWidth>
void split(const uint8_t* __restrict src, size_t n_elements, size_t run_width, uint8_t* __restrict dst) {
    const size_t width = kWidth == 0 ? run_width : kWidth;
    for (size_t i = 0; i < n_elements; ++i) {
        for (size_t j = 0; j < width; ++j) dst[j * n_elements + i] = src[i * width + j];
    }
}

template <size_t kWidth>
void merge(const uint8_t* __restrict planes, size_t n_elements, size_t run_width, uint8_t* __restrict dst) {
    const size_t width = kWidth == 0 ? run_width : kWidth;
    for (size_t i = 0; i < n_elements; ++i) {
        for (size_t j = 0; j < width; ++j) dst[i * width + j] = planes[j * n_elements + i];
    }
}

}  // namespace

void byteplane_split(const uint8_t* src, size_t n_bytes, size_t width, uint8_t* dst) {
    const size_t n_elements = n_bytes / width;
    switch (width) {
        case 2: return split<2>(src, n_elements, width, dst);
        case 4: return split<4>(src, n_elements, width, dst);
        case 8: return split<8>(src, n_elements, width, dst);
        default: return split<0>(src, n_elements, width, dst);
    }
}

void byteplane_merge(const uint8_t* planes, size_t n_bytes, size_t width, uint8_t* dst) {
    const size_t n_elements = n_bytes / width;
    switch (width) {
        case 2: return merge<2>(planes, n_elements, width, dst);
        case 4: return merge<4>(planes, n_elements, width, dst);
        case 8: return merge<8>(planes, n_elements, width, dst);
        default: return merge<0>(planes, n_elements, width, dst);
    }
}

bool is_constant(const uint8_t* src, size_t n_bytes, size_t width) {
    return n_bytes >= width && n_bytes % width == 0 && std::memcmp(src, src + width, n_bytes - width) == 0;
}

}  // namespace pennyweight
