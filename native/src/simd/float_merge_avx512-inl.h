// Symbols, sign_mantissa and low bytes of 64 weights into the weights. Included by targets/avx512.cc only.
#pragma once

#include <immintrin.h>

#include "float_shape-inl.h"

namespace pennyweight::avx512 {

inline __m512i byte_table(const auto& value_at) {
    uint8_t bytes[64];
    for (uint32_t i = 0; i < 64; ++i) bytes[i] = static_cast<uint8_t>(value_at(i));
    return _mm512_loadu_si512(bytes);
}
inline __m512i word_table(const auto& value_at) {
    uint16_t words[32];
    for (uint32_t i = 0; i < 32; ++i) words[i] = static_cast<uint16_t>(value_at(i));
    return _mm512_loadu_si512(words);
}

// What a symbol contributes to the first and the last byte of its weight's top, for each value of a byte's low six bits.
template <typename Shape>
struct SymbolBytes {
    __m512i first, last;

    void load(uint32_t base) {
        const auto top = [base](uint32_t i) {
            const uint32_t symbol = i & ((1u << Shape::kAlphabetBits) - 1), shift = Shape::kTopMantissaBits;
            return Shape::kJoint ? (base + (symbol >> 1)) << shift | (symbol & 1) << (shift - 1) : (base + symbol) << shift;
        };
        if constexpr (Shape::kTopBytes == 2) first = byte_table(top);
        last = byte_table([&](uint32_t i) { return top(i) >> (8 * (Shape::kTopBytes - 1)); });
    }
};

template <typename Shape, bool kStream>
struct Merge {
    static constexpr uint32_t h = Shape::h;
    // Of h bytes for eight fields, 64 that end with the 8 h are read, or as few as a vector can be: what stands before them is the frame's
    // own, what follows may be nobody's. (A masked load costs half the speed where it crosses a cache line.)
    static constexpr uint32_t kRead = h == 2 ? 16 : h == 3 ? 32 : 64;
    static constexpr uint32_t kBefore = kRead - 8 * h;

    // Bytes of the first and of the second vector, in turns; the second half of each.
    const __m512i bytes0 = byte_table([](uint32_t i) { return i / 2 + i % 2 * 64; });
    const __m512i bytes1 = byte_table([](uint32_t i) { return 32 + i / 2 + i % 2 * 64; });
    const __m512i words0 = word_table([](uint32_t i) { return i / 2 + i % 2 * 32; });
    const __m512i words1 = word_table([](uint32_t i) { return 16 + i / 2 + i % 2 * 32; });
    // Eight fields of h bits lie in h bytes: spread these to 8, then each byte takes its 8 bits from anywhere in the 64.
    const __m512i spread = byte_table([](uint32_t i) { return kBefore + i / 8 * h + (i % 8 < h ? i % 8 : h - 1); });
    const __m512i mantissa_at = byte_table([](uint32_t i) { return h * (i % 8); });
    const __m512i sign_at = byte_table([](uint32_t i) { return (h * (i % 8) + h - 8) & 63; });  // the field's top bit as bit 7

    __attribute__((always_inline)) static __m512i read_fields(const uint8_t* high) {
        if constexpr (kRead == 16) return _mm512_castsi128_si512(_mm_loadu_si128(reinterpret_cast<const __m128i*>(high)));
        if constexpr (kRead == 32) return _mm512_castsi256_si512(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(high - kBefore)));
        return _mm512_loadu_si512(high - kBefore);
    }

    __attribute__((always_inline)) static void write(uint8_t* out, __m512i v) {
        if constexpr (kStream) {
            _mm512_stream_si512(reinterpret_cast<__m512i*>(out), v);
        } else {
            _mm512_storeu_si512(out, v);
        }
    }

    __attribute__((always_inline)) void store(const SymbolBytes<Shape>& of, __m512i symbols, const uint8_t* high, const uint8_t* low,
                                              uint8_t* out) const {
        __m512i mantissas, signs;
        if constexpr (h == 8) {
            mantissas = signs = _mm512_loadu_si512(high);
        } else {
            const __m512i fields = _mm512_permutexvar_epi8(spread, read_fields(high));
            mantissas = _mm512_multishift_epi64_epi8(mantissa_at, fields);
            signs = _mm512_multishift_epi64_epi8(sign_at, fields);
        }
        constexpr int kOrAnd = 0xf8;  // a | (b & c)
        const __m512i mask = _mm512_set1_epi8(static_cast<char>(Shape::kMantissaMask)), sign_mask = _mm512_set1_epi8(-128);
        __m512i first, last = _mm512_ternarylogic_epi32(_mm512_permutexvar_epi8(symbols, of.last), signs, sign_mask, kOrAnd);
        if constexpr (Shape::kTopBytes == 2) {
            first = _mm512_ternarylogic_epi32(_mm512_permutexvar_epi8(symbols, of.first), mantissas, mask, kOrAnd);
        } else {
            first = _mm512_loadu_si512(low);
            last = _mm512_ternarylogic_epi32(last, mantissas, mask, kOrAnd);
        }
        const __m512i w0 = _mm512_permutex2var_epi8(first, bytes0, last), w1 = _mm512_permutex2var_epi8(first, bytes1, last);
        if constexpr (Shape::kBytes == 2) {
            write(out, w0);
            write(out + 64, w1);
        } else {
            const __m512i low0 = _mm512_loadu_si512(low), low1 = _mm512_loadu_si512(low + 64);
            write(out, _mm512_permutex2var_epi16(low0, words0, w0));
            write(out + 64, _mm512_permutex2var_epi16(low0, words1, w0));
            write(out + 128, _mm512_permutex2var_epi16(low1, words0, w1));
            write(out + 192, _mm512_permutex2var_epi16(low1, words1, w1));
        }
    }
};

}  // namespace pennyweight::avx512
