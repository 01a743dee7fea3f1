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
        uint32_t seen = 0;
        uint64_t packed = 0;
        for (size_t i = 0; i < p.n; ++i) {
            const uint32_t symbol = p.symbols[i];
            seen |= symbol;
            if constexpr (h == 8) {
                packed = p.high[i];
            } else if (i % 8 == 0) {
                packed = 0;
                const size_t left = sign_mantissa_bytes(p.n - i, h);  // eight weights fill h bytes, the last few perhaps fewer
                for (uint32_t b = 0; b < h && b < left; ++b) packed |= uint64_t{p.high[i / 8 * h + b]} << (8 * b);
            } else {
                packed >>= h;
            }
            const uint32_t value = static_cast<uint32_t>(packed) & ((1u << h) - 1);
            const Word e = static_cast<Word>(p.base + (kJoint ? symbol >> 1 : symbol));
            Word w = static_cast<Word>(e << kMantissaBits);
            if constexpr (kJoint) w = static_cast<Word>(w | static_cast<Word>(symbol & 1) << (kMantissaBits - 1));
            w = static_cast<Word>(w | static_cast<Word>(value >> (h - 1)) << (8 * kBytes - 1));
            w = static_cast<Word>(w | static_cast<Word>(value & ((1u << (h - 1)) - 1)) << (8 * kLowBytes));
            for (uint32_t b = 0; b < kLowBytes; ++b) {
                w = static_cast<Word>(w | static_cast<Word>(p.low[i * kLowBytes + b]) << (8 * b));
            }
            store_le(out + i * kBytes, w);
        }
        return seen < kAlphabet;
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
