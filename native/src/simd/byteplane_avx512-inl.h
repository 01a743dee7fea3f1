// Stage `byteplane` with AVX-512 VBMI, for widths 2, 4 and 8; other widths take the scalar loops.
// To be included by the one file that is compiled with -mavx512vbmi.
#pragma once

#include <immintrin.h>

#include "byteplane_passes-inl.h"

namespace pennyweight::avx512 {
namespace {

// Byte numbers for a permute of two registers.
struct alignas(64) BytePlaneIndex {
    uint8_t even[64], odd[64], first[64], second[64];
};

constexpr BytePlaneIndex make_byteplane_index() {
    BytePlaneIndex index{};
    for (unsigned i = 0; i < 64; ++i) {
        index.even[i] = static_cast<uint8_t>(2 * i);
        index.odd[i] = static_cast<uint8_t>(2 * i + 1);
        index.first[i] = static_cast<uint8_t>(i / 2 + i % 2 * 64);
        index.second[i] = static_cast<uint8_t>(32 + i / 2 + i % 2 * 64);
    }
    return index;
}

constexpr BytePlaneIndex kBytePlaneIndex = make_byteplane_index();

struct BytePlaneVector {
    using Register = __m512i;
    static constexpr size_t kBytes = 64;

    static Register load(const uint8_t* at) { return _mm512_loadu_si512(at); }
    static void store(uint8_t* at, Register v) { _mm512_storeu_si512(at, v); }

    static Register even_bytes(Register a, Register b) { return permute(a, kBytePlaneIndex.even, b); }
    static Register odd_bytes(Register a, Register b) { return permute(a, kBytePlaneIndex.odd, b); }

    // a[0] b[0] a[1] b[1] ...
    static void interleave(Register a, Register b, Register& first, Register& second) {
        first = permute(a, kBytePlaneIndex.first, b);
        second = permute(a, kBytePlaneIndex.second, b);
    }

    static Register permute(Register a, const uint8_t* index, Register b) { return _mm512_permutex2var_epi8(a, load(index), b); }
};

}  // namespace

inline void byteplane_split(const uint8_t* src, size_t n_bytes, size_t width, uint8_t* dst) {
    simd::byteplane_split<BytePlaneVector>(src, n_bytes, width, dst);
}

inline void byteplane_merge(const uint8_t* planes, size_t n_bytes, size_t width, uint8_t* dst) {
    simd::byteplane_merge<BytePlaneVector>(planes, n_bytes, width, dst);
}

}  // namespace pennyweight::avx512
