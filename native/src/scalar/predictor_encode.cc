// The encoder of stages/entropy/linear_predictor.md in plain loops.
#include <cstring>

#include "pennyweight/bytes.h"
#include "pennyweight/kernels.h"
#include "predictor.h"

namespace pennyweight {

bool predictor_rows(const Kernels& kernels, const ScalesPlace& place, const uint8_t* keys, uint16_t* unsigned_keys, uint16_t* levels,
                    uint32_t* base, uint8_t* rows) {
    uint8_t* const magnitudes = reinterpret_cast<uint8_t*>(unsigned_keys);
    for (size_t i = 0; i < place.n; ++i) store_le(magnitudes + 2 * i, static_cast<uint16_t>(load_le<uint16_t>(keys + 2 * i) & 0x7fff));
    scales_row_levels(kernels, place, magnitudes, levels);
    return scales_base(levels, scales_rows(place), base, rows);
}

void predictor_values(const Kernels& kernels, const ScalesPlace& place, const uint8_t* keys, uint32_t base, const uint8_t* rows,
                      int16_t* z) {
    scalar::RowWalk walk(place);
    for (size_t done = 0; done < place.n;) {
        int16_t levels[scalar::kScalesChunk];
        const size_t chunk = place.n - done < scalar::kScalesChunk ? place.n - done : scalar::kScalesChunk;
        scalar::scales_levels(walk, base, rows, chunk, levels);
        kernels.predictor_values(keys + 2 * done, levels, chunk, z + done);
        done += chunk;
    }
}

namespace scalar {

bool make_symbol(uint32_t key, bool negative, int32_t reference, EscapeWriter& writer, size_t* n_escapes, uint32_t* symbol) {
    const int32_t e = static_cast<int32_t>(key >> 2 & 0x1fff), r = e - (reference >> 3) + 11;
    const uint32_t t = key & 3, sign = (key >> 15 ^ static_cast<uint32_t>(negative)) << 6;
    if (r <= 0 && (key & 0x7fff) == 0) {
        *symbol = sign;
        return true;
    }
    if (r > 0 && r < 15) {
        *symbol = sign | static_cast<uint32_t>(r) << 2 | t;
        return true;
    }
    ++*n_escapes;
    *symbol = sign | (r <= 0 ? 1 : 15 << 2 | t);
    if (!writer.put(static_cast<uint32_t>(r <= 0 ? -r : r - 15))) return false;
    return r > 0 || writer.put(t);
}

bool predictor_model(PredictorModel& model) {
    const Predictor& predictor = model.predictor;
    const uint32_t w = predictor.w;
    const size_t most = model.place.n / kKeysPerEscape;
    EscapeWriter writer{model.escapes, 2 * model.place.n};
    size_t n_escapes = 0;
    uint16_t* out = model.symbols;
    for (LaneWalk walk(model.place, model.base, model.rows); walk.next_batch();) {
        if (w != 0) std::memset(model.room->z, 0, walk.begin % w * kLanes * sizeof(int16_t));
        for (size_t j = walk.begin; j < walk.end; ++j) {
            if (j == walk.begin || j == walk.segment_end) walk.start_segment(j);
            const uint32_t active = walk.active(j), in_band = w == 0 ? 0 : static_cast<uint32_t>(j % w);
            int16_t* const z = model.room->z + in_band * kLanes;
            if (w != 0) std::memset(z, 0, kLanes * sizeof(*z));
            int32_t u[kLanes] = {};
            if (w != 0) {
                predict(predictor.triangles + j / w % predictor.n_triangles * triangle_bytes(w), w, in_band, model.room->z, u);
            }
            const PlaceScale scale = place_scale(w == 0 ? 0 : predictor.residuals[j]);
            const int32_t column = column_of(walk.place, j);
            for (uint32_t l = 0; l < kLanes; ++l) {
                if ((active >> l & 1) == 0) continue;
                const int32_t L = walk.row_levels[l] + column;
                const uint32_t key = load_le<uint16_t>(model.keys + 2 * (walk.key(l) + static_cast<ptrdiff_t>(j)));
                int32_t reference;
                const uint32_t context = context_of(scale, u[l], L, &reference);
                uint32_t symbol;
                if (!make_symbol(key, u[l] < 0, reference, writer, &n_escapes, &symbol) || n_escapes > most) return false;
                *out++ = static_cast<uint16_t>(context << kPredictorBits | symbol);
                if (w != 0) z[l] = static_cast<int16_t>(relative_value(key, L));
            }
        }
    }
    model.n_escape_bytes = (writer.n_nibbles + 1) / 2;
    return true;
}

void predictor_encode(const PredictorEncodeTable& table, const ScalesPlace& place, const uint16_t* symbols, uint8_t* states,
                      uint8_t* words_end, size_t* n_words) {
    uint32_t x[kLanes];
    for (uint32_t& state : x) state = kLowerBound;
    uint8_t* words = words_end;
    const uint16_t* next = symbols + place.n;
    LaneWalk walk(place, 0, nullptr);
    for (size_t batch = (walk.n_rows + kLanes - 1) / kLanes; batch-- > 0;) {
        walk.enter(batch * kLanes);
        for (size_t j = walk.end; j-- > walk.begin;) {
            if (j >= walk.full_begin && j < walk.full_end) {
                next -= kLanes;
                for (uint32_t l = kLanes; l-- > 0;) x[l] = encode_slot(table.entries[next[l]], table.slots, x[l], &words);
                continue;
            }
            const uint32_t active = walk.active(j);
            for (uint32_t l = kLanes; l-- > 0;) {
                if ((active >> l & 1) != 0) x[l] = encode_slot(table.entries[*--next], table.slots, x[l], &words);
            }
        }
    }
    for (uint32_t l = 0; l < kLanes; ++l) store_le(states + 4 * l, x[l]);
    *n_words = static_cast<size_t>(words_end - words) / 2;
}

}  // namespace scalar

}  // namespace pennyweight
