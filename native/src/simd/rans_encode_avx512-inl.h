// rANS encoding, several streams at once. Included by targets/avx512.cc only.
//
// What limits an rANS encoder with alias slots is the way from a rank to its slot. A table of 4096 in memory needs a gather, 16 loads for
// 16 lanes; here a binary search over the at most 64 segments of RansEncodeTable does it for 32 lanes in registers, three
// operations a level, for half the time of the whole loop with gathers. Its long chain needs other streams to fill the gaps.
#pragma once

#include <immintrin.h>

#include "../scalar/scalar.h"
#include "pennyweight/bytes.h"

namespace pennyweight::avx512 {

template <uint32_t kBits>
struct EncodeTable {
    static constexpr int kLevels = 5;  // of 32 segments; 32 symbols may have 64, and one level more

    alignas(64) uint16_t frequency[32], start[32];
    // Search level k knows the top k of five bits of the segment number: it compares with the segment that has the next bit set too.
    alignas(64) uint16_t level[kLevels][32];
    alignas(64) uint16_t odd_start[32];  // with 64 segments: start of segment 2 i + 1
    alignas(64) uint16_t offset[2][32];
    alignas(64) float reciprocal[32];

    void load(const RansEncodeTable& table) {
        for (uint32_t s = 0; s < 32; ++s) {
            const uint32_t symbol = s & ((1u << kBits) - 1);
            frequency[s] = table.frequency[symbol];
            start[s] = table.start[symbol];
            // A little below 1 / f: the quotient of a state, below 2^20, is then exact or one too small, never too large.
            reciprocal[s] = frequency[s] == 0 ? 0.0f : 1.0f / static_cast<float>(frequency[s]) * (1.0f - 1.0f / (1 << 21));
        }
        constexpr uint32_t kStep = kBits == 5 ? 2 : 1;
        for (uint32_t i = 0; i < 32; ++i) level[0][i] = table.segment_start[kStep * 16];  // known to every lane without a lookup
        for (uint32_t k = 1; k < kLevels; ++k) {
            for (uint32_t i = 0; i < 32; ++i) level[k][i] = table.segment_start[kStep * (i | 16u >> k)];
        }
        for (uint32_t i = 0; i < 32; ++i) {
            odd_start[i] = table.segment_start[kStep * i + kStep - 1];
            offset[0][i] = table.segment_offset[kStep * i];
            offset[1][i] = table.segment_offset[kStep * i + kStep - 1];
        }
    }

    // Slots of 32 values of start + rank, 16 bits each.
    __attribute__((always_inline)) __m512i slots(__m512i p) const {
        __m512i segment = _mm512_maskz_mov_epi16(_mm512_cmpge_epu16_mask(p, _mm512_load_si512(level[0])), _mm512_set1_epi16(16));
#pragma GCC unroll 4
        for (int k = 1; k < kLevels; ++k) {
            const __m512i next = _mm512_permutexvar_epi16(segment, _mm512_load_si512(level[k]));
            const __mmask32 beyond = _mm512_cmpge_epu16_mask(p, next);
            segment = _mm512_mask_add_epi16(segment, beyond, segment, _mm512_set1_epi16(static_cast<short>(16 >> k)));
        }
        __m512i base = _mm512_permutexvar_epi16(segment, _mm512_load_si512(offset[0]));
        if constexpr (kBits == 5) {
            const __m512i next = _mm512_permutexvar_epi16(segment, _mm512_load_si512(odd_start));
            const __mmask32 beyond = _mm512_cmpge_epu16_mask(p, next);
            base = _mm512_mask_permutexvar_epi16(base, beyond, segment, _mm512_load_si512(offset[1]));
        }
        return _mm512_add_epi16(_mm512_slli_epi16(p, kBits), base);
    }

    __attribute__((always_inline)) static __m512i low_half(__m512i v) { return _mm512_cvtepu16_epi32(_mm512_castsi512_si256(v)); }
    __attribute__((always_inline)) static __m512i high_half(__m512i v) { return _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(v, 1)); }

    // Symbols (16-bit lanes, noise above their bits) of lanes 0-15 and 16-31 into states a and b.
    __attribute__((always_inline)) void step(__m512i& a, __m512i& b, __m512i symbols, uint8_t*& words) const {
        const __m512i even = _mm512_load_si512(kEven);
        const __m512i f = _mm512_permutexvar_epi16(symbols, _mm512_load_si512(frequency));
        const __m512i fa = low_half(f), fb = high_half(f);
        const __mmask16 spill_a = _mm512_cmpge_epu32_mask(a, _mm512_slli_epi32(fa, 20));
        const __mmask16 spill_b = _mm512_cmpge_epu32_mask(b, _mm512_slli_epi32(fb, 20));
        const __mmask32 spill = _mm512_kunpackw(spill_b, spill_a);
        const int n = static_cast<int>(_mm_popcnt_u32(spill));
        // The spilled words end at `words`: turned to the vector's end and stored whole; what stands below them is overwritten later.
        const __m512i packed = _mm512_maskz_compress_epi16(spill, _mm512_permutex2var_epi16(a, even, b));
        const __m512i turn = _mm512_add_epi16(_mm512_load_si512(kIota), _mm512_set1_epi16(static_cast<short>(n)));
        _mm512_storeu_si512(words - 64, _mm512_permutexvar_epi16(turn, packed));
        words -= 2 * n;
        a = _mm512_mask_srli_epi32(a, spill_a, a, 16);
        b = _mm512_mask_srli_epi32(b, spill_b, b, 16);
        __m512i qa, qb;
        const __m512i ra = divide(a, fa, low_half(symbols), &qa), rb = divide(b, fb, high_half(symbols), &qb);
        const __m512i rank = _mm512_permutex2var_epi16(ra, even, rb);
        const __m512i slot = slots(_mm512_add_epi16(rank, _mm512_permutexvar_epi16(symbols, _mm512_load_si512(start))));
        a = _mm512_or_si512(_mm512_slli_epi32(qa, kSlotBits), low_half(slot));
        b = _mm512_or_si512(_mm512_slli_epi32(qb, kSlotBits), high_half(slot));
    }

    // x mod f, and x div f in q.
    __attribute__((always_inline)) __m512i divide(__m512i x, __m512i f, __m512i symbols, __m512i* q) const {
        __m512 inverse;
        if constexpr (kBits == 4) {
            inverse = _mm512_permutexvar_ps(symbols, _mm512_load_ps(reciprocal));
        } else {
            inverse = _mm512_permutex2var_ps(_mm512_load_ps(reciprocal), symbols, _mm512_load_ps(reciprocal + 16));
        }
        const __m512i estimate = _mm512_cvttps_epi32(_mm512_mul_ps(_mm512_cvtepu32_ps(x), inverse));
        const __m512i rest = _mm512_sub_epi32(x, _mm512_mullo_epi32(estimate, f));
        const __mmask16 short_by_one = _mm512_cmpge_epu32_mask(rest, f);
        *q = _mm512_mask_sub_epi32(estimate, short_by_one, estimate, _mm512_set1_epi32(-1));
        return _mm512_mask_sub_epi32(rest, short_by_one, rest, f);
    }

    struct Words {
        alignas(64) uint16_t value[32];
    };
    static constexpr Words sequence(uint32_t first, uint32_t step) {
        Words w{};
        for (uint32_t i = 0; i < 32; ++i) w.value[i] = static_cast<uint16_t>(first + step * i);
        return w;
    }
    static constexpr Words kEvenWords = sequence(0, 2), kOddWords = sequence(1, 2), kIotaWords = sequence(0, 1);
    static constexpr const uint16_t* kEven = kEvenWords.value;
    static constexpr const uint16_t* kOdd = kOddWords.value;
    static constexpr const uint16_t* kIota = kIotaWords.value;
};

// A stream on its way, from its last group to its first.
struct EncodeProgress {
    alignas(64) uint32_t x[kLanes];
    uint8_t* words;
    size_t groups;  // left
};

// kN streams in step, down to `until` groups left of each; all have the same number left.
template <uint32_t kBits, size_t kN>
void encode_interleaved(const EncodeTable<kBits>* tables, const RansEncodeJob* jobs, EncodeProgress* progress, size_t until) {
    using Table = EncodeTable<kBits>;
    __m512i x[kN][2];
    uint8_t* words[kN];
    for (size_t j = 0; j < kN; ++j) {
        x[j][0] = _mm512_load_si512(progress[j].x);
        x[j][1] = _mm512_load_si512(progress[j].x + 16);
        words[j] = progress[j].words;
    }
    for (size_t g = progress[0].groups; g-- > until;) {
        __m512i pairs[kN][2];  // symbols t and t + 1 of each lane as the two bytes of a word: t = 0, then t = 2
#pragma GCC unroll 4
        for (size_t j = 0; j < kN; ++j) {
            const __m512i s0 = _mm512_loadu_si512(jobs[j].symbols + g * kGroup);
            const __m512i s1 = _mm512_loadu_si512(jobs[j].symbols + g * kGroup + 64);
            pairs[j][0] = _mm512_permutex2var_epi16(s0, _mm512_load_si512(Table::kEven), s1);
            pairs[j][1] = _mm512_permutex2var_epi16(s0, _mm512_load_si512(Table::kOdd), s1);
        }
#pragma GCC unroll 2
        for (int pair = 1; pair >= 0; --pair) {
#pragma GCC unroll 4
            for (size_t j = 0; j < kN; ++j) tables[j].step(x[j][0], x[j][1], _mm512_srli_epi16(pairs[j][pair], 8), words[j]);
#pragma GCC unroll 4
            for (size_t j = 0; j < kN; ++j) tables[j].step(x[j][0], x[j][1], pairs[j][pair], words[j]);
        }
    }
    for (size_t j = 0; j < kN; ++j) {
        _mm512_store_si512(progress[j].x, x[j][0]);
        _mm512_store_si512(progress[j].x + 16, x[j][1]);
        progress[j].words = words[j];
        progress[j].groups = until;
    }
}

template <uint32_t kBits>
void encode_batch(RansEncodeJob* jobs, size_t n_jobs) {
    EncodeTable<kBits> tables[kMaxInterleave];
    EncodeProgress progress[kMaxInterleave];
    size_t groups[kMaxInterleave + 1] = {};
    for (size_t j = 0; j < n_jobs; ++j) {
        EncodeProgress& p = progress[j];
        for (uint32_t& state : p.x) state = kLowerBound;
        p.words = jobs[j].words_end;
        p.groups = groups[j] = jobs[j].n / kGroup;
        tables[j].load(*jobs[j].table);
        const size_t tail = jobs[j].n % kGroup;
        if (tail > 0) scalar::rans_encode_group(*jobs[j].table, jobs[j].symbols + p.groups * kGroup, tail, p.x, &p.words);
    }
    // Larger jobs come first: each is joined by the next where that one ends.
    encode_interleaved<kBits, 1>(tables, jobs, progress, groups[1]);
    if (n_jobs >= 2) encode_interleaved<kBits, 2>(tables, jobs, progress, groups[2]);
    if (n_jobs >= 3) encode_interleaved<kBits, 3>(tables, jobs, progress, groups[3]);
    if (n_jobs >= 4) encode_interleaved<kBits, 4>(tables, jobs, progress, 0);
    for (size_t j = 0; j < n_jobs; ++j) {
        for (uint32_t l = 0; l < kLanes; ++l) store_le(jobs[j].states + 4 * l, progress[j].x[l]);
        jobs[j].n_words = static_cast<size_t>(jobs[j].words_end - progress[j].words) / 2;
    }
}

inline void rans_encode(RansEncodeJob* jobs, size_t n_jobs) {
    if (n_jobs == 0) return;
    jobs[0].table->bits == 5 ? encode_batch<5>(jobs, n_jobs) : encode_batch<4>(jobs, n_jobs);
}

}  // namespace pennyweight::avx512
