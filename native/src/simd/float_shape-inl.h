// Where the fields of a format stand, as constants for the vector kernels. The part of a weight above its low bytes is called its top:
// sign, exponent and mantissa bits, two bytes or, of F16, one.
#pragma once

#include "pennyweight/floatfields.h"

namespace pennyweight {

template <FloatFormat kFormat, uint32_t kSymbols>
struct FloatShape {
    static constexpr bool kJoint = kSymbols == 5;
    static constexpr uint32_t kAlphabetBits = kSymbols == 4 ? 4 : 5;
    static constexpr uint32_t kWindow = kSymbols == 6 ? 32 : 16;
    static constexpr uint32_t kBytes = kFormat == FloatFormat::kF32 ? 4 : 2;
    static constexpr uint32_t kLowBytes = kFormat == FloatFormat::kF32 ? 2 : kFormat == FloatFormat::kF16 ? 1 : 0;
    static constexpr uint32_t kTopBytes = kBytes - kLowBytes;
    static constexpr uint32_t kExponentBits = kFormat == FloatFormat::kF16 ? 5 : 8;
    static constexpr uint32_t kTopMantissaBits = 8 * kTopBytes - 1 - kExponentBits;
    static constexpr uint32_t h = 1 + kTopMantissaBits - (kJoint ? 1 : 0);
    static constexpr uint32_t kMantissaMask = (1u << (h - 1)) - 1;  // of a field of sign_mantissa
};

// Calls run with the constants of a block's format and symbols.
template <typename Run>
static inline auto with_shape(FloatFormat format, uint32_t symbols, const Run& run) {
    const auto with_symbols = [&]<FloatFormat kFormat>() {
        if (symbols == 4) return run(FloatShape<kFormat, 4>());
        if (symbols == 5) return run(FloatShape<kFormat, 5>());
        return run(FloatShape<kFormat, 6>());
    };
    if (format == FloatFormat::kBF16) return with_symbols.template operator()<FloatFormat::kBF16>();
    if (format == FloatFormat::kF16) return with_symbols.template operator()<FloatFormat::kF16>();
    return with_symbols.template operator()<FloatFormat::kF32>();
}

}  // namespace pennyweight
