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

struct Words {
    alignas(64) uint16_t value[32];
};
constexpr Words word_sequence(uint32_t first, uint32_t step) {
    Words w{};
    for (uint32_t i = 0; i < 32; ++i) w.value[i] = static_cast<uint16_t>(first + step * i);
    return w;
}
inline constexpr Words kEven = word_sequence(0, 2), kOdd = word_sequence(1, 2), kIota = word_sequence(0, 1);

// What the tables share: steps on 32 states, 16 in a and 16 in b.
struct EncodeLanes {
    __attribute__((always_inline)) static __m512i low_half(__m512i v) { return _mm512_cvtepu16_epi32(_mm512_castsi512_si256(v)); }
    __attribute__((always_inline)) static __m512i high_half(__m512i v) { return _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(v, 1)); }

    // Makes room for symbols of frequencies fa and fb: the low halves of states that would overflow become words.
    __attribute__((always_inline)) static void spill(__m512i& a, __m512i& b, __m512i fa, __m512i fb, uint8_t*& words) {
        const __mmask16 spill_a = _mm512_cmpge_epu32_mask(a, _mm512_slli_epi32(fa, 20));
        const __mmask16 spill_b = _mm512_cmpge_epu32_mask(b, _mm512_slli_epi32(fb, 20));
        const __mmask32 spilled = _mm512_kunpackw(spill_b, spill_a);
        const int n = static_cast<int>(_mm_popcnt_u32(spilled));
        // The spilled words end at `words`: turned to the vector's end and stored whole; what stands below them is overwritten later.
        const __m512i packed = _mm512_maskz_compress_epi16(spilled, _mm512_permutex2var_epi16(a, _mm512_load_si512(kEven.value), b));
        const __m512i turn = _mm512_add_epi16(_mm512_load_si512(kIota.value), _mm512_set1_epi16(static_cast<short>(n)));
        _mm512_storeu_si512(words - 64, _mm512_permutexvar_epi16(turn, packed));
        words -= 2 * n;
        a = _mm512_mask_srli_epi32(a, spill_a, a, 16);
        b = _mm512_mask_srli_epi32(b, spill_b, b, 16);
    }

    // x mod f, and x div f in q, for an inverse a little below 1 / f: the quotient of a state, below 2^20, is then exact or one too small,
    // never too large.
    static constexpr float kBelow = 1.0f - 1.0f / (1 << 21);
    __attribute__((always_inline)) static __m512i divide(__m512i x, __m512i f, __m512 inverse, __m512i* q) {
        const __m512i estimate = _mm512_cvttps_epi32(_mm512_mul_ps(_mm512_cvtepu32_ps(x), inverse));
        const __m512i rest = _mm512_sub_epi32(x, _mm512_mullo_epi32(estimate, f));
        const __mmask16 short_by_one = _mm512_cmpge_epu32_mask(rest, f);
        *q = _mm512_mask_sub_epi32(estimate, short_by_one, estimate, _mm512_set1_epi32(-1));
        return _mm512_mask_sub_epi32(rest, short_by_one, rest, f);
    }
};

template <uint32_t kBits>
struct EncodeTable : EncodeLanes {
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
            reciprocal[s] = frequency[s] == 0 ? 0.0f : 1.0f / static_cast<float>(frequency[s]) * kBelow;
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

    // Symbols (16-bit lanes, noise above their bits) of lanes 0-15 and 16-31 into states a and b.
    __attribute__((always_inline)) void step(__m512i& a, __m512i& b, __m512i symbols, uint8_t*& words) const {
        const __m512i f = _mm512_permutexvar_epi16(symbols, _mm512_load_si512(frequency));
        const __m512i fa = low_half(f), fb = high_half(f);
        spill(a, b, fa, fb, words);
        __m512i qa, qb;
        const __m512i ra = divide(a, fa, inverse(low_half(symbols)), &qa), rb = divide(b, fb, inverse(high_half(symbols)), &qb);
        const __m512i rank = _mm512_permutex2var_epi16(ra, _mm512_load_si512(kEven.value), rb);
        const __m512i slot = slots(_mm512_add_epi16(rank, _mm512_permutexvar_epi16(symbols, _mm512_load_si512(start))));
        a = _mm512_or_si512(_mm512_slli_epi32(qa, kSlotBits), low_half(slot));
        b = _mm512_or_si512(_mm512_slli_epi32(qb, kSlotBits), high_half(slot));
    }

    __attribute__((always_inline)) __m512 inverse(__m512i symbols) const {
        if constexpr (kBits == 4) return _mm512_permutexvar_ps(symbols, _mm512_load_ps(reciprocal));
        return _mm512_permutex2var_ps(_mm512_load_ps(reciprocal), symbols, _mm512_load_ps(reciprocal + 16));
    }
};

// The same for 256 symbols: too many segments to search, so frequencies and slots are gathered; a division is cheaper than a third gather.
template <>
struct EncodeTable<8> : EncodeLanes {
    alignas(64) uint32_t symbol[256];  // frequency, and start above it
    const RansEncodeTable* table;

    void load(const RansEncodeTable& of) {
        table = &of;
        for (uint32_t s = 0; s < 256; ++s) symbol[s] = of.frequency[s] | static_cast<uint32_t>(of.start[s]) << 16;
    }

    __attribute__((always_inline)) void step(__m512i& a, __m512i& b, __m512i symbols, uint8_t*& words) const {
        const __m512i bytes = _mm512_and_si512(symbols, _mm512_set1_epi16(0xff)), low = _mm512_set1_epi32(0xffff);
        const __m512i sa = _mm512_i32gather_epi32(low_half(bytes), symbol, 4), sb = _mm512_i32gather_epi32(high_half(bytes), symbol, 4);
        const __m512i fa = _mm512_and_si512(sa, low), fb = _mm512_and_si512(sb, low);
        spill(a, b, fa, fb, words);
        a = slot_of(a, fa, _mm512_srli_epi32(sa, 16));
        b = slot_of(b, fb, _mm512_srli_epi32(sb, 16));
    }

    __attribute__((always_inline)) __m512i slot_of(__m512i x, __m512i f, __m512i start) const {
        const __m512 inverse = _mm512_div_ps(_mm512_set1_ps(kBelow), _mm512_cvtepi32_ps(f));
        __m512i q;
        const __m512i rank = divide(x, f, inverse, &q);
        // Pairs of slots from each place on; what follows the last slot is the table's own.
        const __m512i pair = _mm512_i32gather_epi32(_mm512_add_epi32(start, rank), table->slots, 2);
        return _mm512_or_si512(_mm512_slli_epi32(q, kSlotBits), _mm512_and_si512(pair, _mm512_set1_epi32(0xffff)));
    }
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
            pairs[j][0] = _mm512_permutex2var_epi16(s0, _mm512_load_si512(kEven.value), s1);
            pairs[j][1] = _mm512_permutex2var_epi16(s0, _mm512_load_si512(kOdd.value), s1);
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
    switch (jobs[0].table->bits) {
        case 4: encode_batch<4>(jobs, n_jobs); break;
        case 5: encode_batch<5>(jobs, n_jobs); break;
        default: encode_batch<8>(jobs, n_jobs);
    }
}

}  // namespace pennyweight::avx512
