// Symbols, sign_mantissa and low bytes of 16 weights into the weights. Included by targets/avx2.cc only.
#pragma once

#include <immintrin.h>

#include "float_shape-inl.h"
#include "pennyweight/bytes.h"

namespace pennyweight::avx2 {

// Field i of eight starts at bit h i of h bytes: take the two bytes it may touch, push it to the top, pull it down.
template <uint32_t h>
struct FieldOrder {
    alignas(32) uint8_t bytes[32];
    alignas(32) uint16_t push[16];

    constexpr FieldOrder() : bytes(), push() {
        for (uint32_t i = 0; i < 16; ++i) {
            const uint32_t bit = h * (i % 8);
            bytes[2 * i] = static_cast<uint8_t>(i / 8 * h + bit / 8);
            bytes[2 * i + 1] = static_cast<uint8_t>(bytes[2 * i] + 1);
            push[i] = static_cast<uint16_t>(1u << (16 - h - bit % 8));
        }
    }
};
template <uint32_t h>
inline constexpr FieldOrder<h> kFieldOrder;

template <typename Shape>
struct Merge {
    static constexpr uint32_t h = Shape::h;

    __m256i base;  // the window's first symbol value as the weight's field: base, or 2 base

    void load(uint32_t first_exponent) { base = _mm256_set1_epi16(static_cast<short>(first_exponent << (Shape::kJoint ? 1 : 0))); }

    // Up to two bytes more than the fields are read: those of the next node, which is always there.
    __attribute__((always_inline)) static __m256i read_high(const uint8_t* high) {
        __m128i bytes;
        if constexpr (h == 2) {
            bytes = _mm_cvtsi32_si128(load_le<int32_t>(high));
        } else if constexpr (h == 3) {
            bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(high));
        } else {
            bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(high));
        }
        if constexpr (h == 8) return _mm256_cvtepu8_epi16(bytes);
        const __m256i order = _mm256_load_si256(reinterpret_cast<const __m256i*>(kFieldOrder<h>.bytes));
        const __m256i push = _mm256_load_si256(reinterpret_cast<const __m256i*>(kFieldOrder<h>.push));
        return _mm256_srli_epi16(_mm256_mullo_epi16(_mm256_shuffle_epi8(_mm256_broadcastsi128_si256(bytes), order), push), 16 - h);
    }

    __attribute__((always_inline)) void store(__m128i symbols, const uint8_t* high_bytes, const uint8_t* low, uint8_t* out) const {
        constexpr int kBelow = Shape::kTopBytes == 2 ? 0 : 8;  // bits of a u16 that are not the top's
        const __m256i high = read_high(high_bytes);
        const __m256i field = _mm256_add_epi16(_mm256_cvtepu8_epi16(symbols), base);
        const __m256i mantissa = _mm256_and_si256(high, _mm256_set1_epi16(Shape::kMantissaMask));
        const __m256i sign = _mm256_slli_epi16(_mm256_srli_epi16(high, h - 1), 15);
        __m256i w = _mm256_or_si256(sign, _mm256_slli_epi16(field, h - 1 + kBelow));
        w = _mm256_or_si256(w, _mm256_slli_epi16(mantissa, kBelow));
        if constexpr (Shape::kLowBytes == 1) {
            w = _mm256_or_si256(w, _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(low))));
        }
        __m256i* const to = reinterpret_cast<__m256i*>(out);
        if constexpr (Shape::kBytes == 2) {
            _mm256_storeu_si256(to, w);
        } else {
            const __m256i lows = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(low));
            const __m256i a = _mm256_unpacklo_epi16(lows, w), b = _mm256_unpackhi_epi16(lows, w);
            _mm256_storeu_si256(to, _mm256_permute2x128_si256(a, b, 0x20));
            _mm256_storeu_si256(to + 1, _mm256_permute2x128_si256(a, b, 0x31));
        }
    }
};

}  // namespace pennyweight::avx2
