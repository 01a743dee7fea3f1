// Counts of 16 or 32 symbols. Included by targets/avx512.cc only.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace pennyweight::avx512 {

// Counts symbols in whole runs of 512 and returns how many it saw. Bit k of 512 symbols makes a vector, the and of such vectors marks where
// a symbol stands, and a population count adds it up: a third of the time of comparing with each symbol in turn.
template <uint32_t kBits>
size_t count_symbols(const uint8_t* symbols, size_t n, uint32_t* counts) {
    constexpr uint32_t kLow = 8, kHigh = (1u << kBits) / kLow;  // values of bits 0-2, and of the bits above
    __m512i sums[kHigh][kLow];
    for (auto& row : sums) {
        for (__m512i& sum : row) sum = _mm512_setzero_si512();
    }
    size_t i = 0;
    for (; i + 512 <= n; i += 512) {
        alignas(64) uint64_t planes[kBits][8];
#pragma GCC unroll 8
        for (uint32_t j = 0; j < 8; ++j) {
            const __m512i s = _mm512_loadu_si512(symbols + i + 64 * j);
#pragma GCC unroll 8
            for (uint32_t k = 0; k < kBits; ++k) planes[k][j] = _cvtmask64_u64(_mm512_movepi8_mask(_mm512_slli_epi16(s, 7 - k)));
        }
        __m512i bit[kBits];
#pragma GCC unroll 8
        for (uint32_t k = 0; k < kBits; ++k) bit[k] = _mm512_load_si512(planes[k]);
        const auto low = [&]<int value>() { return _mm512_ternarylogic_epi64(bit[2], bit[1], bit[0], 1 << value); };
        const __m512i lows[kLow] = {low.template operator()<0>(), low.template operator()<1>(), low.template operator()<2>(),
                                    low.template operator()<3>(), low.template operator()<4>(), low.template operator()<5>(),
                                    low.template operator()<6>(), low.template operator()<7>()};
#pragma GCC unroll 4
        for (uint32_t h = 0; h < kHigh; ++h) {
            const __m512i flip3 = _mm512_set1_epi64(h & 1 ? 0 : -1), flip4 = _mm512_set1_epi64(h & 2 ? 0 : -1);
            __m512i high = _mm512_xor_si512(bit[3], flip3);
            if constexpr (kBits == 5) high = _mm512_and_si512(high, _mm512_xor_si512(bit[4], flip4));
#pragma GCC unroll 8
            for (uint32_t l = 0; l < kLow; ++l) {
                sums[h][l] = _mm512_add_epi64(sums[h][l], _mm512_popcnt_epi64(_mm512_and_si512(high, lows[l])));
            }
        }
    }
    for (uint32_t h = 0; h < kHigh; ++h) {
        for (uint32_t l = 0; l < kLow; ++l) counts[kLow * h + l] = static_cast<uint32_t>(_mm512_reduce_add_epi64(sums[h][l]));
    }
    return i;
}

}  // namespace pennyweight::avx512
