// `scales` encoding with 8 states in a vector. Included by the files of AVX2 and AVX-512, in their namespaces.
#pragma once

#include "encode_step-inl.h"

inline void scales_encode(const ScalesEncodeTable& table, const uint16_t* symbols, size_t n, uint8_t* states, uint8_t* words_end,
                          size_t* n_words) {
    alignas(32) uint32_t start[kLanes];
    for (uint32_t& state : start) state = kLowerBound;
    uint8_t* words = words_end;
    const size_t groups = n / kGroup, tail = n % kGroup;
    if (tail > 0) scalar::scales_encode_group(table, symbols + groups * kGroup, tail, start, &words);
    __m256i x[4];
    for (int i = 0; i < 4; ++i) x[i] = _mm256_load_si256(reinterpret_cast<const __m256i*>(start + 8 * i));
    for (size_t g = groups; g-- > 0;) {
        for (int t = 3; t >= 0; --t) {
#pragma GCC unroll 4
            for (int i = 3; i >= 0; --i) {
                const uint16_t* const of = symbols + g * kGroup + 32 * i + t;
                const __m256i f = eight([&](int l) __attribute__((always_inline)) { return table.entries[of[4 * l]].frequency; });
                const __m256i from = eight([&](int l) __attribute__((always_inline)) { return table.entries[of[4 * l]].start; });
                encode_step<kScalesSlotBits>(x[i], f, from, table.slots, words);
            }
        }
    }
    for (int i = 0; i < 4; ++i) _mm256_storeu_si256(reinterpret_cast<__m256i*>(states + 32 * i), x[i]);
    *n_words = static_cast<size_t>(words_end - words) / 2;
}
