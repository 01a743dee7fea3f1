#include "pennyweight/price.h"

#include <bit>
#include <cstring>
#include <memory>

#include "pennyweight/bytes.h"

namespace pennyweight {

uint32_t log2_256(uint32_t c) {
    const uint32_t whole = static_cast<uint32_t>(std::bit_width(c)) - 1;
    return 256 * whole + static_cast<uint32_t>((uint64_t{c} << 8) >> whole) - 256;
}

uint64_t price_256(const uint32_t* counts, size_t alphabet) {
    uint64_t n = 0, spared = 0;
    for (size_t s = 0; s < alphabet; ++s) {
        if (counts[s] == 0) continue;
        n += counts[s];
        spared += uint64_t{counts[s]} * log2_256(counts[s]);
    }
    return n == 0 ? 0 : n * log2_256(static_cast<uint32_t>(n)) - spared;
}

bool is_noise(const uint32_t* counts, size_t alphabet, uint32_t symbol_bits) {
    uint64_t n = 0;
    for (size_t s = 0; s < alphabet; ++s) n += counts[s];
    return 64 * price_256(counts, alphabet) >= 63 * 256 * n * symbol_bits;
}

uint32_t largest_symbol_bits(const uint32_t counts[256]) {
    uint32_t largest = 255;
    while (largest > 1 && counts[largest] == 0) --largest;
    return static_cast<uint32_t>(std::bit_width(largest));
}

void sample_counts(const uint8_t* src, size_t n, uint32_t counts[256]) {
    constexpr size_t kSampleFrom = 16384, kPeriod = 512, kTaken = 64;
    // Two sets of counters: neighbours are often equal, and an increment waits for the one before it.
    uint32_t odd[256] = {};
    std::memset(counts, 0, 256 * sizeof(uint32_t));
    const size_t period = n < kSampleFrom ? n : kPeriod, taken = n < kSampleFrom ? n : kTaken;
    for (size_t first = 0; first < n; first += period) {
        const uint8_t* const end = src + first + (n - first < taken ? n - first : taken);
        const uint8_t* at = src + first;
        for (; end - at >= 2; at += 2) {
            ++counts[at[0]];
            ++odd[at[1]];
        }
        if (at < end) ++counts[*at];
    }
    for (size_t s = 0; s < 256; ++s) counts[s] += odd[s];
}

uint32_t repeats_percent(const uint8_t* src, size_t n) {
    constexpr uint32_t kSkipBits = 4, kSlotBitsOfWord = 14;
    auto latest = std::make_unique<uint64_t[]>(size_t{1} << kSlotBitsOfWord);
    size_t looked_at = 0, repeated = 0;
    for (size_t i = 0; i + 8 <= n; i += 8) {
        const uint64_t word = load_le<uint64_t>(src + i), hash = word * 0x9e3779b97f4a7c15u;
        if (hash >> (64 - kSkipBits) != 0) continue;  // chosen by content: where one is looked at, so is the other
        uint64_t& slot = latest[hash >> (64 - kSkipBits - kSlotBitsOfWord)];
        ++looked_at;
        repeated += slot == word;
        slot = word;
    }
    return looked_at == 0 ? 0 : static_cast<uint32_t>(100 * repeated / looked_at);
}

}  // namespace pennyweight
