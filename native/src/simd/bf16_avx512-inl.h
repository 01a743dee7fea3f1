// BF16 blocks: the split of floatfields, and rANS decoding fused with the merge so that each weight is written once.
// Included by targets/avx512.cc only, after rans_avx512-inl.h.
#pragma once

#include "rans_avx512-inl.h"
#include "rans_encode_avx512-inl.h"
#include "symbols_avx512-inl.h"

namespace pennyweight::avx512 {

inline __m512i byte_table(const auto& value_at) {
    uint8_t bytes[64];
    for (uint32_t i = 0; i < 64; ++i) bytes[i] = static_cast<uint8_t>(value_at(i));
    return _mm512_loadu_si512(bytes);
}

// What a symbol contributes to the low and the high byte of its weight, for each value of a byte's low six bits.
template <uint32_t kBits>
struct SymbolBytes {
    __m512i low, high;

    void load(uint32_t base) {
        const auto exponent = [base](uint32_t i) {
            const uint32_t symbol = i & ((1u << kBits) - 1);
            return base + (kBits == 5 ? symbol >> 1 : symbol);
        };
        low = byte_table([&](uint32_t i) { return exponent(i) << 7 | (kBits == 5 ? (i & 1) << 6 : 0); });
        high = byte_table([&](uint32_t i) { return exponent(i) >> 1; });
    }
};

// Symbols and sign_mantissa of 64 weights into 128 bytes of BF16.
template <uint32_t kBits>
struct Merge {
    static constexpr size_t kHighBytes = kBits == 5 ? 56 : 64;

    const __m512i interleave0 = byte_table([](uint32_t i) { return i / 2 + i % 2 * 64; });
    const __m512i interleave1 = byte_table([](uint32_t i) { return 32 + i / 2 + i % 2 * 64; });
    // Eight fields of 7 bits lie in 7 bytes: spread these to 8, then each byte takes its 8 bits from anywhere in the 64.
    const __m512i spread = byte_table([](uint32_t i) { return 8 + i / 8 * 7 + (i % 8 < 7 ? i % 8 : 6); });
    const __m512i mantissa_at = byte_table([](uint32_t i) { return 7 * (i % 8); });
    const __m512i sign_at = byte_table([](uint32_t i) { return (7 * (i % 8) + 63) & 63; });  // the field's bit 6 as bit 7

    template <bool kStream>
    __attribute__((always_inline)) void store(const SymbolBytes<kBits>& of, __m512i symbols, const uint8_t* high, uint8_t* out) const {
        __m512i mantissas, signs;
        if constexpr (kBits == 5) {
            // The 64 bytes that end with the 56: what stands before them is the frame's own, what follows may be nobody's. (A masked load
            // of 56 costs half the speed where it crosses a cache line.)
            const __m512i fields = _mm512_permutexvar_epi8(spread, _mm512_loadu_si512(high - 8));
            mantissas = _mm512_multishift_epi64_epi8(mantissa_at, fields);
            signs = _mm512_multishift_epi64_epi8(sign_at, fields);
        } else {
            mantissas = signs = _mm512_loadu_si512(high);
        }
        constexpr int kOrAnd = 0xf8;  // a | (b & c)
        const __m512i low = _mm512_ternarylogic_epi32(_mm512_permutexvar_epi8(symbols, of.low), mantissas,
                                                      _mm512_set1_epi8(kBits == 5 ? 0x3f : 0x7f), kOrAnd);
        const __m512i top = _mm512_ternarylogic_epi32(_mm512_permutexvar_epi8(symbols, of.high), signs, _mm512_set1_epi8(-128), kOrAnd);
        const __m512i w0 = _mm512_permutex2var_epi8(low, interleave0, top);
        const __m512i w1 = _mm512_permutex2var_epi8(low, interleave1, top);
        if constexpr (kStream) {
            _mm512_stream_si512(reinterpret_cast<__m512i*>(out), w0);
            _mm512_stream_si512(reinterpret_cast<__m512i*>(out + 64), w1);
        } else {
            _mm512_storeu_si512(out, w0);
            _mm512_storeu_si512(out + 64, w1);
        }
    }
};

// kN blocks in step: one alone waits for its own states most of the time. Stops before `groups` if a block comes near the end of its
// readable memory; every block has then done the same number of groups.
template <uint32_t kBits, size_t kN, bool kStream>
void decode_interleaved(const FloatBlock* blocks, Progress* progress, size_t groups) {
    constexpr size_t kHighBytes = Merge<kBits>::kHighBytes;
    const Merge<kBits> merge;
    Buckets<kBits> buckets[kN];
    SymbolBytes<kBits> of[kN];
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
            const uint8_t* high = blocks[b].high + g * 2 * kHighBytes;
            uint8_t* out = blocks[b].out + g * 2 * kGroup;
            merge.template store<kStream>(of[b], symbols[2 * b], high, out);
            merge.template store<kStream>(of[b], symbols[2 * b + 1], high + kHighBytes, out + kGroup);
        }
    }
    for (size_t b = 0; b < kN; ++b) {
        _mm512_storeu_si512(progress[b].x, x[2 * b]);
        _mm512_storeu_si512(progress[b].x + 16, x[2 * b + 1]);
        progress[b].words = words[b];
        progress[b].groups_done = g;
    }
}

template <uint32_t kBits, bool kStream>
void decode_batch(FloatBlock* blocks, size_t n_blocks) {
    // With 32 symbols four blocks need more than the 32 registers and were slower than three.
    constexpr size_t kMost = kBits == 5 ? 3 : 4;
    for (; n_blocks > kMost; blocks += kMost, n_blocks -= kMost) decode_batch<kBits, kStream>(blocks, kMost);
    Progress progress[kMost];
    size_t groups[kMost];
    for (size_t b = 0; b < n_blocks; ++b) {
        progress[b].start(blocks[b].states, blocks[b].words, blocks[b].readable);
        groups[b] = blocks[b].n / kGroup;
    }
    // Larger blocks come first: when the smallest is done the others go on.
    if constexpr (kMost == 4) {
        if (n_blocks == 4) decode_interleaved<kBits, 4, kStream>(blocks, progress, groups[3]);
    }
    if (n_blocks >= 3) decode_interleaved<kBits, 3, kStream>(blocks, progress, groups[2]);
    if (n_blocks >= 2) decode_interleaved<kBits, 2, kStream>(blocks, progress, groups[1]);
    decode_interleaved<kBits, 1, kStream>(blocks, progress, groups[0]);
    for (size_t b = 0; b < n_blocks; ++b) scalar::finish_float(blocks[b], progress[b]);
}

inline void decode_float(FloatBlock* blocks, size_t n_blocks, bool stream) {
    if (blocks[0].format != FloatFormat::kBF16) return scalar::decode_float(blocks, n_blocks, stream);
    for (size_t b = 0; b < n_blocks; ++b) stream &= reinterpret_cast<uintptr_t>(blocks[b].out) % 64 == 0;
    const bool joint = blocks[0].table->bits == 5;
    if (stream) {
        joint ? decode_batch<5, true>(blocks, n_blocks) : decode_batch<4, true>(blocks, n_blocks);
        _mm_sfence();
    } else {
        joint ? decode_batch<5, false>(blocks, n_blocks) : decode_batch<4, false>(blocks, n_blocks);
    }
}

// 64 weights: symbols (noise where the exponent is outside the window), that mask, and sign_mantissa as 64 bytes.
template <uint32_t kBits>
struct Fields {
    __m512i symbols, high;
    __mmask64 outside;

    __attribute__((always_inline)) Fields(const uint8_t* src, __m512i base) {
        const __m512i w0 = _mm512_loadu_si512(src), w1 = _mm512_loadu_si512(src + 64);
        const auto symbol = [base](__m512i w, __mmask32* out) __attribute__((always_inline)) {
            const __m512i field = _mm512_and_si512(_mm512_srli_epi16(w, kBits == 5 ? 6 : 7), _mm512_set1_epi16(kBits == 5 ? 0x1ff : 0xff));
            const __m512i s = _mm512_sub_epi16(field, base);
            *out = _mm512_cmpgt_epu16_mask(s, _mm512_set1_epi16((1 << kBits) - 1));
            return _mm512_cvtepi16_epi8(s);
        };
        const auto rest = [](__m512i w) __attribute__((always_inline)) {
            const __m512i mantissa = _mm512_and_si512(w, _mm512_set1_epi16(kBits == 5 ? 0x3f : 0x7f));
            const __m512i sign = _mm512_srli_epi16(w, kBits == 5 ? 9 : 8);
            return _mm512_cvtepi16_epi8(_mm512_ternarylogic_epi32(mantissa, sign, _mm512_set1_epi16(kBits == 5 ? 0x40 : 0x80), 0xf8));
        };
        __mmask32 out0, out1;
        const __m256i s0 = symbol(w0, &out0), s1 = symbol(w1, &out1);
        symbols = _mm512_inserti64x4(_mm512_castsi256_si512(s0), s1, 1);
        high = _mm512_inserti64x4(_mm512_castsi256_si512(rest(w0)), rest(w1), 1);
        outside = static_cast<__mmask64>(out1) << 32 | out0;
    }
};

// 64 fields of 7 bits, one per byte, into 56 bytes: pairs, then fours, then eights; then 7 bytes of each 8.
inline __m512i pack7(__m512i fields) {
    const __m512i pairs = _mm512_or_si512(_mm512_and_si512(fields, _mm512_set1_epi16(0x7f)),
                                          _mm512_srli_epi16(_mm512_and_si512(fields, _mm512_set1_epi16(0x7f00)), 1));
    const __m512i fours = _mm512_or_si512(_mm512_and_si512(pairs, _mm512_set1_epi32(0x3fff)),
                                          _mm512_srli_epi32(_mm512_and_si512(pairs, _mm512_set1_epi32(0x3fff0000)), 2));
    const __m512i eights = _mm512_or_si512(_mm512_and_si512(fours, _mm512_set1_epi64(0xfffffff)),
                                           _mm512_srli_epi64(_mm512_and_si512(fours, _mm512_set1_epi64(0x0fffffff00000000)), 4));
    const __m512i seven_of_eight = byte_table([](uint32_t i) { return i < 56 ? i / 7 * 8 + i % 7 : 63; });
    return _mm512_permutexvar_epi8(seven_of_eight, eights);
}

template <uint32_t kBits>
size_t split_bf16(const uint8_t* src, const FloatParts& p, uint32_t* symbol_counts) {
    const __m512i base = _mm512_set1_epi16(static_cast<short>(p.base << (kBits == 5 ? 1 : 0)));
    const size_t max_patches = p.n / kWeightsPerPatch;
    size_t n_patches = 0, i = 0;
    for (; i + 64 <= p.n; i += 64) {
        Fields<kBits> f(src + 2 * i, base);
        if (__builtin_expect(f.outside != 0, 0)) {
            for (uint64_t left = f.outside; left != 0; left &= left - 1) {
                const uint32_t at = static_cast<uint32_t>(i) + static_cast<uint32_t>(__builtin_ctzll(left));
                if (n_patches == max_patches) return SIZE_MAX;
                const uint32_t e = load_le<uint16_t>(src + 2 * at) >> 7 & 0xffu;
                store_le(p.patches + 4 * n_patches++, at << kPatchExponentBits | e);
            }
            // Joint: the top mantissa bit stays, only the window place is replaced. It is bit 0 of the symbol, even of a wrapped one.
            const __m512i place = _mm512_set1_epi8(static_cast<char>(p.substitute << (kBits == 5 ? 1 : 0)));
            const __m512i substitute = kBits == 5 ? _mm512_or_si512(place, _mm512_and_si512(f.symbols, _mm512_set1_epi8(1))) : place;
            f.symbols = _mm512_mask_mov_epi8(f.symbols, f.outside, substitute);
        }
        _mm512_storeu_si512(p.symbols + i, f.symbols);
        if constexpr (kBits == 5) {
            _mm512_storeu_si512(p.high + i / 8 * 7, pack7(f.high));
        } else {
            _mm512_storeu_si512(p.high + i, f.high);
        }
    }
    const size_t counted = count_symbols<kBits>(p.symbols, i, symbol_counts);
    for (size_t j = counted; j < i; ++j) ++symbol_counts[p.symbols[j]];
    return scalar::split_from(src, p, i, n_patches, symbol_counts);
}

inline size_t split(const uint8_t* src, const FloatParts& parts, uint32_t* symbol_counts) {
    if (parts.format != FloatFormat::kBF16 || parts.symbol_kind == 6) return scalar::split(src, parts, symbol_counts);
    return parts.symbol_kind == 5 ? split_bf16<5>(src, parts, symbol_counts) : split_bf16<4>(src, parts, symbol_counts);
}

}  // namespace pennyweight::avx512
