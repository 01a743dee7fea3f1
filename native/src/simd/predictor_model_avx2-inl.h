// The model pass of `linear_predictor`. Included by targets/avx2.cc only.
#pragma once

#include "predictor_avx2-inl.h"
#include "predictor_avx2.h"

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
__attribute__((always_inline)) inline uint32_t place_symbols(const PlaceContexts& of, uint32_t active, const uint16_t* keys,
                                                             uint16_t* symbols, __m256i z[kVectors]) {
    const __m256i zero = _mm256_setzero_si256(), fifteen = _mm256_set1_epi32(15);
    __m256i made[kVectors];
    uint32_t escaped = 0;
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
        const __m256i key = _mm256_cvtepu16_epi32(_mm_load_si128(reinterpret_cast<const __m128i*>(keys + 8 * v)));
        const __m256i e = _mm256_and_si256(_mm256_srli_epi32(key, 2), _mm256_set1_epi32(0x1fff));
        const __m256i t = _mm256_and_si256(key, _mm256_set1_epi32(3));
        const __m256i lowest = _mm256_sub_epi32(_mm256_srai_epi32(of.reference[v], 3), _mm256_set1_epi32(11));
        const __m256i r = _mm256_max_epi32(_mm256_min_epi32(_mm256_sub_epi32(e, lowest), fifteen), zero);
        const __m256i at_bottom = _mm256_cmpeq_epi32(r, zero);
        const __m256i is_zero = _mm256_cmpeq_epi32(_mm256_and_si256(key, _mm256_set1_epi32(0x7fff)), zero);
        const __m256i below = _mm256_andnot_si256(is_zero, at_bottom);
        const __m256i inside = _mm256_or_si256(_mm256_slli_epi32(r, 2), t);
        // At the bottom 1 with a distance, 0 without.
        const __m256i low = _mm256_blendv_epi8(inside, _mm256_srli_epi32(below, 31), at_bottom);
        __m256i outside = _mm256_or_si256(below, _mm256_cmpeq_epi32(r, fifteen));
        const __m256i sign = _mm256_xor_si256(_mm256_slli_epi32(key, 16), of.negative[v]);  // of the symbol, in the top bit
        const __m256i top = _mm256_slli_epi32(_mm256_srli_epi32(sign, 31), 6);
        made[v] = _mm256_or_si256(of.context[v], _mm256_or_si256(top, low));
        z[v] = relative_values(e, t, _mm256_srai_epi32(_mm256_slli_epi32(key, 16), 31), of.level[v]);
        if constexpr (kMasked) {
            const __m256i in = lane_mask(active, v);
            z[v] = _mm256_and_si256(z[v], in);
            outside = _mm256_and_si256(outside, in);
        }
        escaped |= static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(outside))) << (8 * v);
    }
    store_words(made, symbols);
    return escaped;
}

// Distances of a place. False where their room, or the number of escapes that the page allows, ends.
__attribute__((noinline)) inline bool write_escapes(const PlaceContexts& of, uint32_t escaped, const uint16_t* keys,
                                                    scalar::EscapeWriter& writer, size_t* n_escapes, size_t most) {
    alignas(32) int32_t reference[kLanes];
    for (int v = 0; v < kVectors; ++v) _mm256_store_si256(reinterpret_cast<__m256i*>(reference) + v, of.reference[v]);
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
            __m256i u[kVectors], z[kVectors];
            scalar::PlaceScale scale{};
            if constexpr (kPredicted) {
                bands.predict(u);
                scale = scalar::place_scale(model.predictor.residuals[j]);
            }
            PlaceContexts contexts;
            contexts.make<kPredicted>(u, walk.row_levels, walk.column(j), scale);
            const uint16_t* const keys = tile + in_tile * kLanes;
            uint32_t escaped;
            if (j >= walk.full_begin && j < walk.full_end) {
                escaped = place_symbols<false>(contexts, UINT32_MAX, keys, out, z);
                out += kLanes;
            } else {
                const uint32_t active = walk.active(j);
                uint16_t symbols[kLanes];
                escaped = place_symbols<true>(contexts, active, keys, symbols, z);
                for (uint32_t in = active; in != 0; in &= in - 1) *out++ = symbols[std::countr_zero(in)];
            }
            if (escaped != 0 && !write_escapes(contexts, escaped, keys, writer, &n_escapes, most)) return false;
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
