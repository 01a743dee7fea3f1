// Cells of GGUF's quantised types: stages/split/ggml.md, whose words are used here.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pennyweight {

// Small numbers in bytes of a cell; the page's plane.
struct Plane {
    size_t at, n_bytes;
    uint32_t bits;
    size_t run;
};

// Adds the numbers of all cells, shifted left, to those that stand in `numbers`.
void take_plane(const uint8_t* cells, size_t n_cells, size_t cell_bytes, const Plane& plane, uint32_t shift, uint8_t* numbers);
// The inverse: sets the plane's bytes from bits `shift` on of the numbers.
void put_plane(const uint8_t* numbers, size_t n_cells, size_t cell_bytes, const Plane& plane, uint32_t shift, uint8_t* cells);

inline constexpr size_t kMaxSets = 2, kGroupClasses = 16;

// Which of up to two disjoint sets of extremes a quant is in (from 1 on), and its number there.
struct Extremes {
    size_t n_sets;
    uint8_t set[256], number[256];
    uint8_t size[kMaxSets];
    uint8_t quant[kMaxSets][256];
};

// Fills `first`, n_groups for each set, and `left`, the quants that these leave, sorted. Returns how many are left.
size_t sort_quants(const uint8_t* quants, size_t n_groups, size_t group, const uint8_t* classes, const Extremes& extremes, uint8_t* first,
                   uint8_t* left);
// The inverse. False where a `first` breaks the page or n_left is not what they leave.
bool unsort_quants(const uint8_t* left, size_t n_left, const uint8_t* first, size_t n_groups, size_t group, const uint8_t* classes,
                   const Extremes& extremes, uint8_t* quants);

}  // namespace pennyweight
