// Coefficients from moments, in doubles and yet the same everywhere: only + - * / and square roots, each correctly rounded, in an order
// that the code fixes. The build turns contraction off for this file. Loops run along rows so that compilers may use vectors, never over a
// sum.
#include <cmath>
#include <vector>

#include "pennyweight/bytes.h"
#include "pennyweight/predictor_fit.h"

namespace pennyweight {

namespace {

constexpr size_t kPanel = 32, kGroup = 8;
constexpr double kLeastVariance = 1.0;           // of z: what is below has nothing to tell
constexpr double kLeastPivot = 1.0 / 4096;  // what is left of a place that is known from those before; z has rounding noise above that
constexpr double kMostFactor = 1048576;  // for moments of no vectors: nothing may become infinite

double within(double x, double most) { return x < -most ? -most : x > most ? most : x; }

// y -= the sum of factors[i] * rows[i], one after the other.
void subtract(double* __restrict y, const double* __restrict rows, size_t stride, const double* __restrict factors, size_t n_rows,
              size_t n) {
    size_t i = 0;
    for (; i + kGroup <= n_rows; i += kGroup) {
        const double *a = rows + i * stride, *b = a + stride, *c = b + stride, *d = c + stride, *e = d + stride, *f = e + stride,
                     *g = f + stride, *h = g + stride;
        const double* const by = factors + i;
        for (size_t k = 0; k < n; ++k) {
            y[k] = y[k] - by[0] * a[k] - by[1] * b[k] - by[2] * c[k] - by[3] * d[k] - by[4] * e[k] - by[5] * f[k] - by[6] * g[k] -
                   by[7] * h[k];
        }
    }
    for (; i < n_rows; ++i) {
        for (size_t k = 0; k < n; ++k) y[k] -= factors[i] * rows[i * stride + k];
    }
}

class Solver {
 public:
    explicit Solver(size_t w) : w_(w), stride_(w + 8 - w % 8 + 8), factor_(w * stride_), inverse_(w * stride_), pivots_(w) {}

    // Correlations above the diagonal, row after row.
    double* row(size_t j) { return factor_.data() + j * stride_; }
    const double* inverse(size_t j) const { return inverse_.data() + j * stride_; }

    // The upper factor of Cholesky. Entries of one that belongs to vectors are within 1.
    void decompose() {
        double factors[kPanel];
        for (size_t start = 0; start < w_; start += kPanel) {
            const size_t end = start + kPanel < w_ ? start + kPanel : w_;
            for (size_t j = start; j < w_; ++j) {
                const size_t n_rows = (j < end ? j : end) - start;
                for (size_t p = 0; p < n_rows; ++p) factors[p] = row(start + p)[j];
                subtract(row(j) + j, row(start) + j, stride_, factors, n_rows, w_ - j);
                if (j >= end) continue;
                const double left = row(j)[j];
                pivots_[j] = 1 / std::sqrt(left < kLeastPivot ? kLeastPivot : left);
                double* const u = row(j);
                const double scale = pivots_[j];
                for (size_t k = j + 1; k < w_; ++k) u[k] = within(u[k] * scale, 1);
            }
        }
    }

    // The inverse of the lower factor with ones on its diagonal: each place less its prediction, in terms of the places before.
    void invert() {
        double factors[kPanel];
        for (size_t start = 0; start < w_; start += kPanel) {
            const size_t end = start + kPanel < w_ ? start + kPanel : w_;
            for (size_t i = start; i < end; ++i) inverse_[i * stride_ + i] = 1;
            for (size_t k = 0; k < start; k += kGroup) {
                for (size_t i = start; i < end; ++i) {
                    for (size_t p = 0; p < kGroup; ++p) factors[p] = row(k + p)[i] * pivots_[k + p];
                    subtract(&inverse_[i * stride_], &inverse_[k * stride_], stride_, factors, kGroup, k + kGroup);
                }
            }
            for (size_t i = start; i < end; ++i) {
                for (size_t k = start; k < i; ++k) factors[k - start] = row(k)[i] * pivots_[k];
                double* const to = &inverse_[i * stride_];
                subtract(to, &inverse_[start * stride_], stride_, factors, i - start, i);
                for (size_t k = 0; k < i; ++k) to[k] = within(to[k], kMostFactor);
            }
        }
    }

 private:
    const size_t w_, stride_;
    std::vector<double> factor_, inverse_;
    std::vector<double> pivots_;  // one over each
};

// To nearest, and within +-most; a shift above 0 makes truncation round down.
int32_t rounded(double x, int32_t most) { return static_cast<int32_t>(within(x, most) + (most + 0.5)) - most; }

}  // namespace

void predictor_solve(const uint8_t* moments, uint64_t n, size_t w, uint32_t shrink, bool biased, uint8_t* triangle) {
    const double vectors = n == 0 ? 1 : static_cast<double>(n), keep = 1 - shrink / 65536.0;
    const auto moment = [&](size_t i) { return static_cast<double>(load_le<int64_t>(moments + 8 * i)) / vectors; };
    std::vector<double> mean(w), deviation(w), scale(w);  // scale: one over the deviation, or 0
    for (size_t j = 0; j < w; ++j) {
        mean[j] = biased ? moment(w * (w + 1) / 2 + j) : 0;
        const double variance = moment(j * (j + 1) / 2 + j) - mean[j] * mean[j];
        deviation[j] = variance < kLeastVariance ? 0 : std::sqrt(variance);
        scale[j] = variance < kLeastVariance ? 0 : 1 / deviation[j];
    }
    Solver solver(w);
    for (size_t j = 0; j < w; ++j) {
        for (size_t k = 0; k < j; ++k) {
            const double covariance = moment(j * (j + 1) / 2 + k) - mean[j] * mean[k];
            solver.row(k)[j] = within(covariance * scale[j] * scale[k], 1) * keep;
        }
        solver.row(j)[j] = 1;
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
