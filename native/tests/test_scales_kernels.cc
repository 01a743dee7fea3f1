// What the encoder of `scales` and its training are made of, each kernel of every target against the page's formulas, written out here once
// more.
#include <algorithm>
#include <cstdio>
#include <memory>
#include <random>
#include <vector>

#include "../src/scalar/scales.h"
#include "guarded.h"
#include "pennyweight/bytes.h"
#include "pennyweight/kernels.h"

using namespace pennyweight;
using testing::check;
using testing::Guarded;

namespace {

constexpr uint64_t kT[8] = {32768, 30048, 27554, 25268, 23170, 21247, 19484, 17867};

// Keys in memory that ends behind them: around a middle, and one in `rare` anywhere.
struct Keys {
    Keys(std::mt19937& random, size_t n, uint32_t m, uint32_t rare) : memory(2 * n), bytes(memory.last(2 * n)) {
        const uint32_t middle = random() % (random() % 3 == 0 ? 0x10000u : 0x800u << m);
        for (size_t i = 0; i < n; ++i) {
            const uint32_t key = random() % rare == 0 ? random() : middle + random() % (8u << m);
            store_le(bytes + 2 * i, static_cast<uint16_t>(std::min(key & 0x1ffffu, 0xffffu)));
        }
    }
    uint32_t operator[](size_t i) const { return load_le<uint16_t>(bytes + 2 * i); }

    Guarded memory;
    uint8_t* bytes;
};

uint64_t weight(uint32_t key, uint32_t m, int32_t scale, int32_t top) {
    const uint64_t u = (2u << m | 2 * (key & ((1u << m) - 1)) | 1u) << (3 - m);
    const int32_t shift = top - static_cast<int32_t>(key >> m) + (scale >> 3);
    return shift > 63 ? 0 : ((u * kT[scale & 7]) << 20) >> shift;
}

void levels_of(std::mt19937& random, const Kernels& k, size_t n, uint32_t m) {
    const Keys keys(random, n, m, random() % 2 == 0 ? 20 : 100000);
    Guarded memory(n);
    int8_t* const scales = reinterpret_cast<int8_t*>(memory.last(n));
    for (size_t i = 0; i < n; ++i) scales[i] = static_cast<int8_t>(random());
    for (const int8_t* columns : {static_cast<const int8_t*>(nullptr), static_cast<const int8_t*>(scales)}) {
        const auto c = [&](size_t i) { return columns == nullptr ? 0 : int32_t{columns[i]}; };
        const auto e = [&](size_t i) { return static_cast<int32_t>(keys[i] >> m) - (c(i) >> 3); };
        int32_t top = INT32_MIN;
        for (size_t i = 0; i < n; ++i) top = std::max(top, e(i));
        check(k.scales_top(keys.bytes, columns, n, m) == top, "scales_top", n, k.name);
        uint64_t sum = 0;
        for (size_t i = 0; i < n; ++i) sum += weight(keys[i], m, c(i), top);
        check(k.scales_sum(keys.bytes, columns, n, m, top) == sum, "scales_sum", n, k.name);
    }
}

void column_sums(std::mt19937& random, const Kernels& k, size_t n, uint32_t m) {
    const Keys keys(random, n, m, random() % 2 == 0 ? 20 : 100000);
    Guarded memory(8 * n);
    uint64_t* const sums = reinterpret_cast<uint64_t*>(memory.last(8 * n));
    std::vector<uint64_t> expected(n);
    uint32_t highest = 0;
    for (size_t i = 0; i < n; ++i) highest = std::max(highest, keys[i] >> m);
    const uint32_t phase = random() % 8, above = highest + random() % (random() % 2 == 0 ? 3 : 90);
    for (size_t i = 0; i < n; ++i) {
        sums[i] = uint64_t{random()} << 20;
        expected[i] = sums[i] + weight(keys[i], m, static_cast<int32_t>(phase), static_cast<int32_t>(above));
    }
    k.scales_columns(keys.bytes, n, m, static_cast<uint32_t>(kT[phase]), static_cast<int32_t>(above), sums);
    check(std::equal(expected.begin(), expected.end(), sums), "scales_columns", n, k.name);
}

// Symbols of levels as blocks have them, up to 24576 + 510 + 127.
size_t symbols_of(std::mt19937& random, const Kernels& k, size_t n, uint32_t m) {
    const Keys keys(random, n, m, 2);
    Guarded level_memory(2 * n), symbols(2 * n), counts((n + 63) / 64);
    int16_t* const levels = reinterpret_cast<int16_t*>(level_memory.last(2 * n));
    uint16_t* const made = reinterpret_cast<uint16_t*>(symbols.last(2 * n));
    uint8_t* const escapes = counts.last((n + 63) / 64);
    const int32_t base = static_cast<int32_t>(random() % (random() % 2 == 0 ? 25000 : 2000)) - 128;
    for (size_t i = 0; i < n; ++i) {
        levels[i] = static_cast<int16_t>(base + static_cast<int32_t>(random() % 40));
        const int32_t near = (levels[i] >> 3) - 13 + static_cast<int32_t>(random() % 20);
        if (random() % 4 == 0 || near < 0 || near >= 0x10000 >> m) continue;
        store_le(keys.bytes + 2 * i, static_cast<uint16_t>(static_cast<uint32_t>(near) << m | (keys[i] & ((1u << m) - 1))));
    }
    k.scales_symbols(keys.bytes, levels, n, m, made, escapes);
    size_t total = 0;
    for (size_t i = 0; i < n; i += 64) {
        size_t expected = 0;
        for (size_t j = i; j < std::min(i + 64, n); ++j) {
            const int32_t r = std::clamp(static_cast<int32_t>(keys[j] >> m) - (levels[j] >> 3) + 11, 0, 15);
            const uint32_t t = keys[j] & ((1u << m) - 1);
            expected += r == 0 || r == 15;
            check(made[j] == (static_cast<uint32_t>(levels[j] & 7) << (4 + m) | static_cast<uint32_t>(r) << m | t), "symbol", n, k.name);
        }
        check(escapes[i / 64] == expected, "number of escapes", n, k.name);
        total += expected;
    }
    return total;
}

// Levels of the next keys of a block: rows begun in the middle, segments and groups of every size, in two calls.
void block_levels(std::mt19937& random, size_t n) {
    const uint64_t d = 1 + random() % (random() % 4 == 0 ? 7 : 700), S = random() % 3 == 0 ? d : 1 + random() % d;
    const uint64_t g = random() % 2 == 0 ? 1 : 1 + random() % d, first = random() % (uint64_t{1} << (random() % 32));
    const size_t n_columns = static_cast<size_t>((d + g - 1) / g);
    ScalesPlace place{0, first, d, S, g, nullptr, n};
    Guarded columns(n_columns), row_memory(scales_rows(place)), level_memory(2 * n);
    for (size_t i = 0; i < n_columns; ++i) columns.last(n_columns)[i] = static_cast<uint8_t>(random());
    if (random() % 3 != 0) place.columns = reinterpret_cast<int8_t*>(columns.last(n_columns));
    uint8_t* const rows = row_memory.last(scales_rows(place));
    for (size_t i = 0; i < scales_rows(place); ++i) rows[i] = static_cast<uint8_t>(random());
    const uint32_t base = random() % kScalesBaseEnd;
    int16_t* const levels = reinterpret_cast<int16_t*>(level_memory.last(2 * n));
    scalar::RowWalk walk(place);
    const size_t cut = random() % n;
    scalar::scales_levels(walk, base, rows, cut, levels);
    scalar::scales_levels(walk, base, rows, n - cut, levels + cut);
    const auto row_of = [&](uint64_t p) { return p / d * ((d + S - 1) / S) + p % d / S; };
    for (size_t i = 0; i < n; ++i) {
        const int32_t c = place.columns == nullptr ? 0 : place.columns[(first + i) % d / g];
        check(levels[i] == static_cast<int32_t>(base + 2u * rows[row_of(first + i) - row_of(first)]) + c, "level", n);
    }
}

// The level of the mean magnitude of some keys, scales taken off.
template <typename Scale>
int64_t mean_of(const Keys& keys, const std::vector<size_t>& which, uint32_t m, int32_t top, Scale&& scale) {
    uint64_t sum = 0;
    for (const size_t i : which) sum += weight(keys[i], m, scale(i), top);
    return mean_level(sum / which.size(), top);
}

// Row scales of a block, and what a round of training makes of whole rows.
void trained(std::mt19937& random, uint32_t m) {
    const uint64_t d = 1 + random() % (random() % 3 == 0 ? 3000 : 300), S = random() % 2 == 0 ? d : 1 + random() % d;
    const uint64_t g = random() % 2 == 0 ? 1 : 1 + random() % d, first = random() % 2 == 0 ? 0 : random();
    const size_t n = d * (1 + random() % 40), n_columns = (d + g - 1) / g;
    const Keys keys(random, n, m, 50);
    std::vector<int8_t> columns(n_columns);
    for (int8_t& c : columns) c = static_cast<int8_t>(random());
    const ScalesPlace block{m, first, d, S, g, random() % 3 == 0 ? nullptr : columns.data(), n}, rows{m, 0, d, S, g, nullptr, n};
    const auto row_of = [&](uint64_t p) { return p / d * ((d + S - 1) / S) + p % d / S; };
    const auto column_scale = [&](size_t i) { return block.columns == nullptr ? 0 : int32_t{block.columns[(first + i) % d / g]}; };
    const auto levels_by_row = [&](const ScalesPlace& place, auto&& scale) {
        std::vector<std::vector<size_t>> members(scales_rows(place));
        for (size_t i = 0; i < n; ++i) members[row_of(place.first + i) - row_of(place.first)].push_back(i);
        std::vector<uint16_t> levels;
        for (const auto& of : members) {
            int32_t top = INT32_MIN;
            for (const size_t i : of) top = std::max(top, static_cast<int32_t>(keys[i] >> m) - (scale(i) >> 3));
            levels.push_back(static_cast<uint16_t>(std::clamp<int64_t>(mean_of(keys, of, m, top, scale), 0, 65535)));
        }
        return levels;
    };
    const std::vector<uint16_t> of_block = levels_by_row(block, column_scale), of_rows = levels_by_row(rows, [](size_t) { return 0; });

    std::vector<std::vector<size_t>> members(n_columns);
    int32_t top = INT32_MIN;
    const auto row_level = [&](size_t i) { return int32_t{of_rows[row_of(i)]}; };
    for (size_t i = 0; i < n; ++i) {
        members[i % d / g].push_back(i);
        top = std::max(top, static_cast<int32_t>(keys[i] >> m) - (row_level(i) >> 3));
    }
    std::vector<int64_t> scales;
    int64_t total = 0;
    for (const auto& of : members) scales.push_back(std::max<int64_t>(mean_of(keys, of, m, top, row_level), -4096));
    for (const int64_t scale : scales) total += scale;
    std::vector<int8_t> expected;
    for (const int64_t scale : scales)
        expected.push_back(static_cast<int8_t>(std::clamp<int64_t>(scale - total / static_cast<int64_t>(n_columns), -128, 127)));

    const Kernels* list[3];
    const size_t targets = available_targets(list);
    int64_t price = 0;
    for (size_t k = 0; k < targets; ++k) {
        std::vector<uint16_t> levels(of_block.size());
        scales_row_levels(*list[k], block, keys.bytes, levels.data());
        check(levels == of_block, "row scales", n, list[k]->name);
        std::vector<uint64_t> sums(n_columns);
        std::vector<int8_t> found(n_columns);
        levels.resize(std::max(of_rows.size(), levels.size()));
        scales_fit(*list[k], rows, keys.bytes, 1, found.data(), sums.data(), levels.data());
        check(found == expected, "column scales", n, list[k]->name);
        const int64_t cost = scales_fit(*list[k], rows, keys.bytes, 2, found.data(), sums.data(), levels.data());
        if (k == 0) price = cost;
        check(cost == price, "price differs from scalar", n, list[k]->name);
    }
}

// Words and states of every target, with tables of which one symbol may have all but a few of the slots: states then reach 2^32.
void encoded(std::mt19937& random, size_t n, uint32_t m) {
    const uint32_t alphabet = 16u << m;
    std::vector<uint8_t> tables(2 * scales_frequencies(m));
    std::vector<uint16_t> symbols(n + kGroup), likely;
    for (uint32_t p = 0; p < kPhases; ++p) {
        std::vector<uint32_t> f(alphabet, random() % 2);
        uint32_t left = kScalesSlots;
        for (const uint32_t some : f) left -= some;
        const uint32_t one = random() % alphabet, other = (one + 1) % alphabet, share = 1 + random() % (random() % 2 == 0 ? left - 1 : 4);
        f[one] += left - share;
        f[other] += share;
        for (uint32_t s = 0; s < alphabet; ++s) {
            store_le(tables.data() + 2 * (p * alphabet + s), static_cast<uint16_t>(f[s]));
            if (f[s] != 0) likely.insert(likely.end(), s == one ? alphabet : 1, static_cast<uint16_t>(p * alphabet + s));
        }
    }
    for (size_t i = 0; i < n; ++i) symbols[i] = likely[random() % likely.size()];
    auto table = std::make_unique<ScalesTable>();
    auto encode = std::make_unique<ScalesEncodeTable>();
    check(build_scales_table(tables.data(), m, table.get()), "valid tables refused", n);
    build_scales_encode_table(*table, tables.data(), encode.get());
    const Kernels* list[3];
    const size_t targets = available_targets(list);
    std::vector<uint8_t> expected;
    for (size_t k = 0; k < targets; ++k) {
        std::vector<uint8_t> words(2 * n + 64), coded(kStateBytes);
        size_t n_words = 0;
        list[k]->scales_encode(*encode, symbols.data(), n, coded.data(), words.data() + words.size(), &n_words);
        coded.insert(coded.end(), words.end() - static_cast<ptrdiff_t>(2 * n_words), words.end());
        if (k == 0) expected = coded;
        check(coded == expected, "words differ from scalar", n, list[k]->name);
    }
}

}  // namespace

int main() {
    std::mt19937 random(5);
    const Kernels* list[3];
    const size_t targets = available_targets(list);
    size_t escapes = 0;
    for (size_t round = 0; round < 1200; ++round) {
        const size_t n = 1 + (round < 300 ? round : random() % 4096);
        for (size_t k = 0; k < targets; ++k) {
            levels_of(random, *list[k], n, random() % 4);
            column_sums(random, *list[k], n, random() % 4);
            escapes += symbols_of(random, *list[k], n, random() % 4);
        }
        block_levels(random, n);
        encoded(random, n, random() % 4);
        if (round % 4 == 0) trained(random, random() % 4);
    }
    check(escapes > 10000, "the test has lost its teeth", escapes);
    std::printf("%zu targets, %zu escapes, %d failures\n", targets, escapes, testing::failures);
    return testing::failures == 0 ? 0 : 1;
}
