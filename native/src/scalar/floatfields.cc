// The split of stages/split/floatfields.md in plain loops: what every other target must equal.
#include "pennyweight/floatfields.h"

#include <cstring>
#include <type_traits>

#include "pennyweight/bytes.h"
#include "scalar.h"

namespace pennyweight {

const FloatTraits* float_traits(uint8_t format) {
    static constexpr FloatTraits kTraits[] = {{2, 8, 7, 0}, {2, 5, 10, 1}, {4, 8, 23, 2}, {8, 11, 52, 6}, {1, 4, 3, 0}, {1, 5, 2, 0}};
    return format >= 1 && format <= 6 ? &kTraits[format - 1] : nullptr;
}

bool apply_patches(const FloatTraits& traits, size_t n, const uint8_t* patches, size_t n_patches, uint8_t* out) {
    int64_t previous = -1;
    for (size_t i = 0; i < n_patches; ++i) {
        const uint32_t patch = load_le<uint32_t>(patches + 4 * i);
        const uint32_t position = patch >> kPatchExponentBits, e = patch & ((1u << kPatchExponentBits) - 1);
        if (position <= previous || position >= n || e >> traits.exponent_bits != 0) return false;
        previous = position;
        if (traits.bytes == 1) {
            const uint32_t mask = ((1u << traits.exponent_bits) - 1) << traits.mantissa_bits;
            out[position] = static_cast<uint8_t>((out[position] & ~mask) | e << traits.mantissa_bits);
            continue;
        }
        const uint32_t shift = 15 - traits.exponent_bits, mask = ((1u << traits.exponent_bits) - 1) << shift;
        uint8_t* top = out + size_t{position} * traits.bytes + traits.bytes - 2;
        store_le(top, static_cast<uint16_t>((load_le<uint16_t>(top) & ~mask) | e << shift));
    }
    return true;
}

namespace scalar {

namespace {

template <typename Word, uint32_t kExponentBits, uint32_t kLowBytes, uint32_t kKind>
struct Fields {
    static constexpr uint32_t kBytes = sizeof(Word);
    static constexpr uint32_t kMantissaBits = kBytes * 8 - 1 - kExponentBits;
    static constexpr bool kJoint = kKind == 5;
    static constexpr uint32_t kWindow = kKind == 6 ? 32 : 16, kAlphabet = kKind == 4 ? 16 : 32;
    static constexpr uint32_t h = 1 + kMantissaBits - 8 * kLowBytes - (kJoint ? 1 : 0);

    static size_t split(const uint8_t* src, const FloatParts& p, size_t first, size_t n_patches, uint32_t* counts) {
        const size_t max_patches = p.n / kWeightsPerPatch;
        uint64_t packed = 0;
        uint32_t odd_counts[kMaxAlphabet] = {};  // neighbours often have the same symbol, and an increment waits for the one before it
        uint32_t* const counters[2] = {counts, odd_counts};
        for (size_t i = first; i < p.n; ++i) {
            const Word w = load_le<Word>(src + i * kBytes);
            const uint32_t e = static_cast<uint32_t>(w >> kMantissaBits) & ((1u << kExponentBits) - 1);
            const uint32_t m = static_cast<uint32_t>(w >> (kMantissaBits - 1)) & 1;
            uint32_t place = e - p.base;
            if (place >= kWindow) {
                if (n_patches == max_patches) return SIZE_MAX;
                store_le(p.patches + 4 * n_patches++, static_cast<uint32_t>(i) << kPatchExponentBits | e);
                place = p.substitute;
            }
            const uint32_t symbol = kJoint ? 2 * place + m : place;
            p.symbols[i] = static_cast<uint8_t>(symbol);
            ++counters[i % 2][symbol];
            for (uint32_t b = 0; b < kLowBytes; ++b) p.low[i * kLowBytes + b] = static_cast<uint8_t>(w >> (8 * b));
            const uint32_t sign = static_cast<uint32_t>(w >> (8 * kBytes - 1));
            const uint32_t middle = static_cast<uint32_t>(w >> (8 * kLowBytes)) & ((1u << (h - 1)) - 1);
            const uint32_t value = sign << (h - 1) | middle;
            if constexpr (h == 8) {
                p.high[i] = static_cast<uint8_t>(value);
                continue;
            }
            packed |= uint64_t{value} << (h * (i % 8));
            if (i % 8 == 7 || i + 1 == p.n) {
                for (uint32_t b = 0; b < h; ++b) p.high[i / 8 * h + b] = static_cast<uint8_t>(packed >> (8 * b));
                packed = 0;
            }
        }
        for (uint32_t s = 0; s < kAlphabet; ++s) counts[s] += odd_counts[s];
        return n_patches;
    }

    static bool merge(const FloatParts& p, uint8_t* out) {
        uint8_t seen = 0, unpacked[kGroup];
        for (size_t first = 0; first < p.n; first += kGroup) {
            const size_t n = p.n - first < kGroup ? p.n - first : kGroup;
            const uint8_t *high = p.high + first / 8 * h, *symbols = p.symbols + first, *low = p.low + first * kLowBytes;
            if constexpr (h != 8) {
                unpack(high, n, unpacked);
                high = unpacked;
            }
            if constexpr (kBytes == 2) {
                if (n == kGroup) {
                    seen |= merge_group(symbols, high, low, p.base, out + first * kBytes);
                    continue;
                }
            }
            seen |= merge_bytes(symbols, high, low, p.base, n, out + first * kBytes);
        }
        return seen < kAlphabet;
    }

    // n fields of h bits into bytes. Eight weights fill h bytes, the last few perhaps fewer, and nothing behind those is read.
    static void unpack(const uint8_t* high, size_t n, uint8_t* dst) {
        constexpr size_t kEights = kGroup / 8;
        uint64_t eights[kEights];  // all loads first, so that a compiler makes vectors of the rest
        if (n == kGroup) {
            for (size_t i = 0; i + 1 < kEights; ++i) eights[i] = load_le<uint64_t>(high + i * h);
            eights[kEights - 1] = load_le<uint64_t>(high + kEights * h - 8) >> (64 - 8 * h);
        } else {
            const size_t n_bytes = sign_mantissa_bytes(n, h);
            for (uint64_t& x : eights) x = 0;
            for (size_t b = 0; b < n_bytes; ++b) eights[b / h] |= uint64_t{high[b]} << b % h * 8;
        }
        constexpr uint64_t kFours = (uint64_t{1} << 4 * h) - 1, kPairs = ((uint64_t{1} << 2 * h) - 1) * 0x100000001;
        constexpr uint64_t kOnes = ((uint64_t{1} << h) - 1) * 0x1000100010001;
        for (uint64_t& x : eights) {
            x = (x & kFours) | (x >> 4 * h & kFours) << 32;
            x = (x & kPairs) | (x >> 2 * h & kPairs) << 16;
            x = (x & kOnes) | (x >> h & kOnes) << 8;
        }
        for (size_t i = 0; i < kEights; ++i) store_le(dst + 8 * i, eights[i]);
    }

    // A whole group of 16-bit weights as merge_bytes, its low and its high bytes apart: twice as many to a vector. Eight to a word, as base
    // line x86-64 does not shift bytes.
    static uint8_t merge_group(const uint8_t* __restrict symbols, const uint8_t* __restrict high, const uint8_t* __restrict low,
                               uint32_t base, uint8_t* __restrict out) {
        constexpr uint64_t kEach = 0x0101010101010101;
        constexpr uint32_t kShift = kMantissaBits - (kJoint ? 1 : 0);  // where a symbol stands in a weight
        constexpr uint64_t kMiddle = ((1u << (h - 1)) - 1) * kEach, kSign = 0x80 * kEach;
        const uint32_t start = base << kMantissaBits;
        uint64_t seen = 0;
        uint8_t bottom[kGroup], top[kGroup];
        for (size_t i = 0; i < kGroup; i += 8) {
            const uint64_t value = load_le<uint64_t>(high + i), symbol = load_le<uint64_t>(symbols + i);
            const uint64_t sign = value << (8 - h) & kSign;
            seen |= symbol;
            if constexpr (kLowBytes == 0) {
                constexpr uint32_t kUp = 8 - kShift;  // bits of a symbol that the low byte takes
                constexpr uint64_t kStays = ((1u << kUp) - 1) * kEach;
                const uint64_t place = symbol + (start >> kShift & ((1u << kUp) - 1)) * kEach;
                store_le(bottom + i, (place & kStays) << kShift | (value & kMiddle));
                store_le(top + i, (((place & ~kStays) >> kUp) + (start >> 8) * kEach) | sign);
            } else {
                store_le(top + i, ((symbol << (kShift - 8)) + (start >> 8) * kEach) | (value & kMiddle) | sign);
            }
        }
        if constexpr (kLowBytes == 1) std::memcpy(bottom, low, kGroup);
        for (size_t i = 0; i < kGroup; ++i) {
            out[2 * i] = bottom[i];
            out[2 * i + 1] = top[i];
        }
        for (uint32_t shift = 32; shift >= 8; shift /= 2) seen |= seen >> shift;
        return static_cast<uint8_t>(seen);
    }

    // Nothing but arithmetic on a few arrays, so that a compiler makes vectors of it. Returns all symbols or-ed.
    static uint8_t merge_bytes(const uint8_t* __restrict symbols, const uint8_t* __restrict high, const uint8_t* __restrict low,
                               uint32_t base, size_t n, uint8_t* __restrict out) {
        uint8_t seen = 0;
        for (size_t i = 0; i < n; ++i) {
            const uint8_t symbol = symbols[i], value = high[i];
            seen |= symbol;
            const Word top = static_cast<Word>(static_cast<Word>(base << (kJoint ? 1 : 0)) + symbol);
            Word w = static_cast<Word>(top << (kMantissaBits - (kJoint ? 1 : 0)));
            w = static_cast<Word>(w | static_cast<Word>(value >> (h - 1)) << (8 * kBytes - 1));
            w = static_cast<Word>(w | static_cast<Word>(value & ((1u << (h - 1)) - 1)) << (8 * kLowBytes));
            if constexpr (kLowBytes == 1) w = static_cast<Word>(w | low[i]);
            if constexpr (kLowBytes == 2) w = static_cast<Word>(w | load_le<uint16_t>(low + 2 * i));
            if constexpr (kLowBytes == 6) w |= load_le<uint32_t>(low + 6 * i) | static_cast<Word>(load_le<uint16_t>(low + 6 * i + 4)) << 32;
            store_le(out + i * kBytes, w);
        }
        return seen;
    }
};

template <typename Word, uint32_t kExponentBits, uint32_t kLowBytes>
struct Format {
    template <uint32_t kKind>
    using Of = Fields<Word, kExponentBits, kLowBytes, kKind>;

    static size_t split(const uint8_t* src, const FloatParts& p, size_t first, size_t n_patches, uint32_t* counts) {
        if (p.symbol_kind == 4) return Of<4>::split(src, p, first, n_patches, counts);
        if (p.symbol_kind == 5) return Of<5>::split(src, p, first, n_patches, counts);
        return Of<6>::split(src, p, first, n_patches, counts);
    }
    static bool merge(const FloatParts& p, uint8_t* out) {
        return p.symbol_kind == 4 ? Of<4>::merge(p, out) : p.symbol_kind == 5 ? Of<5>::merge(p, out) : Of<6>::merge(p, out);
    }
};

using BF16 = Format<uint16_t, 8, 0>;
using F16 = Format<uint16_t, 5, 1>;
using F32 = Format<uint32_t, 8, 2>;
using F64 = Format<uint64_t, 11, 6>;
using E4M3 = Format<uint8_t, 4, 0>;
using E5M2 = Format<uint8_t, 5, 0>;

}  // namespace

size_t split_from(const uint8_t* src, const FloatParts& parts, size_t first, size_t n_patches, uint32_t* counts) {
    switch (parts.format) {
        case FloatFormat::kBF16: return BF16::split(src, parts, first, n_patches, counts);
        case FloatFormat::kF16: return F16::split(src, parts, first, n_patches, counts);
        case FloatFormat::kF32: return F32::split(src, parts, first, n_patches, counts);
        case FloatFormat::kF64: return F64::split(src, parts, first, n_patches, counts);
        case FloatFormat::kE4M3: return E4M3::split(src, parts, first, n_patches, counts);
        case FloatFormat::kE5M2: return E5M2::split(src, parts, first, n_patches, counts);
    }
    return SIZE_MAX;
}

size_t split(const uint8_t* src, const FloatParts& parts, uint32_t* symbol_counts) {
    std::memset(symbol_counts, 0, kMaxAlphabet * sizeof(uint32_t));
    return split_from(src, parts, 0, 0, symbol_counts);
}

bool merge(const FloatParts& parts, uint8_t* out) {
    switch (parts.format) {
        case FloatFormat::kBF16: return BF16::merge(parts, out);
        case FloatFormat::kF16: return F16::merge(parts, out);
        case FloatFormat::kF32: return F32::merge(parts, out);
        case FloatFormat::kF64: return F64::merge(parts, out);
        case FloatFormat::kE4M3: return E4M3::merge(parts, out);
        case FloatFormat::kE5M2: return E5M2::merge(parts, out);
    }
    return false;
}

}  // namespace scalar
}  // namespace pennyweight
