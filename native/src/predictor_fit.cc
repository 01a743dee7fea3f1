// Moments and residual scales of linear predictors: integers only, so that every order of summation gives the same.
#include "pennyweight/predictor_fit.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "pennyweight/bytes.h"
#include "pennyweight/kernels.h"

namespace pennyweight {

namespace {

constexpr size_t kPairs = 256;  // of vectors whose products are summed in 32 bits, where those are enough
constexpr size_t kTileStride = kPairs * kFitTile;
constexpr size_t kGroup = 128;  // places that stay in L2 while tiles pass
constexpr size_t kStep = 8;     // pairs that join them together: their squares alone fit in 32 bits
constexpr size_t kRows = 64;    // vectors predicted together

size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

// Sums products of places over vectors. Those of some pairs of vectors are summed in 32 bits: by Cauchy and Schwarz no sum of products,
// whatever its order, is above the larger sum of squares, and a sum ends before that of any place would leave 31 bits. Behind the last
// place stands one that is always 1: its products are the sums of the places.
class Moments {
 public:
    Moments(const Kernels& kernels, size_t w)
        : kernels_(kernels), w_(w), tiles_((w / kFitTile + 1) * kTileStride), squares_(w), of_step_(w), nothing_(2 * w) {
        for (size_t p = 0; p < kPairs; ++p) place(w)[p * kFitTile] = 0x10001;
    }

    // From nothing on, into `moments`, which are complete at the end.
    void begin(uint8_t* moments) {
        moments_ = moments;
        std::memset(moments, 0, 8 * fit_moments(w_));
    }

    // At most 2 * kStep vectors.
    void add(const uint8_t* const* vectors, size_t n) {
        if (n_ + kStep > kPairs) flush();
        for (uint32_t& square : of_step_) square = 0;
        uint32_t* const step = tiles_.data() + n_ * kFitTile;
        const size_t n_pairs = (n + 1) / 2;
        for (size_t p = 0; p < n_pairs; ++p) {
            const uint8_t* const second = 2 * p + 1 < n ? vectors[2 * p + 1] : nothing_.data();
            kernels_.pair_vectors(vectors[2 * p], second, w_, step + p * kFitTile, kTileStride, of_step_.data());
        }
        uint32_t highest = 0;
        for (size_t k = 0; k < w_; ++k) highest = squares_[k] + of_step_[k] > highest ? squares_[k] + of_step_[k] : highest;
        if (highest > INT32_MAX) {
            flush();
            for (size_t at = 0; at < tiles_.size(); at += kTileStride) std::copy_n(step + at, n_pairs * kFitTile, tiles_.data() + at);
        }
        for (size_t k = 0; k < w_; ++k) squares_[k] += of_step_[k];
        n_ += n_pairs;
    }

    void end() { flush(); }

 private:
    void flush() {
        for (size_t group = 0; group <= w_; group += kGroup) {
            const size_t end = group + kGroup < w_ + 1 ? group + kGroup : w_ + 1;
            for (size_t k = 0; k < end && k < w_; k += kFitTile) {
                for (size_t j = k < group ? group : k; j < end; j += kFitTileRows) multiply(j, k);
            }
        }
        for (uint32_t& square : squares_) square = 0;
        n_ = 0;
    }

    uint32_t* place(size_t k) { return tiles_.data() + k / kFitTile * kTileStride + k % kFitTile; }

    // Places j and the few behind it against k and those behind that.
    void multiply(size_t j, size_t k) {
        int32_t products[kFitTileRows * kFitTile];
        kernels_.pair_products(place(j), 1, kFitTile, place(k), n_, products);
        const size_t most = w_ - k < kFitTile ? w_ - k : kFitTile;
        for (size_t i = 0; i < kFitTileRows && j + i <= w_; ++i) {
            const size_t n = j + i - k + 1 < most ? j + i - k + 1 : most;
            uint8_t* const row = moments_ + 8 * ((j + i) * (j + i + 1) / 2 + k);
            for (size_t c = 0; c < n; ++c) store_le(row + 8 * c, load_le<int64_t>(row + 8 * c) + products[kFitTile * i + c]);
        }
    }

    const Kernels& kernels_;
    const size_t w_;
    std::vector<uint32_t> tiles_;  // of kFitTile places, kPairs times
    std::vector<uint32_t> squares_, of_step_;
    std::vector<uint8_t> nothing_;
    uint8_t* moments_ = nullptr;
    size_t n_ = 0;  // pairs
};

// Predictions of a few vectors at a time.
class Residuals {
 public:
    Residuals(const Kernels& kernels, size_t w)
        : kernels_(kernels),
          w_(w),
          stride_(w / 2),
          coefficients_(coefficients_at(round_up(w, kFitTile))),
          biases_(w),
          vectors_(kRows * stride_) {}

    void use(const uint8_t* triangle) {
        const uint8_t* const rows = triangle + 2 * w_;
        for (size_t j = 0; j < w_; ++j) biases_[j] = load_le<int16_t>(triangle + 2 * j);
        for (size_t tile = 0; tile < w_; tile += kFitTile) {
            uint32_t* to = coefficients_.data() + coefficients_at(tile);
            for (size_t k = 0; k + 1 < tile_end(tile); k += 2) {
                for (size_t j = tile; j < tile + kFitTile; ++j) *to++ = j < w_ ? pair(rows + j * (j - 1) / 2, j, k) : 0;
            }
        }
    }

    // n vectors, at most kRows, `distance` bytes apart.
    void add(const uint8_t* z, size_t distance, size_t n, int64_t* sums) {
        for (size_t v = 0; v < n; ++v) {
            const uint8_t* const src = z + v * distance;
            uint32_t* const pairs = vectors_.data() + v * stride_;
            for (size_t p = 0; p < stride_; ++p) pairs[p] = load_le<uint32_t>(src + 4 * p);
        }
        for (size_t j = 0; j < w_; j += kFitTile) {
            for (size_t v = 0; v < n; v += kFitTileRows) {
                predict(v, j);
                for (size_t i = v; i < n && i < v + kFitTileRows; ++i) take(z + i * distance + 2 * j, i - v, j, sums + j);
            }
        }
    }

 private:
    // Tiles have as many pairs of places as stand before their last.
    static size_t coefficients_at(size_t tile) { return tile / kFitTile * (tile / kFitTile + 1) / 2 * (kFitTile * kFitTile / 2); }

    // Coefficients of place j for places k and k + 1.
    static uint32_t pair(const uint8_t* row, size_t j, size_t k) {
        const auto one = [&](size_t at) { return at < j ? static_cast<int8_t>(row[at]) : int8_t{0}; };
        return (static_cast<uint32_t>(one(k)) & 0xffff) | static_cast<uint32_t>(one(k + 1)) << 16;
    }

    size_t tile_end(size_t j) const { return j + kFitTile < w_ ? j + kFitTile : w_; }

    void predict(size_t v, size_t j) {
        kernels_.pair_products(vectors_.data() + v * stride_, stride_, 1, coefficients_.data() + coefficients_at(j), tile_end(j) / 2,
                               products_);
    }

    // What the predictions of vector number i miss it by, places j and those behind it.
    void take(const uint8_t* z, size_t i, size_t j, int64_t* sums) const {
        const size_t n = tile_end(j) - j;
        for (size_t c = 0; c < n; ++c) {
            const int32_t off = load_le<int16_t>(z + 2 * c) - (products_[kFitTile * i + c] >> 6) - biases_[j + c];
            sums[c] += off < 0 ? -off : off;
        }
    }

    const Kernels& kernels_;
    const size_t w_, stride_;
    std::vector<uint32_t> coefficients_;  // tile by tile of places, of pairs of places before them
    std::vector<int16_t> biases_;
    std::vector<uint32_t> vectors_;  // pairs of places, a stride each
    int32_t products_[kFitTileRows * kFitTile];
};

// 16 bits below the point: residuals may be far below the level.
uint8_t residual_scale(uint64_t sum, uint64_t n) {
    const uint64_t mean = sum / n << 16 | (sum % n << 16) / n;
    const int64_t level = mean_level(mean, 13);
    return static_cast<uint8_t>(static_cast<int8_t>(level < -128 ? -128 : level > 127 ? 127 : level));
}

}  // namespace

bool fit_sample_valid(const FitSample& sample) {
    const size_t w = sample.w, d = sample.d;
    return w >= kMinFitBand && w <= kMaxFitBand && d >= w && d <= kMaxFitRow && d % w == 0 && sample.n_triangles >= 1 &&
           sample.n_triangles <= d / w;
}

void predictor_moments(const Kernels& kernels, const FitSample& sample, uint8_t* moments) {
    Moments sums(kernels, sample.w);
    for (size_t t = 0; t < sample.n_triangles; ++t) {
        sums.begin(moments + 8 * t * fit_moments(sample.w));
        const uint8_t* vectors[2 * kStep];
        size_t n = 0;
        for (size_t row = 0; row < sample.n_rows; ++row) {
            for (size_t place = t * sample.w; place < sample.d; place += sample.n_triangles * sample.w) {
                vectors[n++] = sample.z + 2 * (row * sample.d + place);
                if (n == 2 * kStep) sums.add(vectors, n), n = 0;
            }
        }
        if (n > 0) sums.add(vectors, n);
        sums.end();
    }
}

void predictor_residuals(const Kernels& kernels, const FitSample& sample, const uint8_t* triangles, uint8_t* residuals) {
    std::vector<int64_t> sums(sample.d);
    Residuals predictor(kernels, sample.w);
    for (size_t t = 0; t < sample.n_triangles; ++t) {
        predictor.use(triangles + t * fit_triangle_bytes(sample.w));
        for (size_t row = 0; row < sample.n_rows; row += kRows) {
            const size_t n = sample.n_rows - row < kRows ? sample.n_rows - row : kRows;
            for (size_t place = t * sample.w; place < sample.d; place += sample.n_triangles * sample.w) {
                predictor.add(sample.z + 2 * (row * sample.d + place), 2 * sample.d, n, sums.data() + place);
            }
        }
    }
    for (size_t j = 0; j < sample.d; ++j) {
        residuals[j] = sample.n_rows == 0 ? uint8_t{128} : residual_scale(static_cast<uint64_t>(sums[j]), sample.n_rows);
    }
}

}  // namespace pennyweight
