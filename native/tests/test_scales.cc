// Every target against the scalar one: levels, symbols and decoded keys; then streams that lie, with no memory to spare around them.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "guarded.h"
#include "pennyweight/bytes.h"
#include "pennyweight/kernels.h"

using namespace pennyweight;
using testing::check;
using testing::Guarded;

namespace {

struct Coded {
    ScalesPlace place;
    std::vector<int8_t> columns;
    std::vector<uint8_t> keys, tables, rows, escapes, payload;
    uint32_t base;
    size_t n_words;
};

// Frequencies that hold all symbols; `skew` of the slots go to a few.
std::vector<uint8_t> frequencies(std::mt19937& random, uint32_t m, uint32_t skew) {
    const uint32_t alphabet = 16u << m;
    std::vector<uint8_t> bytes(2 * scales_frequencies(m));
    for (uint32_t p = 0; p < kPhases; ++p) {
        std::vector<uint32_t> f(alphabet, 1);
        for (uint32_t left = kScalesSlots - alphabet; left > 0;) {
            const uint32_t some = std::min(left, 1 + static_cast<uint32_t>(random()) % skew);
            f[random() % alphabet] += some;
            left -= some;
        }
        for (uint32_t s = 0; s < alphabet; ++s) store_le(bytes.data() + 2 * (p * alphabet + s), static_cast<uint16_t>(f[s]));
    }
    return bytes;
}

// Keys around the levels of a random geometry; one in `rare` anywhere.
bool make(std::mt19937& random, size_t n, uint32_t m, uint32_t rare, Coded* made) {
    const uint64_t d = 1 + random() % (random() % 4 == 0 ? 7 : 700), S = 1 + random() % d, g = random() % 2 == 0 ? 1 : 1 + random() % d;
    made->place = {m, random() % (uint64_t{1} << (random() % 47)), d, S, g, nullptr, n};
    if (random() % 3 != 0) {
        made->columns.resize((d + g - 1) / g);
        for (int8_t& c : made->columns) c = static_cast<int8_t>(random() % 4 == 0 ? random() : random() % 16);
        made->place.columns = made->columns.data();
    }
    made->keys.resize(2 * n);
    const uint32_t top = (1u << (m == 3 ? 11 : 8)) - 1, middle = 20 + random() % (top / 2);
    for (size_t i = 0; i < n; ++i) {
        const uint32_t column = (made->place.first + i) % d / g, drop = static_cast<uint32_t>(__builtin_ctz(random() | 256));
        int32_t e = static_cast<int32_t>(middle - drop + (made->columns.empty() ? 0 : made->columns[column] / 8));
        if (random() % rare == 0) e -= static_cast<int32_t>(random() % 60) - (random() % 8 == 0 ? 62 : 0);
        e = std::clamp(e, 0, static_cast<int32_t>(top));
        store_le(made->keys.data() + 2 * i, static_cast<uint16_t>(e << m | (random() & ((1u << m) - 1))));
    }
    made->tables = frequencies(random, m, 1 + random() % 3000);
    auto table = std::make_unique<ScalesTable>();
    auto encode = std::make_unique<ScalesEncodeTable>();
    check(build_scales_table(made->tables.data(), m, table.get()), "valid tables refused", n);
    build_scales_encode_table(*table, made->tables.data(), encode.get());

    const Kernels* list[3];
    const size_t targets = available_targets(list);
    const size_t rows = scales_rows(made->place);
    std::vector<uint16_t> levels(rows), symbols(n + kGroup), expected_levels, expected_symbols;
    bool coded = false;
    for (size_t k = 0; k < targets; ++k) {
        Guarded keys(2 * n), columns(made->columns.size());
        ScalesPlace place = made->place;
        if (place.columns != nullptr) {
            place.columns = reinterpret_cast<int8_t*>(columns.copy(reinterpret_cast<const uint8_t*>(place.columns), made->columns.size()));
        }
        std::vector<uint8_t> scales(rows), escapes(n);
        ScalesSymbols symbol{0, scales.data(), symbols.data(), escapes.data(), 0};
        const uint8_t* src = keys.copy(made->keys.data(), 2 * n);
        scales_row_levels(*list[k], place, src, levels.data());
        if (k == 0) expected_levels = levels;
        check(levels == expected_levels, "row levels differ from scalar", n, list[k]->name);
        coded = scales_symbols(*list[k], place, src, levels.data(), &symbol);
        if (!coded) continue;
        if (k == 0) expected_symbols = symbols;
        check(symbols == expected_symbols, "symbols differ from scalar", n, list[k]->name);
        std::vector<uint8_t> words(2 * n + 256), payload(kStateBytes);
        size_t n_words = 0;
        list[k]->scales_encode(*encode, symbols.data(), n, payload.data(), words.data() + words.size(), &n_words);
        payload.insert(payload.end(), words.end() - static_cast<ptrdiff_t>(2 * n_words), words.end());
        escapes.resize(symbol.n_escape_bytes);
        if (k == 0) {
            made->rows = scales;
            made->escapes = escapes;
            made->base = symbol.base;
            made->payload = payload;
            made->n_words = n_words;
        }
        check(payload == made->payload && escapes == made->escapes, "payload differs from scalar", n, list[k]->name);
    }
    return coded;
}

// With every buffer at the end of its memory. The verdict, and the keys, must be those of the scalar kernel.
bool decode(const Kernels& k, const Coded& c, std::vector<uint8_t>* keys) {
    auto table = std::make_unique<ScalesTable>();
    if (!build_scales_table(c.tables.data(), c.place.mantissa_bits, table.get())) return false;
    Guarded columns(c.columns.size()), rows(c.rows.size()), escapes(c.escapes.size()), payload(c.payload.size()), out(2 * c.place.n);
    ScalesPlace place = c.place;
    if (place.columns != nullptr) {
        place.columns = reinterpret_cast<int8_t*>(columns.copy(reinterpret_cast<const uint8_t*>(c.columns.data()), c.columns.size()));
    }
    const bool ok =
        k.scales_decode(*table, {place, c.base, rows.copy(c.rows.data(), c.rows.size()), escapes.copy(c.escapes.data(), c.escapes.size()),
                                 c.escapes.size(), payload.copy(c.payload.data(), c.payload.size()), c.n_words, out.last(2 * place.n)});
    keys->assign(out.last(2 * place.n), out.last(2 * place.n) + 2 * place.n);
    return ok;
}

void lie(std::mt19937& random, Coded& c) {
    std::vector<uint8_t>* const all[] = {&c.rows, &c.escapes, &c.payload, &c.payload, &c.tables};
    std::vector<uint8_t>& bytes = *all[random() % 5];
    switch (random() % 6) {
        case 0:
            c.n_words -= c.n_words > 0;
            c.payload.resize(kStateBytes + 2 * c.n_words);
            break;
        case 1:
            ++c.n_words;
            c.payload.resize(kStateBytes + 2 * c.n_words);
            break;
        case 2: c.escapes.resize(c.escapes.size() + 1); break;
        case 3: c.base = random() % kScalesBaseEnd; break;
        default:
            if (!bytes.empty()) bytes[random() % bytes.size()] ^= static_cast<uint8_t>(1u << (random() % 8));
    }
}

}  // namespace

int main() {
    std::mt19937 random(11);
    const Kernels* list[3];
    const size_t targets = available_targets(list);
    size_t coded = 0, refused = 0, escaped = 0;
    for (int round = 0; round < 900; ++round) {
        const size_t n = round < 300 ? 1 + static_cast<size_t>(round) : 1 + random() % 12000;
        Coded c;
        if (!make(random, n, random() % 4, round % 2 == 0 ? 1000000 : 100, &c)) continue;
        ++coded;
        escaped += !c.escapes.empty();
        std::vector<uint8_t> keys, expected;
        for (size_t k = 0; k < targets; ++k) {
            check(decode(*list[k], c, &keys), "valid stream refused", n, list[k]->name);
            check(keys == c.keys, "keys differ", n, list[k]->name);
        }
        for (int i = 0; i < 6; ++i) {
            Coded damaged = c;
            if (damaged.place.columns != nullptr) damaged.place.columns = damaged.columns.data();
            lie(random, damaged);
            const bool good = decode(*list[0], damaged, &expected);
            refused += !good;
            for (size_t k = 1; k < targets; ++k) {
                check(decode(*list[k], damaged, &keys) == good, "another verdict than scalar", n, list[k]->name);
                check(!good || keys == expected, "keys of a damaged stream differ from scalar", n, list[k]->name);
            }
        }
    }
    check(coded > 500 && escaped > 150 && refused > 2000, "the test has lost its teeth", coded);
    std::printf("%zu coded, %zu with escapes, %zu lies refused, %d failures\n", coded, escaped, refused, testing::failures);
    return testing::failures == 0 ? 0 : 1;
}
