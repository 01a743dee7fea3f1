// Groups of bitpack whose elements have two bytes, eight elements in each half of a vector: they take b bytes. Included by targets/avx2.cc
// only.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace pennyweight::avx2 {

inline void pack_words(const uint8_t* src, size_t groups, uint32_t b, uint32_t z, uint8_t* dst) {
    const int64_t four = 4 * static_cast<int64_t>(b);
    const __m128i by_z = _mm_cvtsi64_si128(z), by_16 = _mm_cvtsi64_si128(16 - b), by_32 = _mm_cvtsi64_si128(32 - 2 * b);
    const __m256i one = _mm256_set1_epi32((1 << b) - 1), two = _mm256_set1_epi64x((int64_t{1} << 2 * b) - 1);
    const __m256i up = _mm256_setr_epi64x(four, 64, four, 64), down = _mm256_setr_epi64x(64, 64 - four, 64, 64 - four);
    const __m256i low_half = _mm256_setr_epi64x(-1, 0, -1, 0);
    for (size_t i = 0; i < groups * 8; ++i, src += 32, dst += 2 * b) {
        const __m256i x = _mm256_srl_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(src)), by_z);
        const __m256i pairs = _mm256_or_si256(_mm256_and_si256(x, one), _mm256_andnot_si256(one, _mm256_srl_epi32(x, by_16)));
        const __m256i fours = _mm256_or_si256(_mm256_and_si256(pairs, two), _mm256_andnot_si256(two, _mm256_srl_epi64(pairs, by_32)));
        const __m256i upper = _mm256_unpackhi_epi64(fours, fours);
        const __m256i eights = _mm256_or_si256(_mm256_and_si256(fours, low_half),
                                               _mm256_or_si256(_mm256_sllv_epi64(upper, up), _mm256_srlv_epi64(upper, down)));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(dst), _mm256_castsi256_si128(eights));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(dst + b), _mm256_extracti128_si256(eights, 1));
    }
}

inline void unpack_words(const uint8_t* src, size_t groups, uint32_t b, uint32_t z, uint8_t* dst) {
    // Elements 0 to 3 and 4 to 7 of eight, each in a dword: the three bytes at most that hold it, then its bits moved down.
    alignas(16) uint8_t bytes[2][16];
    alignas(16) uint32_t shift[2][4];
    for (uint32_t i = 0; i < 8; ++i) {
        const uint32_t at = i * b;
        shift[i / 4][i % 4] = at % 8;
        for (uint32_t k = 0; k < 4; ++k) bytes[i / 4][i % 4 * 4 + k] = static_cast<uint8_t>(k < 3 && at / 8 + k < 16 ? at / 8 + k : 0x80);
    }
    const auto both = [](const void* p) { return _mm256_broadcastsi128_si256(_mm_load_si128(static_cast<const __m128i*>(p))); };
    const __m256i bytes0 = both(bytes[0]), bytes1 = both(bytes[1]), shift0 = both(shift[0]), shift1 = both(shift[1]);
    const __m256i mask = _mm256_set1_epi32((1 << b) - 1);
    const __m128i by_z = _mm_cvtsi64_si128(z);
    for (size_t i = 0; i < groups * 8; ++i, src += 2 * b, dst += 32) {
        const __m256i packed = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(src))),
                                                       _mm_loadu_si128(reinterpret_cast<const __m128i*>(src + b)), 1);
        const __m256i x0 = _mm256_and_si256(_mm256_srlv_epi32(_mm256_shuffle_epi8(packed, bytes0), shift0), mask);
        const __m256i x1 = _mm256_and_si256(_mm256_srlv_epi32(_mm256_shuffle_epi8(packed, bytes1), shift1), mask);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(dst), _mm256_sll_epi16(_mm256_packus_epi32(x0, x1), by_z));
    }
}

}  // namespace pennyweight::avx2
