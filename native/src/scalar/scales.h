// Pieces of the `scales` kernels that every target shares. Members are not inline: a copy compiled for one target must not serve another.
#pragma once

#include "pennyweight/bytes.h"
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

inline constexpr size_t kKeysPerEscape = 32;  // more escapes than one in that many keys: declined

struct EscapeWriter {
    uint8_t* bytes;
    size_t room;  // in nibbles
    size_t n_nibbles = 0;

    bool put(uint32_t distance);  // false where the room ends
};

// A symbol and the state behind it, before the refill. Static, as encode_slot: each target compiles its own.
static inline uint32_t decode_slot(uint64_t bucket, uint32_t x, uint32_t bits, uint32_t* symbol) {
    const uint32_t mask = (1u << bits) - 1;
    const uint32_t low = static_cast<uint32_t>(bucket), high = static_cast<uint32_t>(bucket >> 32);
    const uint32_t offset = x & (kScalesSlots - 1) & ~mask;
    // All ones where the slot is the alias's: edge is (threshold - 1) << bits | alias, and an offset is above it just where it is not
    // below the threshold. As arithmetic: half of these would be mispredicted.
    const int32_t other = (static_cast<int32_t>(low) - static_cast<int32_t>(offset << 16)) >> 31;
    *symbol = (x ^ ((x ^ low >> 16) & static_cast<uint32_t>(other))) & mask;
    const uint32_t frequency = high >> (other & 16) & 0xffff;
    const int32_t adjust = static_cast<int16_t>(low & 0xffff) & other;
    return frequency * (x >> kScalesSlotBits) + (offset >> bits) + static_cast<uint32_t>(adjust);
}

// The state before a symbol; *words goes down by one if it spills.
static inline uint32_t encode_slot(const SlotEntry& entry, const uint16_t* slots, uint32_t x, uint8_t** words) {
    const uint32_t spill = x >= entry.frequency << 18;  // as arithmetic: no branch predictor can guess it
    store_le(*words - 2, static_cast<uint16_t>(x));
    *words -= 2 * spill;
    const uint32_t state = x >> (16 * spill);
    // state < 2^18 f, so the product stays below 2^64: see reciprocal.
    const uint32_t q = static_cast<uint32_t>(uint64_t{state} * entry.reciprocal >> 46);
    return (q << kScalesSlotBits) + slots[entry.start + (state - q * entry.frequency)];
}

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
