#include "pennyweight/bytes.h"
#include "pennyweight/floatfields.h"
#include "scalar.h"

namespace pennyweight {

KeyTraits key_traits(FloatFormat format, uint32_t symbols) {
    const FloatTraits& traits = *float_traits(static_cast<uint8_t>(format));
    const uint32_t most = symbols == 17 ? 2 : 3;
    return {traits.mantissa_bits < most ? traits.mantissa_bits : most, format == FloatFormat::kF16 ? 0 : traits.low_bytes};
}

namespace scalar {

namespace plain {
#include "float_keys-inl.h"
}

void split_keys(FloatFormat format, uint32_t symbols, const uint8_t* src, size_t n, uint8_t* keys, uint8_t* high, uint8_t* low) {
    plain::split_keys(format, symbols, src, n, keys, high, low);
}

bool merge_keys(FloatFormat format, uint32_t symbols, const uint8_t* keys, const uint8_t* high, const uint8_t* low, size_t n,
                uint8_t* out) {
    return plain::merge_keys(format, symbols, keys, high, low, n, out);
}

}  // namespace scalar
}  // namespace pennyweight
