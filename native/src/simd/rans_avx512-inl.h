// rANS with 16 lanes in a vector: bucket tables live in registers, so a symbol costs three permutes and no memory access.
// Included by targets/avx512.cc only. Needs F, BW, VL, DQ, VBMI, VBMI2.
#pragma once

#include <immintrin.h>

#include "../scalar/scalar.h"
#include "pennyweight/bytes.h"

namespace pennyweight::avx512 {

// A table of 16 or 32 dwords, looked up by the low bits of each lane.
template <uint32_t kBits>
struct Lookup {
    __m512i low, high;

    static Lookup load(const uint32_t* values) {
        Lookup t{_mm512_loadu_si512(values), _mm512_setzero_si512()};
        if constexpr (kBits == 5) t.high = _mm512_loadu_si512(values + 16);
        return t;
    }
    __m512i operator[](__m512i index) const {
        if constexpr (kBits == 4) return _mm512_permutexvar_epi32(index, low);
        return _mm512_permutex2var_epi32(low, index, high);
    }
};

__attribute__((always_inline)) inline void refill(__m512i& x, const uint8_t*& words) {
    const __mmask16 low = _mm512_cmplt_epu32_mask(x, _mm512_set1_epi32(kLowerBound));
    const __m512i next = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(words)));
    const __m512i fresh = _mm512_maskz_expand_epi32(low, next);
    x = _mm512_or_si512(_mm512_mask_slli_epi32(x, low, x, 16), fresh);
    words += 2 * _mm_popcnt_u32(low);
}

template <uint32_t kBits>
struct Buckets {
    Lookup<kBits> edge;       // (threshold - 1) << bits | alias, signed
    Lookup<kBits> adjust;
    Lookup<kBits> frequency;

    void load(const RansTable& table) {
        uint32_t e[kSmallAlphabet], a[kSmallAlphabet], f[kSmallAlphabet];
        for (uint32_t b = 0; b < 1u << kBits; ++b) {
            e[b] = ((static_cast<uint32_t>(table.threshold[b]) - 1) << kBits) | table.alias[b];
            a[b] = static_cast<uint32_t>(static_cast<int32_t>(table.adjust[b]));
            f[b] = table.frequency[b];
        }
        edge = Lookup<kBits>::load(e);
        adjust = Lookup<kBits>::load(a);
        frequency = Lookup<kBits>::load(f);
    }

    // One symbol of 16 lanes, in the low bits of each dword of the result (what stands above them is noise).
    __attribute__((always_inline)) __m512i step(__m512i& x, const uint8_t*& words) const {
        const __m512i edges = edge[x];
        const __m512i offset = _mm512_and_si512(x, _mm512_set1_epi32((kSlots - 1) & ~((1 << kBits) - 1)));
        const __mmask16 other = _mm512_cmpgt_epi32_mask(offset, edges);
        __m512i rank = _mm512_srli_epi32(offset, kBits);
        rank = _mm512_mask_add_epi32(rank, other, rank, adjust[x]);
        const __m512i symbol = _mm512_mask_mov_epi32(x, other, edges);
        x = _mm512_add_epi32(_mm512_mullo_epi32(frequency[symbol], _mm512_srli_epi32(x, kSlotBits)), rank);
        refill(x, words);
        return symbol;
    }
};

using scalar::Progress;

// The same for 256 symbols, with all slots in memory.
template <>
struct Buckets<8> {
    uint32_t slots[kSlots];

    void load(const RansTable& table) { scalar::expand_slots(table, slots); }

    __attribute__((always_inline)) __m512i step(__m512i& x, const uint8_t*& words) const {
        const __m512i low = _mm512_set1_epi32(kSlots - 1);
        const __m512i slot = _mm512_i32gather_epi32(_mm512_and_si512(x, low), slots, 4);
        const __m512i frequency = _mm512_and_si512(_mm512_srli_epi32(slot, 12), low), rank = _mm512_and_si512(slot, low);
        x = _mm512_add_epi32(_mm512_mullo_epi32(frequency, _mm512_srli_epi32(x, kSlotBits)), rank);
        refill(x, words);
        return _mm512_srli_epi32(slot, 24);
    }
};

template <uint32_t kBits>
void decode_groups(const RansTable& table, Progress& p, size_t groups, uint8_t* out) {
    Buckets<kBits> buckets;
    buckets.load(table);
    __m512i x0 = _mm512_loadu_si512(p.x), x1 = _mm512_loadu_si512(p.x + 16);
    const __m512i mask = _mm512_set1_epi8(static_cast<char>((1 << kBits) - 1));
    while (p.groups_done < groups && p.readable - p.words >= Progress::kRoom) {
        __m512i s0 = _mm512_setzero_si512(), s1 = s0;
#pragma GCC unroll 4
        for (int t = 0; t < 4; ++t) {
            s0 = _mm512_shrdi_epi32(s0, buckets.step(x0, p.words), 8);
            s1 = _mm512_shrdi_epi32(s1, buckets.step(x1, p.words), 8);
        }
        uint8_t* at = out + p.groups_done++ * kGroup;
        _mm512_storeu_si512(at, _mm512_and_si512(s0, mask));
        _mm512_storeu_si512(at + 64, _mm512_and_si512(s1, mask));
    }
    _mm512_storeu_si512(p.x, x0);
    _mm512_storeu_si512(p.x + 16, x1);
}

inline void rans_groups(const RansTable& table, Progress& p, size_t groups, uint8_t* out) {
    switch (table.bits) {
        case 4: decode_groups<4>(table, p, groups, out); break;
        case 5: decode_groups<5>(table, p, groups, out); break;
        default: decode_groups<8>(table, p, groups, out);
    }
}

inline bool rans_decode(const RansTable& table, const uint8_t* payload, size_t n_words, uint8_t* out, size_t n) {
    if (!scalar::states_valid(payload)) return false;
    Progress p;
    const uint8_t* words_end = payload + kStateBytes + 2 * n_words;
    p.start(payload, payload + kStateBytes, words_end);
    rans_groups(table, p, n / kGroup, out);
    return scalar::finish_symbols(table, p, words_end, out, n);
}

}  // namespace pennyweight::avx512
