#include "pennyweight/bytes.h"
#include "pennyweight/scales.h"

namespace pennyweight {

bool scales_place_valid(const ScalesPlace& p, bool has_columns, size_t n_columns) {
    if (p.mantissa_bits > kMaxKeyMantissa || p.n == 0 || p.n >= kMaxKeyPosition || p.first >= kMaxKeyPosition - p.n) return false;
    if (p.d == 0 || p.d > kMaxRowKeys || p.S == 0 || p.S > p.d || p.g == 0 || p.g > p.d) return false;
    return !has_columns || n_columns == (p.d + p.g - 1) / p.g;
}

size_t scales_rows(const ScalesPlace& p) {
    const uint64_t q = (p.d + p.S - 1) / p.S, last = p.first + p.n - 1;
    // Differences only: a number of the tensor's row scales may need more than 64 bits, d = S = 1 apart it is below the position.
    return static_cast<size_t>((last / p.d - p.first / p.d) * q + last % p.d / p.S - p.first % p.d / p.S + 1);
}

bool build_buckets(const uint8_t* frequencies, uint32_t bits, uint64_t* buckets) {
    const uint32_t alphabet = 1u << bits, size = kScalesSlots >> bits;
    uint32_t f[kMaxScalesAlphabet], rest[kMaxScalesAlphabet], threshold[kMaxScalesAlphabet], alias[kMaxScalesAlphabet];
    uint32_t small[kMaxScalesAlphabet], large[kMaxScalesAlphabet];
    uint32_t n_small = 0, n_large = 0, sum = 0;
    for (uint32_t s = 0; s < alphabet; ++s) {
        f[s] = rest[s] = load_le<uint16_t>(frequencies + 2 * s);
        if (f[s] >= kScalesSlots) return false;
        sum += f[s];
        threshold[s] = size;
        alias[s] = s;
        if (rest[s] < size) {
            small[n_small++] = s;
        } else {
            large[n_large++] = s;
        }
    }
    if (sum != kScalesSlots) return false;
    while (n_small > 0 && n_large > 0) {
        const uint32_t s = small[--n_small], l = large[n_large - 1];
        threshold[s] = rest[s];
        alias[s] = l;
        rest[l] -= size - rest[s];
        if (rest[l] < size) {
            --n_large;
            small[n_small++] = l;
        }
    }
    uint32_t used[kMaxScalesAlphabet];
    for (uint32_t s = 0; s < alphabet; ++s) used[s] = threshold[s];
    for (uint32_t b = 0; b < alphabet; ++b) {
        uint32_t adjust = 0;
        if (threshold[b] < size) {
            adjust = used[alias[b]] - threshold[b];  // perhaps below 0: kept in 16 bits
            used[alias[b]] += size - threshold[b];
        }
        const uint32_t edge = ((threshold[b] - 1) << bits | alias[b]) & 0xffff;
        buckets[b] = (uint64_t{f[alias[b]]} << 16 | f[b]) << 32 | edge << 16 | (adjust & 0xffff);
    }
    return true;
}

void build_slots(const uint64_t* buckets, const uint8_t* frequencies, uint32_t bits, uint32_t start, SlotEntry* entries, uint16_t* slots) {
    const uint32_t alphabet = 1u << bits, size = kScalesSlots >> bits;
    for (uint32_t s = 0; s < alphabet; ++s) {
        const uint32_t f = load_le<uint16_t>(frequencies + 2 * s);
        entries[s] = {f == 0 ? 0 : (uint64_t{1} << 46) / f + 1, start, f};
        start += f;
    }
    for (uint32_t b = 0; b < alphabet; ++b) {
        const uint32_t edge = buckets[b] >> 16 & 0xffff, alias = edge & (alphabet - 1);
        const uint32_t threshold = static_cast<uint32_t>((static_cast<int16_t>(edge) >> bits) + 1);
        const int32_t adjust = static_cast<int16_t>(buckets[b] & 0xffff);
        uint16_t* own = slots + entries[b].start;
        uint16_t* other = slots + entries[alias].start + adjust;
        for (uint32_t o = 0; o < threshold; ++o) own[o] = static_cast<uint16_t>(o << bits | b);
        for (uint32_t o = threshold; o < size; ++o) other[o] = static_cast<uint16_t>(o << bits | b);
    }
}

bool build_scales_table(const uint8_t* frequencies, uint32_t mantissa_bits, ScalesTable* table) {
    const uint32_t bits = 4 + mantissa_bits;
    table->mantissa_bits = mantissa_bits;
    bool ok = true;
    for (uint32_t p = 0; p < kPhases && ok; ++p)
        ok = build_buckets(frequencies + (size_t{2} * p << bits), bits, table->buckets + (p << bits));
    return ok;
}

void build_scales_encode_table(const ScalesTable& table, const uint8_t* frequencies, ScalesEncodeTable* encode) {
    const uint32_t bits = 4 + table.mantissa_bits;
    for (uint32_t p = 0; p < kPhases; ++p) {
        const uint32_t at = p << bits;
        build_slots(table.buckets + at, frequencies + 2 * at, bits, p * kScalesSlots, encode->entries + at, encode->slots);
    }
}

}  // namespace pennyweight
