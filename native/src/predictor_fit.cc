// Moments and residual scales of linear predictors: integers only, so that every order of summation gives the same.
#include "pennyweight/predictor_fit.h"

#include <vector>

#include "pennyweight/bytes.h"
#include "pennyweight/kernels.h"

namespace pennyweight {

namespace {

constexpr int32_t kClip = 8192;
constexpr size_t kUnit = 32;    // of the length of dot products
constexpr size_t kBlock = 256;  // vectors whose products are summed in 32 bits, where those are enough
constexpr size_t kStep = 16;    // vectors that join a block together: their squares alone fit in 32 bits
constexpr size_t kTile = 32, kPanel = 16;  // places against places: a tile stays in L1 while panels pass
constexpr size_t kExact = 512;  // products of any i16 and i8 that fit in 32 bits
constexpr size_t kRows = 32;    // vectors predicted together

size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

// Sums products of places over vectors. Those of a block are summed in 32 bits: by Cauchy and Schwarz no sum of products, whatever its
// order, is above the larger sum of squares, and a block ends before that of any place would leave 31 bits.
class Moments {
 public:
    Moments(const Kernels& kernels, size_t w)
        : kernels_(kernels),
          w_(w),
          wide_(round_up(w, 4)),
          stride_(round_up(w, 8) + 40),  // not a power of two: a column of them would fall into one set of the cache
          places_(wide_ * kBlock),
          step_(kStep * stride_),
          squares_(w),
          of_step_(w),
          sums_(fit_moments(w)) {}

    void add(const uint8_t* const* vectors, size_t n) {
        for (uint32_t& square : of_step_) square = 0;
        for (size_t v = 0; v < n; ++v) take(vectors[v], step_.data() + v * stride_);
        for (size_t v = n; v < kStep; ++v) {
            for (size_t k = 0; k < w_; ++k) step_[v * stride_ + k] = 0;
        }
        uint32_t highest = 0;
        for (size_t k = 0; k < w_; ++k) highest = squares_[k] + of_step_[k] > highest ? squares_[k] + of_step_[k] : highest;
        if (n_ == kBlock || highest > INT32_MAX) flush();
        for (size_t k = 0; k < w_; ++k) squares_[k] += of_step_[k];
        for (size_t k = 0; k < w_; ++k) {
            int16_t* const to = places_.data() + k * kBlock + n_;
            for (size_t v = 0; v < kStep; ++v) to[v] = step_[v * stride_ + k];
        }
        n_ += kStep;
    }

    void finish(uint8_t* moments) {
        flush();
        for (size_t i = 0; i < sums_.size(); ++i) store_le(moments + 8 * i, sums_[i]);
    }

 private:
    void take(const uint8_t* src, int16_t* __restrict clipped) {
        uint32_t* __restrict const squares = of_step_.data();
        int64_t* __restrict const sums = sums_.data() + (sums_.size() - w_);
        for (size_t k = 0; k < w_; ++k) {
            const int16_t z = load_le<int16_t>(src + 2 * k);
            clipped[k] = static_cast<int16_t>(z < -kClip ? -kClip : z > kClip ? kClip : z);
        }
        for (size_t k = 0; k < w_; ++k) squares[k] += static_cast<uint32_t>(clipped[k] * clipped[k]);
        for (size_t k = 0; k < w_; ++k) sums[k] += clipped[k];
    }

    void flush() {
        const size_t n = round_up(n_, kUnit);
        for (size_t k = 0; n > n_ && k < w_; ++k) {
            for (size_t v = n_; v < n; ++v) places_[k * kBlock + v] = 0;
        }
        for (size_t tile = 0; tile < w_; tile += kTile) {
            const size_t end = tile + kTile < w_ ? tile + kTile : w_;
            for (size_t k = 0; k < end; k += kPanel) {
                for (size_t j = tile; j < end; j += 4) {
                    if (k < j + 4) multiply(j, k, n);
                }
            }
        }
        for (uint32_t& square : squares_) square = 0;
        n_ = 0;
    }

    void multiply(size_t j, size_t k, size_t n) {
        int32_t products[4 * kPanel];
        const size_t n_b = j + 4 - k < kPanel ? j + 4 - k : kPanel;
        kernels_.dot_products(places_.data() + j * kBlock, places_.data() + k * kBlock, kBlock, n, n_b, products);
        for (size_t i = 0; i < 4 && j + i < w_; ++i) {
            const size_t end = k + n_b < j + i + 1 ? k + n_b : j + i + 1;
            int64_t* const row = sums_.data() + (j + i) * (j + i + 1) / 2;
            for (size_t c = k; c < end; ++c) row[c] += products[4 * (c - k) + i];
        }
    }

    const Kernels& kernels_;
    const size_t w_, wide_, stride_;
    std::vector<int16_t> places_, step_;  // by place, kBlock each; by vector, stride_ each
    std::vector<uint32_t> squares_, of_step_;
    std::vector<int64_t> sums_;
    size_t n_ = 0;
};

// Predictions of a few vectors at a time.
class Residuals {
 public:
    Residuals(const Kernels& kernels, size_t w)
        : kernels_(kernels),
          w_(w),
          stride_(round_up(w, kUnit)),
          coefficients_(round_up(w, 4) * stride_),
          biases_(w),
          vectors_(kRows * stride_) {}

    void use(const uint8_t* triangle) {
        const uint8_t* at = triangle + 2 * w_;
        for (size_t j = 0; j < w_; ++j) {
            biases_[j] = load_le<int16_t>(triangle + 2 * j);
            for (size_t k = 0; k < j; ++k) coefficients_[j * stride_ + k] = static_cast<int8_t>(*at++);
        }
    }

    // n vectors, at most kRows, `distance` bytes apart.
    void add(const uint8_t* z, size_t distance, size_t n, int64_t* sums) {
        for (size_t v = 0; v < n; ++v) {
            for (size_t k = 0; k < w_; ++k) vectors_[v * stride_ + k] = load_le<int16_t>(z + v * distance + 2 * k);
        }
        for (size_t j = 0; j < w_; j += 4) predict(j, n, sums + j);
    }

 private:
    void predict(size_t j, size_t n, int64_t* sums) {
        uint32_t total[4 * kRows] = {};
        const size_t used = round_up(j + 3 < w_ ? j + 3 : w_, kUnit);
        for (size_t k = 0; k < used; k += kExact) {
            int32_t products[4 * kRows];
            kernels_.dot_products(coefficients_.data() + j * stride_ + k, vectors_.data() + k, stride_,
                                  used - k < kExact ? used - k : kExact, round_up(n, 2), products);
            for (size_t i = 0; i < 4 * n; ++i) total[i] += static_cast<uint32_t>(products[i]);
        }
        for (size_t i = 0; i < 4 && j + i < w_; ++i) {
            for (size_t v = 0; v < n; ++v) {
                const int32_t u = (static_cast<int32_t>(total[4 * v + i]) >> 6) + biases_[j + i];
                const int32_t off = vectors_[v * stride_ + j + i] - u;
                sums[i] += off < 0 ? -off : off;
            }
        }
    }

    const Kernels& kernels_;
    const size_t w_, stride_;
    std::vector<int16_t> coefficients_, biases_, vectors_;
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
    for (size_t t = 0; t < sample.n_triangles; ++t) {
        Moments sums(kernels, sample.w);
        const uint8_t* vectors[kStep];
        size_t n = 0;
        for (size_t row = 0; row < sample.n_rows; ++row) {
            for (size_t place = t * sample.w; place < sample.d; place += sample.n_triangles * sample.w) {
                vectors[n++] = sample.z + 2 * (row * sample.d + place);
                if (n == kStep) sums.add(vectors, n), n = 0;
            }
        }
        if (n > 0) sums.add(vectors, n);
        sums.finish(moments + 8 * t * fit_moments(sample.w));
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
