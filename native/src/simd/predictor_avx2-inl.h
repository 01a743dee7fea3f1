// What decoder and model pass of `linear_predictor` share, 8 lanes in a vector, four vectors for a place. Included by targets/avx2.cc only.
//
// z stands in pairs of places, z[k / 2][lane][k % 2], so that one madd takes two places of 8 lanes. Two places are predicted at once, which
// halves the loads of z; what the first of them adds to the second follows when it is known. Tried and lost: to keep compilers from loading
// z twice all the same (no difference on Zen 3, where the two multipliers are what is short).
#pragma once

#include <immintrin.h>

#include <cstring>

#include "../scalar/predictor.h"
#include "pennyweight/bytes.h"

namespace pennyweight::avx2 {

constexpr int kVectors = 4;  // of 8 lanes

// Coefficients of two places each, four i16 for two places before them: of the first place, of the second.
inline size_t pairs_at(size_t pair) { return 2 * pair * (pair - 1); }

inline void unpack_triangle(const uint8_t* triangle, size_t w, int16_t* out) {
    const uint8_t* const rows = triangle + 2 * w;
    for (size_t pair = 1; 2 * pair < w; ++pair) {
        const size_t j = 2 * pair;
        const bool both = j + 1 < w;
        const uint8_t *a = rows + j * (j - 1) / 2, *b = both ? a + j : a;
        int16_t* to = out + pairs_at(pair);
        size_t k = 0;
        for (; both && k + 16 <= j; k += 16, to += 32) {
            const __m256i first = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(a + k)));
            const __m256i second = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(b + k)));
            const __m256i low = _mm256_unpacklo_epi32(first, second), high = _mm256_unpackhi_epi32(first, second);
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm256_permute2x128_si256(low, high, 0x20));
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + 16), _mm256_permute2x128_si256(low, high, 0x31));
        }
        for (; k < j; k += 2, to += 4) {
            for (size_t i = 0; i < 2; ++i) {
                to[i] = static_cast<int8_t>(a[k + i]);
                to[2 + i] = both ? static_cast<int8_t>(b[k + i]) : int16_t{0};
            }
        }
    }
}

// The predictions of a batch, place after place.
struct BandWalk {
    const Predictor& predictor;
    PredictorRoom* room;
    const uint8_t* unpacked;  // triangle that the room holds
    const uint8_t* triangle;
    size_t n_bands, band;
    uint32_t in_band;
    __m256i second[kVectors];  // sums of the place behind an even one
    __m256i even[kVectors];  // z of an even place

    BandWalk(const Predictor& p, PredictorRoom* r, size_t d) : predictor(p), room(r), unpacked(nullptr), n_bands(p.w == 0 ? 0 : d / p.w) {}

    // Places before j have no keys. Returns where to begin: at an even place of a band.
    size_t start(size_t j) {
        in_band = static_cast<uint32_t>(j % predictor.w) & ~1u;
        band = j / predictor.w;
        std::memset(room->z, 0, in_band * kLanes * sizeof(int16_t));
        enter();
        return band * predictor.w + in_band;
    }

    void enter() {
        triangle = predictor.triangles + band % predictor.n_triangles * triangle_bytes(predictor.w);
        if (triangle != unpacked) unpack_triangle(triangle, predictor.w, room->coefficients);
        unpacked = triangle;
    }

    // u of the next place.
    __attribute__((always_inline)) void predict(__m256i u[kVectors]) {
        if (in_band % 2 == 0) {
            const uint32_t pair = in_band / 2;
            const int16_t* c = room->coefficients + pairs_at(pair);
            const __m256i* z = reinterpret_cast<const __m256i*>(room->z);
            __m256i a[kVectors], b[kVectors];
            for (int v = 0; v < kVectors; ++v) a[v] = b[v] = _mm256_setzero_si256();
            for (uint32_t k = 0; k < pair; ++k, c += 4, z += kVectors) {
                const __m256i first = _mm256_set1_epi32(load_le<int32_t>(reinterpret_cast<const uint8_t*>(c)));
                const __m256i behind = _mm256_set1_epi32(load_le<int32_t>(reinterpret_cast<const uint8_t*>(c + 2)));
#pragma GCC unroll 4
                for (int v = 0; v < kVectors; ++v) {
                    const __m256i both = _mm256_load_si256(z + v);
                    a[v] = _mm256_add_epi32(a[v], _mm256_madd_epi16(both, first));
                    b[v] = _mm256_add_epi32(b[v], _mm256_madd_epi16(both, behind));
                }
            }
            for (int v = 0; v < kVectors; ++v) {
                u[v] = a[v];
                second[v] = b[v];
            }
        } else {
            const uint8_t last = triangle[2 * predictor.w + in_band * (in_band - 1) / 2 + in_band - 1];
            const __m256i c = _mm256_set1_epi32(static_cast<int8_t>(last) & 0xffff);  // even has 0 in its upper halves
            for (int v = 0; v < kVectors; ++v) u[v] = _mm256_add_epi32(second[v], _mm256_madd_epi16(even[v], c));
        }
        const __m256i bias = _mm256_set1_epi32(load_le<int16_t>(triangle + 2 * in_band));
        for (int v = 0; v < kVectors; ++v) u[v] = _mm256_add_epi32(_mm256_srai_epi32(u[v], 6), bias);
    }

    // z of that place; on to the next.
    __attribute__((always_inline)) void take(const __m256i z[kVectors]) {
        if (in_band % 2 == 0) {
            for (int v = 0; v < kVectors; ++v) even[v] = _mm256_and_si256(z[v], _mm256_set1_epi32(0xffff));
        } else {
            __m256i* to = reinterpret_cast<__m256i*>(room->z) + in_band / 2 * kVectors;
            for (int v = 0; v < kVectors; ++v) _mm256_store_si256(to + v, _mm256_or_si256(even[v], _mm256_slli_epi32(z[v], 16)));
        }
        if (++in_band < predictor.w) return;
        in_band = 0;
        if (++band < n_bands) enter();
    }
};

// What a place knows of its keys before it sees them.
struct PlaceContexts {
    __m256i negative[kVectors];  // u < 0, all ones
    __m256i level[kVectors];  // L
    __m256i reference[kVectors];  // R
    __m256i context[kVectors];  // shifted by the bits of a symbol

    template <bool kPredicted>
    __attribute__((always_inline)) void make(const __m256i u[kVectors], const int16_t* row_levels, int32_t column,
                                             const scalar::PlaceScale& scale) {
        const __m256i columns = _mm256_set1_epi32(column), seven = _mm256_set1_epi32(7), zero = _mm256_setzero_si256();
        const __m256i of_phase = _mm256_set1_epi32(kPredictorClasses << kPredictorBits);
        for (int v = 0; v < kVectors; ++v) {
            const __m256i rows = _mm256_cvtepi16_epi32(_mm_load_si128(reinterpret_cast<const __m128i*>(row_levels + 8 * v)));
            reference[v] = level[v] = _mm256_add_epi32(rows, columns);
            negative[v] = context[v] = zero;
        }
        if constexpr (kPredicted) {
            const __m256i factor = _mm256_set1_epi32(scale.factor), x = _mm256_set1_epi32(scale.x);
            const __m128i shift = _mm_cvtsi32_si128(scale.shift);
            __m256i ratio[kVectors];  // v of the page
#pragma GCC unroll 4
            for (int v = 0; v < kVectors; ++v) {
                const __m256i a = _mm256_min_epi32(_mm256_abs_epi32(u[v]), _mm256_set1_epi32(32767));
                negative[v] = _mm256_srai_epi32(u[v], 31);
                ratio[v] = _mm256_srl_epi32(_mm256_madd_epi16(a, factor), shift);
                // A float has the logarithm in its exponent, the eighths in the top of its mantissa; a is far below 2^24, so it is exact.
                const __m256i bits = _mm256_srli_epi32(_mm256_castps_si256(_mm256_cvtepi32_ps(a)), 20);
                const __m256i predicted = _mm256_sub_epi32(bits, _mm256_set1_epi32(8 * 127 - 8 + 88));
                const __m256i far = _mm256_cmpgt_epi32(ratio[v], _mm256_set1_epi32(35));  // class 7 and above
                reference[v] = _mm256_add_epi32(level[v], _mm256_blendv_epi8(x, predicted, far));
            }
            classes(ratio);
        }
        for (int v = 0; v < kVectors; ++v) {
            context[v] = _mm256_add_epi32(context[v], _mm256_madd_epi16(_mm256_and_si256(reference[v], seven), of_phase));
        }
    }

    // Thresholds are counted in bytes, but for the one above 255.
    __attribute__((always_inline)) void classes(const __m256i ratio[kVectors]) {
        static constexpr uint8_t kThresholds[] = {2, 5, 8, 12, 17, 24, 36, 64, 112, 208};
        const __m256i zero = _mm256_setzero_si256(), highest = _mm256_set1_epi16(399);
        const __m256i front = _mm256_packs_epi32(ratio[0], ratio[1]), back = _mm256_packs_epi32(ratio[2], ratio[3]);
        const __m256i bytes = _mm256_xor_si256(_mm256_packus_epi16(front, back), _mm256_set1_epi8(-128));
        __m256i below = _mm256_packs_epi16(_mm256_cmpgt_epi16(front, highest), _mm256_cmpgt_epi16(back, highest));  // minus the class
#pragma GCC unroll 10
        for (const uint8_t threshold : kThresholds) {
            below = _mm256_add_epi8(below, _mm256_cmpgt_epi8(bytes, _mm256_set1_epi8(static_cast<char>((threshold - 1) ^ 0x80))));
        }
        const __m256i count = _mm256_sub_epi8(zero, below);
        const __m256i low = _mm256_srli_epi16(_mm256_unpacklo_epi8(zero, count), 8 - kPredictorBits);
        const __m256i high = _mm256_srli_epi16(_mm256_unpackhi_epi8(zero, count), 8 - kPredictorBits);
        context[0] = _mm256_unpacklo_epi16(low, zero);
        context[1] = _mm256_unpackhi_epi16(low, zero);
        context[2] = _mm256_unpacklo_epi16(high, zero);
        context[3] = _mm256_unpackhi_epi16(high, zero);
    }
};

// z of keys with exponent e and mantissa t, at level L; sign is all ones where they are negative.
__attribute__((always_inline)) inline __m256i relative_values(__m256i e, __m256i t, __m256i sign, __m256i level) {
    const __m256i eighths = _mm256_setr_epi32(32768, 30048, 27554, 25268, 23170, 21247, 19484, 17867);
    const __m256i fraction = _mm256_permutevar8x32_epi32(eighths, level);  // by its low three bits
    const __m256i mantissa = _mm256_or_si256(_mm256_slli_epi32(t, 1), _mm256_set1_epi32(9));
    const __m256i distance = _mm256_sub_epi32(_mm256_add_epi32(_mm256_srai_epi32(level, 3), _mm256_set1_epi32(8)), e);
    const __m256i shift = _mm256_max_epi32(distance, _mm256_set1_epi32(4));  // 31 and more leave nothing either way
    const __m256i z = _mm256_srlv_epi32(_mm256_mullo_epi32(mantissa, fraction), shift);
    return _mm256_sub_epi32(_mm256_xor_si256(z, sign), sign);
}

// All ones where a lane is in the mask.
__attribute__((always_inline)) inline __m256i lane_mask(uint32_t active, int v) {
    const __m256i bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    return _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(static_cast<int>(active >> (8 * v))), bit), bit);
}

// 32 u16 of four vectors.
__attribute__((always_inline)) inline void store_words(const __m256i v[kVectors], uint16_t* to) {
    for (int i = 0; i < 2; ++i) {
        const __m256i words = _mm256_permute4x64_epi64(_mm256_packus_epi32(v[2 * i], v[2 * i + 1]), 0xd8);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + 16 * i), words);
    }
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
