// The encoder of stages/entropy/scales.md in plain loops.
#include "pennyweight/bytes.h"
#include "pennyweight/kernels.h"
#include "scales.h"

namespace pennyweight {

namespace {

// Column scales of keys from `column` of a row on: the page's own, or spread out in `room`.
const int8_t* columns_of(const ScalesPlace& place, uint64_t column, size_t n, int8_t* room) {
    if (place.columns == nullptr) return nullptr;
    if (place.g == 1) return place.columns + column;
    const int8_t* scale = place.columns + column / place.g;
    uint64_t left = place.g - column % place.g;
    for (size_t k = 0; k < n; ++scale, left = place.g) {
        const size_t stop = left < n - k ? k + static_cast<size_t>(left) : n;
        for (; k < stop; ++k) room[k] = *scale;
    }
    return room;
}

}  // namespace

// The level of a mean M of X, which may be below 0.
int64_t mean_level(uint64_t mean, int32_t top) {
    static constexpr uint64_t kMiddle[8] = {34219, 37316, 40693, 44376, 48393, 52772, 57549, 62757};
    if (mean == 0) return INT64_MIN;
    const uint32_t log = 63 - static_cast<uint32_t>(std::countl_zero(mean));
    int64_t level = 8 * (int64_t{top} + log - 39);
    for (const uint64_t middle : kMiddle) level += mean << 15 >= middle << log;
    return level;
}

void scales_row_levels(const Kernels& kernels, const ScalesPlace& place, const uint8_t* keys, uint16_t* levels) {
    const uint32_t m = place.mantissa_bits;
    int8_t room[scalar::kScalesChunk];
    scalar::RowWalk walk(place);
    for (size_t done = 0; done < place.n;) {
        const size_t run = walk.run(place.n - done);
        const auto pieces = [&](auto&& each) {
            for (size_t k = 0; k < run; k += scalar::kScalesChunk) {
                const size_t n = run - k < scalar::kScalesChunk ? run - k : scalar::kScalesChunk;
                each(keys + 2 * (done + k), columns_of(place, walk.column + k, n, room), n);
            }
        };
        int32_t top = INT32_MIN;
        uint64_t sum = 0;
        pieces([&](const uint8_t* src, const int8_t* columns, size_t n) {
            const int32_t highest = kernels.scales_top(src, columns, n, m);
            top = highest > top ? highest : top;
        });
        pieces([&](const uint8_t* src, const int8_t* columns, size_t n) { sum += kernels.scales_sum(src, columns, n, m, top); });
        const int64_t level = mean_level(sum / run, top);
        levels[walk.row] = static_cast<uint16_t>(level < 0 ? 0 : level < UINT16_MAX ? level : UINT16_MAX);
        walk.advance(run);
        done += run;
    }
}

bool scales_base(const uint16_t* levels, size_t n_rows, uint32_t* base, uint8_t* rows) {
    uint32_t lowest = UINT16_MAX, highest = 0;
    for (size_t i = 0; i < n_rows; ++i) {
        lowest = levels[i] < lowest ? levels[i] : lowest;
        highest = levels[i] > highest ? levels[i] : highest;
    }
    *base = (highest > 510 && highest - 510 > lowest ? highest - 510 : lowest) & ~1u;
    if (*base >= kScalesBaseEnd) return false;
    for (size_t i = 0; i < n_rows; ++i) {
        const uint32_t above = levels[i] < *base ? 0 : (levels[i] - *base + 1) / 2;
        rows[i] = static_cast<uint8_t>(above < 255 ? above : 255);
    }
    return true;
}

bool scales_symbols(const Kernels& kernels, const ScalesPlace& place, const uint8_t* keys, uint16_t* levels, ScalesSymbols* made) {
    const uint32_t m = place.mantissa_bits;
    const size_t n = place.n;
    scales_row_levels(kernels, place, keys, levels);
    if (!scales_base(levels, scales_rows(place), &made->base, made->rows)) return false;
    scalar::RowWalk walk(place);
    scalar::EscapeWriter writer{made->escapes, 2 * n};
    size_t n_escapes = 0;
    for (size_t done = 0; done < n;) {
        int16_t level[scalar::kScalesChunk];
        const size_t chunk = n - done < scalar::kScalesChunk ? n - done : scalar::kScalesChunk;
        const uint8_t* src = keys + 2 * done;
        uint16_t* out = made->symbols + done;
        scalar::scales_levels(walk, made->base, made->rows, chunk, level);
        uint8_t escapes[scalar::kScalesChunk / kSymbolsPiece];
        kernels.scales_symbols(src, level, chunk, m, out, escapes);
        for (size_t i = 0; i < chunk; i += kSymbolsPiece) n_escapes += escapes[i / kSymbolsPiece];
        if (n_escapes > n / scalar::kKeysPerEscape) return false;
        for (size_t i = 0; i < chunk; ++i) {
            if (escapes[i / kSymbolsPiece] == 0) {
                i |= kSymbolsPiece - 1;
                continue;
            }
            const uint32_t r = out[i] >> m & 15;
            if (r != 0 && r != 15) continue;
            const int32_t e = load_le<uint16_t>(src + 2 * i) >> m, reference = level[i] >> 3;
            if (!writer.put(static_cast<uint32_t>(r == 0 ? reference - 11 - e : e - reference - 4))) return false;
            --escapes[i / kSymbolsPiece];
        }
        done += chunk;
    }
    made->n_escape_bytes = (writer.n_nibbles + 1) / 2;
    return true;
}

namespace scalar {

namespace plain {
#include "scales_loops-inl.h"
}

bool EscapeWriter::put(uint32_t distance) {
    if (n_nibbles + distance / 15 + 1 > room) return false;
    const auto add = [&](uint32_t nibble) {
        uint8_t& byte = bytes[n_nibbles / 2];
        byte = static_cast<uint8_t>(n_nibbles % 2 == 0 ? nibble : byte | nibble << 4);
        ++n_nibbles;
    };
    for (; distance >= 15; distance -= 15) add(15);
    add(distance);
    return true;
}

int32_t scales_top(const uint8_t* keys, const int8_t* columns, size_t n, uint32_t mantissa_bits) {
    int32_t top = INT32_MIN;
    for (size_t i = 0; i < n; ++i) {
        const int32_t e = (load_le<uint16_t>(keys + 2 * i) >> mantissa_bits) - (columns == nullptr ? 0 : columns[i] >> 3);
        top = e > top ? e : top;
    }
    return top;
}

uint64_t scales_sum(const uint8_t* keys, const int8_t* columns, size_t n, uint32_t mantissa_bits, int32_t top) {
    static constexpr uint64_t kFraction[8] = {32768, 30048, 27554, 25268, 23170, 21247, 19484, 17867};
    const uint32_t m = mantissa_bits, t_mask = (1u << m) - 1;
    uint64_t sum = 0;
    for (size_t i = 0; i < n; ++i) {
        const uint32_t key = load_le<uint16_t>(keys + 2 * i);
        const int32_t c = columns == nullptr ? 0 : columns[i];
        const uint64_t u = (2u << m | 2 * (key & t_mask) | 1u) << (3 - m);
        const uint32_t shift = static_cast<uint32_t>(top - (static_cast<int32_t>(key >> m) - (c >> 3)));
        sum += shift > 63 ? 0 : (u * kFraction[c & 7] << 20) >> shift;
    }
    return sum;
}

void scales_symbols(const uint8_t* keys, const int16_t* levels, size_t n, uint32_t mantissa_bits, uint16_t* symbols, uint8_t* escapes) {
    plain::scales_symbols(keys, levels, n, mantissa_bits, symbols, escapes);
}

void scales_columns(const uint8_t* keys, size_t n, uint32_t mantissa_bits, uint32_t fraction, int32_t above, uint64_t* sums) {
    plain::scales_columns(keys, n, mantissa_bits, fraction, above, sums);
}

void scales_encode_group(const ScalesEncodeTable& table, const uint16_t* group, size_t n, uint32_t* x, uint8_t** words) {
    for (uint32_t t = 4; t-- > 0;) {
        for (uint32_t l = kLanes; l-- > 0;) {
            if (4 * l + t >= n) continue;
            x[l] = encode_slot(table.entries[group[4 * l + t]], table.slots, x[l], words);
        }
    }
}

void scales_encode(const ScalesEncodeTable& table, const uint16_t* symbols, size_t n, uint8_t* states, uint8_t* words_end,
                   size_t* n_words) {
    uint32_t x[kLanes];
    for (uint32_t& state : x) state = kLowerBound;
    uint8_t* words = words_end;
    for (size_t g = (n + kGroup - 1) / kGroup; g-- > 0;) {
        const size_t left = n - g * kGroup;
        scales_encode_group(table, symbols + g * kGroup, left < kGroup ? left : kGroup, x, &words);
    }
    for (uint32_t l = 0; l < kLanes; ++l) store_le(states + 4 * l, x[l]);
    *n_words = static_cast<size_t>(words_end - words) / 2;
}

}  // namespace scalar

}  // namespace pennyweight
