// Stage `huffman` (stages/entropy/huffman.md): a canonical prefix code over bytes, four streams.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pennyweight {

inline constexpr unsigned kHuffmanMaxBits = 11;
inline constexpr size_t kHuffmanStreams = 4;

/// Counts the bytes of src[0, n), n < 2^32.
void byte_histogram(const uint8_t* src, size_t n, uint32_t counts[256]);

/// Lengths of an optimal code of at most 11 bits; 0 for bytes that do not occur.
/// False, and lengths all 0, with fewer than two distinct bytes.
bool huffman_lengths(const uint32_t counts[256], uint8_t lengths[256]);

/// The canonical code, each turned round: the first bit written is the lowest. Lengths are at most 11.
void huffman_codes(const uint8_t lengths[256], uint16_t codes[256]);

/// Bytes that huffman_encode may write: 11 bits a symbol, a last byte for each stream, one word of slack.
constexpr size_t huffman_capacity(size_t n) { return n + n / 8 * 3 + 3 + kHuffmanStreams + sizeof(uint64_t); }

/// Writes the four streams back to back, and the bytes of each to sizes; returns their sum.
/// `lengths` is a complete code with a length for every byte of src; n < 2^31; dst holds huffman_capacity(n).
size_t huffman_encode(const uint8_t* src, size_t n, const uint8_t lengths[256], uint32_t sizes[4], uint8_t* dst);

/// Decodes exactly n bytes from exactly src_bytes bytes.
/// False, and dst undefined, where lengths, sizes or streams break the page.
bool huffman_decode(const uint8_t lengths[256], const uint32_t sizes[4], const uint8_t* src, size_t src_bytes, uint8_t* dst, size_t n);

}  // namespace pennyweight
