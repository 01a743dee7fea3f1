#include <bit>

#include "pennyweight/huffman.h"
#include "pennyweight/price.h"
#include "pennyweight/rans.h"

namespace pennyweight {

bool normalize_frequencies(const uint32_t* counts, uint32_t bits, uint16_t* frequency) {
    const uint32_t alphabet = 1u << bits;
    uint64_t n = 0;
    uint32_t distinct = 0;
    for (uint32_t s = 0; s < alphabet; ++s) {
        n += counts[s];
        distinct += counts[s] != 0;
    }
    if (distinct < 2) return false;
    uint64_t sum = 0;
    for (uint32_t s = 0; s < alphabet; ++s) {
        uint64_t f = 0;
        if (counts[s] != 0) {
            f = (2 * uint64_t{kSlots} * counts[s] + n) / (2 * n);
            if (f == 0) f = 1;
        }
        frequency[s] = static_cast<uint16_t>(f);
        sum += f;
    }
    // A count times a frequency step stays below 2^22 * 2^14: the cross products are exact.
    while (sum != kSlots) {
        const bool grow = sum < kSlots;
        uint32_t best = alphabet;
        uint64_t best_count = 0, best_step = 1;
        for (uint32_t s = 0; s < alphabet; ++s) {
            if (counts[s] == 0 || (!grow && frequency[s] == 1)) continue;
            const uint64_t step = grow ? 2u * frequency[s] + 1u : 2u * frequency[s] - 1u;
            const uint64_t left = counts[s] * best_step, right = best_count * step;
            if (best == alphabet || (grow ? left > right : left < right)) {
                best = s;
                best_count = counts[s];
                best_step = step;
            }
        }
        frequency[best] = static_cast<uint16_t>(frequency[best] + (grow ? 1 : -1));
        sum = grow ? sum + 1 : sum - 1;
    }
    return true;
}

bool in_alphabet(const uint8_t* symbols, size_t n, uint32_t bits) {
    uint32_t seen = 0;
    for (size_t i = 0; i < n; ++i) seen |= symbols[i];
    return seen >> bits == 0;
}

uint32_t log2_4096(uint32_t c) {
    const uint32_t whole = static_cast<uint32_t>(std::bit_width(c)) - 1;
    uint64_t x = (uint64_t{c} << 31) >> whole;  // in [2^31, 2^32)
    uint32_t log = whole;
    for (int i = 0; i < 12; ++i) {
        x = x * x >> 31;
        const uint32_t bit = static_cast<uint32_t>(x >> 32);
        x >>= bit;
        log = 2 * log + bit;
    }
    return log;
}

namespace {

// As choose_frequencies, and the counts.
bool choose(const uint8_t* symbols, size_t n, uint32_t bits, uint32_t counts[256], uint16_t* frequency) {
    if (bits == 8) {
        sample_counts(symbols, n, counts);
        if (is_noise(counts, 256, largest_symbol_bits(counts))) return false;
    }
    byte_histogram(symbols, n, counts);
    if (bits < 8 && is_noise(counts, size_t{1} << bits, bits)) return false;
    return normalize_frequencies(counts, bits, frequency);
}

}  // namespace

bool choose_frequencies(const uint8_t* symbols, size_t n, uint32_t bits, uint16_t* frequency) {
    uint32_t counts[256];
    return choose(symbols, n, bits, counts, frequency);
}

bool rans_price(const uint8_t* symbols, size_t n, uint32_t bits, size_t* bytes) {
    uint32_t counts[256];
    uint16_t frequency[kMaxAlphabet];
    if (!choose(symbols, n, bits, counts, frequency)) return false;
    uint64_t spent = 0;
    for (uint32_t s = 0; s < 1u << bits; ++s) {
        if (counts[s] != 0) spent += uint64_t{counts[s]} * (kSlotBits * 4096 - log2_4096(frequency[s]));
    }
    // A state begins at 16 bits and ends anywhere up to 32: on average it holds one byte that is no word's.
    const size_t coded = static_cast<size_t>(spent / (4096 * 8));
    *bytes = frequency_header_bytes(frequency, bits) + kStateBytes + (coded > kLanes ? coded - kLanes : 0);
    return true;
}

bool build_rans_table(const uint16_t* frequency, uint32_t bits, RansTable* table) {
    const uint32_t alphabet = 1u << bits, bucket = kSlots >> bits;
    uint32_t rest[kMaxAlphabet], sum = 0;
    uint32_t small[kMaxAlphabet], large[kMaxAlphabet];
    size_t n_small = 0, n_large = 0;
    table->bits = bits;
    for (uint32_t s = 0; s < alphabet; ++s) {
        if (frequency[s] >= kSlots) return false;
        sum += frequency[s];
        rest[s] = frequency[s];
        table->frequency[s] = frequency[s];
        table->threshold[s] = static_cast<uint16_t>(bucket);
        table->alias[s] = static_cast<uint16_t>(s);
        table->adjust[s] = 0;
        if (rest[s] < bucket) {
            small[n_small++] = s;
        } else {
            large[n_large++] = s;
        }
    }
    if (sum != kSlots) return false;
    while (n_small > 0 && n_large > 0) {
        const uint32_t s = small[--n_small], l = large[n_large - 1];
        table->threshold[s] = static_cast<uint16_t>(rest[s]);
        table->alias[s] = static_cast<uint16_t>(l);
        rest[l] -= bucket - rest[s];
        if (rest[l] < bucket) {
            --n_large;
            small[n_small++] = l;
        }
    }
    uint32_t used[kMaxAlphabet];
    for (uint32_t s = 0; s < alphabet; ++s) used[s] = table->threshold[s];
    for (uint32_t b = 0; b < alphabet; ++b) {
        const uint32_t threshold = table->threshold[b];
        if (threshold == bucket) continue;
        uint32_t& next = used[table->alias[b]];
        table->adjust[b] = static_cast<int16_t>(static_cast<int32_t>(next) - static_cast<int32_t>(threshold));
        next += bucket - threshold;
    }
    return true;
}

void build_rans_encode_table(const RansTable& table, RansEncodeTable* encode) {
    const uint32_t bits = table.bits, alphabet = 1u << bits, bucket = kSlots >> bits;
    encode->bits = bits;
    uint32_t start = 0;
    for (uint32_t s = 0; s < alphabet; ++s) {
        encode->frequency[s] = table.frequency[s];
        encode->start[s] = static_cast<uint16_t>(start);
        encode->reciprocal[s] = table.frequency[s] == 0 ? 0 : (uint64_t{1} << 44) / table.frequency[s] + 1;
        start += table.frequency[s];
    }
    for (uint32_t b = 0; b < alphabet; ++b) {
        uint16_t* own = encode->slots + encode->start[b];
        uint16_t* other = encode->slots + encode->start[table.alias[b]] + table.adjust[b];
        for (uint32_t o = 0; o < table.threshold[b]; ++o) own[o] = static_cast<uint16_t>(o << bits | b);
        for (uint32_t o = table.threshold[b]; o < bucket; ++o) other[o] = static_cast<uint16_t>(o << bits | b);
    }
    if (alphabet > kSmallAlphabet) return;
    uint32_t n = 0;
    const auto add = [&](uint32_t at, uint32_t first_offset, uint32_t b) {
        encode->segment_start[n] = static_cast<uint16_t>(at);
        encode->segment_offset[n++] = static_cast<uint16_t>(((first_offset - at) << bits) + b);
    };
    for (uint32_t s = 0; s < alphabet; ++s) {
        if (table.threshold[s] > 0) add(encode->start[s], 0, s);
        for (uint32_t b = 0; b < alphabet; ++b) {
            if (table.alias[b] != s || table.threshold[b] == bucket) continue;
            const uint32_t rank = static_cast<uint32_t>(table.threshold[b] + table.adjust[b]);
            add(encode->start[s] + rank, table.threshold[b], b);
        }
    }
    for (; n < RansEncodeTable::kMaxSegments; ++n) {
        encode->segment_start[n] = UINT16_MAX;
        encode->segment_offset[n] = 0;
    }
}

}  // namespace pennyweight
