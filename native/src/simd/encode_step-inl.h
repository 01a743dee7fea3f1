// A step of an rANS encoder with 8 states in a vector. Included by the files of AVX2 and AVX-512, in their namespaces.
#pragma once

// Which of eight words stand in a mask, moved to the end of their vector.
struct SpillOrder {
    alignas(16) uint8_t byte[256][16];

    constexpr SpillOrder() : byte() {
        for (uint32_t mask = 0; mask < 256; ++mask) {
            uint32_t at = 16;
            for (uint32_t i = 8; i-- > 0;) {
                if ((mask >> i & 1) == 0) continue;
                byte[mask][--at] = static_cast<uint8_t>(2 * i + 1);
                byte[mask][--at] = static_cast<uint8_t>(2 * i);
            }
        }
    }
};
inline constexpr SpillOrder kSpillOrder;

// Four dwords as a vector, in two levels of unpacking; each is loaded by `one`. Gathers were a fifth slower in the decoder.
__attribute__((always_inline)) inline __m128i four(const auto& one) {
    const auto single = [&one](int i) __attribute__((always_inline)) { return _mm_cvtsi32_si128(static_cast<int>(one(i))); };
    return _mm_unpacklo_epi64(_mm_unpacklo_epi32(single(0), single(1)), _mm_unpacklo_epi32(single(2), single(3)));
}
__attribute__((always_inline)) inline __m256i eight(const auto& one) {
    return _mm256_set_m128i(four([&one](int i) __attribute__((always_inline)) { return one(i + 4); }), four(one));
}

// Codes a symbol of eight lanes each: f and start are its frequency and where its slots begin, of 2^kBits altogether.
template <uint32_t kBits>
__attribute__((always_inline)) inline void encode_step(__m256i& x, __m256i f, __m256i start, const uint16_t* slots, uint8_t*& words) {
    const __m256i low = _mm256_set1_epi32(0xffff);
    const __m256i fits = _mm256_cmpgt_epi32(f, _mm256_srli_epi32(x, 32 - kBits));
    const uint32_t spilled = static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(fits))) ^ 0xff;
    const __m256i halves = _mm256_and_si256(x, low);
    const __m128i packed = _mm_packus_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1));
    const __m128i order = _mm_load_si128(reinterpret_cast<const __m128i*>(kSpillOrder.byte[spilled]));
    // Stored whole: what stands below the spilled words is overwritten later.
    _mm_storeu_si128(reinterpret_cast<__m128i*>(words - 16), _mm_shuffle_epi8(packed, order));
    words -= 2 * _mm_popcnt_u32(spilled);
    x = _mm256_blendv_epi8(_mm256_srli_epi32(x, 16), x, fits);

    // Times a little less than 1 / f: the quotient, below 2^20, is exact or one too small, never too large.
    const __m256 inverse = _mm256_div_ps(_mm256_set1_ps(1.0f - 1.0f / (1 << 21)), _mm256_cvtepi32_ps(f));
    const __m256 wrapped = _mm256_and_ps(_mm256_castsi256_ps(_mm256_srai_epi32(x, 31)), _mm256_set1_ps(4294967296.0f));
    __m256i q = _mm256_cvttps_epi32(_mm256_mul_ps(_mm256_add_ps(_mm256_cvtepi32_ps(x), wrapped), inverse));
    __m256i rank = _mm256_sub_epi32(x, _mm256_mullo_epi32(q, f));
    const __m256i exact = _mm256_cmpgt_epi32(f, rank);
    q = _mm256_sub_epi32(q, _mm256_andnot_si256(exact, _mm256_set1_epi32(-1)));
    rank = _mm256_sub_epi32(rank, _mm256_andnot_si256(exact, f));

    alignas(32) uint32_t at[8];
    _mm256_store_si256(reinterpret_cast<__m256i*>(at), _mm256_add_epi32(rank, start));
    // Pairs of slots from each place on; what follows the last slot is the table's own.
    const uint8_t* const bytes = reinterpret_cast<const uint8_t*>(slots);
    const __m256i pairs = eight([&](int i) __attribute__((always_inline)) { return load_le<uint32_t>(bytes + 2 * size_t{at[i]}); });
    x = _mm256_or_si256(_mm256_slli_epi32(q, kBits), _mm256_and_si256(pairs, low));
}
