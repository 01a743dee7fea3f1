// The decoder of stages/entropy/linear_predictor.md in plain loops: what every other target must equal.
#include "predictor.h"

#include <cstring>

#include "scalar.h"

namespace pennyweight::scalar {

LaneWalk::LaneWalk(const ScalesPlace& p, uint32_t block_base, const uint8_t* block_rows)
    : place(p), base(block_base), rows(block_rows), d(static_cast<size_t>(p.d)), n_scales(scales_rows(p)) {
    skipped = static_cast<size_t>(p.first % p.d);
    n_rows = (skipped + p.n + d - 1) / d;
    row = lanes = begin = end = full_begin = full_end = segment_end = 0;
}

bool LaneWalk::next_batch() {
    if (row + lanes == n_rows) return false;
    enter(row + lanes);
    return true;
}

void LaneWalk::enter(size_t first_row) {
    row = first_row;
    lanes = n_rows - row < kLanes ? n_rows - row : kLanes;
    const size_t whole = (row + lanes) * d, in_fact = skipped + place.n;  // where the last row ends
    const size_t last_end = whole <= in_fact ? d : d - (whole - in_fact);
    begin = row == 0 && lanes == 1 ? skipped : 0;
    end = lanes == 1 ? last_end : d;
    full_begin = lanes < kLanes ? 0 : row == 0 ? skipped : 0;
    full_end = lanes < kLanes || last_end < full_begin ? full_begin : last_end;
}

void LaneWalk::start_segment(size_t j) {
    const uint64_t q = (place.d + place.S - 1) / place.S, segment = j / place.S, next = (segment + 1) * place.S;
    segment_end = next < d ? static_cast<size_t>(next) : d;
    for (size_t l = 0; l < kLanes; ++l) {
        const uint64_t scale = (row + l) * q + segment - skipped / place.S;  // wraps below 0
        row_levels[l] = static_cast<int16_t>(base + (l < lanes && scale < n_scales ? 2u * rows[scale] : 0));
    }
}

uint32_t LaneWalk::active(size_t j) const {
    uint32_t mask = lanes == kLanes ? UINT32_MAX : (1u << lanes) - 1;
    if (row == 0 && j < skipped) mask &= ~1u;
    if (row + lanes == n_rows && (n_rows - 1) * d + j >= skipped + place.n) mask &= ~(1u << (lanes - 1));
    return mask;
}

ptrdiff_t LaneWalk::key(size_t l) const { return static_cast<ptrdiff_t>((row + l) * d) - static_cast<ptrdiff_t>(skipped); }

size_t LaneWalk::first_place(size_t l) const { return row + l == 0 ? skipped : 0; }

size_t LaneWalk::last_place(size_t l) const {
    const size_t left = skipped + place.n - (row + l) * d;
    return left < d ? left : d;
}

void predict(const uint8_t* triangle, uint32_t w, uint32_t j, const int16_t* z, int32_t* u) {
    const uint8_t* row = triangle + 2 * w + j * (j - 1) / 2;
    const int32_t bias = load_le<int16_t>(triangle + 2 * j);
    constexpr uint32_t kTogether = 16;  // so that their sums stay in registers
    for (uint32_t first = 0; first < kLanes; first += kTogether) {
        uint32_t sum[kTogether] = {};  // it may wrap
        for (uint32_t k = 0; k < j; ++k) {
            const int16_t a = static_cast<int8_t>(row[k]);
            const int16_t* of_lanes = z + k * kLanes + first;
            for (uint32_t l = 0; l < kTogether; ++l) sum[l] += static_cast<uint32_t>(a * of_lanes[l]);
        }
        for (uint32_t l = 0; l < kTogether; ++l) u[first + l] = (static_cast<int32_t>(sum[l]) >> 6) + bias;
    }
}

bool finish_key(uint32_t symbol, bool negative, int32_t reference, EscapeReader& reader, uint32_t* key) {
    const uint32_t r = symbol >> 2 & 15, sign = symbol >> 6 ^ static_cast<uint32_t>(negative);
    uint32_t t = symbol & 3, distance = 0;
    int64_t e = int64_t{reference >> 3} - 11 + r;
    if (r == 0 && t == 0) {
        e = 0;
    } else if (r == 0) {
        if (t > 1 || !reader.next(&distance) || !reader.next(&t) || t > 3) return false;  // a nibble of 15 reads on, and is above 3
        e -= distance;
    } else if (r == 15) {
        if (!reader.next(&distance)) return false;
        e += distance;
    }
    *key = sign << 15 | static_cast<uint32_t>(e) << 2 | t;
    return e >= 0 && e < 1 << 13;
}

bool predictor_decode(const PredictorTable& table, const PredictorBlock& block) {
    if (!states_valid(block.payload)) return false;
    uint32_t x[kLanes];
    for (uint32_t l = 0; l < kLanes; ++l) x[l] = load_le<uint32_t>(block.payload + 4 * l);
    const uint8_t *words = block.payload + kStateBytes, *const words_end = words + 2 * block.n_words;
    EscapeReader reader{block.escapes, 2 * block.n_escape_bytes};
    const Predictor& predictor = block.predictor;
    const uint32_t w = predictor.w;
    for (LaneWalk walk(block.place, block.base, block.rows); walk.next_batch();) {
        if (w != 0) std::memset(block.room->z, 0, walk.begin % w * kLanes * sizeof(int16_t));
        for (size_t j = walk.begin; j < walk.end; ++j) {
            if (j == walk.begin || j == walk.segment_end) walk.start_segment(j);
            const uint32_t active = walk.active(j), in_band = w == 0 ? 0 : static_cast<uint32_t>(j % w);
            int16_t* const z = block.room->z + in_band * kLanes;
            if (w != 0) std::memset(z, 0, kLanes * sizeof(*z));
            int32_t u[kLanes] = {};
            if (w != 0) {
                predict(predictor.triangles + j / w % predictor.n_triangles * triangle_bytes(w), w, in_band, block.room->z, u);
            }
            const PlaceScale scale = place_scale(w == 0 ? 0 : predictor.residuals[j]);
            const int32_t column = column_of(walk.place, j);
            for (uint32_t l = 0; l < kLanes; ++l) {
                if ((active >> l & 1) == 0) continue;
                const int32_t L = walk.row_levels[l] + column;
                int32_t reference;
                const uint32_t context = context_of(scale, u[l], L, &reference);
                uint32_t symbol, key;
                const uint64_t bucket = table.buckets[context << kPredictorBits | (x[l] & ((1u << kPredictorBits) - 1))];
                x[l] = decode_slot(bucket, x[l], kPredictorBits, &symbol);
                if (x[l] < kLowerBound) {
                    if (words == words_end) return false;
                    x[l] = x[l] << 16 | load_le<uint16_t>(words);
                    words += 2;
                }
                if (!finish_key(symbol, u[l] < 0, reference, reader, &key)) return false;
                store_le(block.out + 2 * (walk.key(l) + static_cast<ptrdiff_t>(j)), static_cast<uint16_t>(key));
                if (w != 0) z[l] = static_cast<int16_t>(relative_value(key, L));
            }
        }
    }
    return reader.finished() && stream_ended(x, words, words_end);
}

}  // namespace pennyweight::scalar
