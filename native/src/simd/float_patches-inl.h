// What the vector splits do for weights outside the window, which are few.
#pragma once

#include "float_shape-inl.h"
#include "pennyweight/bytes.h"

namespace pennyweight {

// Bit j of `outside`: weight first + j, whose symbol is noise. Writes its patch and the symbol it takes; false where one is too many.
template <typename Shape>
static inline bool patch_outside(const uint8_t* src, const FloatParts& p, size_t first, uint64_t outside, size_t& n_patches) {
    constexpr uint32_t kExponentBits = Shape::kExponentBits;
    for (; outside != 0; outside &= outside - 1) {
        const size_t at = first + static_cast<size_t>(__builtin_ctzll(outside));
        if (n_patches == p.n / kWeightsPerPatch) return false;
        const uint32_t top = load_le<uint16_t>(src + at * Shape::kBytes + Shape::kBytes - 2);
        const uint32_t e = top >> (15 - kExponentBits) & ((1u << kExponentBits) - 1);
        store_le(p.patches + 4 * n_patches++, static_cast<uint32_t>(at) << kPatchExponentBits | e);
        // Joint: the top mantissa bit stays, only the window place is replaced.
        p.symbols[at] = static_cast<uint8_t>(Shape::kJoint ? p.substitute << 1 | (top >> (14 - kExponentBits) & 1) : p.substitute);
    }
    return true;
}

}  // namespace pennyweight
