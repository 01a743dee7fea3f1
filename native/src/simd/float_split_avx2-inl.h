// The split of floatfields, 32 weights at a time. Included by targets/avx2.cc only.
#pragma once

#include <immintrin.h>

#include <cstring>

#include "../scalar/scalar.h"
#include "float_patches-inl.h"

namespace pennyweight::avx2 {

// 32 fields of h bits, one per byte, into 4 h bytes: pairs, then fours, then eights; then h bytes of each 8.
template <uint32_t h>
__attribute__((always_inline)) inline void store_fields(__m256i fields, uint8_t* dst) {
    if constexpr (h == 8) return _mm256_storeu_si256(reinterpret_cast<__m256i*>(dst), fields);
    const auto join = [](__m256i v, uint64_t lower, uint64_t upper, const auto& shift_right) __attribute__((always_inline)) {
        const __m256i low = _mm256_and_si256(v, _mm256_set1_epi64x(static_cast<int64_t>(lower)));
        return _mm256_or_si256(low, shift_right(_mm256_and_si256(v, _mm256_set1_epi64x(static_cast<int64_t>(upper)))));
    };
    constexpr uint64_t kOne = ((1u << h) - 1) * 0x0001000100010001u, kTwo = ((1u << 2 * h) - 1) * 0x0000000100000001u;
    constexpr uint64_t kFour = (uint64_t{1} << 4 * h) - 1;
    const __m256i pairs = join(fields, kOne, kOne << 8, [](__m256i v) { return _mm256_srli_epi16(v, 8 - h); });
    const __m256i fours = join(pairs, kTwo, kTwo << 16, [](__m256i v) { return _mm256_srli_epi32(v, 16 - 2 * h); });
    const __m256i eights = join(fours, kFour, kFour << 32, [](__m256i v) { return _mm256_srli_epi64(v, 32 - 4 * h); });
    uint64_t eight[4];
    std::memcpy(eight, &eights, sizeof eight);
    for (size_t i = 0; i < 4; ++i) store_le(dst + i * h, eight[i]);  // what is above h bytes the next one overwrites
}

// 32 u16 below 256, in order, as bytes.
__attribute__((always_inline)) inline __m256i to_bytes(__m256i w0, __m256i w1) {
    return _mm256_permute4x64_epi64(_mm256_packus_epi16(w0, w1), 0xd8);
}
// 16 u32 below 65536, in order, as u16.
__attribute__((always_inline)) inline __m256i to_words(__m256i w0, __m256i w1) {
    return _mm256_permute4x64_epi64(_mm256_packus_epi32(w0, w1), 0xd8);
}

// The upper two bytes of 32 weights; what F16 and F32 have in `low` is stored there.
template <typename Shape>
__attribute__((always_inline)) inline void load_weights(const uint8_t* src, uint8_t* low, __m256i& w0, __m256i& w1) {
    const __m256i* const from = reinterpret_cast<const __m256i*>(src);
    __m256i* const to = reinterpret_cast<__m256i*>(low);
    w0 = _mm256_loadu_si256(from);
    w1 = _mm256_loadu_si256(from + 1);
    if constexpr (Shape::kBytes == 4) {
        const __m256i w2 = _mm256_loadu_si256(from + 2), w3 = _mm256_loadu_si256(from + 3), mask = _mm256_set1_epi32(0xffff);
        _mm256_storeu_si256(to, to_words(_mm256_and_si256(w0, mask), _mm256_and_si256(w1, mask)));
        _mm256_storeu_si256(to + 1, to_words(_mm256_and_si256(w2, mask), _mm256_and_si256(w3, mask)));
        w0 = to_words(_mm256_srli_epi32(w0, 16), _mm256_srli_epi32(w1, 16));
        w1 = to_words(_mm256_srli_epi32(w2, 16), _mm256_srli_epi32(w3, 16));
    } else if constexpr (Shape::kLowBytes == 1) {
        const __m256i mask = _mm256_set1_epi16(0xff);
        _mm256_storeu_si256(to, to_bytes(_mm256_and_si256(w0, mask), _mm256_and_si256(w1, mask)));
    }
}

// Counts n symbols below 32, a multiple of 16, in pairs: an increment for two. Two sets of counters, because neighbours are often equal and
// an increment waits for the one before it.
inline void count_symbols(const uint8_t* symbols, size_t n, uint32_t* counts) {
    constexpr uint32_t kSmall = 32;
    uint32_t sets[2][kSmall * kSmall] = {};
    for (size_t i = 0; i < n; i += 16) {
        const __m128i s = _mm_loadu_si128(reinterpret_cast<const __m128i*>(symbols + i));
        const __m128i pairs = _mm_maddubs_epi16(s, _mm_set1_epi16(1 | kSmall << 8));
        const uint64_t low = static_cast<uint64_t>(_mm_cvtsi128_si64(pairs)), high = static_cast<uint64_t>(_mm_extract_epi64(pairs, 1));
#pragma GCC unroll 4
        for (uint32_t j = 0; j < 64; j += 16) {
            ++sets[0][low >> j & 0xffff];
            ++sets[1][high >> j & 0xffff];
        }
    }
    std::memset(counts, 0, kMaxAlphabet * sizeof(uint32_t));
    for (uint32_t pair = 0; pair < kSmall * kSmall; ++pair) {
        const uint32_t c = sets[0][pair] + sets[1][pair];
        counts[pair % kSmall] += c;
        counts[pair / kSmall] += c;
    }
}

template <typename Shape>
size_t split_blocks(const uint8_t* src, const FloatParts& p, uint32_t* symbol_counts) {
    constexpr uint32_t h = Shape::h, kJoint = Shape::kJoint ? 1 : 0;
    constexpr uint32_t kShift = 15 - Shape::kExponentBits - kJoint, kMask = (1u << (Shape::kExponentBits + kJoint)) - 1;
    const __m256i base = _mm256_set1_epi16(static_cast<short>(p.base << kJoint));
    const auto symbol = [base](__m256i w) __attribute__((always_inline)) {
        return _mm256_sub_epi16(_mm256_and_si256(_mm256_srli_epi16(w, kShift), _mm256_set1_epi16(kMask)), base);
    };
    const auto inside = [](__m256i s) __attribute__((always_inline)) {
        const __m256i above = _mm256_subs_epu16(s, _mm256_set1_epi16((Shape::kWindow << kJoint) - 1));
        return _mm256_cmpeq_epi16(above, _mm256_setzero_si256());
    };
    const auto rest = [](__m256i w) __attribute__((always_inline)) {
        const __m256i mantissa = _mm256_srli_epi16(w, Shape::kTopBytes == 2 ? 0 : 8), sign = _mm256_srli_epi16(w, 16 - h);
        return _mm256_or_si256(_mm256_and_si256(mantissa, _mm256_set1_epi16(Shape::kMantissaMask)),
                               _mm256_and_si256(sign, _mm256_set1_epi16(1 << (h - 1))));
    };
    size_t n_patches = 0, i = 0;
    for (; i + 32 <= p.n; i += 32) {
        __m256i w0, w1;
        load_weights<Shape>(src + i * Shape::kBytes, p.low + i * Shape::kLowBytes, w0, w1);
        const __m256i s0 = symbol(w0), s1 = symbol(w1);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(p.symbols + i), to_bytes(s0, s1));
        store_fields<h>(to_bytes(rest(w0), rest(w1)), p.high + i / 8 * h);
        const __m256i in = _mm256_permute4x64_epi64(_mm256_packs_epi16(inside(s0), inside(s1)), 0xd8);
        const uint32_t outside = ~static_cast<uint32_t>(_mm256_movemask_epi8(in));
        if (__builtin_expect(outside != 0, 0) && !patch_outside<Shape>(src, p, i, outside, n_patches)) return SIZE_MAX;
    }
    count_symbols(p.symbols, i, symbol_counts);
    return scalar::split_from(src, p, i, n_patches, symbol_counts);
}

inline size_t split(const uint8_t* src, const FloatParts& p, uint32_t* symbol_counts) {
    if (p.format > FloatFormat::kF32) return scalar::split(src, p, symbol_counts);
    return with_shape(p.format, p.symbol_kind, [&]<typename Shape>(Shape) { return split_blocks<Shape>(src, p, symbol_counts); });
}

}  // namespace pennyweight::avx2
