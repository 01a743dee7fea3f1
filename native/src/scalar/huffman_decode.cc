#include <algorithm>
#include <array>

#include "pennyweight/bytes.h"
#include "pennyweight/huffman.h"

namespace pennyweight {
namespace {

constexpr size_t kTableSize = size_t{1} << kHuffmanMaxBits;
constexpr size_t kLookups = 5;         // of 11 bits each: what the 56 bits after a refill allow
constexpr size_t kRoundIn = 8;         // bytes that a round of kLookups may read,
constexpr size_t kMultiRoundOut = 32;  // and write: 4 lookups of 6 symbols, and a word

// What the next 11 bits begin with. Low byte: bits used; above it the symbol.
using Single = uint16_t;
// The same for as many whole codes as fit. Low byte: bits used; next: number of symbols; then these.
using Multi = uint64_t;
constexpr unsigned kMultiSymbols = 6;
// Measured: with more bits a symbol, a second one is too rare; fewer bytes do not pay for filling the table.
constexpr size_t kMultiMaxBits = 6;
constexpr size_t kMultiMinBytes = 16384;

bool is_complete_code(const uint8_t lengths[256]) {
    size_t sum = 0;
    for (size_t b = 0; b < 256; ++b) {
        if (lengths[b] > kHuffmanMaxBits) return false;
        if (lengths[b] != 0) sum += kTableSize >> lengths[b];
    }
    return sum == kTableSize;
}

void fill_single(const uint8_t lengths[256], Single table[kTableSize]) {
    std::array<uint16_t, 256> codes;
    huffman_codes(lengths, codes.data());
    for (size_t b = 0; b < 256; ++b) {
        if (lengths[b] == 0) continue;
        const auto entry = static_cast<Single>(b << 8 | lengths[b]);
        for (size_t i = codes[b]; i < kTableSize; i += size_t{1} << lengths[b]) table[i] = entry;
    }
}

void fill_multi(const Single* single, Multi table[kTableSize]) {
    for (size_t i = 0; i < kTableSize; ++i) {
        Multi symbols = 0;
        unsigned used = 0;
        unsigned n_symbols = 0;
        for (; n_symbols < kMultiSymbols; ++n_symbols) {
            const Single next = single[i >> used];
            if (used + (next & 0xFFu) > kHuffmanMaxBits) break;
            symbols |= Multi{next} >> 8 << (16 + 8 * n_symbols);
            used += next & 0xFFu;
        }
        table[i] = symbols | n_symbols << 8 | used;
    }
}

// A stream being decoded.
struct Cursor {
    const uint8_t* begin;
    const uint8_t* end;
    uint8_t* out;
    uint8_t* out_end;
    const uint8_t* at;   // next byte to load
    uint64_t bits = 0;   // loaded and not used; the next bit is the lowest
    uint64_t count = 0;  // how many of them: bits above are copies of bits that are still to be loaded, or 0
};

// Rounds of kLookups that cannot leave the stream or its output, whatever the bits say.
size_t safe_rounds(const Cursor& c, size_t round_out) {
    return std::min(static_cast<size_t>(c.end - c.at) / kRoundIn, static_cast<size_t>(c.out_end - c.out) / round_out);
}

inline void refill(Cursor& c) {  // to 56 bits or more; moves on by at most 7 bytes
    c.bits |= load_le<uint64_t>(c.at) << c.count;
    c.at += (63 - c.count) >> 3;
    c.count |= 56;
}

// Sums of entries: the low byte is exact, 5 * 11 bits do not carry out of it.
inline void lookup(const Single* table, size_t k, Cursor& c, uint64_t& sum) {
    const Single entry = table[c.bits & (kTableSize - 1)];
    c.bits >>= entry & 63;
    c.out[k] = static_cast<uint8_t>(entry >> 8);
    sum += entry;
}

inline void finish_round(const Single*, Cursor& c, uint64_t sum) {
    c.out += kLookups;
    c.count -= sum & 0xFF;
}

inline void lookup(const Multi* table, size_t, Cursor& c, uint64_t& sum) {
    const Multi entry = table[c.bits & (kTableSize - 1)];
    c.bits >>= entry & 63;
    store_le(c.out, entry >> 16);
    c.out += entry >> 8 & 0xFF;
    sum += entry;
}

inline void finish_round(const Multi*, Cursor& c, uint64_t sum) { c.count -= sum & 0xFF; }

template <typename Entry>
void decode_rounds(const Entry* table, Cursor (&cursors)[kHuffmanStreams], size_t round_out) {
    Cursor a = cursors[0], b = cursors[1], c = cursors[2], d = cursors[3];  // in registers
    for (;;) {
        size_t rounds = std::min(std::min(safe_rounds(a, round_out), safe_rounds(b, round_out)),
                                 std::min(safe_rounds(c, round_out), safe_rounds(d, round_out)));
        if (rounds == 0) break;
        for (; rounds != 0; --rounds) {
            uint64_t sum_a = 0, sum_b = 0, sum_c = 0, sum_d = 0;
            refill(a);
            refill(b);
            refill(c);
            refill(d);
            for (size_t k = 0; k < kLookups; ++k) {
                lookup(table, k, a, sum_a);
                lookup(table, k, b, sum_b);
                lookup(table, k, c, sum_c);
                lookup(table, k, d, sum_d);
            }
            finish_round(table, a, sum_a);
            finish_round(table, b, sum_b);
            finish_round(table, c, sum_c);
            finish_round(table, d, sum_d);
        }
    }
    cursors[0] = a;
    cursors[1] = b;
    cursors[2] = c;
    cursors[3] = d;
}

// The rest of one stream after the others have ended.
template <typename Entry>
void decode_rounds(const Entry* table, Cursor& cursor, size_t round_out) {
    Cursor c = cursor;
    while (size_t rounds = safe_rounds(c, round_out)) {
        for (; rounds != 0; --rounds) {
            uint64_t sum = 0;
            refill(c);
            for (size_t k = 0; k < kLookups; ++k) lookup(table, k, c, sum);
            finish_round(table, c, sum);
        }
    }
    cursor = c;
}

// The last symbols, one at a time; bits after the end read as 0. False unless the last code ends the stream.
bool decode_tail(const Single* table, const Cursor& c) {
    const auto size = static_cast<size_t>(c.end - c.begin);
    const auto byte = [&](size_t i) { return i < size ? unsigned{c.begin[i]} : 0u; };
    size_t bit = static_cast<size_t>(c.at - c.begin) * 8 - c.count;
    for (uint8_t* out = c.out; out != c.out_end; ++out) {
        const size_t i = bit / 8;
        const unsigned window = byte(i) | byte(i + 1) << 8 | byte(i + 2) << 16;
        const Single entry = table[window >> bit % 8 & (kTableSize - 1)];
        *out = static_cast<uint8_t>(entry >> 8);
        bit += entry & 0xFFu;
    }
    return (bit + 7) / 8 == size && (bit % 8 == 0 || byte(bit / 8) >> bit % 8 == 0);
}

}  // namespace

bool huffman_decode(const uint8_t lengths[256], const uint32_t sizes[4], const uint8_t* src, size_t src_bytes, uint8_t* dst, size_t n) {
    if (!is_complete_code(lengths)) return false;
    if (uint64_t{sizes[0]} + sizes[1] + sizes[2] + sizes[3] != src_bytes) return false;

    Cursor cursors[kHuffmanStreams];
    const size_t quarter = n / kHuffmanStreams + (n % kHuffmanStreams != 0);
    for (size_t j = 0; j < kHuffmanStreams; ++j) {
        Cursor& c = cursors[j];
        c.begin = c.at = src;
        c.end = src += sizes[j];
        c.out = dst + std::min(j * quarter, n);
        c.out_end = dst + std::min((j + 1) * quarter, n);
    }

    std::array<Single, kTableSize> single;
    fill_single(lengths, single.data());
    if (n < kMultiMinBytes || src_bytes > n / 8 * kMultiMaxBits) {
        decode_rounds(single.data(), cursors, kLookups);
        for (Cursor& c : cursors) decode_rounds(single.data(), c, kLookups);
    } else {
        std::array<Multi, kTableSize> multi;
        fill_multi(single.data(), multi.data());
        decode_rounds(multi.data(), cursors, kMultiRoundOut);
        for (Cursor& c : cursors) decode_rounds(multi.data(), c, kMultiRoundOut);
    }
    bool good = true;
    for (const Cursor& c : cursors) good &= decode_tail(single.data(), c);
    return good;
}

}  // namespace pennyweight
