#include "scalar.h"

namespace pennyweight::scalar {

namespace plain {
#include "dot_products-inl.h"
}

void dot_products(const int16_t* a, const int16_t* b, size_t stride, size_t n, size_t n_b, int32_t* out) {
    plain::dot_products(a, b, stride, n, n_b, out);
}

}  // namespace pennyweight::scalar
