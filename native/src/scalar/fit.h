// Kernels of the fit of linear predictors in plain loops.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pennyweight::scalar {

void pair_vectors(const uint8_t* first, const uint8_t* second, size_t n, uint32_t* tiles, size_t stride, uint32_t* squares);
void pair_products(const uint32_t* a, size_t a_row, size_t a_pair, const uint32_t* b, size_t n, int32_t* out);
void subtract_rows(double* y, const double* rows, size_t stride, const double* factors, size_t factor_stride, size_t n_rows, size_t n);
void predictor_values(const uint8_t* keys, const int16_t* levels, size_t n, int16_t* z);

}  // namespace pennyweight::scalar
