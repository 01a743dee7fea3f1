// Pieces of the `linear_predictor` kernels that every target shares. Members are not inline, functions are static: a copy compiled for one
// target must not serve another.
#pragma once

#include <bit>

#include "pennyweight/predictor.h"
#include "scales.h"

namespace pennyweight::scalar {

inline constexpr uint16_t kEighths[8] = {32768, 30048, 27554, 25268, 23170, 21247, 19484, 17867};  // T8
inline constexpr int32_t kThresholds[kPredictorClasses - 1] = {2, 5, 8, 12, 17, 24, 36, 64, 112, 208, 400};  // of the classes but 0
inline constexpr int32_t kSwitchClass = 7;  // from this class on the prediction gives the reference level

// Walks a block by the batches of the page's order. Lanes that have no key at a place have a level nevertheless: what a kernel computes for
// them is not used.
struct LaneWalk {
    LaneWalk(const ScalesPlace& p, uint32_t block_base, const uint8_t* block_rows);
    bool next_batch();
    void enter(size_t first_row);  // of any batch
    // To be called for the batch's first place and whenever j reaches segment_end: levels of the rows from place j on, columns apart.
    void start_segment(size_t j);
    // A bit for each lane that has a key at place j.
    uint32_t active(size_t j) const;
    // Places at which lane l, below `lanes`, has keys.
    size_t first_place(size_t l) const;
    size_t last_place(size_t l) const;  // one past it
    // Number in the block of the key of lane l at place 0; below 0 for the first lane of a block that begins in mid-row.
    ptrdiff_t key(size_t l) const;

    const ScalesPlace& place;
    uint32_t base;
    const uint8_t* rows;
    size_t d, n_scales;
    size_t skipped;  // keys of the first row that are not in the block
    size_t n_rows;  // of the block
    size_t row, lanes;  // of the batch: first row, number
    size_t begin, end;  // places at which a lane has a key
    size_t full_begin, full_end;  // and all 32 have one
    size_t segment_end;
    alignas(64) int16_t row_levels[kLanes];
};

// Column scale of place j.
static inline int32_t column_of(const ScalesPlace& place, size_t j) {
    if (place.columns == nullptr) return 0;
    return place.columns[place.g == 1 ? j : j / static_cast<size_t>(place.g)];
}

// Of a place, the same for all lanes.
struct PlaceScale {
    int32_t x;  // residual scale
    int32_t factor;  // T8 of it, in 1/1024
    int32_t shift;
};
static constexpr PlaceScale place_scale(int32_t x) {
    const int32_t shift = 16 + (x >> 3);
    return {x, kEighths[x & 7] >> 5, shift < 0 ? 0 : shift > 31 ? 31 : shift};
}

// Context of a key with level L for which u is predicted, and its reference level.
static inline uint32_t context_of(const PlaceScale& scale, int32_t u, int32_t L, int32_t* reference) {
    const int32_t magnitude = u < 0 ? -u : u, a = magnitude < 32767 ? magnitude : 32767, v = a * scale.factor >> scale.shift;
    int32_t c = 0;
    for (const int32_t threshold : kThresholds) c += threshold <= v;
    *reference = L + scale.x;
    if (c >= kSwitchClass) {
        const int32_t log = std::bit_width(static_cast<uint32_t>(a)) - 1;
        *reference = L + 8 * log + (8 * a >> log) - 88;
    }
    return kPredictorClasses * static_cast<uint32_t>(*reference & 7) + static_cast<uint32_t>(c);
}

// z of a key.
static inline int32_t relative_value(uint32_t key, int32_t L) {
    const int32_t e = static_cast<int32_t>(key >> 2 & 0x1fff), distance = 8 + (L >> 3) - e;
    const int32_t shift = distance < 4 ? 4 : distance > 31 ? 31 : distance;
    const int32_t magnitude = static_cast<int32_t>(9 | 2 * (key & 3)) * kEighths[L & 7] >> shift;
    return key >> 15 != 0 ? -magnitude : magnitude;
}

// What the z before place j of a band say of it: u of all lanes. z is k after k, 32 lanes each.
void predict(const uint8_t* triangle, uint32_t w, uint32_t j, const int16_t* z, int32_t* u);

// The key of a symbol, distance and nibble added. False where they break the page.
bool finish_key(uint32_t symbol, bool negative, int32_t reference, EscapeReader& reader, uint32_t* key);

// The symbol of a key, its distance and nibble written. n_escapes goes up by one where it has them. False where their room ends.
bool make_symbol(uint32_t key, bool negative, int32_t reference, EscapeWriter& writer, size_t* n_escapes, uint32_t* symbol);

bool predictor_decode(const PredictorTable& table, const PredictorBlock& block);
bool predictor_model(PredictorModel& model);
void predictor_encode(const PredictorEncodeTable& table, const ScalesPlace& place, const uint16_t* symbols, uint8_t* states,
                      uint8_t* words_end, size_t* n_words);

}  // namespace pennyweight::scalar
