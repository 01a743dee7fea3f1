// Predictions of `linear_predictor`, place after place. Included by targets/avx2.cc only.
//
// z stands in pairs of places, z[k / 2][lane][k % 2], so that one madd takes two places of 8 lanes. Two places are predicted at once, which
// halves the loads of z; what the first of them adds to the second follows when it is known. Tried and lost (Zen 3, where the two
// multipliers and what feeds them are what is short): to keep compilers from loading z twice, or from moving sums; three places, or half
// the lanes of four, at once; to make the sums of two places ahead, all at once or in slices between the steps of the places before: the
// processor overlaps them by itself; to make those of 16 to 64 places ahead, tile by tile of z: a seventh less time for the sums, but more
// for the whole, as short loops end where no branch predictor expects it.
#pragma once

#include <immintrin.h>

#include <cstring>

#include "pennyweight/bytes.h"
#include "pennyweight/predictor.h"

namespace pennyweight::avx2 {

// Sums of products and states of rANS have 8 lanes in a vector, all else 16: halves. A half unpacks to two quarters: lanes 0 to 3 and 8 to
// 11 of it, and the other eight.
constexpr int kHalves = 2, kQuarters = 4;

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

class BandWalk {
 public:
    BandWalk(const Predictor& p, PredictorRoom* room, size_t d)
        : predictor_(p), room_(room), unpacked_(nullptr), n_bands_(p.w == 0 ? 0 : d / p.w) {}

    // Places before j have no keys. Returns where to begin: at an even place of a band.
    size_t start(size_t j) {
        in_band_ = static_cast<uint32_t>(j % predictor_.w) & ~1u;
        band_ = j / predictor_.w;
        std::memset(room_->z, 0, in_band_ * kLanes * sizeof(int16_t));
        enter();
        return band_ * predictor_.w + in_band_;
    }

    // u of the next place.
    __attribute__((always_inline)) void predict(__m256i u[kQuarters]) {
        if (in_band_ % 2 == 0) {
            sum_pair(u);
        } else {
            const uint8_t last = triangle_[2 * predictor_.w + in_band_ * (in_band_ - 1) / 2 + in_band_ - 1];
            const __m256i c = _mm256_set1_epi32(static_cast<int8_t>(last) & 0xffff), zero = _mm256_setzero_si256();
            for (int q = 0; q < kQuarters; ++q) {
                const __m256i z = q % 2 == 0 ? _mm256_unpacklo_epi16(even_[q / 2], zero) : _mm256_unpackhi_epi16(even_[q / 2], zero);
                u[q] = _mm256_add_epi32(second_[q], _mm256_madd_epi16(z, c));
            }
        }
        const __m256i bias = _mm256_set1_epi32(load_le<int16_t>(triangle_ + 2 * in_band_));
        for (int q = 0; q < kQuarters; ++q) u[q] = _mm256_add_epi32(_mm256_srai_epi32(u[q], 6), bias);
    }

    // z of that place; on to the next.
    __attribute__((always_inline)) void take(const __m256i z[kHalves]) {
        if (in_band_ % 2 == 0) {
            for (int h = 0; h < kHalves; ++h) even_[h] = z[h];
        } else {
            __m256i* const to = reinterpret_cast<__m256i*>(room_->z) + in_band_ / 2 * kQuarters;
            for (int h = 0; h < kHalves; ++h) {
                _mm256_store_si256(to + 2 * h, _mm256_unpacklo_epi16(even_[h], z[h]));
                _mm256_store_si256(to + 2 * h + 1, _mm256_unpackhi_epi16(even_[h], z[h]));
            }
        }
        if (++in_band_ < predictor_.w) return;
        in_band_ = 0;
        if (++band_ < n_bands_) enter();
    }

 private:
    void enter() {
        triangle_ = predictor_.triangles + band_ % predictor_.n_triangles * triangle_bytes(predictor_.w);
        if (triangle_ != unpacked_) unpack_triangle(triangle_, predictor_.w, room_->coefficients);
        unpacked_ = triangle_;
    }

    __attribute__((always_inline)) void sum_pair(__m256i first[kQuarters]) {
        const uint32_t pair = in_band_ / 2;
        const int16_t* c = room_->coefficients + pairs_at(pair);
        const __m256i* z = reinterpret_cast<const __m256i*>(room_->z);
        __m256i a[kQuarters], b[kQuarters];
        for (int q = 0; q < kQuarters; ++q) a[q] = b[q] = _mm256_setzero_si256();
        for (uint32_t k = 0; k < pair; ++k, c += 4, z += kQuarters) {
            const __m256i of_first = _mm256_set1_epi32(load_le<int32_t>(reinterpret_cast<const uint8_t*>(c)));
            const __m256i of_second = _mm256_set1_epi32(load_le<int32_t>(reinterpret_cast<const uint8_t*>(c + 2)));
#pragma GCC unroll 4
            for (int q = 0; q < kQuarters; ++q) {
                const __m256i both = _mm256_load_si256(z + q);
                a[q] = _mm256_add_epi32(a[q], _mm256_madd_epi16(both, of_first));
                b[q] = _mm256_add_epi32(b[q], _mm256_madd_epi16(both, of_second));
            }
        }
        for (int q = 0; q < kQuarters; ++q) {
            first[q] = a[q];
            second_[q] = b[q];
        }
    }

    const Predictor& predictor_;
    PredictorRoom* room_;
    const uint8_t* unpacked_;  // triangle that the room holds
    const uint8_t* triangle_;
    size_t n_bands_, band_;
    uint32_t in_band_;
    __m256i second_[kQuarters];  // sums of the place behind an even one
    __m256i even_[kHalves];  // z of an even place
};

}  // namespace pennyweight::avx2
