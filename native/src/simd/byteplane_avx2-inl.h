// Stage `byteplane` with AVX2, for widths 2, 4 and 8; other widths take the scalar loops.
// To be included by the one file that is compiled with -mavx2.
#pragma once

#include <immintrin.h>

#include "byteplane_passes-inl.h"

namespace pennyweight::avx2 {
namespace {

struct BytePlaneVector {
    using Register = __m256i;
    static constexpr size_t kBytes = 32;

    static Register load(const uint8_t* at) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)); }
    static void store(uint8_t* at, Register v) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(at), v); }

    static Register even_bytes(Register a, Register b) {
        const Register low = _mm256_set1_epi16(0x00FF);
        return in_order(_mm256_packus_epi16(_mm256_and_si256(a, low), _mm256_and_si256(b, low)));
    }

    static Register odd_bytes(Register a, Register b) {
        return in_order(_mm256_packus_epi16(_mm256_srli_epi16(a, 8), _mm256_srli_epi16(b, 8)));
    }

    // a[0] b[0] a[1] b[1] ...
    static void interleave(Register a, Register b, Register& first, Register& second) {
        const Register low = _mm256_unpacklo_epi8(a, b);
        const Register high = _mm256_unpackhi_epi8(a, b);
        first = _mm256_permute2x128_si256(low, high, 0x20);
        second = _mm256_permute2x128_si256(low, high, 0x31);
    }

    // A pack works within 128-bit lanes and leaves a0 b0 a1 b1.
    static Register in_order(Register v) { return _mm256_permute4x64_epi64(v, 0xD8); }
};

}  // namespace

inline void byteplane_split(const uint8_t* src, size_t n_bytes, size_t width, uint8_t* dst) {
    simd::byteplane_split<BytePlaneVector>(src, n_bytes, width, dst);
}

inline void byteplane_merge(const uint8_t* planes, size_t n_bytes, size_t width, uint8_t* dst) {
    simd::byteplane_merge<BytePlaneVector>(planes, n_bytes, width, dst);
}

}  // namespace pennyweight::avx2
