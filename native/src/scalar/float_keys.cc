#include "pennyweight/bytes.h"
#include "pennyweight/floatfields.h"
#include "scalar.h"

namespace pennyweight {

KeyTraits key_traits(FloatFormat format) {
    const FloatTraits& traits = *float_traits(static_cast<uint8_t>(format));
    return {traits.mantissa_bits < 3 ? traits.mantissa_bits : 3, format == FloatFormat::kF16 ? 0 : traits.low_bytes};
}

namespace scalar {

namespace plain {
#include "float_keys-inl.h"
}

void split_keys(FloatFormat format, const uint8_t* src, size_t n, uint8_t* keys, uint8_t* high, uint8_t* low) {
    plain::split_keys(format, src, n, keys, high, low);
}

bool merge_keys(FloatFormat format, const uint8_t* keys, const uint8_t* high, const uint8_t* low, size_t n, uint8_t* out) {
    return plain::merge_keys(format, keys, high, low, n, out);
}

}  // namespace scalar
}  // namespace pennyweight
