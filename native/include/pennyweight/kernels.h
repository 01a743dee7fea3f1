// The table of kernels, one per target. Scalar is the specification; the others differ in speed only.
//
// A kernel allocates nothing, throws nothing and does no I/O. Decoders return false where data breaks its page and never
// touch memory outside what they were given; encoders are given valid arguments.
#pragma once

#include <cstddef>
#include <cstdint>

#include "pennyweight/floatfields.h"
#include "pennyweight/predictor.h"
#include "pennyweight/rans.h"
#include "pennyweight/scales.h"

namespace pennyweight {

namespace scalar {
struct Progress;
}

// One block of floats whose exponents are rANS-coded and whose other bits stand as they are: decoded in one pass.
struct FloatBlock {
    FloatFormat format;     // BF16, F16 or F32
    uint32_t symbols;       // 4, 5 or 6
    const RansTable* table;
    const uint8_t* states;  // 32 u32
    const uint8_t* words;   // n_words u16
    size_t n_words;
    const uint8_t* high;    // sign_mantissa, packed; two bytes behind it and 64 before it may be read
    const uint8_t* low;     // k bytes for each weight; nullptr where k is 0
    const uint8_t* readable;  // end of the memory that may be read from `words` on
    uint32_t base;
    size_t n;      // weights
    uint8_t* out;  // as many bytes as they have
    bool ok;       // result: words used up, all states back at L
};

struct RansEncodeJob {
    const RansEncodeTable* table;
    const uint8_t* symbols;  // readable up to the next multiple of 128
    size_t n;
    uint8_t* words_end;      // one past the last word
    uint8_t* states;         // 32 u32
    size_t n_words;          // result
};

struct Kernels {
    const char* name;

    // Fills the parts and counts each symbol (patched weights as their substitute). Returns the number of patches, or SIZE_MAX where
    // more than n / 32 would be needed.
    size_t (*split)(const uint8_t* src, const FloatParts& parts, uint32_t* symbol_counts);
    // Inverse, patches apart. False if a symbol is not below 2^symbol_bits.
    bool (*merge)(const FloatParts& parts, uint8_t* out);

    // Codes n symbols; states are 32 u32. The words are written downwards and end at words_end; at least 64 bytes must be free below n
    // words. At most kMaxInterleave jobs, of one alphabet, larger ones first.
    void (*rans_encode)(RansEncodeJob* jobs, size_t n_jobs);
    bool (*rans_decode)(const RansTable& table, const uint8_t* payload, size_t n_words, uint8_t* out, size_t n);

    // Decodes whole groups of a stream, up to that number of them, or as many as vectors can without a look at where the words end.
    void (*rans_groups)(const RansTable& table, scalar::Progress& progress, size_t groups, uint8_t* out);

    // Patches apart. All blocks have the same format and symbols, larger ones first. `stream`: write around the cache (for outputs that are
    // not read soon).
    void (*decode_float)(FloatBlock* blocks, size_t n_blocks, bool stream);

    bool (*scales_decode)(const ScalesTable& table, const ScalesBlock& block);
    // Symbols of n keys of these levels, phase << (4 + m) | symbol; escapes: how many of each kSymbolsPiece keys, and of the rest, escape.
    void (*scales_symbols)(const uint8_t* keys, const int16_t* levels, size_t n, uint32_t mantissa_bits, uint16_t* symbols,
                           uint8_t* escapes);
    // Codes n of them; as rans_encode.
    void (*scales_encode)(const ScalesEncodeTable& table, const uint16_t* symbols, size_t n, uint8_t* states, uint8_t* words_end,
                          size_t* n_words);
    // For the page's mean magnitude, over n keys with a column scale each (nullptr: 0): the largest e', and with that as X the sum.
    int32_t (*scales_top)(const uint8_t* keys, const int8_t* columns, size_t n, uint32_t mantissa_bits);
    uint64_t (*scales_sum)(const uint8_t* keys, const int8_t* columns, size_t n, uint32_t mantissa_bits, int32_t top);

    // For training: adds to sums[i] the magnitude of key i, in units of fraction << 20 at an exponent field of `above`.
    void (*scales_columns)(const uint8_t* keys, size_t n, uint32_t mantissa_bits, uint32_t fraction, int32_t above, uint64_t* sums);
    bool (*predictor_decode)(const PredictorTable& table, const PredictorBlock& block);
    // Context and symbol of every key, and the escapes. False where the page's encoder declines for these.
    bool (*predictor_model)(PredictorModel& model);
    // As scales_encode, of the symbols of predictor_model.
    void (*predictor_encode)(const PredictorEncodeTable& table, const ScalesPlace& place, const uint16_t* symbols, uint8_t* states,
                             uint8_t* words_end, size_t* n_words);

    void (*byteplane_split)(const uint8_t* src, size_t n_bytes, size_t width, uint8_t* dst);
    void (*byteplane_merge)(const uint8_t* planes, size_t n_bytes, size_t width, uint8_t* dst);

    // Symbols 16 and 17: a key as u16, a byte of sign_mantissa and the low bytes (key_traits) of each of n weights.
    void (*split_keys)(FloatFormat format, uint32_t symbols, const uint8_t* src, size_t n, uint8_t* keys, uint8_t* high, uint8_t* low);
    // False if a key or a high is out of range.
    bool (*merge_keys)(FloatFormat format, uint32_t symbols, const uint8_t* keys, const uint8_t* high, const uint8_t* low, size_t n,
                       uint8_t* out);

    // Whole groups of bitpack, 128 u16 each, of which the b bits above the z low ones vary; b is 1 to 15. A group takes 16 b bytes; 256
    // from its start on may be written.
    void (*pack_words)(const uint8_t* src, size_t groups, uint32_t b, uint32_t z, uint8_t* dst);
    // The inverse; 64 bytes behind the groups may be read.
    void (*unpack_words)(const uint8_t* src, size_t groups, uint32_t b, uint32_t z, uint8_t* dst);

    // For the fit of linear predictors. z of n keys at these levels.
    void (*predictor_values)(const uint8_t* keys, const int16_t* levels, size_t n, int16_t* z);
    // Pairs of i16, clipped to +-kFitClip, those of `first` in the low halves, kFitTile to a tile, tiles `stride` apart; the squares of
    // both are added to squares.
    void (*pair_vectors)(const uint8_t* first, const uint8_t* second, size_t n, uint32_t* tiles, size_t stride, uint32_t* squares);
    // out[kFitTile i + c] = what the pairs a[i a_row + p a_pair] and b[kFitTile p + c], for p < n, add up to when halves are multiplied
    // with halves, as 32 bits that may wrap; i < kFitTileRows, c < kFitTile.
    void (*pair_products)(const uint32_t* a, size_t a_row, size_t a_pair, const uint32_t* b, size_t n, int32_t* out);
    // y[r stride + k] -= factors[i factor_stride + r] * rows[i stride + k], each i after the one before, nothing fused; r < kFitTileRows,
    // k < n, which is a multiple of 8.
    void (*subtract_rows)(double* y, const double* rows, size_t stride, const double* factors, size_t factor_stride, size_t n_rows,
                          size_t n);
};

inline constexpr size_t kMaxInterleave = 4;

const Kernels& scalar_kernels();
const Kernels* avx2_kernels();    // nullptr where not compiled in
const Kernels* avx512_kernels();

// Kernels in use: the best that this CPU runs, or PENNYWEIGHT_TARGET, or what set_target chose.
const Kernels& kernels();
// Targets that this CPU runs, slowest first; at most three.
size_t available_targets(const Kernels** list);
bool set_target(const char* name);

}  // namespace pennyweight
