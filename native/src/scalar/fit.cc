// The build turns contraction off for this file: see predictor_solve.cc.
#include "fit.h"

#include "pennyweight/bytes.h"
#include "pennyweight/predictor_fit.h"
#include "predictor.h"

namespace pennyweight::scalar {

void pair_vectors(const uint8_t* first, const uint8_t* second, size_t n, uint32_t* tiles, size_t stride, uint32_t* squares) {
    const auto clipped = [](const uint8_t* src) -> int32_t {
        const int32_t z = load_le<int16_t>(src);
        return z < -kFitClip ? -kFitClip : z > kFitClip ? kFitClip : z;
    };
    for (size_t k = 0; k < n; ++k) {
        const int32_t a = clipped(first + 2 * k), b = clipped(second + 2 * k);
        tiles[k / kFitTile * stride + k % kFitTile] = (static_cast<uint32_t>(a) & 0xffff) | static_cast<uint32_t>(b) << 16;
        squares[k] += static_cast<uint32_t>(a * a + b * b);
    }
}

void pair_products(const uint32_t* a, size_t a_row, size_t a_pair, const uint32_t* b, size_t n, int32_t* out) {
    uint32_t sums[kFitTileRows][kFitTile] = {};  // they may wrap
    for (size_t p = 0; p < n; ++p, b += kFitTile) {
        int16_t low[kFitTile], high[kFitTile];  // in arrays of their own, for compilers that know no multiplication of pairs
        for (size_t c = 0; c < kFitTile; ++c) {
            low[c] = static_cast<int16_t>(b[c]);
            high[c] = static_cast<int16_t>(b[c] >> 16);
        }
        for (size_t i = 0; i < kFitTileRows; ++i) {
            const uint32_t both = a[i * a_row + p * a_pair];
            const int16_t by_low = static_cast<int16_t>(both), by_high = static_cast<int16_t>(both >> 16);
            for (size_t c = 0; c < kFitTile; ++c)
                sums[i][c] += static_cast<uint32_t>(by_low * low[c]) + static_cast<uint32_t>(by_high * high[c]);
        }
    }
    for (size_t i = 0; i < kFitTileRows; ++i) {
        for (size_t c = 0; c < kFitTile; ++c) out[kFitTile * i + c] = static_cast<int32_t>(sums[i][c]);
    }
}

void subtract_rows(double* y, const double* rows, size_t stride, const double* factors, size_t factor_stride, size_t n_rows, size_t n) {
    for (size_t i = 0; i < n_rows; ++i) {
        for (size_t r = 0; r < kFitTileRows; ++r) {
            const double factor = factors[i * factor_stride + r];
            double* __restrict const to = y + r * stride;
            const double* __restrict const row = rows + i * stride;
            for (size_t k = 0; k < n; ++k) to[k] -= factor * row[k];
        }
    }
}

void predictor_values(const uint8_t* keys, const int16_t* levels, size_t n, int16_t* z) {
    for (size_t i = 0; i < n; ++i) z[i] = static_cast<int16_t>(relative_value(load_le<uint16_t>(keys + 2 * i), levels[i]));
}

}  // namespace pennyweight::scalar
