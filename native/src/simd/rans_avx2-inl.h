// rANS with 8 lanes in a vector. A slot has 12 bits, so the bucket lookups of 16 lanes share one vector of 16-bit lanes (twice as many as dwords
// would); each lookup is a byte shuffle or two. Gathers from an expanded table were half as fast. Included by targets/avx2.cc only.
#pragma once

#include <immintrin.h>

#include "../scalar/scalar.h"
#include "pennyweight/bytes.h"

namespace pennyweight::avx2 {

// Bytes for 16 or 32 buckets, looked up by an index per 16-bit lane.
template <uint32_t kBits>
struct ByteLookup {
    __m256i first, second;

    void load(const uint8_t* values) {
        first = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(values)));
        if constexpr (kBits == 5) {
            second = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(values + 16)));
        }
    }
};

// Shuffle controls for indices below 2^kBits: a shuffle gives 0 where a control byte has its top bit set, so adding 0x70 or 0xf0 makes each half
// of 32 entries answer for its own indices only, and 0x80 in the other byte of a lane keeps that byte 0.
template <uint32_t kBits>
struct Index {
    __m256i first, second;

    __attribute__((always_inline)) explicit Index(__m256i value) {
        first = _mm256_add_epi8(value, _mm256_set1_epi16(static_cast<short>(kBits == 5 ? 0x8070 : 0x8000)));
        if constexpr (kBits == 5) second = _mm256_add_epi8(value, _mm256_set1_epi16(static_cast<short>(0x80f0)));
    }
    // The same for the upper byte of each lane.
    __attribute__((always_inline)) Index upper() const {
        Index i = *this;
        const __m256i zero_below = _mm256_set1_epi16(0x80);
        i.first = _mm256_or_si256(_mm256_slli_epi16(first, 8), zero_below);
        if constexpr (kBits == 5) i.second = _mm256_or_si256(_mm256_slli_epi16(second, 8), zero_below);
        return i;
    }
};

template <uint32_t kBits>
__attribute__((always_inline)) inline __m256i look_up(const ByteLookup<kBits>& table, const Index<kBits>& index) {
    const __m256i first = _mm256_shuffle_epi8(table.first, index.first);
    if constexpr (kBits == 4) return first;
    return _mm256_or_si256(first, _mm256_shuffle_epi8(table.second, index.second));
}

// Where the words of a refill mask go: lane i takes the next word if its bit is set.
struct RefillOrder {
    alignas(32) uint32_t lane[256][8];

    constexpr RefillOrder() : lane() {
        for (uint32_t mask = 0; mask < 256; ++mask) {
            uint32_t next = 0;
            for (uint32_t i = 0; i < 8; ++i) {
                lane[mask][i] = next;
                next += mask >> i & 1;
            }
        }
    }
};
inline constexpr RefillOrder kRefillOrder;

template <uint32_t kBits>
struct Buckets {
    ByteLookup<kBits> threshold, alias, adjust_low, adjust_high, frequency_low, frequency_high;

    void load(const RansTable& table) {
        uint8_t bytes[6][kMaxAlphabet];
        for (uint32_t b = 0; b < 1u << kBits; ++b) {
            const uint16_t adjust = static_cast<uint16_t>(table.adjust[b]);
            bytes[0][b] = static_cast<uint8_t>(table.threshold[b]);  // a full bucket of 256 becomes 0: its alias is itself
            bytes[1][b] = static_cast<uint8_t>(table.alias[b]);
            bytes[2][b] = static_cast<uint8_t>(adjust);
            bytes[3][b] = static_cast<uint8_t>(adjust >> 8);
            bytes[4][b] = static_cast<uint8_t>(table.frequency[b]);
            bytes[5][b] = static_cast<uint8_t>(table.frequency[b] >> 8);
        }
        threshold.load(bytes[0]);
        alias.load(bytes[1]);
        adjust_low.load(bytes[2]);
        adjust_high.load(bytes[3]);
        frequency_low.load(bytes[4]);
        frequency_high.load(bytes[5]);
    }

    __attribute__((always_inline)) static __m256i refill(__m256i x, const uint8_t*& words) {
        const __m256i low = _mm256_cmpeq_epi32(_mm256_srli_epi32(x, 16), _mm256_setzero_si256());
        const uint32_t mask = static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(low)));
        const __m256i next = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(words)));
        const __m256i order = _mm256_load_si256(reinterpret_cast<const __m256i*>(kRefillOrder.lane[mask]));
        const __m256i fresh = _mm256_or_si256(_mm256_slli_epi32(x, 16), _mm256_permutevar8x32_epi32(next, order));
        words += 2 * _mm_popcnt_u32(mask);
        return _mm256_blendv_epi8(x, fresh, low);
    }

    // One symbol of 16 lanes: a holds lanes 0-7 and b 8-15. The result has them as 16-bit lanes in the order of packus:
    // 0-3, 8-11, 4-7, 12-15.
    __attribute__((always_inline)) __m256i step(__m256i& a, __m256i& b, const uint8_t*& words) const {
        const __m256i slot_mask = _mm256_set1_epi32(kSlots - 1);
        const __m256i slot = _mm256_packus_epi32(_mm256_and_si256(a, slot_mask), _mm256_and_si256(b, slot_mask));
        const __m256i bucket = _mm256_and_si256(slot, _mm256_set1_epi16((1 << kBits) - 1));
        const __m256i offset = _mm256_srli_epi16(slot, kBits);
        const Index<kBits> at(bucket);
        const __m256i own = _mm256_cmpgt_epi16(look_up(threshold, at), offset);
        const __m256i adjust = _mm256_or_si256(look_up(adjust_low, at), look_up(adjust_high, at.upper()));
        const __m256i rank = _mm256_add_epi16(offset, _mm256_andnot_si256(own, adjust));
        const __m256i symbol = _mm256_blendv_epi8(look_up(alias, at), bucket, own);
        const Index<kBits> of(symbol);
        const __m256i frequency = _mm256_or_si256(look_up(frequency_low, of), look_up(frequency_high, of.upper()));
        const __m256i zero = _mm256_setzero_si256();
        a = _mm256_add_epi32(_mm256_mullo_epi32(_mm256_unpacklo_epi16(frequency, zero), _mm256_srli_epi32(a, kSlotBits)),
                             _mm256_unpacklo_epi16(rank, zero));
        b = _mm256_add_epi32(_mm256_mullo_epi32(_mm256_unpackhi_epi16(frequency, zero), _mm256_srli_epi32(b, kSlotBits)),
                             _mm256_unpackhi_epi16(rank, zero));
        a = refill(a, words);
        b = refill(b, words);
        return symbol;
    }
};

// A stream on its way: what the vector loop hands on, in the end to the scalar code.
struct Progress {
    static constexpr ptrdiff_t kRoom = 2 * kGroup + 16;  // what one group may read: all its words and the rest of the last load

    alignas(32) uint32_t x[kLanes];
    const uint8_t* words;
    const uint8_t* readable;
    size_t groups_done;

    void start(const uint8_t* states, const uint8_t* first_word, const uint8_t* readable_end) {
        for (uint32_t l = 0; l < kLanes; ++l) x[l] = load_le<uint32_t>(states + 4 * l);
        words = first_word;
        readable = readable_end;
        groups_done = 0;
    }
    bool finished(const uint8_t* words_end) const {
        uint32_t off = 0;
        for (uint32_t l = 0; l < kLanes; ++l) off |= x[l] ^ kLowerBound;
        return off == 0 && words == words_end;
    }
};

// The 128 symbols of a group of each of kN streams, in order: four vectors of 32 bytes.
template <uint32_t kBits, size_t kN>
__attribute__((always_inline)) inline void decode_group(const Buckets<kBits>* buckets, __m256i (*x)[4], const uint8_t** words,
                                                        __m256i (*symbols)[4]) {
    __m256i s[kN][2][4];
#pragma GCC unroll 4
    for (int t = 0; t < 4; ++t) {
#pragma GCC unroll 2
        for (size_t b = 0; b < kN; ++b) {
            s[b][0][t] = buckets[b].step(x[b][0], x[b][1], words[b]);
            s[b][1][t] = buckets[b].step(x[b][2], x[b][3], words[b]);
        }
    }
#pragma GCC unroll 2
    for (size_t b = 0; b < kN; ++b) {
#pragma GCC unroll 2
        for (int half = 0; half < 2; ++half) {
            // Symbols t and t + 1 of a lane become neighbours, then all four; unpack undoes the order of packus.
            const __m256i s01 = _mm256_or_si256(s[b][half][0], _mm256_slli_epi16(s[b][half][1], 8));
            const __m256i s23 = _mm256_or_si256(s[b][half][2], _mm256_slli_epi16(s[b][half][3], 8));
            symbols[b][2 * half] = _mm256_unpacklo_epi16(s01, s23);
            symbols[b][2 * half + 1] = _mm256_unpackhi_epi16(s01, s23);
        }
    }
}

inline void load_states(const Progress& p, __m256i x[4]) {
    for (int i = 0; i < 4; ++i) x[i] = _mm256_load_si256(reinterpret_cast<const __m256i*>(p.x + 8 * i));
}
inline void save_states(Progress& p, const __m256i x[4]) {
    for (int i = 0; i < 4; ++i) _mm256_store_si256(reinterpret_cast<__m256i*>(p.x + 8 * i), x[i]);
}

template <uint32_t kBits>
void decode_groups(const RansTable& table, Progress& p, size_t groups, uint8_t* out) {
    Buckets<kBits> buckets;
    buckets.load(table);
    __m256i x[1][4], symbols[1][4];
    load_states(p, x[0]);
    const uint8_t* words = p.words;
    for (; p.groups_done < groups && p.readable - words >= Progress::kRoom; ++p.groups_done) {
        decode_group<kBits, 1>(&buckets, x, &words, symbols);
        for (int i = 0; i < 4; ++i) {
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + p.groups_done * kGroup + 32 * i), symbols[0][i]);
        }
    }
    save_states(p, x[0]);
    p.words = words;
}

inline bool rans_decode(const RansTable& table, const uint8_t* payload, size_t n_words, uint8_t* out, size_t n) {
    if (!scalar::states_valid(payload)) return false;
    Progress p;
    const uint8_t* words_end = payload + kStateBytes + 2 * n_words;
    p.start(payload, payload + kStateBytes, words_end);
    if (table.bits == 4) {
        decode_groups<4>(table, p, n / kGroup, out);
    } else {
        decode_groups<5>(table, p, n / kGroup, out);
    }
    return scalar::finish_symbols(table, p.x, p.words, words_end, p.groups_done * kGroup, out, n);
}

}  // namespace pennyweight::avx2
