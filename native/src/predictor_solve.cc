// Coefficients from moments, in doubles and yet the same everywhere: only + - * / and square roots, each correctly rounded, in an order
// that the code fixes. The build turns contraction off for this file and for the kernel. Loops run along rows so that vectors may be used,
// never over a sum.
#include <cmath>
#include <vector>

#include "pennyweight/bytes.h"
#include "pennyweight/kernels.h"
#include "pennyweight/predictor_fit.h"

namespace pennyweight {

namespace {

constexpr size_t kPanel = 32, kStrip = 64;  // a strip of a panel stays in L1 while rows pass
constexpr double kLeastVariance = 1.0;           // of z: what is below has nothing to tell
constexpr double kLeastPivot = 1.0 / 4096;  // what is left of a place that is known from those before; z has rounding noise above that
constexpr double kMostFactor = 1048576;  // for moments of no vectors: nothing may become infinite

double within(double x, double most) { return x < -most ? -most : x > most ? most : x; }

class Solver {
 public:
    Solver(const Kernels& kernels, size_t w)
        : kernels_(kernels), w_(w), stride_(w + 8 - w % 8 + 8), factor_(n_rows() * stride_), inverse_(n_rows() * stride_), pivots_(w) {}

    // Correlations above the diagonal, row after row.
    double* row(size_t j) { return factor_.data() + j * stride_; }
    const double* inverse(size_t j) const { return inverse_.data() + j * stride_; }

    // The upper factor of Cholesky. Entries of one that belongs to vectors are within 1. What stands below the diagonal is nothing.
    void decompose() {
        for (size_t start = 0; start < w_; start += kPanel) {
            const size_t end = start + kPanel < w_ ? start + kPanel : w_;
            for (size_t j = start; j < end; j += kFitTileRows) {
                kernels_.subtract_rows(row(j) + j, row(start) + j, stride_, row(start) + j, stride_, j - start, whole(w_ - j));
                finish(j, j + kFitTileRows < end ? j + kFitTileRows : end);
            }
            for (size_t k = end; k < w_; k += kStrip) {
                const size_t strip_end = k + kStrip < w_ ? k + kStrip : w_;
                for (size_t j = end; j < strip_end; j += kFitTileRows) {
                    const size_t from = j < k ? k : k + (j - k) / 8 * 8;
                    kernels_.subtract_rows(row(j) + from, row(start) + from, stride_, row(start) + j, stride_, end - start,
                                           whole(strip_end - from));
                }
            }
        }
    }

    // The inverse of the lower factor with ones on its diagonal: each place less its prediction, in terms of the places before.
    void invert() {
        for (size_t start = 0; start < w_; start += kPanel) {
            const size_t end = start + kPanel < w_ ? start + kPanel : w_;
            for (size_t i = start; i < end; ++i) inverse_[i * stride_ + i] = 1;
            for (size_t k = 0; k < start; k += kPanel) replace(k, kPanel, start, end);
            for (size_t i = start; i < end; i += kFitTileRows) {
                const size_t last = i + kFitTileRows < end ? i + kFitTileRows : end;
                replace(start, i - start, i, last);
                for (size_t r = i; r < last; ++r) {
                    double* const to = &inverse_[r * stride_];
                    for (size_t k = i; k < r; ++k) subtract(to, &inverse_[k * stride_], row(k)[r] * pivots_[k], 0, r);
                    for (size_t k = 0; k < r; ++k) to[k] = within(to[k], kMostFactor);
                }
            }
        }
    }

 private:
    // Rows are taken off in eights of columns, from a few rows at a time: there is room behind the last of both.
    static size_t whole(size_t n) { return (n + 7) / 8 * 8; }
    size_t n_rows() const { return w_ + kFitTileRows; }

    // Rows of a panel of which all before j are finished and taken off.
    void finish(size_t j, size_t end) {
        for (size_t r = j; r < end; ++r) {
            double* const u = row(r);
            for (size_t p = j; p < r; ++p) subtract(u, row(p), row(p)[r], r, w_);
            pivots_[r] = 1 / std::sqrt(u[r] < kLeastPivot ? kLeastPivot : u[r]);
            const double scale = pivots_[r];
            for (size_t k = r + 1; k < w_; ++k) u[k] = within(u[k] * scale, 1);
        }
    }

    // Takes what n places from k on, at most a panel, stand for in terms of those before them off the rows of places i to `end`.
    void replace(size_t k, size_t n, size_t i, size_t end) {
        double factors[kPanel * kPanel] = {};
        for (size_t p = 0; p < n; ++p) {
            for (size_t r = i; r < end; ++r) factors[p * kPanel + r - i] = row(k + p)[r] * pivots_[k + p];
        }
        for (size_t c = 0; c < k + n; c += kStrip) {
            const size_t columns = whole(c + kStrip < k + n ? kStrip : k + n - c);
            for (size_t r = i; r < end; r += kFitTileRows) {
                kernels_.subtract_rows(&inverse_[r * stride_ + c], &inverse_[k * stride_ + c], stride_, factors + (r - i), kPanel, n,
                                       columns);
            }
        }
    }

    static void subtract(double* __restrict y, const double* __restrict from, double factor, size_t begin, size_t end) {
        for (size_t k = begin; k < end; ++k) y[k] -= factor * from[k];
    }
    const Kernels& kernels_;
    const size_t w_, stride_;
    std::vector<double> factor_, inverse_;
    std::vector<double> pivots_;  // one over each
};

// To nearest, and within +-most; a shift above 0 makes truncation round down.
int32_t rounded(double x, int32_t most) { return static_cast<int32_t>(within(x, most) + (most + 0.5)) - most; }

}  // namespace

void predictor_solve(const Kernels& kernels, const uint8_t* moments, uint64_t n, size_t w, uint32_t shrink, bool biased,
                     uint8_t* triangle) {
    const double vectors = n == 0 ? 1 : static_cast<double>(n), keep = 1 - shrink / 65536.0;
    const auto moment = [&](size_t i) { return static_cast<double>(load_le<int64_t>(moments + 8 * i)) / vectors; };
    std::vector<double> mean(w), deviation(w), scale(w);  // scale: one over the deviation, or 0
    for (size_t j = 0; j < w; ++j) {
        mean[j] = biased ? moment(w * (w + 1) / 2 + j) : 0;
        const double variance = moment(j * (j + 1) / 2 + j) - mean[j] * mean[j];
        deviation[j] = variance < kLeastVariance ? 0 : std::sqrt(variance);
        scale[j] = variance < kLeastVariance ? 0 : 1 / deviation[j];
    }
    Solver solver(kernels, w);
    for (size_t tile = 0; tile < w; tile += kPanel) {  // so that neither moments nor rows are walked far across
        const size_t end = tile + kPanel < w ? tile + kPanel : w;
        for (size_t k = 0; k < end; ++k) {
            for (size_t j = k < tile ? tile : k + 1; j < end; ++j) {
                const double covariance = moment(j * (j + 1) / 2 + k) - mean[j] * mean[k];
                solver.row(k)[j] = within(covariance * scale[j] * scale[k], 1) * keep;
            }
        }
        for (size_t j = tile; j < end; ++j) solver.row(j)[j] = 1;
    }
    solver.decompose();
    solver.invert();
    uint8_t* at = triangle + 2 * w;
    for (size_t j = 0; j < w; ++j) {
        double bias = mean[j];
        const double* const inverse = solver.inverse(j);
        for (size_t k = 0; k < j; ++k) {
            const int32_t coefficient = rounded(-64 * inverse[k] * deviation[j] * scale[k], 127);
            *at++ = static_cast<uint8_t>(coefficient);
            bias -= coefficient / 64.0 * mean[k];
        }
        store_le(triangle + 2 * j, static_cast<int16_t>(rounded(bias, 32767)));
    }
}

}  // namespace pennyweight
