// Training of linear predictors (stages/entropy/linear_predictor.md, whose words are used here): moments, triangles, residual scales. Every
// function gives the same bytes on every machine and target, so that archives are reproducible.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pennyweight {

struct Kernels;

inline constexpr size_t kMinFitBand = 2, kMaxFitBand = 1024, kMaxFitRow = 65536;
inline constexpr int32_t kFitClip = 8192;
inline constexpr size_t kFitTile = 16, kFitTileRows = 4;  // of the kernels

// A sample of whole rows.
struct FitSample {
    const uint8_t* z;  // n_rows * d i16, the page's z
    size_t n_rows;
    size_t d, w, n_triangles;  // T
};

bool fit_sample_valid(const FitSample& sample);

// Sums of products of a triangle, row after row, then sums: w (w + 1) / 2 + w of them.
static inline size_t fit_moments(size_t w) { return w * (w + 1) / 2 + w; }
static inline size_t fit_triangle_bytes(size_t w) { return 2 * w + w * (w - 1) / 2; }

// For each triangle, over the rows and all its bands: sums of zc[j] zc[k] for k <= j, then of zc[j], where zc is z clipped to +-8192.
// moments: T * fit_moments(w) i64.
void predictor_moments(const Kernels& kernels, const FitSample& sample, uint8_t* moments);

// The triangle, fit_triangle_bytes(w), that predicts best in the least squares of n vectors with these moments, which need not belong to
// any vectors. shrink, at most 65536: correlations are scaled by 1 - shrink / 65536. Without `biased` all means count as 0 and so do
// biases.
void predictor_solve(const Kernels& kernels, const uint8_t* moments, uint64_t n, size_t w, uint32_t shrink, bool biased, uint8_t* triangle);

// The residual scale of each place of a row, d i8: 8 log2 of the mean of |z - u| / 1024. triangles: T of them, one after the other.
void predictor_residuals(const Kernels& kernels, const FitSample& sample, const uint8_t* triangles, uint8_t* residuals);

}  // namespace pennyweight
