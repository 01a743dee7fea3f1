// BF16 blocks: rANS decoding fused with the merge. Included by targets/avx2.cc only.
#pragma once

#include "rans_avx2-inl.h"

namespace pennyweight::avx2 {

// Sixteen weights: symbols as bytes, sign_mantissa at high, 32 bytes out.
template <uint32_t kBits>
struct Merge {
    __m256i base;  // the window's first symbol value as the weight's field: base, or 2 base

    void load(uint32_t first_exponent) { base = _mm256_set1_epi16(static_cast<short>(first_exponent << (kBits == 5 ? 1 : 0))); }

    __attribute__((always_inline)) static __m256i read_high(const uint8_t* high) {
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(high));
        if constexpr (kBits == 4) return _mm256_cvtepu8_epi16(bytes);
        // Field i of eight starts at bit 7 i: take the two bytes it may touch, push it to the top, pull it down.
        const __m256i spread = _mm256_shuffle_epi8(
            _mm256_broadcastsi128_si256(bytes),
            _mm256_setr_epi8(0, 1, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13, 14));
        const __m256i push = _mm256_setr_epi16(1 << 9, 1 << 2, 1 << 3, 1 << 4, 1 << 5, 1 << 6, 1 << 7, 1 << 8, 1 << 9, 1 << 2, 1 << 3,
                                               1 << 4, 1 << 5, 1 << 6, 1 << 7, 1 << 8);
        return _mm256_srli_epi16(_mm256_mullo_epi16(spread, push), 9);
    }

    __attribute__((always_inline)) void store(__m128i symbols, const uint8_t* high_bytes, uint8_t* out) const {
        constexpr int kMantissaBits = kBits == 5 ? 6 : 7;
        const __m256i high = read_high(high_bytes);
        const __m256i field = _mm256_add_epi16(_mm256_cvtepu8_epi16(symbols), base);
        const __m256i mantissa = _mm256_and_si256(high, _mm256_set1_epi16((1 << kMantissaBits) - 1));
        const __m256i sign = _mm256_slli_epi16(_mm256_srli_epi16(high, kMantissaBits), 15);
        const __m256i w = _mm256_or_si256(_mm256_or_si256(sign, mantissa), _mm256_slli_epi16(field, kMantissaBits));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), w);
    }
};

// kN blocks in step, so that one's states are computed while the other's wait. Stops before `groups` if a block comes near the end of its
// readable memory; every block has then done the same number of groups.
template <uint32_t kBits, size_t kN>
void decode_interleaved(const FloatBlock* blocks, Progress* progress, size_t groups) {
    constexpr size_t kHighBytes = kBits == 5 ? 14 : 16;  // of 16 weights
    Buckets<kBits> buckets[kN];
    Merge<kBits> merge[kN];
    __m256i x[kN][4], symbols[kN][4];
    const uint8_t* words[kN];
    for (size_t b = 0; b < kN; ++b) {
        buckets[b].load(*blocks[b].table);
        merge[b].load(blocks[b].base);
        load_states(progress[b], x[b]);
        words[b] = progress[b].words;
    }
    size_t g = progress[0].groups_done;
    for (; g < groups; ++g) {
        bool room = true;
        for (size_t b = 0; b < kN; ++b) room &= progress[b].readable - words[b] >= Progress::kRoom;
        if (!room) break;
        decode_group<kBits, kN>(buckets, x, words, symbols);
        for (size_t b = 0; b < kN; ++b) {
            // Sixteen bytes are read at each fourteen of sign_mantissa: the two beyond the last are the next node's, which is always there.
            const uint8_t* high = blocks[b].high + g * 8 * kHighBytes;
            uint8_t* out = blocks[b].out + g * 2 * kGroup;
#pragma GCC unroll 4
            for (size_t i = 0; i < 4; ++i) {
                merge[b].store(_mm256_castsi256_si128(symbols[b][i]), high + 2 * i * kHighBytes, out + 64 * i);
                merge[b].store(_mm256_extracti128_si256(symbols[b][i], 1), high + (2 * i + 1) * kHighBytes, out + 64 * i + 32);
            }
        }
    }
    for (size_t b = 0; b < kN; ++b) {
        save_states(progress[b], x[b]);
        progress[b].words = words[b];
        progress[b].groups_done = g;
    }
}

template <uint32_t kBits>
void decode_batch(FloatBlock* blocks, size_t n_blocks) {
    for (; n_blocks > 2; blocks += 2, n_blocks -= 2) decode_batch<kBits>(blocks, 2);
    Progress progress[2];
    for (size_t b = 0; b < n_blocks; ++b) progress[b].start(blocks[b].states, blocks[b].words, blocks[b].readable);
    // Larger blocks come first: when the smaller is done the other goes on.
    if (n_blocks == 2) decode_interleaved<kBits, 2>(blocks, progress, blocks[1].n / kGroup);
    decode_interleaved<kBits, 1>(blocks, progress, blocks[0].n / kGroup);
    for (size_t b = 0; b < n_blocks; ++b) scalar::finish_float(blocks[b], progress[b]);
}

// Writes through the cache whatever is asked: 32-byte writes around it gained 3 % with 16 symbols and lost 15 % with 32.
inline void decode_float(FloatBlock* blocks, size_t n_blocks, bool stream) {
    if (blocks[0].format != FloatFormat::kBF16) return scalar::decode_float(blocks, n_blocks, stream);
    blocks[0].table->bits == 5 ? decode_batch<5>(blocks, n_blocks) : decode_batch<4>(blocks, n_blocks);
}

}  // namespace pennyweight::avx2
