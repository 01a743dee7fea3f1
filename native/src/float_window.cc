// Which exponents a block's symbols cover, and whether a symbol spends its fifth bit on the mantissa or on more exponents: the encoder's
// rules of stages/split/floatfields.md.
#include <cstring>

#include "pennyweight/bytes.h"
#include "pennyweight/floatfields.h"
#include "pennyweight/price.h"

namespace pennyweight {

namespace {

constexpr uint32_t kMaxKeys = 1u << 12;  // exponent of 11 bits and the mantissa's top bit

// Adds the exponents, each with the mantissa's top bit below it, of n weights to four sets of counters, because neighbours often have the
// same and an increment waits for the one before it.
template <uint32_t kBytes, uint32_t kExponentBits>
void count_keys(const uint8_t* src, size_t n, uint32_t* counts) {
    constexpr uint32_t kKeys = 2u << kExponentBits;
    const auto key = [src](size_t i) -> uint32_t {  // in the top 16 bits of every format
        if constexpr (kBytes == 1) return src[i] >> (6 - kExponentBits) & (kKeys - 1);
        if constexpr (kBytes > 1) return load_le<uint16_t>(src + i * kBytes + kBytes - 2) >> (14 - kExponentBits) & (kKeys - 1);
    };
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        ++counts[key(i)];
        ++counts[kKeys + key(i + 1)];
        ++counts[2 * kKeys + key(i + 2)];
        ++counts[3 * kKeys + key(i + 3)];
    }
    for (; i < n; ++i) ++counts[key(i)];
}

void count_keys(const uint8_t* src, const FloatTraits& traits, size_t n, uint32_t* counts) {
    switch (traits.bytes << 8 | traits.exponent_bits) {
        case 1 << 8 | 4: return count_keys<1, 4>(src, n, counts);
        case 1 << 8 | 5: return count_keys<1, 5>(src, n, counts);
        case 2 << 8 | 8: return count_keys<2, 8>(src, n, counts);
        case 2 << 8 | 5: return count_keys<2, 5>(src, n, counts);
        case 4 << 8 | 8: return count_keys<4, 8>(src, n, counts);
        default: return count_keys<8, 11>(src, n, counts);
    }
}

// Counts of keys over the page's sample, or over all weights. Returns how many weights that is.
size_t count_weights(const uint8_t* src, const FloatTraits& traits, size_t n, bool all, uint32_t* counts) {
    // A sample of 1 in 8 finds nearly the same window as all weights (0.002 % of MiniLM's size) in an eighth of the time.
    constexpr size_t kSampleFrom = 16384, kPeriod = 512, kTaken = 64;
    const uint32_t keys = 2u << traits.exponent_bits;
    std::memset(counts, 0, 4 * keys * sizeof(uint32_t));
    const bool whole = all || n < kSampleFrom;
    const size_t period = whole ? n : kPeriod, taken = whole ? n : kTaken;
    size_t seen = 0;
    for (size_t first = 0; first < n; first += period) {
        const uint8_t* at = src + first * traits.bytes;
#if defined(__GNUC__)
        // The stride defeats the hardware's prefetcher, and the block is often cold here.
        const size_t ahead = n - first > 8 * period ? 8 * period * traits.bytes : 0;
        for (size_t line = 0; line < kTaken * traits.bytes; line += 64) __builtin_prefetch(at + ahead + line);
#endif
        const size_t c = n - first < taken ? n - first : taken;
        count_keys(at, traits, c, counts);
        seen += c;
    }
    for (size_t k = 0; k < keys; ++k) counts[k] += counts[keys + k] + counts[2 * keys + k] + counts[3 * keys + k];
    return seen;
}

struct Window {
    uint32_t base, substitute;
    uint64_t outside;
};

Window find_window(const uint32_t* keys, uint32_t exponents, uint32_t size, size_t seen) {
    const auto count = [keys](uint32_t e) { return uint64_t{keys[2 * e]} + keys[2 * e + 1]; };
    uint64_t inside = 0;
    for (uint32_t e = 0; e < size; ++e) inside += count(e);
    uint64_t most = inside;
    Window window{0, 0, 0};
    for (uint32_t b = 1; b + size <= exponents; ++b) {
        inside += count(b + size - 1) - count(b - 1);
        if (inside > most) {
            most = inside;
            window.base = b;
        }
    }
    for (uint32_t i = 1; i < size; ++i) {
        if (count(window.base + i) > count(window.base + window.substitute)) window.substitute = i;
    }
    window.outside = seen - most;
    return window;
}

// In 1/256 bit: symbols by their entropy, 32 bits a patch, and the mantissa bit that symbols 6 leave out.
uint64_t price(const uint32_t* keys, uint32_t exponents, const Window& window, uint32_t kind, size_t seen) {
    uint32_t counts[32] = {};
    const uint32_t size = 1u << window_bits(kind), m = mantissa_in_symbol(kind);
    for (uint32_t k = 0; k < 2 * exponents; ++k) {
        const uint32_t place = k / 2 - window.base;
        counts[(place < size ? place : window.substitute) << m | (m != 0 ? k % 2 : 0)] += keys[k];
    }
    return window.outside * 32 * 256 + price_256(counts, 32) + (kind == 6 ? seen * 256 : 0);
}

}  // namespace

void choose_window(const uint8_t* src, const FloatTraits& traits, size_t n, uint32_t bits, uint32_t* counts, FloatParts* parts) {
    static_assert(kWindowCounts >= 4 * kMaxKeys);
    constexpr uint64_t kFewOutside = 2048;
    const uint32_t exponents = 1u << traits.exponent_bits;
    size_t seen = count_weights(src, traits, n, false, counts);
    Window window = find_window(counts, exponents, 16, seen);
    parts->symbol_kind = bits;
    if (bits == 5 && exponents > 16 && window.outside * kFewOutside > seen) {
        seen = count_weights(src, traits, n, true, counts);
        window = find_window(counts, exponents, 16, seen);
        const Window wide = find_window(counts, exponents, 32, seen);
        if (price(counts, exponents, wide, 6, seen) < price(counts, exponents, window, 5, seen)) {
            window = wide;
            parts->symbol_kind = 6;
        }
    }
    parts->base = window.base;
    parts->substitute = window.substitute;
}

}  // namespace pennyweight
