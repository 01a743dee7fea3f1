// What decoder and model pass of `linear_predictor` make of predictions, 16 lanes in a vector: levels, predictions as far as they matter
// and all that follows from them have 16 bits. Included by targets/avx2.cc only.
#pragma once

#include <immintrin.h>

#include "../scalar/predictor.h"
#include "predictor_bands_avx2-inl.h"

namespace pennyweight::avx2 {

// For each residual scale and class but the first: the smallest magnitude of a prediction that reaches it, less 1. 32767 is never passed.
struct ClassEdges {
    alignas(64) int32_t of_scale[256][16];  // twice in each: words are broadcast by way of a shuffle, these by the load alone

    constexpr ClassEdges() : of_scale() {
        for (int32_t x = -128; x < 128; ++x) {
            const scalar::PlaceScale scale = scalar::place_scale(x);
            for (uint32_t c = 0; c < kPredictorClasses - 1; ++c) {
                const int64_t least = ((int64_t{scalar::kThresholds[c]} << scale.shift) + scale.factor - 1) / scale.factor;
                of_scale[x + 128][c] = 0x10001 * static_cast<int32_t>(least > 32768 ? 32767 : least - 1);
            }
        }
    }
};
inline constexpr ClassEdges kClassEdges;

// The constants of a place. In memory, where instructions take them from: compilers that know their values make some anew for each use.
struct LaneConstants {
    __m256i one = _mm256_set1_epi16(1), three = _mm256_set1_epi16(3), four = _mm256_set1_epi16(4), seven = _mm256_set1_epi16(7);
    __m256i eight = _mm256_set1_epi16(8), eleven = _mm256_set1_epi16(11), fifteen = _mm256_set1_epi16(15), low_six = _mm256_set1_epi16(63);
    __m256i top = _mm256_set1_epi16(-32768), least = _mm256_set1_epi16(-32767);
    __m256i phases = _mm256_set1_epi16(kPredictorClasses << kPredictorBits);
    __m256i float_bias = _mm256_set1_epi16(8 * 127 - 8 + 88);
    __m256i mantissa = _mm256_set1_epi16(static_cast<int16_t>(9 << 12));
    // Bytes of a shuffle that takes word i of eight from i, and byte i + 8, mod 16, beside byte i.
    __m256i words = _mm256_set1_epi16(0x0202), high_byte = _mm256_set1_epi16(0x0100), eight_on = _mm256_set1_epi16(0x0800);
    __m256i eighths = _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(scalar::kEighths)));
    __m256i powers = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, -128, 64, 32, 16, 8, 4, 2, 1));
    __m256i symbol_mask = _mm256_set1_epi32((1 << kPredictorBits) - 1), offset_mask = _mm256_set1_epi32(0x3f80);
    __m256i low_half = _mm256_set1_epi32(0xffff), low_one = _mm256_set1_epi32(1);

    LaneConstants() { asm("" : "+m"(*this)); }
};

struct PlaceLanes {
    __m256i negative[kHalves];  // u < 0, all ones
    __m256i level[kHalves];  // L
    __m256i reference[kHalves];  // R
    __m256i context[kHalves];  // shifted by the bits of a symbol

    template <bool kPredicted>
    __attribute__((always_inline)) void make(const LaneConstants& of, const __m256i u[kQuarters], const int16_t* row_levels, int32_t column,
                                             int32_t residual) {
        const __m256i columns = _mm256_set1_epi16(static_cast<int16_t>(column));
        for (int h = 0; h < kHalves; ++h) {
            level[h] = _mm256_add_epi16(_mm256_load_si256(reinterpret_cast<const __m256i*>(row_levels) + h), columns);
            if constexpr (kPredicted) {
                predicted(of, h, _mm256_packs_epi32(u[2 * h], u[2 * h + 1]), residual);
            } else {
                reference[h] = level[h];
                negative[h] = _mm256_setzero_si256();
                context[h] = _mm256_mullo_epi16(_mm256_and_si256(reference[h], of.seven), of.phases);
            }
        }
    }

    __attribute__((always_inline)) void predicted(const LaneConstants& of, int h, __m256i u, int32_t residual) {
        const __m256i a = _mm256_abs_epi16(_mm256_max_epi16(u, of.least));
        const int32_t* const edges = kClassEdges.of_scale[residual + 128];
        __m256i above[kPredictorClasses - 1];  // -1 for each class reached
#pragma GCC unroll 11
        for (uint32_t c = 0; c < kPredictorClasses - 1; ++c) above[c] = _mm256_cmpgt_epi16(a, _mm256_set1_epi32(edges[c]));
        const __m256i far = above[scalar::kSwitchClass - 1];
#pragma GCC unroll 4
        for (uint32_t step = 1; step < kPredictorClasses - 1; step *= 2) {
#pragma GCC unroll 6
            for (uint32_t c = 0; c + step < kPredictorClasses - 1; c += 2 * step) above[c] = _mm256_add_epi16(above[c], above[c + step]);
        }
        // A float has the logarithm in its exponent, the eighths in the top of its mantissa; a is far below 2^24, so it is exact.
        const __m256i zero = _mm256_setzero_si256();
        const __m256i low = _mm256_castps_si256(_mm256_cvtepi32_ps(_mm256_unpacklo_epi16(a, zero)));
        const __m256i high = _mm256_castps_si256(_mm256_cvtepi32_ps(_mm256_unpackhi_epi16(a, zero)));
        const __m256i bits = _mm256_packs_epi32(_mm256_srli_epi32(low, 20), _mm256_srli_epi32(high, 20));
        const __m256i of_scale = _mm256_set1_epi16(static_cast<int16_t>(residual));
        reference[h] = _mm256_add_epi16(level[h], _mm256_blendv_epi8(of_scale, _mm256_sub_epi16(bits, of.float_bias), far));
        negative[h] = u;  // by its top bit
        const __m256i phase = _mm256_mullo_epi16(_mm256_and_si256(reference[h], of.seven), of.phases);
        context[h] = _mm256_sub_epi16(phase, _mm256_slli_epi16(above[0], kPredictorBits));
    }
};

// z of 16 keys with exponents e and mantissas t, at these levels; sign is all ones where they are negative.
__attribute__((always_inline)) inline __m256i relative_lanes(const LaneConstants& of, __m256i e, __m256i t, __m256i sign, __m256i level) {
    const __m256i word = _mm256_add_epi16(_mm256_mullo_epi16(_mm256_and_si256(level, of.seven), of.words), of.high_byte);
    const __m256i fraction = _mm256_shuffle_epi8(of.eighths, word);
    // Shifted by 4, as the largest keys are, it is below 2^15.
    const __m256i most = _mm256_mulhi_epu16(_mm256_or_si256(_mm256_slli_epi16(t, 13), of.mantissa), fraction);
    // By up to 15 more: twice that times a power of two, of which a shuffle makes either byte.
    const __m256i distance = _mm256_sub_epi16(_mm256_add_epi16(_mm256_srai_epi16(level, 3), of.four), e);
    const __m256i shift = _mm256_min_epi16(_mm256_max_epi16(distance, _mm256_setzero_si256()), of.fifteen);
    const __m256i bytes = _mm256_xor_si256(_mm256_or_si256(shift, _mm256_slli_epi16(shift, 8)), of.eight_on);
    const __m256i z = _mm256_mulhi_epu16(_mm256_add_epi16(most, most), _mm256_shuffle_epi8(of.powers, bytes));
    return _mm256_sub_epi16(_mm256_xor_si256(z, sign), sign);
}

// All ones where a lane is in the mask.
__attribute__((always_inline)) inline __m256i half_mask(uint32_t active, int h) {
    const __m256i bit = _mm256_setr_epi16(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, -32768);
    return _mm256_cmpeq_epi16(_mm256_and_si256(_mm256_set1_epi16(static_cast<int16_t>(active >> (16 * h))), bit), bit);
}

// 16 by 16 u16: rows 16 u16 long and `src_stride` apart become columns.
inline void transpose(const uint16_t* src, size_t src_stride, uint16_t* dst, size_t dst_stride) {
    __m256i a[16], b[16];
    for (size_t i = 0; i < 16; ++i) a[i] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(src + i * src_stride));
    for (size_t i = 0; i < 8; ++i) {
        b[2 * i] = _mm256_unpacklo_epi16(a[i], a[i + 8]);
        b[2 * i + 1] = _mm256_unpackhi_epi16(a[i], a[i + 8]);
    }
    for (size_t i = 0; i < 8; ++i) {
        a[2 * i] = _mm256_unpacklo_epi16(b[i], b[i + 8]);
        a[2 * i + 1] = _mm256_unpackhi_epi16(b[i], b[i + 8]);
    }
    for (size_t i = 0; i < 8; ++i) {
        b[2 * i] = _mm256_unpacklo_epi16(a[i], a[i + 8]);
        b[2 * i + 1] = _mm256_unpackhi_epi16(a[i], a[i + 8]);
    }
    // Three perfect shuffles of rows: each half of a vector now has 8 of a column, of even or of odd rows.
    for (size_t i = 0; i < 8; ++i) {
        const __m256i low = _mm256_unpacklo_epi16(b[i], b[i + 8]), high = _mm256_unpackhi_epi16(b[i], b[i + 8]);
        a[2 * i] = low;
        a[2 * i + 1] = high;
    }
    for (size_t i = 0; i < 8; ++i) {
        const __m256i first = _mm256_permute2x128_si256(a[2 * i], a[2 * i + 1], 0x20);
        const __m256i second = _mm256_permute2x128_si256(a[2 * i], a[2 * i + 1], 0x31);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(dst + i * dst_stride), first);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(dst + (i + 8) * dst_stride), second);
    }
}

}  // namespace pennyweight::avx2
