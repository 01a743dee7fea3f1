// Kernels that targets/avx2.cc defines and the AVX-512 target takes from it: every CPU with the one has the other. Declared only, for
// compiled anew with its flags they would be another definition of the same functions.
#pragma once

#include "pennyweight/predictor.h"

namespace pennyweight::avx2 {

bool predictor_decode(const PredictorTable& table, const PredictorBlock& block);
bool predictor_model(PredictorModel& model);
void predictor_encode(const PredictorEncodeTable& table, const ScalesPlace& place, const uint16_t* symbols, uint8_t* states,
                      uint8_t* words_end, size_t* n_words);

}  // namespace pennyweight::avx2
