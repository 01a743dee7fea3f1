// Kernels that targets/avx2.cc defines and the AVX-512 target takes from it: every CPU with the one has the other. Declared only, for
// compiled anew with its flags they would be another definition of the same functions.
#pragma once

#include "pennyweight/predictor.h"

namespace pennyweight::avx2 {

bool predictor_decode(const PredictorTable& table, const PredictorBlock& block);
bool predictor_model(PredictorModel& model);
void predictor_encode(const PredictorEncodeTable& table, const ScalesPlace& place, const uint16_t* symbols, uint8_t* states,
                      uint8_t* words_end, size_t* n_words);
void predictor_values(const uint8_t* keys, const int16_t* levels, size_t n, int16_t* z);
void pair_vectors(const uint8_t* first, const uint8_t* second, size_t n, uint32_t* tiles, size_t stride, uint32_t* squares);
void pair_products(const uint32_t* a, size_t a_row, size_t a_pair, const uint32_t* b, size_t n, int32_t* out);
void subtract_rows(double* y, const double* rows, size_t stride, const double* factors, size_t factor_stride, size_t n_rows, size_t n);

}  // namespace pennyweight::avx2
