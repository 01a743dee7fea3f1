// rANS with a table for each piece of a stream: stages/entropy/piecewise.md, whose words are used here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "pennyweight/rans.h"

namespace pennyweight {

inline constexpr size_t kMaxPieces = 1024;
inline constexpr size_t kUnit = 4 * kGroup;  // symbols of the shortest piece that our encoder makes, but for the last

// A stream in pieces. `groups` of each piece; the last may end within its last group.
struct Pieces {
    std::vector<uint32_t> groups;
    std::vector<uint8_t> frequencies;  // as in the header
    std::vector<uint8_t> payload;      // states and words
};

// Symbols that are all in the alphabet; n below 2^31. False where the page declines them.
bool piecewise_encode(const uint8_t* symbols, size_t n, uint32_t bits, Pieces* pieces);

// `groups` must add up to those of n symbols. False where the frequencies or the payload break the page.
bool piecewise_decode(const std::vector<uint32_t>& groups, const uint8_t* frequencies, size_t frequency_bytes, const uint8_t* payload,
                      size_t n_words, uint32_t bits, uint8_t* out, size_t n);

}  // namespace pennyweight
