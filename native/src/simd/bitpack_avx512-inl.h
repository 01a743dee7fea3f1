// Groups of bitpack whose elements have two bytes, 32 elements in a vector: they take 4 b bytes. Included by targets/avx512.cc only.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace pennyweight::avx512 {

inline void pack_words(const uint8_t* src, size_t groups, uint32_t b, uint32_t z, uint8_t* dst) {
    alignas(64) uint8_t packed_at[64];
    for (uint32_t i = 0; i < 64; ++i) packed_at[i] = static_cast<uint8_t>(i < 4 * b ? i / b * 16 + i % b : 63);
    const __m512i order = _mm512_load_si512(packed_at);
    const int64_t four = 4 * static_cast<int64_t>(b);
    const __m128i by_z = _mm_cvtsi64_si128(z), by_16 = _mm_cvtsi64_si128(16 - b), by_32 = _mm_cvtsi64_si128(32 - 2 * b);
    const __m512i one = _mm512_set1_epi32((1 << b) - 1), two = _mm512_set1_epi64((int64_t{1} << 2 * b) - 1);
    const __m512i up = _mm512_set1_epi64(four), down = _mm512_set1_epi64(64 - four);
    constexpr int kSelect = 0xd8;         // of (a, b, c): b where c is set, else a
    constexpr __mmask8 kUpper = 0b10101010;  // qwords
    for (size_t i = 0; i < groups * 4; ++i, src += 64, dst += 4 * b) {
        const __m512i x = _mm512_srl_epi16(_mm512_loadu_si512(src), by_z);
        const __m512i pairs = _mm512_ternarylogic_epi32(_mm512_srl_epi32(x, by_16), x, one, kSelect);
        const __m512i fours = _mm512_ternarylogic_epi64(_mm512_srl_epi64(pairs, by_32), pairs, two, kSelect);
        // Of two fours the second goes on where the first ends.
        const __m512i second = _mm512_unpackhi_epi64(fours, fours);
        const __m512i low = _mm512_or_si512(fours, _mm512_sllv_epi64(second, up));
        const __m512i eights = _mm512_mask_mov_epi64(low, kUpper, _mm512_srlv_epi64(second, down));
        _mm512_storeu_si512(dst, _mm512_permutexvar_epi8(order, eights));
    }
}

inline void unpack_words(const uint8_t* src, size_t groups, uint32_t b, uint32_t z, uint8_t* dst) {
    // The eight bytes that hold four elements, which begin at bit 0 or 4 of them; then each byte of an element takes its bits.
    alignas(64) uint8_t bytes[64], bits[64];
    for (uint32_t i = 0; i < 64; ++i) {
        const uint32_t four_at = i / 8 * 4 * b;
        bytes[i] = static_cast<uint8_t>(four_at / 8 + i % 8);
        bits[i] = static_cast<uint8_t>((four_at % 8 + i % 8 / 2 * b + i % 2 * 8) & 63);
    }
    const __m512i bytes_at = _mm512_load_si512(bytes), bits_at = _mm512_load_si512(bits);
    const __m512i mask = _mm512_set1_epi16(static_cast<short>((1 << b) - 1));
    const __m128i by_z = _mm_cvtsi64_si128(z);
    for (size_t i = 0; i < groups * 4; ++i, src += 4 * b, dst += 64) {
        const __m512i fours = _mm512_permutexvar_epi8(bytes_at, _mm512_loadu_si512(src));
        const __m512i elements = _mm512_and_si512(_mm512_multishift_epi64_epi8(bits_at, fours), mask);
        _mm512_storeu_si512(dst, _mm512_sll_epi16(elements, by_z));
    }
}

}  // namespace pennyweight::avx512
