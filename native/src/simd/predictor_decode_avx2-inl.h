// The decoder of `linear_predictor`. Included by targets/avx2.cc only.
#pragma once

#include "predictor_avx2-inl.h"
#include "predictor_avx2.h"
#include "rans_avx2-inl.h"

namespace pennyweight::avx2 {

// The words of a stream, of which a place may read 64 bytes, unasked. The last of them are read from a copy with zeros behind.
struct WordReader {
    static constexpr ptrdiff_t kOfPlace = 2 * kLanes;

    const uint8_t* next;
    const uint8_t* end;
    bool at_tail = false;
    uint8_t tail[2 * kOfPlace + 16] = {};

    WordReader(const uint8_t* words, size_t n_words) : next(words), end(words + 2 * n_words) {}

    // Whether the words sufficed so far; the next place may read.
    __attribute__((always_inline)) bool ready() { return end - next >= kOfPlace || near_end(); }
    bool near_end() {
        if (next > end) return false;
        if (at_tail) return true;
        at_tail = true;
        const size_t left = static_cast<size_t>(end - next);
        std::memcpy(tail, next, left);
        next = tail;
        end = tail + left;
        return true;
    }
};

struct PredictorDecoder {
    const double* buckets;
    scalar::EscapeReader escapes;
    WordReader words;
    alignas(32) uint32_t states[kLanes];

    PredictorDecoder(const PredictorTable& table, const PredictorBlock& block)
        : buckets(reinterpret_cast<const double*>(table.buckets)),
          escapes{block.escapes, 2 * block.n_escape_bytes},
          words(block.payload + kStateBytes, block.n_words) {
        std::memcpy(states, block.payload, sizeof(states));
    }

    // The halves of eight buckets, in order. Two gathers took a seventh more time for the whole of a key without a prediction (Zen 3).
    __attribute__((always_inline)) void look_up(__m256i index, __m256i* low, __m256i* high) const {
        alignas(32) uint32_t at[8];
        _mm256_store_si256(reinterpret_cast<__m256i*>(at), index);
        const auto two = [&](int i) __attribute__((always_inline)) {
            const __m128d first = _mm_load_sd(buckets + at[i]);
            return _mm_loadh_pd(first, buckets + at[i + 1]);
        };
        const __m256 a = _mm256_castpd_ps(_mm256_insertf128_pd(_mm256_castpd128_pd256(two(0)), two(4), 1));
        const __m256 b = _mm256_castpd_ps(_mm256_insertf128_pd(_mm256_castpd128_pd256(two(2)), two(6), 1));
        *low = _mm256_castps_si256(_mm256_shuffle_ps(a, b, 0x88));
        *high = _mm256_castps_si256(_mm256_shuffle_ps(a, b, 0xdd));
    }

    // As in ScalesStep, with 7 bits. Lanes that are not `in` stay as they are.
    template <bool kMasked>
    __attribute__((always_inline)) __m256i symbol(__m256i& x, __m256i context, __m256i in, const uint8_t*& at) const {
        const __m256i mask = _mm256_set1_epi32((1 << kPredictorBits) - 1), offsets = _mm256_set1_epi32(0x3f80);
        const __m256i index = _mm256_or_si256(context, _mm256_and_si256(x, mask));
        __m256i low, high;
        look_up(index, &low, &high);
        const __m256i offset = _mm256_and_si256(x, offsets);
        const __m256i other = _mm256_cmpgt_epi32(_mm256_slli_epi32(offset, 16), low);
        const __m256i symbol = _mm256_and_si256(_mm256_blendv_epi8(x, _mm256_srli_epi32(low, 16), other), mask);
        const __m256i own = _mm256_and_si256(high, _mm256_set1_epi32(0xffff));
        const __m256i frequency = _mm256_blendv_epi8(own, _mm256_srli_epi32(high, 16), other);
        const __m256i adjust = _mm256_madd_epi16(_mm256_and_si256(low, other), _mm256_set1_epi32(1));
        const __m256i rank = _mm256_add_epi32(_mm256_srli_epi32(offset, kPredictorBits), adjust);
        const __m256i next = _mm256_add_epi32(_mm256_mullo_epi32(frequency, _mm256_srli_epi32(x, kScalesSlotBits)), rank);
        // A lane that rests has a state that needs no word.
        x = Buckets<4>::refill(kMasked ? _mm256_blendv_epi8(x, next, in) : next, at);
        return symbol;
    }

    // The keys of a place, and their z (0 for lanes without a key). False where they break the page.
    template <bool kMasked>
    __attribute__((always_inline)) bool place(const PlaceContexts& of, uint32_t active, uint16_t* keys, __m256i z[kVectors]) {
        const __m256i zero = _mm256_setzero_si256(), eleven = _mm256_set1_epi32(11);
        __m256i* const x = reinterpret_cast<__m256i*>(states);
        __m256i symbols[kVectors], key[kVectors], unusual = zero;
        const uint8_t* at = words.next;
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) {
            const __m256i in = kMasked ? lane_mask(active, v) : zero;
            __m256i state = _mm256_load_si256(x + v);
            const __m256i symbol = symbols[v] = this->symbol<kMasked>(state, of.context[v], in, at);
            _mm256_store_si256(x + v, state);
            const __m256i r = _mm256_and_si256(_mm256_srli_epi32(symbol, 2), _mm256_set1_epi32(15));
            const __m256i t = _mm256_and_si256(symbol, _mm256_set1_epi32(3));
            const __m256i without_sign = _mm256_and_si256(symbol, _mm256_set1_epi32(63)), is_zero = _mm256_cmpeq_epi32(without_sign, zero);
            // Those with distances become 0 to 3 (r = 15) and 5 to 7 (r = 0), a zero 4.
            const __m256i turned = _mm256_and_si256(_mm256_add_epi32(without_sign, _mm256_set1_epi32(4)), _mm256_set1_epi32(63));
            const __m256i escaped = _mm256_andnot_si256(is_zero, _mm256_cmpgt_epi32(_mm256_set1_epi32(8), turned));
            const __m256i place_of = _mm256_sub_epi32(_mm256_srai_epi32(of.reference[v], 3), eleven);
            const __m256i e = _mm256_andnot_si256(is_zero, _mm256_add_epi32(r, place_of));
            __m256i wrong = _mm256_or_si256(escaped, e);  // by its top bit
            if constexpr (kMasked) wrong = _mm256_and_si256(wrong, in);
            unusual = _mm256_or_si256(unusual, wrong);
            const __m256i sign = _mm256_xor_si256(_mm256_slli_epi32(symbol, 31 - 6), of.negative[v]);  // in the top bit
            z[v] = relative_values(e, t, _mm256_srai_epi32(sign, 31), of.level[v]);
            if constexpr (kMasked) z[v] = _mm256_and_si256(z[v], in);
            const __m256i top = _mm256_slli_epi32(_mm256_srli_epi32(sign, 31), 15);
            key[v] = _mm256_or_si256(_mm256_or_si256(_mm256_slli_epi32(e, 2), t), top);
        }
        words.next = at;
        if (_mm256_movemask_ps(_mm256_castsi256_ps(unusual)) != 0) return finish(of, symbols, active, keys, z);
        store_words(key, keys);
        return true;
    }

    // A place with escapes, lane by lane.
    __attribute__((noinline)) bool finish(const PlaceContexts& of, const __m256i symbols[kVectors], uint32_t active, uint16_t* keys,
                                          __m256i z[kVectors]) {
        alignas(32) int32_t symbol[kLanes], value[kLanes] = {}, reference[kLanes], level[kLanes], negative[kLanes];
        for (int v = 0; v < kVectors; ++v) {
            _mm256_store_si256(reinterpret_cast<__m256i*>(symbol) + v, symbols[v]);
            _mm256_store_si256(reinterpret_cast<__m256i*>(reference) + v, of.reference[v]);
            _mm256_store_si256(reinterpret_cast<__m256i*>(level) + v, of.level[v]);
            _mm256_store_si256(reinterpret_cast<__m256i*>(negative) + v, of.negative[v]);
        }
        for (uint32_t l = 0; l < kLanes; ++l) {
            if ((active >> l & 1) == 0) continue;
            uint32_t key;
            if (!scalar::finish_key(static_cast<uint32_t>(symbol[l]), negative[l] != 0, reference[l], escapes, &key)) return false;
            keys[l] = static_cast<uint16_t>(key);
            value[l] = scalar::relative_value(key, level[l]);
        }
        for (int v = 0; v < kVectors; ++v) z[v] = _mm256_load_si256(reinterpret_cast<const __m256i*>(value) + v);
        return true;
    }
};

// Keys of a batch at 16 places, place by place: out row by row.
inline void write_rows(const scalar::LaneWalk& walk, const uint16_t* places, size_t first, size_t n, uint8_t* out) {
    alignas(32) uint16_t rows[kLanes * 16];
    transpose(places, kLanes, rows, 16);
    transpose(places + 16, kLanes, rows + 256, 16);
    for (size_t l = 0; l < walk.lanes; ++l) {
        const size_t begin = walk.first_place(l), end = walk.last_place(l);
        const size_t from = first < begin ? begin : first, to = first + n > end ? end : first + n;
        if (from >= to) continue;
        uint8_t* const dst = out + 2 * (walk.key(l) + static_cast<ptrdiff_t>(from));
        if (to - from == 16) {
            std::memcpy(dst, rows + 16 * l, 32);
        } else {
            std::memcpy(dst, rows + 16 * l + (from - first), 2 * (to - from));
        }
    }
}

template <bool kPredicted>
bool predictor_decode_blocks(const PredictorTable& table, const PredictorBlock& block) {
    PredictorDecoder decoder(table, block);
    BandWalk bands(block.predictor, block.room, static_cast<size_t>(block.place.d));
    alignas(32) uint16_t tile[16 * kLanes] = {};
    for (scalar::LaneWalk walk(block.place, block.base, block.rows); walk.next_batch();) {
        size_t j = walk.begin, in_tile = 0;
        if constexpr (kPredicted) j = bands.start(j);
        for (walk.start_segment(j); j < walk.end; ++j) {
            if (j == walk.segment_end) walk.start_segment(j);
            if (!decoder.words.ready()) return false;
            __m256i u[kVectors], z[kVectors];
            scalar::PlaceScale scale{};
            if constexpr (kPredicted) {
                bands.predict(u);
                scale = scalar::place_scale(block.predictor.residuals[j]);
            }
            PlaceContexts contexts;
            contexts.make<kPredicted>(u, walk.row_levels, walk.column(j), scale);
            uint16_t* const keys = tile + in_tile * kLanes;
            const bool full = j >= walk.full_begin && j < walk.full_end;
            if (!(full ? decoder.place<false>(contexts, UINT32_MAX, keys, z) : decoder.place<true>(contexts, walk.active(j), keys, z))) {
                return false;
            }
            if constexpr (kPredicted) bands.take(z);
            if (++in_tile == 16 || j + 1 == walk.end) {
                write_rows(walk, tile, j + 1 - in_tile, in_tile, block.out);
                in_tile = 0;
            }
        }
    }
    return decoder.escapes.finished() && scalar::stream_ended(decoder.states, decoder.words.next, decoder.words.end);
}

bool predictor_decode(const PredictorTable& table, const PredictorBlock& block) {
    if (!scalar::states_valid(block.payload)) return false;
    return block.predictor.w != 0 ? predictor_decode_blocks<true>(table, block) : predictor_decode_blocks<false>(table, block);
}

}  // namespace pennyweight::avx2
