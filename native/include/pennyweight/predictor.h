// Signed keys predicted from those before them in their row: stages/entropy/linear_predictor.md, whose words are used here.
#pragma once

#include <cstddef>
#include <cstdint>

#include "pennyweight/rans.h"
#include "pennyweight/scales.h"

namespace pennyweight {

inline constexpr uint32_t kPredictorContexts = 96;
inline constexpr uint32_t kPredictorClasses = 12;
inline constexpr uint32_t kPredictorBits = 7;  // of a symbol
inline constexpr uint32_t kPredictorSymbols = kPredictorContexts << kPredictorBits;  // context << 7 | symbol is below it
inline constexpr uint32_t kSignedKeyMantissa = 2;  // m: what a key has of the mantissa, and what row scales are made with
inline constexpr uint64_t kMaxPredictedRow = 65536;
inline constexpr uint32_t kMinBand = 2, kMaxBand = 1024;

static inline size_t triangle_bytes(size_t w) { return 2 * w + w * (w - 1) / 2; }

struct Predictor {
    uint32_t w = 0;  // keys of a band; 0: no predictor, and nothing else is set
    size_t n_triangles = 0;
    const uint8_t* triangles = nullptr;  // one after the other, triangle_bytes(w) each
    const int8_t* residuals = nullptr;   // d
};

// False where a number is out of its page's bounds, or a buffer has not the size it should have.
bool predictor_valid(const ScalesPlace& place, const Predictor& predictor, size_t triangles_bytes, size_t n_residuals);

// Buckets of every context as in ScalesTable. Those of a context without frequencies are one symbol that no key has (r = 0, t = 2), so that
// a decoder finds it where it looks for escapes.
struct PredictorTable {
    alignas(64) uint64_t buckets[kPredictorSymbols];
};
// frequencies: kPredictorSymbols u16, little-endian. False where they break the page.
bool build_predictor_table(const uint8_t* frequencies, PredictorTable* table);

// 3.3 MB, of all contexts.
struct PredictorEncodeTable {
    SlotEntry entries[kPredictorSymbols];
    uint16_t slots[kPredictorContexts * kScalesSlots + 1];  // the last is room for a load of two
};
// frequencies: of a table that build_predictor_table took. Returns whether none of them is 0: then every symbol can be coded.
bool build_predictor_encode_table(const PredictorTable& table, const uint8_t* frequencies, PredictorEncodeTable* encode);
// False if one of n symbols has the frequency 0.
bool predictor_codes(const PredictorEncodeTable& encode, const uint16_t* symbols, size_t n);

// What kernels need to work in: 1.1 MB, of which narrow bands touch little. Its contents are nobody else's business.
struct PredictorRoom {
    alignas(64) int16_t z[kMaxBand * kLanes];
    alignas(64) int16_t coefficients[kMaxBand * kMaxBand / 2];
};

// One block to decode. The kernel checks all that the header could not: tables, escapes, words, states and the range of keys.
struct PredictorBlock {
    ScalesPlace place;  // m is kSignedKeyMantissa
    Predictor predictor;
    uint32_t base;
    const uint8_t* rows;     // scales_rows(place)
    const uint8_t* escapes;
    size_t n_escape_bytes;
    const uint8_t* payload;  // 32 u32 states, then the words
    size_t n_words;
    uint8_t* out;            // n u16
    PredictorRoom* room;
};

// What the encoder makes of a block before rANS.
struct PredictorModel {
    ScalesPlace place;  // m is kSignedKeyMantissa
    Predictor predictor;
    const uint8_t* keys;     // n u16
    uint32_t base;
    const uint8_t* rows;     // scales_rows(place)
    uint16_t* symbols;       // n, in coding order: context << 7 | symbol
    uint8_t* escapes;        // room for n
    size_t n_escape_bytes;   // result
    PredictorRoom* room;
};

// base and rows (room for scales_rows(place)) of a block. unsigned_keys and levels: scratch for n and for scales_rows(place). False where
// the base is too large.
bool predictor_rows(const Kernels& kernels, const ScalesPlace& place, const uint8_t* keys, uint16_t* unsigned_keys, uint16_t* levels,
                    uint32_t* base, uint8_t* rows);

// z of n keys, in order.
void predictor_values(const Kernels& kernels, const ScalesPlace& place, const uint8_t* keys, uint32_t base, const uint8_t* rows,
                      int16_t* z);

}  // namespace pennyweight
