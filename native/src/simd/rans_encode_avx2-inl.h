// rANS encoding with 8 states in a vector, one stream at a time, for every alphabet: what belongs to a symbol and the slots are loaded one
// by one, all else is done for eight. Two streams in step were no faster. Included by targets/avx2.cc only.
#pragma once

#include <immintrin.h>

#include "../scalar/scalar.h"
#include "pennyweight/bytes.h"

namespace pennyweight::avx2 {

#include "encode_step-inl.h"

struct EncodeTable {
    uint32_t symbol[kMaxAlphabet];  // frequency, and start above it
    const uint16_t* slots;

    void load(const RansEncodeTable& table) {
        for (uint32_t s = 0; s < 1u << table.bits; ++s) symbol[s] = table.frequency[s] | static_cast<uint32_t>(table.start[s]) << 16;
        slots = table.slots;
    }

    // The symbols of eight lanes, four bytes apart, into their states.
    __attribute__((always_inline)) void step(__m256i& x, const uint8_t* symbols, uint8_t*& words) const {
        const __m256i of = eight([&](int i) __attribute__((always_inline)) { return symbol[symbols[4 * i]]; });
        encode_step<kSlotBits>(x, _mm256_and_si256(of, _mm256_set1_epi32(0xffff)), _mm256_srli_epi32(of, 16), slots, words);
    }
};

inline void rans_encode_one(RansEncodeJob& job) {
    EncodeTable table;
    table.load(*job.table);
    alignas(32) uint32_t states[kLanes];
    for (uint32_t& state : states) state = kLowerBound;
    uint8_t* words = job.words_end;
    const size_t groups = job.n / kGroup, tail = job.n % kGroup;
    if (tail > 0) scalar::rans_encode_group(*job.table, job.symbols + groups * kGroup, tail, states, &words);
    __m256i x[4];
    for (int i = 0; i < 4; ++i) x[i] = _mm256_load_si256(reinterpret_cast<const __m256i*>(states + 8 * i));
    for (size_t g = groups; g-- > 0;) {
        const uint8_t* symbols = job.symbols + g * kGroup;
        for (int t = 3; t >= 0; --t) {
#pragma GCC unroll 4
            for (int i = 3; i >= 0; --i) table.step(x[i], symbols + 32 * i + t, words);
        }
    }
    for (int i = 0; i < 4; ++i) _mm256_storeu_si256(reinterpret_cast<__m256i*>(job.states + 32 * i), x[i]);
    job.n_words = static_cast<size_t>(job.words_end - words) / 2;
}

inline void rans_encode(RansEncodeJob* jobs, size_t n_jobs) {
    for (size_t j = 0; j < n_jobs; ++j) rans_encode_one(jobs[j]);
}

}  // namespace pennyweight::avx2
