// Fast path for whole frames of floatfields(exponent: rans) whose other streams are noise, stored or packed: docs/format.md section 2.
//
// It skips the staged path's passes and buffers, never its rules: encoded frames are equal byte for byte, and a frame that it cannot
// decode, whatever the reason, is left to the staged path, which names the reason.
#pragma once

#include <cstddef>
#include <cstdint>

#include "pennyweight/kernels.h"

namespace pennyweight {

// What a plan says of a stream beside the exponent: `store`, `bitpack`, or `rans` before either.
enum class Beside : uint8_t { kStore = 0, kBitpack = 1, kRans = 2, kRansOrBitpack = 3 };

struct FloatPlan {
    FloatFormat format;
    uint32_t bits;  // 4 or 5, as the plan writes
    Beside sign_mantissa, low;
};

// Encodes n_blocks blocks that follow each other in src into frames that follow each other in dst, which must hold the sum of the
// sizes. frame_sizes[i] is 0 where a stage declined, the frame is not smaller than its block, or the staged path has to compare: a stream
// that rans might shorten, low zero bits of sign_mantissa. sizes are multiples of the format's bytes, at most 2^22.
void encode_float_blocks(const Kernels& kernels, const uint8_t* src, const size_t* sizes, size_t n_blocks, const FloatPlan& plan,
                         uint8_t* dst, size_t* frame_sizes);

// Decodes the frames that have a fast path; decoded[i] says which. The others' part of out is undefined. `stream` writes around the cache.
void decode_blocks(const Kernels& kernels, const uint8_t* src, const size_t* frame_sizes, const size_t* sizes, size_t n_blocks,
                   uint8_t* out, bool stream, bool* decoded);

inline constexpr size_t kMaxBlockBytes = size_t{1} << 22;

}  // namespace pennyweight
