// Column scales from a sample: integers only, so that every machine trains alike.
#include "pennyweight/bytes.h"
#include "pennyweight/kernels.h"
#include "scalar/scales.h"

namespace pennyweight {

namespace {

constexpr uint32_t kFraction[8] = {32768, 30048, 27554, 25268, 23170, 21247, 19484, 17867};
constexpr size_t kPiece = 1024;  // keys

// Calls each(keys, number, first column, level) for pieces of the runs that share a row scale.
template <typename Each>
void walk_rows(const ScalesPlace& place, const uint8_t* keys, const uint16_t* levels, Each&& each) {
    scalar::RowWalk walk(place);
    for (size_t done = 0; done < place.n;) {
        const size_t run = walk.run(place.n - done < kPiece ? place.n - done : kPiece);
        each(keys + 2 * done, run, walk.column, int32_t{levels[walk.row]});
        walk.advance(run);
        done += run;
    }
}

// Mean magnitude of each column group after the row scales are taken off; its levels, centred, become the column scales.
void fit_columns(const Kernels& kernels, const ScalesPlace& place, const uint8_t* keys, const uint16_t* levels, int8_t* columns,
                 uint64_t* sums) {
    const uint32_t m = place.mantissa_bits;
    const size_t n_columns = static_cast<size_t>((place.d + place.g - 1) / place.g), n_rows = static_cast<size_t>(place.n / place.d);
    int32_t top = INT32_MIN;
    walk_rows(place, keys, levels, [&](const uint8_t* src, size_t n, uint64_t, int32_t level) {
        uint16_t highest = 0;
        for (size_t i = 0; i < n; ++i) highest = load_le<uint16_t>(src + 2 * i) > highest ? load_le<uint16_t>(src + 2 * i) : highest;
        const int32_t e = (highest >> m) - (level >> 3);
        top = e > top ? e : top;
    });
    for (size_t c = 0; c < n_columns; ++c) sums[c] = 0;
    walk_rows(place, keys, levels, [&](const uint8_t* src, size_t n, uint64_t column, int32_t level) {
        const uint32_t fraction = kFraction[level & 7];
        const int32_t above = top + (level >> 3);
        if (place.g == 1) {
            kernels.scales_columns(src, n, m, fraction, above, sums + column);
            return;
        }
        uint64_t single[kPiece];
        for (size_t i = 0; i < n; ++i) single[i] = 0;
        kernels.scales_columns(src, n, m, fraction, above, single);
        uint64_t* to = sums + column / place.g;
        uint64_t left = place.g - column % place.g;
        for (size_t k = 0; k < n; ++to, left = place.g) {
            const size_t stop = left < n - k ? k + static_cast<size_t>(left) : n;
            uint64_t sum = 0;
            for (; k < stop; ++k) sum += single[k];
            *to += sum;
        }
    });
    int64_t total = 0;
    const auto level_of = [&](size_t c) {
        const uint64_t width = c + 1 < n_columns ? place.g : place.d - place.g * (n_columns - 1);
        const int64_t level = mean_level(sums[c] / (width * n_rows), top);
        return level < -4096 ? int64_t{-4096} : level;
    };
    for (size_t c = 0; c < n_columns; ++c) total += level_of(c);
    const int64_t centre = total / static_cast<int64_t>(n_columns);
    for (size_t c = 0; c < n_columns; ++c) {
        const int64_t scale = level_of(c) - centre;
        columns[c] = static_cast<int8_t>(scale < -128 ? -128 : scale > 127 ? 127 : scale);
    }
}

}  // namespace

int64_t scales_fit(const Kernels& kernels, const ScalesPlace& sample, const uint8_t* keys, int rounds, int8_t* columns, uint64_t* sums,
                   uint16_t* levels) {
    ScalesPlace place = sample;
    place.columns = nullptr;
    scales_row_levels(kernels, place, keys, levels);
    for (int round = 0; columns != nullptr && round < rounds; ++round) {
        fit_columns(kernels, place, keys, levels, columns, sums);
        place.columns = columns;
        scales_row_levels(kernels, place, keys, levels);
    }
    int64_t price = 0;
    scalar::RowWalk walk(place);
    for (size_t done = 0; done < place.n;) {
        const size_t run = walk.run(place.n - done);
        price += static_cast<int64_t>(run) * levels[walk.row];
        walk.advance(run);
        done += run;
    }
    const uint64_t n_columns = columns == nullptr ? 0 : (place.d + place.g - 1) / place.g;
    for (uint64_t c = 0; c < n_columns; ++c) {
        const uint64_t width = c + 1 < n_columns ? place.g : place.d - place.g * (n_columns - 1);
        price += static_cast<int64_t>(width * (place.n / place.d)) * columns[c];
    }
    return price;
}

}  // namespace pennyweight
