// Pieces of the `scales` kernels that every target shares. Members are not inline: a copy compiled for one target must not serve another.
#pragma once

#include "pennyweight/scales.h"

namespace pennyweight::scalar {

// Walks the keys of a block by the runs that share a row scale.
struct RowWalk {
    explicit RowWalk(const ScalesPlace& p);
    // Keys of the next run, at most limit; it begins at key `column` of its row and has row scale number `row` of the block.
    size_t run(size_t limit) const;
    void advance(size_t keys);

    const ScalesPlace& place;
    uint64_t column;
    size_t row;
    uint64_t in_segment;  // keys from the segment's start
};

// Levels of the next keys of a block, row scales from its frame.
void scales_levels(RowWalk& walk, uint32_t base, const uint8_t* rows, size_t n, int16_t* levels);

// The nibbles of a frame's escapes.
struct EscapeReader {
    const uint8_t* bytes;
    size_t n_nibbles;
    size_t at = 0;

    bool next(uint32_t* distance);
    bool finished() const;  // all bytes used, the filling 0
};

// Adds the distances to n decoded keys, mod 2^16 as a kernel left them, and checks them all. False where they break the page.
bool scales_escapes(const int16_t* levels, uint32_t mantissa_bits, size_t n, EscapeReader& reader, uint8_t* keys);

// A stream on its way through a kernel: states, next word.
struct ScalesProgress {
    alignas(64) uint32_t x[32];
    const uint8_t* words;
    const uint8_t* words_end;
};

// n keys, at most one group, mod 2^16 and without distances. False if the words run out.
bool scales_group(const ScalesTable& table, const int16_t* levels, size_t n, ScalesProgress& p, uint8_t* keys);

// Finishes the groups of a chunk from key i on, distances added. False where they break the page.
bool scales_rest(const ScalesTable& table, const int16_t* levels, size_t i, size_t n, ScalesProgress& p, EscapeReader& reader,
                 uint8_t* keys);

inline constexpr size_t kScalesChunk = 4096;  // keys whose levels are made at once

bool scales_decode(const ScalesTable& table, const ScalesBlock& block);
int32_t scales_top(const uint8_t* keys, const int8_t* columns, size_t n, uint32_t mantissa_bits);
uint64_t scales_sum(const uint8_t* keys, const int8_t* columns, size_t n, uint32_t mantissa_bits, int32_t top);
void scales_symbols(const uint8_t* keys, const int16_t* levels, size_t n, uint32_t mantissa_bits, uint16_t* symbols, uint8_t* escapes);
void scales_columns(const uint8_t* keys, size_t n, uint32_t mantissa_bits, uint32_t fraction, int32_t above, uint64_t* sums);
// At most one group.
void scales_encode_group(const ScalesEncodeTable& table, const uint16_t* group, size_t n, uint32_t* x, uint8_t** words);
void scales_encode(const ScalesEncodeTable& table, const uint16_t* symbols, size_t n, uint8_t* states, uint8_t* words_end, size_t* n_words);

}  // namespace pennyweight::scalar
