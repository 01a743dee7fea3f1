// Floats as fields: stages/split/floatfields.md, whose words are used here.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pennyweight {

enum class FloatFormat : uint8_t { kBF16 = 1, kF16 = 2, kF32 = 3, kF64 = 4 };

struct FloatTraits {
    uint32_t bytes;          // of one weight
    uint32_t exponent_bits;  // E
    uint32_t mantissa_bits;  // M
    uint32_t low_bytes;      // k
};

// nullptr for a format that the page does not name.
const FloatTraits* float_traits(uint8_t format);

// h: bits of one weight in sign_mantissa.
static inline uint32_t high_bits(const FloatTraits& traits, uint32_t symbol_bits) {
    return 1 + traits.mantissa_bits - 8 * traits.low_bytes - (symbol_bits == 5 ? 1 : 0);
}
static inline size_t sign_mantissa_bytes(size_t n, uint32_t h) { return h == 8 ? n : (n + 7) / 8 * h; }

inline constexpr uint32_t kWindow = 16;                  // exponents of the window
inline constexpr uint32_t kPatchExponentBits = 11;       // a patch is position << 11 | exponent
inline constexpr size_t kMaxWeights = size_t{1} << 21;   // so that a position fits
inline constexpr size_t kWeightsPerPatch = 32;           // more patches than one in this many: the encoder declines

// Buffers of one split or merge. Lengths follow from the format, symbol_bits and n.
struct FloatParts {
    FloatFormat format;
    uint32_t symbol_bits;
    uint32_t base;         // first exponent of the window
    uint32_t substitute;   // encoder: window place a patched weight takes
    size_t n;              // weights
    uint8_t* symbols;      // n, rounded up to 128 with room to spare for vector stores
    uint8_t* high;         // sign_mantissa, with 64 bytes to spare
    uint8_t* low;          // n * k
    uint8_t* patches;      // u32 each, little-endian; room for n / 32 + 64
};

// Exponent window of a block: base and substitute as the page says. counts is scratch for kWindowCounts values.
inline constexpr size_t kWindowCounts = 4 * 2048;
void choose_window(const uint8_t* src, const FloatTraits& traits, size_t n, uint32_t* counts, FloatParts* parts);

// Puts the patches' exponents into n merged weights. False if they break the page's rules.
bool apply_patches(const FloatTraits& traits, size_t n, const uint8_t* patches, size_t n_patches, uint8_t* out);

}  // namespace pennyweight
