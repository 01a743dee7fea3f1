// Floats as fields: stages/split/floatfields.md, whose words are used here.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pennyweight {

enum class FloatFormat : uint8_t { kBF16 = 1, kF16 = 2, kF32 = 3, kF64 = 4, kE4M3 = 5, kE5M2 = 6 };

struct FloatTraits {
    uint32_t bytes;          // of one weight
    uint32_t exponent_bits;  // E
    uint32_t mantissa_bits;  // M
    uint32_t low_bytes;      // k
};

// nullptr for a format that the page does not name.
const FloatTraits* float_traits(uint8_t format);

// What a symbol is: the page's 4, 5, 6, 16 and 17. For 16 and 17, keys, see KeyTraits.
static inline uint32_t window_bits(uint32_t symbols) { return symbols == 6 ? 5 : 4; }  // log2 of the window's exponents
static inline uint32_t mantissa_in_symbol(uint32_t symbols) { return symbols == 5 ? 1 : 0; }
static inline uint32_t alphabet_bits(uint32_t symbols) { return symbols == 4 ? 4 : 5; }

// h: bits of one weight in sign_mantissa.
static inline uint32_t high_bits(const FloatTraits& traits, uint32_t symbols) {
    return 1 + traits.mantissa_bits - 8 * traits.low_bytes - mantissa_in_symbol(symbols);
}
// Packed, as the fast path and its kernels have it, and as bitpack writes a stream of one run with z = 0: weight i is bits h i to h i + h
// - 1.
static inline size_t sign_mantissa_bytes(size_t n, uint32_t h) { return (n * h + 7) / 8; }

inline constexpr uint32_t kPatchExponentBits = 11;       // a patch is position << 11 | exponent
inline constexpr size_t kMaxWeights = size_t{1} << 21;   // so that a position fits
inline constexpr size_t kMaxKeyedWeights = size_t{1} << 22;  // which have no patches
inline constexpr size_t kWeightsPerPatch = 32;           // more patches than one in this many: the encoder declines

// Buffers of one split or merge with symbols 4, 5 or 6. Lengths follow from the format, symbols and n.
struct FloatParts {
    FloatFormat format;
    uint32_t symbol_kind;  // 4, 5 or 6
    uint32_t base;         // first exponent of the window
    uint32_t substitute;   // encoder: window place a patched weight takes
    size_t n;              // weights
    uint8_t* symbols;      // n, rounded up to 128 with room to spare for vector stores
    uint8_t* high;         // sign_mantissa, packed, with 64 bytes to spare
    uint8_t* low;          // n * k
    uint8_t* patches;      // u32 each, little-endian; room for n / 32 + 64
};

// Symbols, base and substitute as the page says for a plan with `bits` 4 or 5. counts is scratch for kWindowCounts values.
inline constexpr size_t kWindowCounts = 4 * 4096;
void choose_window(const uint8_t* src, const FloatTraits& traits, size_t n, uint32_t bits, uint32_t* counts, FloatParts* parts);

// Puts the patches' exponents into n merged weights. False if they break the page's rules.
bool apply_patches(const FloatTraits& traits, size_t n, const uint8_t* patches, size_t n_patches, uint8_t* out);

// Symbols 16 and 17: keys of the exponent and top mantissa bits, and with 17 the sign.
struct KeyTraits {
    uint32_t mantissa_bits;  // m, in the key
    uint32_t low_bytes;      // k
};
KeyTraits key_traits(FloatFormat format, uint32_t symbols);

}  // namespace pennyweight
