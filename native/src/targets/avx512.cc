// Compiled with -mavx512{f,bw,vl,dq,vbmi,vbmi2}: nothing here may run before dispatch.cc has seen that the CPU has them all.
#include "../simd/bf16_avx512-inl.h"
#include "../simd/byteplane_avx512-inl.h"

namespace pennyweight {

const Kernels* avx512_kernels() {
    static constexpr Kernels kTable = {"avx512",
                                       avx512::split,
                                       scalar::merge,
                                       avx512::rans_encode,
                                       avx512::rans_decode,
                                       avx512::decode_float,
                                       avx512::byteplane_split,
                                       avx512::byteplane_merge};
    return &kTable;
}

}  // namespace pennyweight
