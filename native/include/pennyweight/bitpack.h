// Stage `bitpack` (stages/split/bitpack.md): elements without the bits that do not vary, in groups of 128.
#pragma once

#include <cstddef>
#include <cstdint>

#include "pennyweight/kernels.h"

namespace pennyweight {

inline constexpr size_t kBitpackGroup = 128;

static inline size_t bitpack_groups(size_t n) { return (n + kBitpackGroup - 1) / kBitpackGroup; }
static inline size_t bitpack_group_bytes(size_t c, uint32_t bits) { return (c * bits + 7) / 8; }

// Smallest h of n elements of width bytes (1 to 8), and the largest z of each group: zeros holds bitpack_groups(n).
uint32_t bitpack_scan(const uint8_t* src, size_t n, uint32_t width, uint8_t* zeros);

// Bytes that bitpack_write_runs may write.
static inline size_t bitpack_runs_capacity(size_t n) { return 2 * bitpack_groups(n) + 8; }
// The header's runs; returns their bytes, 0 where the stage declines: no bit is saved.
size_t bitpack_write_runs(const uint8_t* zeros, size_t n, uint32_t width, uint32_t h, uint8_t* dst);

// Bytes of the part, SIZE_MAX where the runs break the page.
size_t bitpack_part_bytes(const uint8_t* runs, size_t n_runs_bytes, size_t n, uint32_t h);

// Packs n elements; dst holds n * width bytes and eight to spare. Returns the bytes written.
size_t bitpack_pack(const Kernels& kernels, const uint8_t* zeros, const uint8_t* src, size_t n, uint32_t width, uint32_t h, uint8_t* dst);
// The inverse. The runs are valid and src holds bitpack_part_bytes of them.
void bitpack_unpack(const Kernels& kernels, const uint8_t* runs, size_t n_runs_bytes, const uint8_t* src, size_t n, uint32_t width,
                    uint32_t h, uint8_t* dst);

// One group of c elements: h - z bits each at src. Reads and writes nothing beyond the group.
void bitpack_unpack_group(const uint8_t* src, size_t c, uint32_t width, uint32_t h, uint32_t z, uint8_t* dst);

}  // namespace pennyweight
