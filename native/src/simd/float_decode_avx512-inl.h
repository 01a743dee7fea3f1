// Blocks of floats: rANS decoding fused with the merge, so that each weight is written once. Included by targets/avx512.cc only.
#pragma once

#include "float_merge_avx512-inl.h"
#include "rans_avx512-inl.h"

namespace pennyweight::avx512 {

// kN blocks in step: one alone waits for its own states most of the time. Stops before `groups` if a block comes near the end of its
// readable memory; every block has then done the same number of groups.
template <typename Shape, size_t kN, bool kStream>
void decode_interleaved(const FloatBlock* blocks, Progress* progress, size_t groups) {
    constexpr size_t kHalf = kGroup / 2;
    const Merge<Shape, kStream> merge;
    Buckets<Shape::kAlphabetBits> buckets[kN];
    SymbolBytes<Shape> of[kN];
    __m512i x[2 * kN];
    const uint8_t* words[kN];
    size_t g = progress[0].groups_done;
    for (size_t b = 0; b < kN; ++b) {
        buckets[b].load(*blocks[b].table);
        of[b].load(blocks[b].base);
        x[2 * b] = _mm512_loadu_si512(progress[b].x);
        x[2 * b + 1] = _mm512_loadu_si512(progress[b].x + 16);
        words[b] = progress[b].words;
    }
    for (; g < groups; ++g) {
        bool room = true;
#pragma GCC unroll 4
        for (size_t b = 0; b < kN; ++b) room &= progress[b].readable - words[b] >= Progress::kRoom;
        if (!room) break;
        __m512i symbols[2 * kN];
#pragma GCC unroll 8
        for (size_t i = 0; i < 2 * kN; ++i) symbols[i] = _mm512_setzero_si512();
#pragma GCC unroll 4
        for (int t = 0; t < 4; ++t) {
#pragma GCC unroll 4
            for (size_t b = 0; b < kN; ++b) {
                symbols[2 * b] = _mm512_shrdi_epi32(symbols[2 * b], buckets[b].step(x[2 * b], words[b]), 8);
                symbols[2 * b + 1] = _mm512_shrdi_epi32(symbols[2 * b + 1], buckets[b].step(x[2 * b + 1], words[b]), 8);
            }
        }
#pragma GCC unroll 4
        for (size_t b = 0; b < kN; ++b) {
            const uint8_t *high = blocks[b].high + g * kGroup / 8 * Shape::h, *low = blocks[b].low + g * kGroup * Shape::kLowBytes;
            uint8_t* out = blocks[b].out + g * kGroup * Shape::kBytes;
            merge.store(of[b], symbols[2 * b], high, low, out);
            merge.store(of[b], symbols[2 * b + 1], high + kHalf / 8 * Shape::h, low + kHalf * Shape::kLowBytes,
                        out + kHalf * Shape::kBytes);
        }
    }
    for (size_t b = 0; b < kN; ++b) {
        _mm512_storeu_si512(progress[b].x, x[2 * b]);
        _mm512_storeu_si512(progress[b].x + 16, x[2 * b + 1]);
        progress[b].words = words[b];
        progress[b].groups_done = g;
    }
}

template <typename Shape, bool kStream>
void decode_batch(FloatBlock* blocks, size_t n_blocks) {
    // With 32 symbols four blocks need more than the 32 registers and were slower than three.
    constexpr size_t kMost = Shape::kAlphabetBits == 5 ? 3 : 4;
    for (; n_blocks > kMost; blocks += kMost, n_blocks -= kMost) decode_batch<Shape, kStream>(blocks, kMost);
    Progress progress[kMost];
    size_t groups[kMost];
    for (size_t b = 0; b < n_blocks; ++b) {
        progress[b].start(blocks[b].states, blocks[b].words, blocks[b].readable);
        groups[b] = blocks[b].n / kGroup;
    }
    // Larger blocks come first: when the smallest is done the others go on.
    if constexpr (kMost == 4) {
        if (n_blocks == 4) decode_interleaved<Shape, 4, kStream>(blocks, progress, groups[3]);
    }
    if (n_blocks >= 3) decode_interleaved<Shape, 3, kStream>(blocks, progress, groups[2]);
    if (n_blocks >= 2) decode_interleaved<Shape, 2, kStream>(blocks, progress, groups[1]);
    decode_interleaved<Shape, 1, kStream>(blocks, progress, groups[0]);
    for (size_t b = 0; b < n_blocks; ++b) scalar::finish_float(blocks[b], progress[b]);
}

inline void decode_float(FloatBlock* blocks, size_t n_blocks, bool stream) {
    for (size_t b = 0; b < n_blocks; ++b) stream &= reinterpret_cast<uintptr_t>(blocks[b].out) % 64 == 0;
    with_shape(blocks[0].format, blocks[0].symbols, [&]<typename Shape>(Shape) {
        stream ? decode_batch<Shape, true>(blocks, n_blocks) : decode_batch<Shape, false>(blocks, n_blocks);
    });
    if (stream) _mm_sfence();
}

}  // namespace pennyweight::avx512
