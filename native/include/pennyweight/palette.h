// Stage `palette` (stages/split/palette.md): few distinct elements as a list and an index each.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pennyweight {

inline constexpr size_t kMaxPalette = 256;
inline constexpr size_t kMaxPaletteWidth = 8;

/// Writes the distinct elements of src, ascending, to values (room for 256) and the place of each element among them to indices (n_bytes /
/// width). Returns how many there are, or 0 and both undefined where the page declines: none, more than 256, or more than a quarter of the
/// elements. That shows after a few hundred elements of ordinary weights. n_bytes is a multiple of width; width is 1 to 8.
size_t palette_split(const uint8_t* src, size_t n_bytes, size_t width, uint8_t* values, uint8_t* indices);

/// The inverse: n elements. False, and dst undefined, where the k values (1 to 256) are not ascending or an index is not below k.
bool palette_merge(const uint8_t* values, size_t k, size_t width, const uint8_t* indices, size_t n, uint8_t* dst);

}  // namespace pennyweight
