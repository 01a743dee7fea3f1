// rANS encoding of `linear_predictor` with 8 states in a vector. Included by targets/avx2.cc only.
#pragma once

#include "../scalar/predictor.h"
#include "predictor_avx2.h"
#include "rans_encode_avx2-inl.h"

namespace pennyweight::avx2 {

struct PredictorEncoder {
    static constexpr int kVectors = 4;  // of 8 lanes, in order

    const PredictorEncodeTable& table;
    uint8_t* words;
    alignas(32) uint32_t states[kLanes];

    PredictorEncoder(const PredictorEncodeTable& t, uint8_t* words_end) : table(t), words(words_end) {
        for (uint32_t& state : states) state = kLowerBound;
    }

    // Where the slots of eight symbols begin and their frequencies: a load for each symbol, as in the decoder's look_up.
    __attribute__((always_inline)) void look_up(const uint16_t* symbols, __m256i* start, __m256i* frequency) const {
        const auto at = [&](int i)
                            __attribute__((always_inline)) { return reinterpret_cast<const double*>(&table.entries[symbols[i]].start); };
        const auto two = [&](int i) __attribute__((always_inline)) { return _mm_loadh_pd(_mm_load_sd(at(i)), at(i + 1)); };
        const __m256 a = _mm256_castpd_ps(_mm256_insertf128_pd(_mm256_castpd128_pd256(two(0)), two(4), 1));
        const __m256 b = _mm256_castpd_ps(_mm256_insertf128_pd(_mm256_castpd128_pd256(two(2)), two(6), 1));
        *start = _mm256_castps_si256(_mm256_shuffle_ps(a, b, 0x88));
        *frequency = _mm256_castps_si256(_mm256_shuffle_ps(a, b, 0xdd));
    }

    // n places, the last first, at which all lanes have keys; their symbols end at `end`.
    void full(const uint16_t* end, size_t n) {
        __m256i x[kVectors];
        for (int v = 0; v < kVectors; ++v) x[v] = _mm256_load_si256(reinterpret_cast<const __m256i*>(states) + v);
        uint8_t* next = words;
        for (; n > 0; --n) {
            end -= kLanes;
#pragma GCC unroll 4
            for (int v = kVectors - 1; v >= 0; --v) {
                __m256i start, frequency;
                look_up(end + 8 * v, &start, &frequency);
                encode_step<kScalesSlotBits>(x[v], frequency, start, table.slots, next);
            }
        }
        words = next;
        for (int v = 0; v < kVectors; ++v) _mm256_store_si256(reinterpret_cast<__m256i*>(states) + v, x[v]);
    }

    // Places below `from` down to `to`, lane by lane. Returns where their symbols begin.
    const uint16_t* some(const scalar::LaneWalk& walk, const uint16_t* end, size_t from, size_t to) {
        for (size_t j = from; j > to;) {
            const uint32_t active = walk.active(--j);
            for (uint32_t l = kLanes; l-- > 0;) {
                if ((active >> l & 1) != 0) states[l] = scalar::encode_slot(table.entries[*--end], table.slots, states[l], &words);
            }
        }
        return end;
    }
};

void predictor_encode(const PredictorEncodeTable& table, const ScalesPlace& place, const uint16_t* symbols, uint8_t* states,
                      uint8_t* words_end, size_t* n_words) {
    PredictorEncoder encoder(table, words_end);
    const uint16_t* next = symbols + place.n;
    scalar::LaneWalk walk(place, 0, nullptr);
    for (size_t batch = (walk.n_rows + kLanes - 1) / kLanes; batch-- > 0;) {
        walk.enter(batch * kLanes);
        const size_t n_full = walk.full_end - walk.full_begin;
        if (n_full == 0) {
            next = encoder.some(walk, next, walk.end, walk.begin);
            continue;
        }
        next = encoder.some(walk, next, walk.end, walk.full_end);
        encoder.full(next, n_full);
        next = encoder.some(walk, next - n_full * kLanes, walk.full_begin, walk.begin);
    }
    std::memcpy(states, encoder.states, kStateBytes);
    *n_words = static_cast<size_t>(words_end - encoder.words) / 2;
}

}  // namespace pennyweight::avx2
