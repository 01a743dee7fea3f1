// Compiled with -mavx512{f,bw,vl,dq,vbmi,vbmi2}: nothing here may run before dispatch.cc has seen that the CPU has them all.
#include "../simd/bitpack_avx512-inl.h"
#include "../simd/byteplane_avx512-inl.h"
#include "../simd/float_decode_avx512-inl.h"
#include "../simd/float_split_avx512-inl.h"
#include "../simd/rans_encode_avx512-inl.h"
#include "../scalar/predictor.h"
#include "../simd/predictor_avx2.h"
#include "../simd/scales_avx512-inl.h"

namespace pennyweight {

namespace avx512 {
#include "../scalar/float_keys-inl.h"
#include "../scalar/scales_loops-inl.h"
}  // namespace avx512

const Kernels* avx512_kernels() {
    static constexpr Kernels kTable = {"avx512",
                                       avx512::split,
                                       scalar::merge,
                                       avx512::rans_encode,
                                       avx512::rans_decode,
                                       avx512::rans_groups,
                                       avx512::decode_float,
                                       avx512::scales_decode,
                                       avx512::scales_symbols,
                                       avx512::scales_encode,
                                       avx512::scales_top,
                                       avx512::scales_sum,
                                       avx512::scales_columns,
                                       avx2::predictor_decode,
                                       avx2::predictor_model,
                                       avx2::predictor_encode,
                                       avx512::byteplane_split,
                                       avx512::byteplane_merge,
                                       avx512::split_keys,
                                       avx512::merge_keys,
                                       avx512::pack_words,
                                       avx512::unpack_words,
                                       avx2::predictor_values,
                                       avx2::pair_vectors,
                                       avx2::pair_products,
                                       avx2::subtract_rows};
    return &kTable;
}

}  // namespace pennyweight
