// Keys coded relative to the scales of their row and column, rANS with a table for each phase: stages/entropy/scales.md, whose words are
// used here.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pennyweight {

struct Kernels;

inline constexpr uint32_t kPhases = 8;               // eighths of an octave
inline constexpr uint32_t kMaxKeyMantissa = 3;       // m is at most that
inline constexpr uint32_t kScalesSlotBits = 14;
inline constexpr uint32_t kScalesSlots = 1u << kScalesSlotBits;
inline constexpr uint32_t kMaxScalesAlphabet = 16u << kMaxKeyMantissa;
inline constexpr size_t kSymbolsPiece = 64;          // keys whose escapes an encoder counts together
inline constexpr uint32_t kReferencePlace = 11;      // r of a key whose exponent is the reference
inline constexpr uint32_t kScalesBaseEnd = 24576;    // so that a level fits in 16 bits
inline constexpr uint64_t kMaxRowKeys = uint64_t{1} << 40;
inline constexpr uint64_t kMaxKeyPosition = uint64_t{1} << 48;

static inline size_t scales_frequencies(uint32_t mantissa_bits) { return size_t{kPhases} * 16 << mantissa_bits; }

// Where a block's keys stand in their tensor, and its column scales.
struct ScalesPlace {
    uint32_t mantissa_bits;  // m
    uint64_t first;
    uint64_t d, S, g;
    const int8_t* columns;   // ceil(d / g), or nullptr
    size_t n;                // keys; first + n is below kMaxKeyPosition
};

// False where a number is out of its page's bounds, or the columns are not n_columns.
bool scales_place_valid(const ScalesPlace& place, bool has_columns, size_t n_columns);
// Row scales that the block touches; at most n.
size_t scales_rows(const ScalesPlace& place);

// The buckets of one table, of 2^bits symbols, each in one load: ((threshold - 1) << bits | alias) << 16 | adjust in the low half, the
// frequency of the alias and that of the bucket's own symbol in the high one. frequencies: u16, little-endian. False where they break the
// page.
bool build_buckets(const uint8_t* frequencies, uint32_t bits, uint64_t* buckets);

// What an encoder looks up for a symbol of a table.
struct SlotEntry {
    // floor(2^46 / f) + 1. For x < 2^18 f the error of x times it is below x <= 2^46 / f, since f < 2^14: the quotient is exact.
    uint64_t reciprocal;
    uint32_t start;  // in slots, of all tables
    uint32_t frequency;
};
// The entries of the table, whose slots begin at `start`, and the slots by cumulative frequency, of all tables.
void build_slots(const uint64_t* buckets, const uint8_t* frequencies, uint32_t bits, uint32_t start, SlotEntry* entries, uint16_t* slots);

struct ScalesTable {
    uint32_t mantissa_bits;
    alignas(64) uint64_t buckets[kPhases * kMaxScalesAlphabet];
};
// frequencies: scales_frequencies(m) u16, little-endian. False where they break the page.
bool build_scales_table(const uint8_t* frequencies, uint32_t mantissa_bits, ScalesTable* table);

struct ScalesEncodeTable {
    SlotEntry entries[kPhases * kMaxScalesAlphabet];  // of phase << bits | symbol
    uint16_t slots[kPhases * kScalesSlots + 1];  // the last is room for a load of two
};
// frequencies: of a table that build_scales_table took.
void build_scales_encode_table(const ScalesTable& table, const uint8_t* frequencies, ScalesEncodeTable* encode);

// One block to decode. The kernel checks all that the header could not: escapes, words, states and the range of keys.
struct ScalesBlock {
    ScalesPlace place;
    uint32_t base;
    const uint8_t* rows;      // scales_rows(place)
    const uint8_t* escapes;
    size_t n_escape_bytes;
    const uint8_t* payload;   // 32 u32 states, then the words
    size_t n_words;
    uint8_t* out;             // n u16
};

// What the encoder makes of a block before rANS.
struct ScalesSymbols {
    uint32_t base;
    uint8_t* rows;         // scales_rows(place)
    uint16_t* symbols;     // n: phase << (4 + m) | symbol
    uint8_t* escapes;      // room for n
    size_t n_escape_bytes;
};

// False where the page's encoder declines, frequencies of 0 apart. levels: room for scales_rows(place).
bool scales_symbols(const Kernels& kernels, const ScalesPlace& place, const uint8_t* keys, uint16_t* levels, ScalesSymbols* made);

// Levels of the page's mean magnitude, of each row scale that the block touches: n u16, 65535 where it is too high for them.
void scales_row_levels(const Kernels& kernels, const ScalesPlace& place, const uint8_t* keys, uint16_t* levels);
// The block's base, and the row scales, of their levels. False where the base is too large.
bool scales_base(const uint16_t* levels, size_t n_rows, uint32_t* base, uint8_t* rows);
// The level of a mean M of X, the lowest number of 64 bits for 0.
int64_t mean_level(uint64_t mean, int32_t top);

// Training: column scales, in so many rounds of columns after rows, for a sample of whole rows (place.n is a multiple of d), in place of
// whatever place.columns held; with g = d, or where columns is nullptr, only the row scales are fitted. sums: room for ceil(d / g); levels:
// for scales_rows(place). Returns the sum of the levels of all keys, their price up to a constant in 1/8 bit: of two geometries the one
// with the lower sum codes the keys in less.
int64_t scales_fit(const Kernels& kernels, const ScalesPlace& place, const uint8_t* keys, int rounds, int8_t* columns, uint64_t* sums,
                   uint16_t* levels);

}  // namespace pennyweight
