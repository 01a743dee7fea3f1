// `scales` with 16 lanes in a vector. Included by targets/avx512.cc only.
//
// Eight tables of up to 128 buckets do not fit in registers: a bucket is one load of 8 bytes, gathered for 8 lanes at a time, so that
// threshold, alias, rank and both frequencies come at once. Two gathers of 4 bytes for 16 lanes, as the symbol's frequency must wait for
// the symbol, have the longer chain.
#pragma once

#include <immintrin.h>

#include "../scalar/scalar.h"
#include "../scalar/scales.h"
#include "pennyweight/bytes.h"

namespace pennyweight::avx512 {

#include "scales_encode-inl.h"

struct Dwords {
    alignas(64) uint32_t value[16];
};
constexpr Dwords dword_sequence(uint32_t first, uint32_t step) {
    Dwords w{};
    for (uint32_t i = 0; i < 16; ++i) w.value[i] = first + step * i;
    return w;
}
inline constexpr Dwords kEvenDwords = dword_sequence(0, 2), kOddDwords = dword_sequence(1, 2);

struct ScalesStep {
    const uint64_t* buckets;
    __m512i symbol_mask, offset_mask, even, odd;
    __m128i bits, mantissa_bits;

    explicit ScalesStep(const ScalesTable& table) : buckets(table.buckets) {
        const uint32_t b = 4 + table.mantissa_bits, mask = (1u << b) - 1;
        symbol_mask = _mm512_set1_epi32(static_cast<int>(mask));
        offset_mask = _mm512_set1_epi32(static_cast<int>((kScalesSlots - 1) & ~mask));
        even = _mm512_load_si512(kEvenDwords.value);
        odd = _mm512_load_si512(kOddDwords.value);
        bits = _mm_cvtsi32_si128(static_cast<int>(b));
        mantissa_bits = _mm_cvtsi32_si128(static_cast<int>(table.mantissa_bits));
    }

    // A symbol of 16 lanes; phase is that of each, shifted by `bits`.
    __attribute__((always_inline)) __m512i symbol(__m512i& x, __m512i phase, const uint8_t*& words) const {
        const __m512i index = _mm512_or_si512(phase, _mm512_and_si512(x, symbol_mask));
        const __m512i b0 = _mm512_i32gather_epi64(_mm512_castsi512_si256(index), buckets, 8);
        const __m512i b1 = _mm512_i32gather_epi64(_mm512_extracti64x4_epi64(index, 1), buckets, 8);
        const __m512i low = _mm512_permutex2var_epi32(b0, even, b1), high = _mm512_permutex2var_epi32(b0, odd, b1);
        const __m512i offset = _mm512_and_si512(x, offset_mask);
        const __mmask16 other = _mm512_cmpgt_epi32_mask(_mm512_slli_epi32(offset, 16), low);  // as in scalar/scales.cc
        const __m512i own = _mm512_and_si512(high, _mm512_set1_epi32(0xffff));
        const __m512i frequency = _mm512_mask_srli_epi32(own, other, high, 16);
        const __m512i symbol = _mm512_and_si512(_mm512_mask_srli_epi32(x, other, low, 16), symbol_mask);
        const __m512i adjust = _mm512_maskz_madd_epi16(other, low, _mm512_set1_epi32(1));  // the low half, signed
        const __m512i rank = _mm512_add_epi32(_mm512_srl_epi32(offset, bits), adjust);
        x = _mm512_add_epi32(_mm512_mullo_epi32(frequency, _mm512_srli_epi32(x, kScalesSlotBits)), rank);
        const __mmask16 refill = _mm512_cmplt_epu32_mask(x, _mm512_set1_epi32(kLowerBound));
        const __m512i next = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(words)));
        const __m512i fresh = _mm512_maskz_expand_epi32(refill, next);
        x = _mm512_or_si512(_mm512_mask_slli_epi32(x, refill, x, 16), fresh);
        words += 2 * _mm_popcnt_u32(refill);
        return symbol;
    }

    // 32 symbols to keys, of levels. Adds to `escaped` where r is 0 or 15, to `negative` exponents below 0: they have no other way to be
    // wrong, as levels are below 2^15.
    __attribute__((always_inline)) __m512i keys(__m512i symbols, __m512i level, __mmask32& escaped, __mmask32& negative) const {
        const __m512i lowest = _mm512_sub_epi16(_mm512_srai_epi16(level, 3), _mm512_set1_epi16(kReferencePlace));
        const __m512i r = _mm512_srl_epi16(symbols, mantissa_bits);
        negative |= _mm512_movepi16_mask(_mm512_add_epi16(lowest, r));
        const __m512i turned =
            _mm512_and_si512(_mm512_add_epi16(r, _mm512_set1_epi16(1)), _mm512_set1_epi16(15));  // 15 and 0 become 0 and 1
        escaped |= _mm512_cmplt_epi16_mask(turned, _mm512_set1_epi16(2));
        return _mm512_add_epi16(_mm512_sll_epi16(lowest, mantissa_bits), symbols);
    }
};

inline bool scales_decode(const ScalesTable& table, const ScalesBlock& block) {
    if (!scalar::states_valid(block.payload)) return false;
    const ScalesStep step(table);
    scalar::ScalesProgress p;
    std::memcpy(p.x, block.payload, sizeof(p.x));
    p.words = block.payload + kStateBytes;
    p.words_end = p.words + 2 * block.n_words;
    scalar::EscapeReader reader{block.escapes, 2 * block.n_escape_bytes};
    scalar::RowWalk walk(block.place);
    const size_t n = block.place.n;
    const __m512i low_half = _mm512_set1_epi32(0xffff), seven = _mm512_set1_epi16(7);
    // Quadwords of the two vectors that unpacking leaves: the first two lanes of each quarter, then the last two.
    const __m512i first_lanes = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11), last_lanes = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
    for (size_t done = 0; done < n;) {
        alignas(64) int16_t levels[scalar::kScalesChunk];
        const size_t chunk = n - done < scalar::kScalesChunk ? n - done : scalar::kScalesChunk;
        uint8_t* keys = block.out + 2 * done;
        scalar::scales_levels(walk, block.base, block.rows, chunk, levels);
        __m512i x[2] = {_mm512_load_si512(p.x), _mm512_load_si512(p.x + 16)};
        size_t i = 0;
        for (; i + kGroup <= chunk && p.words_end - p.words >= scalar::Progress::kRoom; i += kGroup) {
            __m512i level[4], phases[2][2], symbols[2][2];  // of elements t and t + 1 of each lane, for t = 0 and 2
#pragma GCC unroll 2
            for (int v = 0; v < 2; ++v) {
                level[2 * v] = _mm512_load_si512(levels + i + 64 * v);
                level[2 * v + 1] = _mm512_load_si512(levels + i + 64 * v + 32);
                const __m512i a = _mm512_sll_epi16(_mm512_and_si512(level[2 * v], seven), step.bits);
                const __m512i b = _mm512_sll_epi16(_mm512_and_si512(level[2 * v + 1], seven), step.bits);
                phases[0][v] = _mm512_permutex2var_epi32(a, step.even, b);
                phases[1][v] = _mm512_permutex2var_epi32(a, step.odd, b);
            }
#pragma GCC unroll 2
            for (int pair = 0; pair < 2; ++pair) {
#pragma GCC unroll 2
                for (int v = 0; v < 2; ++v) symbols[pair][v] = step.symbol(x[v], _mm512_and_si512(phases[pair][v], low_half), p.words);
#pragma GCC unroll 2
                for (int v = 0; v < 2; ++v) {
                    const __m512i second = step.symbol(x[v], _mm512_srli_epi32(phases[pair][v], 16), p.words);
                    symbols[pair][v] = _mm512_or_si512(symbols[pair][v], _mm512_slli_epi32(second, 16));
                }
            }
            __mmask32 escaped = 0, negative = 0;
#pragma GCC unroll 2
            for (int v = 0; v < 2; ++v) {
                const __m512i a = _mm512_unpacklo_epi32(symbols[0][v], symbols[1][v]),
                              b = _mm512_unpackhi_epi32(symbols[0][v], symbols[1][v]);
                const __m512i first = _mm512_permutex2var_epi64(a, first_lanes, b), last = _mm512_permutex2var_epi64(a, last_lanes, b);
                uint8_t* const out = keys + 2 * (i + 64 * v);
                _mm512_storeu_si512(out, step.keys(first, level[2 * v], escaped, negative));
                _mm512_storeu_si512(out + 64, step.keys(last, level[2 * v + 1], escaped, negative));
            }
            if (escaped != 0) {
                if (!scalar::scales_escapes(levels + i, table.mantissa_bits, kGroup, reader, keys + 2 * i)) return false;
            } else if (negative != 0) {
                return false;
            }
        }
        _mm512_store_si512(p.x, x[0]);
        _mm512_store_si512(p.x + 16, x[1]);
        if (!scalar::scales_rest(table, levels, i, chunk, p, reader, keys)) return false;
        done += chunk;
    }
    return reader.finished() && scalar::stream_ended(p.x, p.words, p.words_end);
}

inline int32_t scales_top(const uint8_t* keys, const int8_t* columns, size_t n, uint32_t mantissa_bits) {
    const __m128i m = _mm_cvtsi32_si128(static_cast<int>(mantissa_bits));
    __m512i top = _mm512_set1_epi32(INT32_MIN);
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const __m512i key = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(keys + 2 * i)));
        __m512i e = _mm512_srl_epi32(key, m);
        if (columns != nullptr) {
            const __m512i c = _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(columns + i)));
            e = _mm512_sub_epi32(e, _mm512_srai_epi32(c, 3));
        }
        top = _mm512_max_epi32(top, e);
    }
    const int32_t rest = scalar::scales_top(keys + 2 * i, columns == nullptr ? nullptr : columns + i, n - i, mantissa_bits);
    const int32_t highest = _mm512_reduce_max_epi32(top);
    return highest > rest ? highest : rest;
}

inline uint64_t scales_sum(const uint8_t* keys, const int8_t* columns, size_t n, uint32_t mantissa_bits, int32_t top) {
    const __m512i fraction = _mm512_setr_epi64(32768, 30048, 27554, 25268, 23170, 21247, 19484, 17867);
    const __m128i m = _mm_cvtsi32_si128(static_cast<int>(mantissa_bits)), fill = _mm_cvtsi32_si128(static_cast<int>(3 - mantissa_bits));
    const __m512i t_mask = _mm512_set1_epi64((1 << mantissa_bits) - 1), hidden = _mm512_set1_epi64((2 << mantissa_bits) | 1);
    __m512i total = _mm512_setzero_si512();
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const __m512i key = _mm512_cvtepu16_epi64(_mm_loadu_si128(reinterpret_cast<const __m128i*>(keys + 2 * i)));
        __m512i c = _mm512_setzero_si512();
        if (columns != nullptr) c = _mm512_cvtepi8_epi64(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(columns + i)));
        const __m512i t = _mm512_and_si512(key, t_mask);
        const __m512i u = _mm512_sll_epi64(_mm512_or_si512(_mm512_slli_epi64(t, 1), hidden), fill);
        const __m512i scaled = _mm512_slli_epi64(_mm512_mul_epu32(u, _mm512_permutexvar_epi64(c, fraction)), 20);
        const __m512i e = _mm512_sub_epi64(_mm512_srl_epi64(key, m), _mm512_srai_epi64(c, 3));
        total = _mm512_add_epi64(total, _mm512_srlv_epi64(scaled, _mm512_sub_epi64(_mm512_set1_epi64(top), e)));  // 64 and more give 0
    }
    const uint64_t rest = scalar::scales_sum(keys + 2 * i, columns == nullptr ? nullptr : columns + i, n - i, mantissa_bits, top);
    return static_cast<uint64_t>(_mm512_reduce_add_epi64(total)) + rest;
}

}  // namespace pennyweight::avx512
