// rANS with 8 lanes in a vector. Bucket, offset, threshold and symbol fit in bytes, so the lookups of all 32 lanes share one vector; each
// is a byte shuffle or two. Gathers from an expanded table were half as fast, lookups in 16-bit lanes a quarter slower. Included by
// targets/avx2.cc only.
#pragma once

#include <immintrin.h>

#include "../scalar/scalar.h"
#include "pennyweight/bytes.h"

namespace pennyweight::avx2 {

// Shuffle controls for indices below 2^kBits. A shuffle gives 0 where a control byte has its top bit set, so adding 0x70 or 0xf0 makes each
// half of 32 entries answer for its own indices only.
template <uint32_t kBits>
struct Index {
    __m256i first, second;

    __attribute__((always_inline)) explicit Index(__m256i value) {
        first = kBits == 5 ? _mm256_add_epi8(value, _mm256_set1_epi8(0x70)) : value;
        if constexpr (kBits == 5) second = _mm256_add_epi8(value, _mm256_set1_epi8(static_cast<char>(0xf0)));
    }
};

// A byte for each of 16 or 32 buckets.
template <uint32_t kBits>
struct ByteLookup {
    __m256i first, second;

    void load(const uint8_t* values) {
        first = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(values)));
        if constexpr (kBits == 5) {
            second = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(values + 16)));
        }
    }
    __attribute__((always_inline)) __m256i operator[](const Index<kBits>& index) const {
        const __m256i found = _mm256_shuffle_epi8(first, index.first);
        if constexpr (kBits == 4) return found;
        return _mm256_or_si256(found, _mm256_shuffle_epi8(second, index.second));
    }
};

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
        uint8_t bytes[6][kSmallAlphabet];
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

    // One symbol of each lane; x[i] holds lanes 8 i to 8 i + 7. The bytes of the result stand in the order that packing dwords to bytes
    // gives: in each half of the vector four lanes of x[0], of x[1], of x[2], of x[3].
    __attribute__((always_inline)) __m256i step(__m256i x[4], const uint8_t*& words) const {
        const __m256i slot_mask = _mm256_set1_epi32(kSlots - 1), bucket_mask = _mm256_set1_epi16((1 << kBits) - 1);
        const __m256i slots0 = _mm256_packus_epi32(_mm256_and_si256(x[0], slot_mask), _mm256_and_si256(x[1], slot_mask));
        const __m256i slots1 = _mm256_packus_epi32(_mm256_and_si256(x[2], slot_mask), _mm256_and_si256(x[3], slot_mask));
        const __m256i bucket = _mm256_packus_epi16(_mm256_and_si256(slots0, bucket_mask), _mm256_and_si256(slots1, bucket_mask));
        const __m256i offset = _mm256_packus_epi16(_mm256_srli_epi16(slots0, kBits), _mm256_srli_epi16(slots1, kBits));
        const Index<kBits> at(bucket);
        const __m256i other = _mm256_cmpeq_epi8(_mm256_max_epu8(offset, threshold[at]), offset);  // offset >= threshold
        const __m256i symbol = _mm256_blendv_epi8(bucket, alias[at], other);
        const __m256i low = _mm256_and_si256(adjust_low[at], other), high = _mm256_and_si256(adjust_high[at], other);
        const __m256i zero = _mm256_setzero_si256();
        const __m256i rank0 = _mm256_add_epi16(_mm256_unpacklo_epi8(offset, zero), _mm256_unpacklo_epi8(low, high));
        const __m256i rank1 = _mm256_add_epi16(_mm256_unpackhi_epi8(offset, zero), _mm256_unpackhi_epi8(low, high));
        const Index<kBits> of(symbol);
        const __m256i f_low = frequency_low[of], f_high = frequency_high[of];
        const __m256i f0 = _mm256_unpacklo_epi8(f_low, f_high), f1 = _mm256_unpackhi_epi8(f_low, f_high);
        x[0] = advance(x[0], _mm256_unpacklo_epi16(f0, zero), _mm256_unpacklo_epi16(rank0, zero), words);
        x[1] = advance(x[1], _mm256_unpackhi_epi16(f0, zero), _mm256_unpackhi_epi16(rank0, zero), words);
        x[2] = advance(x[2], _mm256_unpacklo_epi16(f1, zero), _mm256_unpacklo_epi16(rank1, zero), words);
        x[3] = advance(x[3], _mm256_unpackhi_epi16(f1, zero), _mm256_unpackhi_epi16(rank1, zero), words);
        return symbol;
    }

    __attribute__((always_inline)) static __m256i advance(__m256i x, __m256i frequency, __m256i rank, const uint8_t*& words) {
        return refill(_mm256_add_epi32(_mm256_mullo_epi32(frequency, _mm256_srli_epi32(x, kSlotBits)), rank), words);
    }
};

using scalar::Progress;

// The 128 symbols of a group of each of kN streams, in order: four vectors of 32 bytes.
template <uint32_t kBits, size_t kN>
__attribute__((always_inline)) inline void decode_group(const Buckets<kBits>* buckets, __m256i (*x)[4], const uint8_t** words,
                                                        __m256i (*symbols)[4]) {
    __m256i s[kN][4];
#pragma GCC unroll 4
    for (int t = 0; t < 4; ++t) {
#pragma GCC unroll 2
        for (size_t b = 0; b < kN; ++b) s[b][t] = buckets[b].step(x[b], words[b]);
    }
#pragma GCC unroll 2
    for (size_t b = 0; b < kN; ++b) {
        // The four symbols of a lane become a dword; unpacking undoes the order of packing.
        const __m256i low01 = _mm256_unpacklo_epi8(s[b][0], s[b][1]), low23 = _mm256_unpacklo_epi8(s[b][2], s[b][3]);
        const __m256i high01 = _mm256_unpackhi_epi8(s[b][0], s[b][1]), high23 = _mm256_unpackhi_epi8(s[b][2], s[b][3]);
        symbols[b][0] = _mm256_unpacklo_epi16(low01, low23);
        symbols[b][1] = _mm256_unpackhi_epi16(low01, low23);
        symbols[b][2] = _mm256_unpacklo_epi16(high01, high23);
        symbols[b][3] = _mm256_unpackhi_epi16(high01, high23);
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

// Four words as a vector, in two levels of unpacking.
__attribute__((always_inline)) inline __m128i four(const uint32_t* slots, const uint32_t* at) {
    const auto one = [&](int i) { return _mm_cvtsi32_si128(static_cast<int>(slots[at[i]])); };
    return _mm_unpacklo_epi64(_mm_unpacklo_epi32(one(0), one(1)), _mm_unpacklo_epi32(one(2), one(3)));
}

// 256 symbols: all slots in memory.
inline void decode_byte_groups(const RansTable& table, Progress& p, size_t groups, uint8_t* out) {
    uint32_t slots[kSlots];
    scalar::expand_slots(table, slots);
    const __m256i low = _mm256_set1_epi32(kSlots - 1), top = _mm256_set1_epi32(static_cast<int>(0xff000000u));
    __m256i x[4];
    load_states(p, x);
    const uint8_t* words = p.words;
    for (; p.groups_done < groups && p.readable - words >= Progress::kRoom; ++p.groups_done) {
        __m256i symbols[4] = {};  // of each lane a dword, the first in its lowest byte
#pragma GCC unroll 4
        for (int t = 0; t < 4; ++t) {
#pragma GCC unroll 4
            for (int i = 0; i < 4; ++i) {
                alignas(32) uint32_t at[8];
                _mm256_store_si256(reinterpret_cast<__m256i*>(at), _mm256_and_si256(x[i], low));
                const __m256i slot = _mm256_set_m128i(four(slots, at + 4), four(slots, at));
                symbols[i] = _mm256_or_si256(_mm256_srli_epi32(symbols[i], 8), _mm256_and_si256(slot, top));
                const __m256i frequency = _mm256_and_si256(_mm256_srli_epi32(slot, 12), low), rank = _mm256_and_si256(slot, low);
                x[i] = Buckets<4>::advance(x[i], frequency, rank, words);
            }
        }
        for (int i = 0; i < 4; ++i) {
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + p.groups_done * kGroup + 32 * i), symbols[i]);
        }
    }
    save_states(p, x);
    p.words = words;
}

inline void rans_groups(const RansTable& table, Progress& p, size_t groups, uint8_t* out) {
    switch (table.bits) {
        case 4: decode_groups<4>(table, p, groups, out); break;
        case 5: decode_groups<5>(table, p, groups, out); break;
        default: decode_byte_groups(table, p, groups, out);
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

}  // namespace pennyweight::avx2
