// Compiled with -mavx2 -mbmi2 -mpopcnt: nothing here may run before dispatch.cc has seen that the CPU has them.
#include "../simd/bitpack_avx2-inl.h"
#include "../simd/byteplane_avx2-inl.h"
#include "../simd/fit_avx2-inl.h"
#include "../simd/float_decode_avx2-inl.h"
#include "../simd/float_split_avx2-inl.h"
#include "../simd/predictor_decode_avx2-inl.h"
#include "../simd/predictor_encode_avx2-inl.h"
#include "../simd/predictor_model_avx2-inl.h"
#include "../simd/rans_encode_avx2-inl.h"
#include "../simd/scales_avx2-inl.h"

namespace pennyweight {

namespace avx2 {
#include "../scalar/float_keys-inl.h"
#include "../scalar/scales_loops-inl.h"
}  // namespace avx2

const Kernels* avx2_kernels() {
    static constexpr Kernels kTable = {"avx2",
                                       avx2::split,
                                       scalar::merge,
                                       avx2::rans_encode,
                                       avx2::rans_decode,
                                       avx2::rans_groups,
                                       avx2::decode_float,
                                       avx2::scales_decode,
                                       avx2::scales_symbols,
                                       avx2::scales_encode,
                                       avx2::scales_top,
                                       avx2::scales_sum,
                                       avx2::scales_columns,
                                       avx2::predictor_decode,
                                       avx2::predictor_model,
                                       avx2::predictor_encode,
                                       avx2::byteplane_split,
                                       avx2::byteplane_merge,
                                       avx2::split_keys,
                                       avx2::merge_keys,
                                       avx2::pack_words,
                                       avx2::unpack_words,
                                       avx2::predictor_values,
                                       avx2::pair_vectors,
                                       avx2::pair_products,
                                       avx2::subtract_rows};
    return &kTable;
}

}  // namespace pennyweight
