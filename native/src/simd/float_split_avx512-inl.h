// The split of floatfields, 64 weights at a time. Included by targets/avx512.cc only.
#pragma once

#include "../scalar/scalar.h"
#include "float_merge_avx512-inl.h"
#include "float_patches-inl.h"
#include "symbols_avx512-inl.h"

namespace pennyweight::avx512 {

// 64 fields of h bits, one per byte, into 8 h bytes: pairs, then fours, then eights; then h bytes of each 8.
template <uint32_t h>
__attribute__((always_inline)) inline void store_fields(__m512i fields, uint8_t* dst) {
    if constexpr (h == 8) return _mm512_storeu_si512(dst, fields);
    const auto join = [](__m512i v, uint64_t lower, uint64_t upper, const auto& shift_right) __attribute__((always_inline)) {
        const __m512i low = _mm512_and_si512(v, _mm512_set1_epi64(static_cast<int64_t>(lower)));
        return _mm512_or_si512(low, shift_right(_mm512_and_si512(v, _mm512_set1_epi64(static_cast<int64_t>(upper)))));
    };
    constexpr uint64_t kOne = ((1u << h) - 1) * 0x0001000100010001u, kTwo = ((1u << 2 * h) - 1) * 0x0000000100000001u;
    constexpr uint64_t kFour = (uint64_t{1} << 4 * h) - 1;
    const __m512i pairs = join(fields, kOne, kOne << 8, [](__m512i v) { return _mm512_srli_epi16(v, 8 - h); });
    const __m512i fours = join(pairs, kTwo, kTwo << 16, [](__m512i v) { return _mm512_srli_epi32(v, 16 - 2 * h); });
    const __m512i eights = join(fours, kFour, kFour << 32, [](__m512i v) { return _mm512_srli_epi64(v, 32 - 4 * h); });
    const __m512i order = byte_table([](uint32_t i) { return i < 8 * h ? i / h * 8 + i % h : 63; });
    const __m512i packed = _mm512_permutexvar_epi8(order, eights);
    // As few bytes as a vector has: the rest is overwritten by the next fields.
    if constexpr (h == 2) return _mm_storeu_si128(reinterpret_cast<__m128i*>(dst), _mm512_castsi512_si128(packed));
    if constexpr (h == 3) return _mm256_storeu_si256(reinterpret_cast<__m256i*>(dst), _mm512_castsi512_si256(packed));
    _mm512_storeu_si512(dst, packed);
}

// The low bytes of 64 u16.
__attribute__((always_inline)) inline __m512i low_bytes(__m512i w0, __m512i w1) {
    return _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtepi16_epi8(w0)), _mm512_cvtepi16_epi8(w1), 1);
}

// The upper two bytes of 64 weights; what F16 and F32 have in `low` is stored there.
template <typename Shape>
__attribute__((always_inline)) inline void load_weights(const uint8_t* src, uint8_t* low, __m512i& w0, __m512i& w1) {
    w0 = _mm512_loadu_si512(src);
    w1 = _mm512_loadu_si512(src + 64);
    if constexpr (Shape::kBytes == 4) {
        const __m512i w2 = _mm512_loadu_si512(src + 128), w3 = _mm512_loadu_si512(src + 192);
        const __m512i even = word_table([](uint32_t i) { return 2 * i; }), odd = word_table([](uint32_t i) { return 2 * i + 1; });
        _mm512_storeu_si512(low, _mm512_permutex2var_epi16(w0, even, w1));
        _mm512_storeu_si512(low + 64, _mm512_permutex2var_epi16(w2, even, w3));
        w0 = _mm512_permutex2var_epi16(w0, odd, w1);
        w1 = _mm512_permutex2var_epi16(w2, odd, w3);
    } else if constexpr (Shape::kLowBytes == 1) {
        _mm512_storeu_si512(low, low_bytes(w0, w1));
    }
}

template <typename Shape>
size_t split_blocks(const uint8_t* src, const FloatParts& p, uint32_t* symbol_counts) {
    constexpr uint32_t h = Shape::h, kJoint = Shape::kJoint ? 1 : 0;
    constexpr uint32_t kShift = 15 - Shape::kExponentBits - kJoint, kMask = (1u << (Shape::kExponentBits + kJoint)) - 1;
    const __m512i base = _mm512_set1_epi16(static_cast<short>(p.base << kJoint));
    const auto symbol = [base](__m512i w, __mmask32& outside) __attribute__((always_inline)) {
        const __m512i s = _mm512_sub_epi16(_mm512_and_si512(_mm512_srli_epi16(w, kShift), _mm512_set1_epi16(kMask)), base);
        outside = _mm512_cmpgt_epu16_mask(s, _mm512_set1_epi16((Shape::kWindow << kJoint) - 1));
        return s;
    };
    const auto rest = [](__m512i w) __attribute__((always_inline)) {
        const __m512i mantissa = _mm512_srli_epi16(w, Shape::kTopBytes == 2 ? 0 : 8), sign = _mm512_srli_epi16(w, 16 - h);
        return _mm512_ternarylogic_epi32(_mm512_and_si512(mantissa, _mm512_set1_epi16(Shape::kMantissaMask)), sign,
                                         _mm512_set1_epi16(1 << (h - 1)), 0xf8);  // a | (b & c)
    };
    size_t n_patches = 0, i = 0;
    for (; i + 64 <= p.n; i += 64) {
        __m512i w0, w1;
        load_weights<Shape>(src + i * Shape::kBytes, p.low + i * Shape::kLowBytes, w0, w1);
        __mmask32 outside0, outside1;
        const __m512i s0 = symbol(w0, outside0), s1 = symbol(w1, outside1);
        _mm512_storeu_si512(p.symbols + i, low_bytes(s0, s1));
        store_fields<h>(low_bytes(rest(w0), rest(w1)), p.high + i / 8 * h);
        const uint64_t outside = uint64_t{outside1} << 32 | outside0;
        if (__builtin_expect(outside != 0, 0) && !patch_outside<Shape>(src, p, i, outside, n_patches)) return SIZE_MAX;
    }
    const size_t counted = count_symbols<Shape::kAlphabetBits>(p.symbols, i, symbol_counts);
    for (size_t j = counted; j < i; ++j) ++symbol_counts[p.symbols[j]];
    return scalar::split_from(src, p, i, n_patches, symbol_counts);
}

inline size_t split(const uint8_t* src, const FloatParts& p, uint32_t* symbol_counts) {
    if (p.format > FloatFormat::kF32) return scalar::split(src, p, symbol_counts);
    return with_shape(p.format, p.symbol_kind, [&]<typename Shape>(Shape) { return split_blocks<Shape>(src, p, symbol_counts); });
}

}  // namespace pennyweight::avx512
