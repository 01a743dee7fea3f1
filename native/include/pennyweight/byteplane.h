// Stage `byteplane` (stages/split/byteplane.md) and the test behind `constant` (stages/constant.md).
#pragma once

#include <cstddef>
#include <cstdint>

namespace pennyweight {

/// Element i of src is byte i of every plane; the planes follow each other at dst.
/// n_bytes is a multiple of width; width is 2 to 16; src and dst do not overlap.
void byteplane_split(const uint8_t* src, size_t n_bytes, size_t width, uint8_t* dst);

/// The inverse of byteplane_split.
void byteplane_merge(const uint8_t* planes, size_t n_bytes, size_t width, uint8_t* dst);

/// Whether src, not empty, is one element of width bytes (1 to 16) repeated.
bool is_constant(const uint8_t* src, size_t n_bytes, size_t width);

}  // namespace pennyweight
