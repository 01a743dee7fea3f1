// rANS over 16, 32 or 256 symbols, 32 lanes, slots in alias order: stages/entropy/rans.md, whose words are used here.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pennyweight {

inline constexpr uint32_t kLanes = 32;
inline constexpr uint32_t kGroup = 128;           // symbols of one group: 32 lanes, 4 each
inline constexpr uint32_t kSlotBits = 12;         // log2 of the sum of all frequencies
inline constexpr uint32_t kSlots = 1u << kSlotBits;
inline constexpr uint32_t kLowerBound = 1u << 16;  // L: a state is in [L, 2^32)
inline constexpr uint32_t kMaxAlphabet = 256;
inline constexpr uint32_t kSmallAlphabet = 32;  // the largest whose buckets fit in vector registers
inline constexpr size_t kStateBytes = kLanes * 4;

// What both sides derive from the frequencies. A full bucket (threshold == bucket size) has itself as alias and adjust 0,
// so a decoder may treat its threshold as any value: the AVX2 kernel uses that to keep thresholds in bytes.
struct RansTable {
    uint32_t bits;  // a: log2 of the alphabet
    uint16_t frequency[kMaxAlphabet];
    uint16_t threshold[kMaxAlphabet];
    uint16_t alias[kMaxAlphabet];
    int16_t adjust[kMaxAlphabet];
};

// Scales counts to frequencies of sum 4096. False if fewer than two symbols occur.
bool normalize_frequencies(const uint32_t* counts, uint32_t bits, uint16_t* frequency);

// Whether n symbols are all in the alphabet.
bool in_alphabet(const uint8_t* symbols, size_t n, uint32_t bits);

// The frequencies of n symbols, all in the alphabet. False where the page declines them: fewer than two that are distinct, or nearly noise.
bool choose_frequencies(const uint8_t* symbols, size_t n, uint32_t bits, uint16_t* frequency);

// Bytes of their header and of the part, within a few dozen: what alternatives are compared by. False where choose_frequencies is.
bool rans_price(const uint8_t* symbols, size_t n, uint32_t bits, size_t* bytes);

// Builds the buckets. False if the frequencies do not add up to 4096 or one of them does not fit in 12 bits.
bool build_rans_table(const uint16_t* frequency, uint32_t bits, RansTable* table);

// The frequencies as they stand in the header: most bytes where all of the largest alphabet are equal.
inline constexpr size_t kMaxFrequencyBytes = 256;
size_t frequency_header_bytes(const uint16_t* frequency, uint32_t bits);
// Returns the end of what it wrote.
uint8_t* write_frequencies(const uint16_t* frequency, uint32_t bits, uint8_t* dst);
// Returns where they end, or nullptr if that is not before `end` or the bits left over are not 0. Their sum is checked by build_rans_table.
const uint8_t* take_frequencies(const uint8_t* src, const uint8_t* end, uint32_t bits, uint16_t* frequency);
// False unless they take exactly n_bytes.
bool read_frequencies(const uint8_t* src, size_t n_bytes, uint32_t bits, uint16_t* frequency);

// The inverse of the slots. With p = start[symbol] + rank, the slot is slots[p], and also (p << bits) + segment_offset[i] mod 2^16 for the
// last segment i that starts at or below p: within a bucket's own part, or its alias's, ranks and offsets run in step.
struct RansEncodeTable {
    static constexpr uint32_t kMaxSegments = 2 * kSmallAlphabet;

    uint32_t bits;
    uint16_t frequency[kMaxAlphabet];
    uint16_t start[kMaxAlphabet];  // cumulative frequency
    // floor(2^44 / f) + 1. For x < 2^20 f the error of x times it is below x <= 2^44 / f, since f < 2^12: the quotient by shifting is
    // exact.
    uint64_t reciprocal[kMaxAlphabet];
    uint16_t slots[kSlots];
    // Of the small alphabets only. Ascending from 0; 65535 where there are fewer.
    uint16_t segment_start[kMaxSegments];
    uint16_t segment_offset[kMaxSegments];
};

void build_rans_encode_table(const RansTable& table, RansEncodeTable* encode);

}  // namespace pennyweight
