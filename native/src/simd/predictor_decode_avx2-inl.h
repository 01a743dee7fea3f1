// The decoder of `linear_predictor`. Included by targets/avx2.cc only.
#pragma once

#include "predictor_avx2.h"
#include "predictor_lanes_avx2-inl.h"
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

// Where the words of a refill mask go: lane i of 8 takes the next word if its bit is set.
struct RefillBytes {
    alignas(64) uint8_t of_mask[256][16];

    constexpr RefillBytes() : of_mask() {
        for (uint32_t mask = 0; mask < 256; ++mask) {
            uint8_t next = 0;
            for (uint32_t i = 0; i < 8; ++i) {
                of_mask[mask][2 * i] = next;
                of_mask[mask][2 * i + 1] = static_cast<uint8_t>(next + 1);
                next = static_cast<uint8_t>(next + 2 * (mask >> i & 1));
            }
        }
    }
};
inline constexpr RefillBytes kRefillBytes;

struct PredictorDecoder {
    const double* buckets;
    scalar::EscapeReader escapes;
    WordReader words;
    LaneConstants constants;
    __m256i states[kQuarters];

    PredictorDecoder(const PredictorTable& table, const PredictorBlock& block)
        : buckets(reinterpret_cast<const double*>(table.buckets)),
          escapes{block.escapes, 2 * block.n_escape_bytes},
          words(block.payload + kStateBytes, block.n_words) {
        const __m128i* const from = reinterpret_cast<const __m128i*>(block.payload);
        for (int h = 0; h < kHalves; ++h) {
            for (int i = 0; i < 2; ++i) states[2 * h + i] = _mm256_loadu2_m128i(from + 4 * h + 2 + i, from + 4 * h + i);
        }
    }

    // Numbers of the buckets of all lanes, in order.
    __attribute__((always_inline)) void number(const PlaceLanes& of, uint16_t at[kLanes]) const {
        for (int h = 0; h < kHalves; ++h) {
            const __m256i slots = _mm256_packus_epi32(_mm256_and_si256(states[2 * h], constants.symbol_mask),
                                                      _mm256_and_si256(states[2 * h + 1], constants.symbol_mask));
            _mm256_store_si256(reinterpret_cast<__m256i*>(at) + h, _mm256_or_si256(of.context[h], slots));
        }
        // By way of memory: what compilers make of it otherwise, extracts, takes the ports that the sums need.
        asm("" : "+m"(*reinterpret_cast<uint16_t (*)[kLanes]>(at)));
    }

    // The halves of eight buckets. Two gathers took a seventh more time for the whole of a key without a prediction (Zen 3).
    __attribute__((always_inline)) void look_up(const uint16_t* at, __m256i* low, __m256i* high) const {
        const auto two = [&](int i) __attribute__((always_inline)) {
            const __m128d first = _mm_load_sd(buckets + at[i]);
            return _mm_loadh_pd(first, buckets + at[i + 1]);
        };
        const __m256 a = _mm256_castpd_ps(_mm256_insertf128_pd(_mm256_castpd128_pd256(two(0)), two(8), 1));
        const __m256 b = _mm256_castpd_ps(_mm256_insertf128_pd(_mm256_castpd128_pd256(two(2)), two(10), 1));
        *low = _mm256_castps_si256(_mm256_shuffle_ps(a, b, 0x88));
        *high = _mm256_castps_si256(_mm256_shuffle_ps(a, b, 0xdd));
    }

    // As in ScalesStep, with 7 bits: the state before it is refilled, and the symbol in the low bits.
    __attribute__((always_inline)) __m256i advance(__m256i x, __m256i low, __m256i high, __m256i* symbol) const {
        const __m256i offset = _mm256_and_si256(x, constants.offset_mask);
        const __m256i other = _mm256_cmpgt_epi32(_mm256_slli_epi32(offset, 16), low);
        *symbol = _mm256_and_si256(_mm256_blendv_epi8(x, _mm256_srli_epi32(low, 16), other), constants.symbol_mask);
        const __m256i own = _mm256_and_si256(high, constants.low_half);
        const __m256i frequency = _mm256_blendv_epi8(own, _mm256_srli_epi32(high, 16), other);
        const __m256i adjust = _mm256_madd_epi16(_mm256_and_si256(low, other), constants.low_one);
        const __m256i rank = _mm256_add_epi32(_mm256_srli_epi32(offset, kPredictorBits), adjust);
        return _mm256_add_epi32(_mm256_mullo_epi32(frequency, _mm256_srli_epi32(x, kScalesSlotBits)), rank);
    }

    __attribute__((always_inline)) void refill() {
        __m256i low[kQuarters];
        for (int q = 0; q < kQuarters; ++q) low[q] = _mm256_cmpeq_epi32(_mm256_srli_epi32(states[q], 16), _mm256_setzero_si256());
        // Bytes 0 to 7 are the first lanes, then lanes 16 to 23, 8 to 15, 24 to 31.
        const __m256i all = _mm256_packs_epi16(_mm256_packs_epi32(low[0], low[1]), _mm256_packs_epi32(low[2], low[3]));
        const uint32_t mask = static_cast<uint32_t>(_mm256_movemask_epi8(all));
        const uint8_t* const at[4] = {words.next, words.next + 2 * _mm_popcnt_u32(mask & 0xff),
                                      words.next + 2 * _mm_popcnt_u32(mask & 0xff00ff), words.next + 2 * _mm_popcnt_u32(mask & 0xffffff)};
        const uint32_t masks[4] = {mask & 0xff, mask >> 16 & 0xff, mask >> 8 & 0xff, mask >> 24};
        words.next += 2 * _mm_popcnt_u32(mask);
        const auto words_at = [&](int i) __attribute__((always_inline)) { return reinterpret_cast<const __m128i*>(at[i]); };
        const auto bytes_of = [&](int i) __attribute__((always_inline)) {
            return reinterpret_cast<const __m128i*>(kRefillBytes.of_mask[masks[i]]);
        };
        for (int h = 0; h < kHalves; ++h) {
            const __m256i next = _mm256_loadu2_m128i(words_at(2 * h + 1), words_at(2 * h));
            const __m256i fresh = _mm256_shuffle_epi8(next, _mm256_loadu2_m128i(bytes_of(2 * h + 1), bytes_of(2 * h)));
            const __m256i old = _mm256_packus_epi32(states[2 * h], states[2 * h + 1]);  // right where it is below 2^16
            states[2 * h] = _mm256_blendv_epi8(states[2 * h], _mm256_unpacklo_epi16(fresh, old), low[2 * h]);
            states[2 * h + 1] = _mm256_blendv_epi8(states[2 * h + 1], _mm256_unpackhi_epi16(fresh, old), low[2 * h + 1]);
        }
    }

    // The keys of a place, and their z (0 for lanes without a key). False where they break the page.
    template <bool kMasked>
    __attribute__((always_inline)) bool place(const PlaceLanes& of, const uint16_t* at, uint32_t active, uint16_t* keys,
                                              __m256i z[kHalves]) {
        const __m256i zero = _mm256_setzero_si256();
        __m256i symbols[kQuarters];
#pragma GCC unroll 4
        for (int q = 0; q < kQuarters; ++q) {
            __m256i low, high;
            look_up(at + 16 * (q / 2) + 4 * (q % 2), &low, &high);
            const __m256i next = advance(states[q], low, high, symbols + q);
            // A lane that rests has a state that needs no word.
            if constexpr (kMasked) {
                const __m256i in = half_mask(active, q / 2),
                              wide = q % 2 == 0 ? _mm256_unpacklo_epi16(in, in) : _mm256_unpackhi_epi16(in, in);
                states[q] = _mm256_blendv_epi8(states[q], next, wide);
            } else {
                states[q] = next;
            }
        }
        refill();
        __m256i symbol[kHalves], unusual = zero;
#pragma GCC unroll 2
        for (int h = 0; h < kHalves; ++h) {
            symbol[h] = _mm256_packus_epi32(symbols[2 * h], symbols[2 * h + 1]);
            const __m256i in = kMasked ? half_mask(active, h) : zero;
            const __m256i r = _mm256_and_si256(_mm256_srli_epi16(symbol[h], 2), constants.fifteen);
            const __m256i t = _mm256_and_si256(symbol[h], constants.three);
            const __m256i without_sign = _mm256_and_si256(symbol[h], constants.low_six), is_zero = _mm256_cmpeq_epi16(without_sign, zero);
            // Those with distances become 0 to 3 (r = 15) and 5 to 7 (r = 0), a zero 4.
            const __m256i turned = _mm256_and_si256(_mm256_add_epi16(without_sign, constants.four), constants.low_six);
            const __m256i escaped = _mm256_andnot_si256(is_zero, _mm256_cmpgt_epi16(constants.eight, turned));
            const __m256i place_of = _mm256_sub_epi16(_mm256_srai_epi16(of.reference[h], 3), constants.eleven);
            const __m256i e = _mm256_andnot_si256(is_zero, _mm256_add_epi16(r, place_of));
            __m256i wrong = _mm256_or_si256(escaped, e);  // by its top bit
            if constexpr (kMasked) wrong = _mm256_and_si256(wrong, in);
            unusual = _mm256_or_si256(unusual, wrong);
            const __m256i sign = _mm256_xor_si256(_mm256_slli_epi16(symbol[h], 15 - 6), of.negative[h]);  // in the top bit
            z[h] = relative_lanes(constants, e, t, _mm256_srai_epi16(sign, 15), of.level[h]);
            if constexpr (kMasked) z[h] = _mm256_and_si256(z[h], in);
            const __m256i top = _mm256_and_si256(sign, constants.top);
            const __m256i key = _mm256_or_si256(_mm256_or_si256(_mm256_slli_epi16(e, 2), t), top);
            _mm256_store_si256(reinterpret_cast<__m256i*>(keys) + h, key);
        }
        if (_mm256_testz_si256(unusual, constants.top) != 0) return true;
        return finish(of, symbol, active, keys, z);
    }

    // A place with escapes, lane by lane.
    __attribute__((noinline)) bool finish(const PlaceLanes& of, const __m256i symbols[kHalves], uint32_t active, uint16_t* keys,
                                          __m256i z[kHalves]) {
        alignas(32) int16_t symbol[kLanes], value[kLanes] = {}, reference[kLanes], level[kLanes], negative[kLanes];
        for (int h = 0; h < kHalves; ++h) {
            _mm256_store_si256(reinterpret_cast<__m256i*>(symbol) + h, symbols[h]);
            _mm256_store_si256(reinterpret_cast<__m256i*>(reference) + h, of.reference[h]);
            _mm256_store_si256(reinterpret_cast<__m256i*>(level) + h, of.level[h]);
            _mm256_store_si256(reinterpret_cast<__m256i*>(negative) + h, of.negative[h]);
        }
        for (uint32_t l = 0; l < kLanes; ++l) {
            if ((active >> l & 1) == 0) continue;
            uint32_t key;
            if (!scalar::finish_key(static_cast<uint32_t>(symbol[l]), negative[l] < 0, reference[l], escapes, &key)) return false;
            keys[l] = static_cast<uint16_t>(key);
            value[l] = static_cast<int16_t>(scalar::relative_value(key, level[l]));
        }
        for (int h = 0; h < kHalves; ++h) z[h] = _mm256_load_si256(reinterpret_cast<const __m256i*>(value) + h);
        return true;
    }
};

// Keys of a batch at 16 places, place by place: out row by row.
inline void write_rows(const scalar::LaneWalk& walk, const uint16_t* places, size_t first, size_t n, uint8_t* out) {
    alignas(32) uint16_t rows[kLanes * 16];
    transpose(places, kLanes, rows, 16);
    transpose(places + 16, kLanes, rows + 256, 16);
    uint8_t* dst = out + 2 * (walk.key(0) + static_cast<ptrdiff_t>(first));
    if (n == 16 && first >= walk.full_begin && first + n <= walk.full_end) {
        for (size_t l = 0; l < kLanes; ++l, dst += 2 * walk.d) std::memcpy(dst, rows + 16 * l, 32);
        return;
    }
    for (size_t l = 0; l < walk.lanes; ++l, dst += 2 * walk.d) {
        const size_t begin = walk.first_place(l), end = walk.last_place(l);
        const size_t from = first < begin ? begin : first, to = first + n > end ? end : first + n;
        if (from < to) std::memcpy(dst + 2 * (from - first), rows + 16 * l + (from - first), 2 * (to - from));
    }
}

template <bool kPredicted>
bool predictor_decode_blocks(const PredictorTable& table, const PredictorBlock& block) {
    PredictorDecoder decoder(table, block);
    BandWalk bands(block.predictor, block.room, static_cast<size_t>(block.place.d));
    alignas(32) uint16_t tile[16 * kLanes] = {}, at[kLanes];
    for (scalar::LaneWalk walk(block.place, block.base, block.rows); walk.next_batch();) {
        size_t j = walk.begin, in_tile = 0;
        if constexpr (kPredicted) j = bands.start(j);
        for (walk.start_segment(j); j < walk.end; ++j) {
            if (j == walk.segment_end) walk.start_segment(j);
            if (!decoder.words.ready()) return false;
            __m256i u[kQuarters], z[kHalves];
            if constexpr (kPredicted) bands.predict(u);
            PlaceLanes lanes;
            lanes.make<kPredicted>(decoder.constants, u, walk.row_levels, scalar::column_of(walk.place, j),
                                   kPredicted ? block.predictor.residuals[j] : 0);
            decoder.number(lanes, at);
            uint16_t* const keys = tile + in_tile * kLanes;
            const bool full = j >= walk.full_begin && j < walk.full_end;
            if (!(full ? decoder.place<false>(lanes, at, UINT32_MAX, keys, z) : decoder.place<true>(lanes, at, walk.active(j), keys, z))) {
                return false;
            }
            if constexpr (kPredicted) bands.take(z);
            if (++in_tile == 16 || j + 1 == walk.end) {
                write_rows(walk, tile, j + 1 - in_tile, in_tile, block.out);
                in_tile = 0;
            }
        }
    }
    alignas(32) uint32_t states[kLanes];
    for (int q = 0; q < kQuarters; ++q) _mm256_store_si256(reinterpret_cast<__m256i*>(states) + q, decoder.states[q]);
    return decoder.escapes.finished() && scalar::stream_ended(states, decoder.words.next, decoder.words.end);
}

bool predictor_decode(const PredictorTable& table, const PredictorBlock& block) {
    if (!scalar::states_valid(block.payload)) return false;
    return block.predictor.w != 0 ? predictor_decode_blocks<true>(table, block) : predictor_decode_blocks<false>(table, block);
}

}  // namespace pennyweight::avx2
