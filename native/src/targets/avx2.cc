// Compiled with -mavx2 -mbmi2 -mpopcnt: nothing here may run before dispatch.cc has seen that the CPU has them.
#include "../simd/bf16_avx2-inl.h"
#include "../simd/byteplane_avx2-inl.h"
#include "../simd/rans_encode_avx2-inl.h"

namespace pennyweight {

const Kernels* avx2_kernels() {
    static constexpr Kernels kTable = {"avx2",
                                       scalar::split,
                                       scalar::merge,
                                       avx2::rans_encode,
                                       avx2::rans_decode,
                                       avx2::decode_float,
                                       avx2::byteplane_split,
                                       avx2::byteplane_merge};
    return &kTable;
}

}  // namespace pennyweight
