#include <algorithm>
#include <array>

#include "pennyweight/bytes.h"
#include "pennyweight/huffman.h"

namespace pennyweight {
namespace {

constexpr size_t kMaxItems = 2 * 256;
constexpr size_t kFlushSymbols = 5;  // 5 codes of 11 bits and 7 bits left over fit 64

// One list of package-merge, in order of weight.
struct Level {
    std::array<uint64_t, kMaxItems> weights;
    size_t size;
};

// Merges the leaves (with UINT64_MAX after them) and the pairs of `from`; is_leaf says what each item of `to`
// is. No branches in the loop: which side is lighter cannot be predicted.
void merge_level(const uint64_t* leaves, size_t n_leaves, const Level& from, Level& to, uint8_t* is_leaf) {
    std::array<uint64_t, kMaxItems / 2 + 1> packages;
    const size_t n_packages = from.size / 2;
    for (size_t i = 0; i < n_packages; ++i) packages[i] = from.weights[2 * i] + from.weights[2 * i + 1];
    packages[n_packages] = UINT64_MAX;
    to.size = n_leaves + n_packages;
    size_t leaf = 0;
    for (size_t i = 0; i < to.size; ++i) {
        const uint64_t a = leaves[leaf];
        const uint64_t b = packages[i - leaf];
        const bool take_leaf = a <= b;
        to.weights[i] = take_leaf ? a : b;
        is_leaf[i] = take_leaf;
        leaf += take_leaf;
    }
}

// sorted_lengths[i]: length of the i-th lightest of n_leaves leaves (two or more).
void package_merge(const uint64_t* leaves, size_t n_leaves, uint8_t* sorted_lengths) {
    std::array<std::array<uint8_t, kMaxItems>, kHuffmanMaxBits> is_leaf;
    std::array<Level, 2> levels;
    std::copy_n(leaves, n_leaves, levels[0].weights.begin());
    levels[0].size = n_leaves;
    is_leaf[0].fill(1);
    for (size_t i = 1; i < kHuffmanMaxBits; ++i) {
        merge_level(leaves, n_leaves, levels[(i + 1) % 2], levels[i % 2], is_leaf[i].data());
    }
    std::fill_n(sorted_lengths, n_leaves, uint8_t{0});
    size_t taken = 2 * n_leaves - 2;
    for (size_t i = kHuffmanMaxBits; i-- > 0;) {
        size_t n_taken_leaves = 0;
        for (size_t k = 0; k < taken; ++k) n_taken_leaves += is_leaf[i][k];
        for (size_t k = 0; k < n_taken_leaves; ++k) ++sorted_lengths[k];
        taken = 2 * (taken - n_taken_leaves);
    }
}

uint16_t reverse_bits(unsigned code, unsigned length) {
    code = (code & 0x5555u) << 1 | (code >> 1 & 0x5555u);
    code = (code & 0x3333u) << 2 | (code >> 2 & 0x3333u);
    code = (code & 0x0F0Fu) << 4 | (code >> 4 & 0x0F0Fu);
    code = (code & 0x00FFu) << 8 | (code >> 8 & 0x00FFu);
    return static_cast<uint16_t>(code >> (16 - length));
}

// The code in bits 8 and up, its length in the low byte.
using Symbol = uint64_t;

// `filled` grows by whole symbols: only its low byte counts, and it stays below 64.
inline void append(Symbol symbol, uint64_t& word, uint64_t& filled) {
    word |= (symbol >> 8) << (filled & 63);
    filled += symbol;
}

uint8_t* encode_stream(const Symbol* symbols, const uint8_t* src, size_t n, uint8_t* dst) {
    uint64_t word = 0;
    uint64_t filled = 0;
    const auto flush = [&] {
        const uint64_t whole = filled >> 3 & 7;
        store_le(dst, word);
        dst += whole;
        word >>= whole * 8;
        filled &= 7;
    };
    size_t i = 0;
    for (; i + kFlushSymbols <= n; i += kFlushSymbols) {
        for (size_t k = 0; k < kFlushSymbols; ++k) append(symbols[src[i + k]], word, filled);
        flush();
    }
    for (; i < n; ++i) append(symbols[src[i]], word, filled);
    flush();
    return dst + (filled != 0);
}

}  // namespace

void byte_histogram(const uint8_t* src, size_t n, uint32_t counts[256]) {
    // Equal neighbours would wait for each other's increment in one table.
    std::array<std::array<uint32_t, 256>, 8> tables{};
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const uint64_t bytes = load_le<uint64_t>(src + i);
        for (size_t k = 0; k < 8; ++k) ++tables[k][bytes >> (8 * k) & 0xFF];
    }
    for (; i < n; ++i) ++tables[0][src[i]];
    for (size_t b = 0; b < 256; ++b) {
        counts[b] = 0;
        for (const auto& table : tables) counts[b] += table[b];
    }
}

bool huffman_lengths(const uint32_t counts[256], uint8_t lengths[256]) {
    std::array<uint64_t, 256> order;  // count, then byte value in the low byte
    size_t n_leaves = 0;
    for (size_t b = 0; b < 256; ++b) {
        lengths[b] = 0;
        if (counts[b] != 0) order[n_leaves++] = uint64_t{counts[b]} << 8 | b;
    }
    if (n_leaves < 2) return false;
    std::sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(n_leaves));
    std::array<uint64_t, 256 + 1> leaves;
    std::array<uint8_t, 256> sorted_lengths;
    for (size_t i = 0; i < n_leaves; ++i) leaves[i] = order[i] >> 8;
    leaves[n_leaves] = UINT64_MAX;
    package_merge(leaves.data(), n_leaves, sorted_lengths.data());
    for (size_t i = 0; i < n_leaves; ++i) lengths[order[i] & 0xFF] = sorted_lengths[i];
    return true;
}

void huffman_codes(const uint8_t lengths[256], uint16_t codes[256]) {
    std::array<unsigned, kHuffmanMaxBits + 1> next{};
    for (size_t b = 0; b < 256; ++b) ++next[lengths[b]];
    next[0] = 0;
    unsigned code = 0;
    for (unsigned& entry : next) {  // the number of codes of each length becomes the first of them
        const unsigned n_codes = entry;
        entry = code;
        code = (code + n_codes) << 1;
    }
    for (size_t b = 0; b < 256; ++b) {
        const unsigned length = lengths[b];
        codes[b] = length == 0 ? uint16_t{0} : reverse_bits(next[length]++, length);
    }
}

size_t huffman_encode(const uint8_t* src, size_t n, const uint8_t lengths[256], uint32_t sizes[4], uint8_t* dst) {
    std::array<uint16_t, 256> codes;
    std::array<Symbol, 256> symbols;
    huffman_codes(lengths, codes.data());
    for (size_t b = 0; b < 256; ++b) symbols[b] = Symbol{codes[b]} << 8 | lengths[b];
    const size_t quarter = (n + kHuffmanStreams - 1) / kHuffmanStreams;
    uint8_t* at = dst;
    for (size_t j = 0; j < kHuffmanStreams; ++j) {
        const size_t first = std::min(j * quarter, n);
        const size_t last = std::min(first + quarter, n);
        uint8_t* const end = encode_stream(symbols.data(), src + first, last - first, at);
        sizes[j] = static_cast<uint32_t>(end - at);
        at = end;
    }
    return static_cast<size_t>(at - dst);
}

}  // namespace pennyweight
