// What symbols would cost an ideal entropy coder, in 1/256 bit, with the logarithm of stages/split/floatfields.md: whole numbers, so that
// every target and machine decides alike.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pennyweight {

// log2 of c >= 1, in 1/256, rounded down between powers of two along a straight line.
uint32_t log2_256(uint32_t c);
// In 1/4096, by squaring: the other is off by up to 1/12 bit, good enough to judge noise, not to compare plans.
uint32_t log2_4096(uint32_t c);

// Sum of c * (log2 of their sum - log2 c) over the counts c, in 1/256 bit. The counts add up to less than 2^32.
uint64_t price_256(const uint32_t* counts, size_t alphabet);

// Whether symbols of symbol_bits bits with such counts, of all or of a sample, are too near to noise for `rans`: see rans.md.
bool is_noise(const uint32_t* counts, size_t alphabet, uint32_t symbol_bits);

// Bits of the largest symbol counted, at least 1: the symbol_bits of an alphabet of 256.
uint32_t largest_symbol_bits(const uint32_t counts[256]);

// Counts of the bytes that rans.md looks at in a stream of n: the first 64 of each 512, or all of a short one.
void sample_counts(const uint8_t* src, size_t n, uint32_t counts[256]);

// Of the aligned 8-byte words that zstd.md looks at in a stream of n bytes, how many came before, in percent, rounded down.
uint32_t repeats_percent(const uint8_t* src, size_t n);

}  // namespace pennyweight
