// Kernels of the fit of linear predictors. Included by targets/avx2.cc only, whose flags have no fused multiply-add: doubles must round as
// those of scalar do.
#pragma once

#include "../scalar/fit.h"
#include "pennyweight/predictor_fit.h"
#include "predictor_avx2.h"
#include "predictor_lanes_avx2-inl.h"

namespace pennyweight::avx2 {

void pair_vectors(const uint8_t* first, const uint8_t* second, size_t n, uint32_t* tiles, size_t stride, uint32_t* squares) {
    const __m256i most = _mm256_set1_epi16(kFitClip), least = _mm256_set1_epi16(-kFitClip);
    const auto clipped = [&](const uint8_t* src) __attribute__((always_inline)) {
        const __m256i z = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(src));
        // Quarters in the order 0, 2, 1, 3, so that what is unpacked from halves of lanes lies in order.
        return _mm256_permute4x64_epi64(_mm256_max_epi16(_mm256_min_epi16(z, most), least), 0xd8);
    };
    size_t k = 0;
    for (; k + kFitTile <= n; k += kFitTile, tiles += stride) {
        const __m256i a = clipped(first + 2 * k), b = clipped(second + 2 * k);
        const __m256i both[2] = {_mm256_unpacklo_epi16(a, b), _mm256_unpackhi_epi16(a, b)};
        for (int i = 0; i < 2; ++i) {
            __m256i* const sum = reinterpret_cast<__m256i*>(squares + k) + i;
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(tiles) + i, both[i]);
            _mm256_storeu_si256(sum, _mm256_add_epi32(_mm256_loadu_si256(sum), _mm256_madd_epi16(both[i], both[i])));
        }
    }
    scalar::pair_vectors(first + 2 * k, second + 2 * k, n - k, tiles, stride, squares + k);
}

void pair_products(const uint32_t* a, size_t a_row, size_t a_pair, const uint32_t* b, size_t n, int32_t* out) {
    __m256i sums[kFitTileRows][2];
    for (auto& row : sums) row[0] = row[1] = _mm256_setzero_si256();
    for (size_t p = 0; p < n; ++p, a += a_pair, b += kFitTile) {
        const __m256i low = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(b));
        const __m256i high = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(b + 8));
#pragma GCC unroll 4
        for (size_t i = 0; i < kFitTileRows; ++i) {
            const __m256i both = _mm256_set1_epi32(static_cast<int>(a[i * a_row]));
            sums[i][0] = _mm256_add_epi32(sums[i][0], _mm256_madd_epi16(both, low));
            sums[i][1] = _mm256_add_epi32(sums[i][1], _mm256_madd_epi16(both, high));
        }
    }
    for (size_t i = 0; i < 2 * kFitTileRows; ++i) _mm256_storeu_si256(reinterpret_cast<__m256i*>(out) + i, sums[i / 2][i % 2]);
}

void subtract_rows(double* y, const double* rows, size_t stride, const double* factors, size_t factor_stride, size_t n_rows, size_t n) {
    for (size_t k = 0; k < n; k += 8) {
        __m256d left[kFitTileRows][2];
        for (size_t r = 0; r < kFitTileRows; ++r) {
            left[r][0] = _mm256_loadu_pd(y + r * stride + k);
            left[r][1] = _mm256_loadu_pd(y + r * stride + k + 4);
        }
        const double* row = rows + k;
        const double* by = factors;
        for (size_t i = 0; i < n_rows; ++i, row += stride, by += factor_stride) {
            const __m256d low = _mm256_loadu_pd(row), high = _mm256_loadu_pd(row + 4);
#pragma GCC unroll 4
            for (size_t r = 0; r < kFitTileRows; ++r) {
                const __m256d factor = _mm256_broadcast_sd(by + r);
                left[r][0] = _mm256_sub_pd(left[r][0], _mm256_mul_pd(factor, low));
                left[r][1] = _mm256_sub_pd(left[r][1], _mm256_mul_pd(factor, high));
            }
        }
        for (size_t r = 0; r < kFitTileRows; ++r) {
            _mm256_storeu_pd(y + r * stride + k, left[r][0]);
            _mm256_storeu_pd(y + r * stride + k + 4, left[r][1]);
        }
    }
}

void predictor_values(const uint8_t* keys, const int16_t* levels, size_t n, int16_t* z) {
    const LaneConstants constants;
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const __m256i key = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(keys + 2 * i));
        const __m256i level = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(levels + i));
        const __m256i e = _mm256_and_si256(_mm256_srli_epi16(key, 2), _mm256_set1_epi16(0x1fff));
        const __m256i t = _mm256_and_si256(key, constants.three);
        const __m256i value = relative_lanes(constants, e, t, _mm256_srai_epi16(key, 15), level);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(z + i), value);
    }
    scalar::predictor_values(keys + 2 * i, levels + i, n - i, z + i);
}

}  // namespace pennyweight::avx2
