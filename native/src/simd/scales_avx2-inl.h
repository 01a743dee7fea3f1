// `scales` with 8 lanes in a vector. Included by targets/avx2.cc only.
//
// Eight tables of up to 128 buckets do not fit in registers: they are loaded one by one. Two gathers, of either half of the buckets, gave
// 0.75 of the speed (Zen 3).
#pragma once

#include <immintrin.h>

#include "../scalar/scales.h"
#include "rans_avx2-inl.h"
#include "rans_encode_avx2-inl.h"

namespace pennyweight::avx2 {

#include "scales_encode-inl.h"

struct ScalesStep {
    const uint64_t* buckets;
    __m256i symbol_mask, offset_mask;
    __m128i bits, mantissa_bits;

    explicit ScalesStep(const ScalesTable& table) : buckets(table.buckets) {
        const uint32_t b = 4 + table.mantissa_bits, mask = (1u << b) - 1;
        symbol_mask = _mm256_set1_epi32(static_cast<int>(mask));
        offset_mask = _mm256_set1_epi32(static_cast<int>((kScalesSlots - 1) & ~mask));
        bits = _mm_cvtsi32_si128(static_cast<int>(b));
        mantissa_bits = _mm_cvtsi32_si128(static_cast<int>(table.mantissa_bits));
    }

    __attribute__((always_inline)) __m256 four(uint32_t i, uint32_t j, uint32_t k, uint32_t l) const {
        const auto two = [this](uint32_t first, uint32_t second) {
            const __m128i low = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(buckets + first));
            return _mm_castps_si128(_mm_loadh_pi(_mm_castsi128_ps(low), reinterpret_cast<const __m64*>(buckets + second)));
        };
        return _mm256_castsi256_ps(_mm256_set_m128i(two(k, l), two(i, j)));
    }

    // A symbol of 8 lanes; phase is that of each, shifted by `bits`.
    __attribute__((always_inline)) __m256i symbol(__m256i& x, __m256i phase, const uint8_t*& words) const {
        const __m256i index = _mm256_or_si256(phase, _mm256_and_si256(x, symbol_mask));
        alignas(32) uint32_t at[8];
        _mm256_store_si256(reinterpret_cast<__m256i*>(at), index);
        const __m256 a = four(at[0], at[1], at[4], at[5]), b = four(at[2], at[3], at[6], at[7]);
        const __m256i low = _mm256_castps_si256(_mm256_shuffle_ps(a, b, 0x88)), high = _mm256_castps_si256(_mm256_shuffle_ps(a, b, 0xdd));
        const __m256i offset = _mm256_and_si256(x, offset_mask);
        const __m256i other = _mm256_cmpgt_epi32(_mm256_slli_epi32(offset, 16), low);  // as in scalar/scales.cc
        const __m256i symbol = _mm256_and_si256(_mm256_blendv_epi8(x, _mm256_srli_epi32(low, 16), other), symbol_mask);
        const __m256i own = _mm256_and_si256(high, _mm256_set1_epi32(0xffff));
        const __m256i frequency = _mm256_blendv_epi8(own, _mm256_srli_epi32(high, 16), other);
        const __m256i adjust = _mm256_madd_epi16(_mm256_and_si256(low, other), _mm256_set1_epi32(1));  // the low half, signed
        const __m256i rank = _mm256_add_epi32(_mm256_srl_epi32(offset, bits), adjust);
        const __m256i next = _mm256_add_epi32(_mm256_mullo_epi32(frequency, _mm256_srli_epi32(x, kScalesSlotBits)), rank);
        x = Buckets<4>::refill(next, words);
        return symbol;
    }

    // 16 symbols to keys, of levels. Adds to `escaped` where r is 0 or 15, to `negative` exponents below 0: they have no other way to be
    // wrong, as levels are below 2^15.
    __attribute__((always_inline)) __m256i keys(__m256i symbols, __m256i level, __m256i& escaped, __m256i& negative) const {
        const __m256i lowest = _mm256_sub_epi16(_mm256_srai_epi16(level, 3), _mm256_set1_epi16(kReferencePlace));
        const __m256i r = _mm256_srl_epi16(symbols, mantissa_bits);
        negative = _mm256_or_si256(negative, _mm256_add_epi16(lowest, r));
        const __m256i turned =
            _mm256_and_si256(_mm256_add_epi16(r, _mm256_set1_epi16(1)), _mm256_set1_epi16(15));  // 15 and 0 become 0 and 1
        escaped = _mm256_or_si256(escaped, _mm256_cmpgt_epi16(_mm256_set1_epi16(2), turned));
        return _mm256_add_epi16(_mm256_sll_epi16(lowest, mantissa_bits), symbols);
    }
};

inline bool scales_decode(const ScalesTable& table, const ScalesBlock& block) {
    if (!scalar::states_valid(block.payload)) return false;
    const uint32_t m = table.mantissa_bits;
    const ScalesStep step(table);
    scalar::ScalesProgress p;
    std::memcpy(p.x, block.payload, sizeof(p.x));
    p.words = block.payload + kStateBytes;
    p.words_end = p.words + 2 * block.n_words;
    scalar::EscapeReader reader{block.escapes, 2 * block.n_escape_bytes};
    scalar::RowWalk walk(block.place);
    const size_t n = block.place.n;
    __m256i* const states = reinterpret_cast<__m256i*>(p.x);
    const __m256i low_half = _mm256_set1_epi32(0xffff), seven = _mm256_set1_epi16(7);
    for (size_t done = 0; done < n;) {
        alignas(32) int16_t levels[scalar::kScalesChunk];
        const size_t chunk = n - done < scalar::kScalesChunk ? n - done : scalar::kScalesChunk;
        uint8_t* keys = block.out + 2 * done;
        scalar::scales_levels(walk, block.base, block.rows, chunk, levels);
        __m256i x[4];
        for (int v = 0; v < 4; ++v) x[v] = _mm256_load_si256(states + v);
        size_t i = 0;
        for (; i + kGroup <= chunk && p.words_end - p.words >= scalar::Progress::kRoom; i += kGroup) {
            const __m256i* const level = reinterpret_cast<const __m256i*>(levels + i);
            __m256i phases[2][4], symbols[2][4];  // of elements t and t + 1 of each lane, for t = 0 and 2
#pragma GCC unroll 4
            for (int v = 0; v < 4; ++v) {
                const __m256 a = _mm256_castsi256_ps(_mm256_sll_epi16(_mm256_and_si256(level[2 * v], seven), step.bits));
                const __m256 b = _mm256_castsi256_ps(_mm256_sll_epi16(_mm256_and_si256(level[2 * v + 1], seven), step.bits));
                phases[0][v] = _mm256_permute4x64_epi64(_mm256_castps_si256(_mm256_shuffle_ps(a, b, 0x88)), 0xd8);
                phases[1][v] = _mm256_permute4x64_epi64(_mm256_castps_si256(_mm256_shuffle_ps(a, b, 0xdd)), 0xd8);
            }
#pragma GCC unroll 2
            for (int pair = 0; pair < 2; ++pair) {
#pragma GCC unroll 4
                for (int v = 0; v < 4; ++v) symbols[pair][v] = step.symbol(x[v], _mm256_and_si256(phases[pair][v], low_half), p.words);
#pragma GCC unroll 4
                for (int v = 0; v < 4; ++v) {
                    const __m256i second = step.symbol(x[v], _mm256_srli_epi32(phases[pair][v], 16), p.words);
                    symbols[pair][v] = _mm256_or_si256(symbols[pair][v], _mm256_slli_epi32(second, 16));
                }
            }
            __m256i escaped = _mm256_setzero_si256(), negative = escaped;
            __m256i* const out = reinterpret_cast<__m256i*>(keys + 2 * i);
#pragma GCC unroll 4
            for (int v = 0; v < 4; ++v) {
                const __m256i a = _mm256_unpacklo_epi32(symbols[0][v], symbols[1][v]),
                              b = _mm256_unpackhi_epi32(symbols[0][v], symbols[1][v]);
                const __m256i first = _mm256_permute2x128_si256(a, b, 0x20), second = _mm256_permute2x128_si256(a, b, 0x31);
                _mm256_storeu_si256(out + 2 * v, step.keys(first, level[2 * v], escaped, negative));
                _mm256_storeu_si256(out + 2 * v + 1, step.keys(second, level[2 * v + 1], escaped, negative));
            }
            if (!_mm256_testz_si256(escaped, escaped)) {
                if (!scalar::scales_escapes(levels + i, m, kGroup, reader, keys + 2 * i)) return false;
            } else if ((_mm256_movemask_epi8(negative) & static_cast<int>(0xaaaaaaaa)) != 0) {
                return false;
            }
        }
        for (int v = 0; v < 4; ++v) _mm256_store_si256(states + v, x[v]);
        if (!scalar::scales_rest(table, levels, i, chunk, p, reader, keys)) return false;
        done += chunk;
    }
    return reader.finished() && scalar::stream_ended(p.x, p.words, p.words_end);
}

inline int32_t scales_top(const uint8_t* keys, const int8_t* columns, size_t n, uint32_t mantissa_bits) {
    // In 16 bits: e' + 16 is at least 0, and what does not fit is left to the scalar loop.
    constexpr int32_t kAbove = 16;
    const __m128i m = _mm_cvtsi32_si128(static_cast<int>(mantissa_bits));
    const __m256i above = _mm256_set1_epi16(kAbove);
    __m256i top = _mm256_setzero_si256();
    size_t i = 0;
    if (columns == nullptr) {
        for (; i + 16 <= n; i += 16) top = _mm256_max_epu16(top, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(keys + 2 * i)));
        top = _mm256_adds_epu16(_mm256_srl_epi16(top, m), above);
    } else {
        for (; i + 16 <= n; i += 16) {
            const __m256i e = _mm256_srl_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(keys + 2 * i)), m);
            const __m256i c = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(columns + i)));
            top = _mm256_max_epu16(top, _mm256_adds_epu16(e, _mm256_sub_epi16(above, _mm256_srai_epi16(c, 3))));
        }
    }
    const __m128i half = _mm_max_epu16(_mm256_castsi256_si128(top), _mm256_extracti128_si256(top, 1));
    const int32_t found = 0xffff - _mm_extract_epi16(_mm_minpos_epu16(_mm_xor_si128(half, _mm_set1_epi32(-1))), 0);
    if (found == 0xffff) i = 0;
    const int32_t rest = scalar::scales_top(keys + 2 * i, columns == nullptr ? nullptr : columns + i, n - i, mantissa_bits);
    return i > 0 && found - kAbove > rest ? found - kAbove : rest;
}

inline uint64_t scales_sum(const uint8_t* keys, const int8_t* columns, size_t n, uint32_t mantissa_bits, int32_t top) {
    const __m256i fraction = _mm256_setr_epi32(32768, 30048, 27554, 25268, 23170, 21247, 19484, 17867);
    const __m128i m = _mm_cvtsi32_si128(static_cast<int>(mantissa_bits)), fill = _mm_cvtsi32_si128(static_cast<int>(23 - mantissa_bits));
    const __m256i t_mask = _mm256_set1_epi32((1 << mantissa_bits) - 1), hidden = _mm256_set1_epi32((2 << mantissa_bits) | 1);
    const __m256i tops = _mm256_set1_epi32(top), low = _mm256_set1_epi64x(0xffffffff);
    __m256i total = _mm256_setzero_si256();
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const __m256i key = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(keys + 2 * i)));
        const __m256i t = _mm256_and_si256(key, t_mask);
        const __m256i u = _mm256_sll_epi32(_mm256_or_si256(_mm256_slli_epi32(t, 1), hidden), fill);  // below 2^25
        __m256i shift = _mm256_sub_epi32(tops, _mm256_srl_epi32(key, m)), scale = _mm256_set1_epi32(32768);
        if (columns != nullptr) {
            const __m256i c = _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(columns + i)));
            scale = _mm256_permutevar8x32_epi32(fraction, c);
            shift = _mm256_add_epi32(shift, _mm256_srai_epi32(c, 3));
        }
        const __m256i even = _mm256_srlv_epi64(_mm256_mul_epu32(u, scale), _mm256_and_si256(shift, low));  // 64 and more give 0
        const __m256i odd =
            _mm256_srlv_epi64(_mm256_mul_epu32(_mm256_srli_epi64(u, 32), _mm256_srli_epi64(scale, 32)), _mm256_srli_epi64(shift, 32));
        total = _mm256_add_epi64(total, _mm256_add_epi64(even, odd));
    }
    alignas(32) uint64_t lanes[4];
    _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), total);
    const uint64_t rest = scalar::scales_sum(keys + 2 * i, columns == nullptr ? nullptr : columns + i, n - i, mantissa_bits, top);
    return lanes[0] + lanes[1] + lanes[2] + lanes[3] + rest;
}

}  // namespace pennyweight::avx2
