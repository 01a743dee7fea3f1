// Blocks of floats: rANS decoding fused with the merge. Included by targets/avx2.cc only.
#pragma once

#include "float_merge_avx2-inl.h"
#include "rans_avx2-inl.h"

namespace pennyweight::avx2 {

// kN blocks in step, so that one's states are computed while the other's wait. Stops before `groups` if a block comes near the end of its
// readable memory; every block has then done the same number of groups.
template <typename Shape, size_t kN>
void decode_interleaved(const FloatBlock* blocks, Progress* progress, size_t groups) {
    constexpr uint32_t kBits = Shape::kAlphabetBits;
    Buckets<kBits> buckets[kN];
    Merge<Shape> merge[kN];
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
            const auto store = [&](size_t i, __m128i of_16) __attribute__((always_inline)) {
                const size_t at = g * kGroup + 16 * i;
                merge[b].store(of_16, blocks[b].high + at / 8 * Shape::h, blocks[b].low + at * Shape::kLowBytes,
                               blocks[b].out + at * Shape::kBytes);
            };
#pragma GCC unroll 4
            for (size_t i = 0; i < 4; ++i) {
                store(2 * i, _mm256_castsi256_si128(symbols[b][i]));
                store(2 * i + 1, _mm256_extracti128_si256(symbols[b][i], 1));
            }
        }
    }
    for (size_t b = 0; b < kN; ++b) {
        save_states(progress[b], x[b]);
        progress[b].words = words[b];
        progress[b].groups_done = g;
    }
}

template <typename Shape>
void decode_batch(FloatBlock* blocks, size_t n_blocks) {
    for (; n_blocks > 2; blocks += 2, n_blocks -= 2) decode_batch<Shape>(blocks, 2);
    Progress progress[2];
    for (size_t b = 0; b < n_blocks; ++b) progress[b].start(blocks[b].states, blocks[b].words, blocks[b].readable);
    // Larger blocks come first: when the smaller is done the other goes on.
    if (n_blocks == 2) decode_interleaved<Shape, 2>(blocks, progress, blocks[1].n / kGroup);
    decode_interleaved<Shape, 1>(blocks, progress, blocks[0].n / kGroup);
    for (size_t b = 0; b < n_blocks; ++b) scalar::finish_float(blocks[b], progress[b]);
}

// Writes through the cache whatever is asked: 32-byte writes around it gained 3 % with 16 symbols and lost 15 % with 32.
inline void decode_float(FloatBlock* blocks, size_t n_blocks, bool /*stream*/) {
    with_shape(blocks[0].format, blocks[0].symbols, [&]<typename Shape>(Shape) { decode_batch<Shape>(blocks, n_blocks); });
}

}  // namespace pennyweight::avx2
