// The model pass of `linear_predictor`. Included by targets/avx2.cc only.
#pragma once

#include "predictor_avx2.h"
#include "predictor_lanes_avx2-inl.h"

namespace pennyweight::avx2 {

// Keys of a batch at 16 places, place by place; 0 where there is none.
inline void read_rows(const scalar::LaneWalk& walk, const uint8_t* keys, size_t first, uint16_t* places) {
    alignas(32) uint16_t rows[kLanes * 16];
    for (size_t l = 0; l < kLanes; ++l) {
        const size_t begin = l < walk.lanes ? walk.first_place(l) : 0, end = l < walk.lanes ? walk.last_place(l) : 0;
        const size_t from = first < begin ? begin : first, to = first + 16 > end ? end : first + 16;
        if (from < to && to - from == 16) {
            std::memcpy(rows + 16 * l, keys + 2 * (walk.key(l) + static_cast<ptrdiff_t>(from)), 32);
            continue;
        }
        std::memset(rows + 16 * l, 0, 32);
        if (from >= to) continue;
        std::memcpy(rows + 16 * l + (from - first), keys + 2 * (walk.key(l) + static_cast<ptrdiff_t>(from)), 2 * (to - from));
    }
    transpose(rows, 16, places, kLanes);
    transpose(rows + 256, 16, places + 16, kLanes);
}

// Symbols of a place, and the z of its keys (0 for lanes without one). Returns the lanes with escapes.
template <bool kMasked>
__attribute__((always_inline)) inline uint32_t place_symbols(const LaneConstants& constants, const PlaceLanes& of, uint32_t active,
                                                             const uint16_t* keys, uint16_t* symbols, __m256i z[kHalves]) {
    const __m256i zero = _mm256_setzero_si256();
    __m256i outside[kHalves];
#pragma GCC unroll 2
    for (int h = 0; h < kHalves; ++h) {
        const __m256i key = _mm256_load_si256(reinterpret_cast<const __m256i*>(keys) + h);
        const __m256i magnitude = _mm256_andnot_si256(constants.top, key);
        const __m256i e = _mm256_srli_epi16(magnitude, 2), t = _mm256_and_si256(key, constants.three);
        const __m256i lowest = _mm256_sub_epi16(_mm256_srai_epi16(of.reference[h], 3), constants.eleven);
        const __m256i r = _mm256_max_epi16(_mm256_min_epi16(_mm256_sub_epi16(e, lowest), constants.fifteen), zero);
        const __m256i at_bottom = _mm256_cmpeq_epi16(r, zero);
        const __m256i below = _mm256_andnot_si256(_mm256_cmpeq_epi16(magnitude, zero), at_bottom);
        const __m256i inside = _mm256_or_si256(_mm256_slli_epi16(r, 2), t);
        // At the bottom 1 with a distance, 0 without.
        const __m256i low = _mm256_blendv_epi8(inside, _mm256_srli_epi16(below, 15), at_bottom);
        outside[h] = _mm256_or_si256(below, _mm256_cmpeq_epi16(r, constants.fifteen));
        const __m256i sign = _mm256_srli_epi16(_mm256_xor_si256(key, of.negative[h]), 15);  // of the symbol
        const __m256i symbol = _mm256_or_si256(_mm256_slli_epi16(sign, 6), low);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(symbols) + h, _mm256_or_si256(of.context[h], symbol));
        z[h] = relative_lanes(constants, e, t, _mm256_srai_epi16(key, 15), of.level[h]);
        if constexpr (kMasked) {
            const __m256i in = half_mask(active, h);
            z[h] = _mm256_and_si256(z[h], in);
            outside[h] = _mm256_and_si256(outside[h], in);
        }
    }
    const __m256i lanes = _mm256_permute4x64_epi64(_mm256_packs_epi16(outside[0], outside[1]), 0xd8);
    return static_cast<uint32_t>(_mm256_movemask_epi8(lanes));
}

// Distances of a place. False where their room, or the number of escapes that the page allows, ends.
__attribute__((noinline)) inline bool write_escapes(const PlaceLanes& of, uint32_t escaped, const uint16_t* keys,
                                                    scalar::EscapeWriter& writer, size_t* n_escapes, size_t most) {
    alignas(32) int16_t reference[kLanes];
    for (int h = 0; h < kHalves; ++h) _mm256_store_si256(reinterpret_cast<__m256i*>(reference) + h, of.reference[h]);
    for (; escaped != 0; escaped &= escaped - 1) {
        const int l = std::countr_zero(escaped);
        uint32_t symbol;
        if (!scalar::make_symbol(keys[l], false, reference[l], writer, n_escapes, &symbol) || *n_escapes > most) return false;
    }
    return true;
}

template <bool kPredicted>
bool predictor_model_blocks(PredictorModel& model) {
    scalar::EscapeWriter writer{model.escapes, 2 * model.place.n};
    const size_t most = model.place.n / scalar::kKeysPerEscape;
    size_t n_escapes = 0;
    uint16_t* out = model.symbols;
    const LaneConstants constants;
    BandWalk bands(model.predictor, model.room, static_cast<size_t>(model.place.d));
    alignas(32) uint16_t tile[16 * kLanes];
    for (scalar::LaneWalk walk(model.place, model.base, model.rows); walk.next_batch();) {
        size_t j = walk.begin, in_tile = 16;
        if constexpr (kPredicted) j = bands.start(j);
        for (walk.start_segment(j); j < walk.end; ++j, ++in_tile) {
            if (j == walk.segment_end) walk.start_segment(j);
            if (in_tile == 16) {
                read_rows(walk, model.keys, j, tile);
                in_tile = 0;
            }
            __m256i u[kQuarters], z[kHalves];
            if constexpr (kPredicted) bands.predict(u);
            PlaceLanes lanes;
            lanes.make<kPredicted>(constants, u, walk.row_levels, scalar::column_of(walk.place, j),
                                   kPredicted ? model.predictor.residuals[j] : 0);
            const uint16_t* const keys = tile + in_tile * kLanes;
            uint32_t escaped;
            if (j >= walk.full_begin && j < walk.full_end) {
                escaped = place_symbols<false>(constants, lanes, UINT32_MAX, keys, out, z);
                out += kLanes;
            } else {
                const uint32_t active = walk.active(j);
                uint16_t symbols[kLanes];
                escaped = place_symbols<true>(constants, lanes, active, keys, symbols, z);
                for (uint32_t in = active; in != 0; in &= in - 1) *out++ = symbols[std::countr_zero(in)];
            }
            if (escaped != 0 && !write_escapes(lanes, escaped, keys, writer, &n_escapes, most)) return false;
            if constexpr (kPredicted) bands.take(z);
        }
    }
    model.n_escape_bytes = (writer.n_nibbles + 1) / 2;
    return true;
}

bool predictor_model(PredictorModel& model) {
    return model.predictor.w != 0 ? predictor_model_blocks<true>(model) : predictor_model_blocks<false>(model);
}

}  // namespace pennyweight::avx2
