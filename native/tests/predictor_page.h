// The decoder of stages/entropy/linear_predictor.md, word by word and slow: what the kernels are compared with. It shares nothing with
// them.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "pennyweight/bytes.h"

namespace pennyweight::testing {

// A coded block and its side frames, as they stand in a file.
struct Predicted {
    uint64_t first = 0, d = 1, S = 1, g = 1;
    size_t n = 1;
    std::vector<int8_t> columns, residuals;
    uint32_t w = 0;
    size_t n_triangles = 0;
    std::vector<uint8_t> triangles, tables, rows, escapes, payload;
    uint32_t base = 0;
};

inline int64_t div(int64_t a, int64_t b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }
inline int64_t mod(int64_t a, int64_t b) { return a - div(a, b) * b; }

struct Slot {
    uint32_t symbol, rank;
};

// rans.md, "Slots", with 2^14 of them. Empty where the frequencies are all 0; false where they break the page.
inline bool page_slots(const uint8_t* bytes, std::vector<uint32_t>& f, std::vector<Slot>& slots) {
    constexpr uint32_t A = 128, S = 16384 / A;
    f.resize(A);
    slots.clear();
    uint32_t sum = 0;
    bool below = true;
    for (uint32_t s = 0; s < A; ++s) {
        f[s] = load_le<uint16_t>(bytes + 2 * s);
        sum += f[s];
        below &= f[s] < 16384;
    }
    if (sum == 0) return true;
    if (sum != 16384 || !below) return false;
    std::vector<uint32_t> rest = f, threshold(A, S), alias(A), small, large;
    for (uint32_t s = 0; s < A; ++s) {
        alias[s] = s;
        (rest[s] < S ? small : large).push_back(s);
    }
    while (!small.empty() && !large.empty()) {
        const uint32_t s = small.back(), l = large.back();
        small.pop_back();
        threshold[s] = rest[s];
        alias[s] = l;
        rest[l] -= S - rest[s];
        if (rest[l] < S) {
            large.pop_back();
            small.push_back(l);
        }
    }
    std::vector<uint32_t> used = threshold;
    slots.resize(16384);
    for (uint32_t b = 0; b < A; ++b) {
        for (uint32_t o = 0; o < threshold[b]; ++o) slots[o * A + b] = {b, o};
        for (uint32_t o = threshold[b]; o < S; ++o) slots[o * A + b] = {alias[b], used[alias[b]]++};
    }
    return true;
}

// How often each class was met, for a test to see that it met them all.
struct PageTally {
    size_t of_class[12] = {}, zeros = 0, below = 0, above = 0;
};

inline bool page_decode(const Predicted& c, std::vector<uint8_t>& keys, PageTally* tally = nullptr) {
    static constexpr int64_t T8[8] = {32768, 30048, 27554, 25268, 23170, 21247, 19484, 17867};
    std::vector<std::vector<uint32_t>> f(96);
    std::vector<std::vector<Slot>> slots(96);
    for (uint32_t i = 0; i < 96; ++i) {
        if (!page_slots(c.tables.data() + 256 * i, f[i], slots[i])) return false;
    }
    uint64_t x[32];
    for (int l = 0; l < 32; ++l) {
        x[l] = load_le<uint32_t>(c.payload.data() + 4 * l);
        if (x[l] < 1 << 16) return false;
    }
    size_t word = 128, nibble = 0;
    const auto next_nibble = [&]() -> int64_t {
        if (nibble == 2 * c.escapes.size()) return -1;
        const uint8_t both = c.escapes[nibble / 2];
        return nibble++ % 2 == 0 ? both & 15 : both >> 4;
    };
    const auto next_distance = [&]() -> int64_t {
        for (int64_t v = 0;;) {
            const int64_t digit = next_nibble();
            if (digit < 0) return -1;
            v += digit;
            if (digit < 15) return v;
        }
    };
    std::vector<int64_t> z(c.n);
    keys.assign(2 * c.n, 0);
    const int64_t d = static_cast<int64_t>(c.d), S = static_cast<int64_t>(c.S), first = static_cast<int64_t>(c.first), q = (d + S - 1) / S;
    const auto t_of = [&](int64_t p) { return p / d % (int64_t{1} << 40) * q + p % d / S; };
    const int64_t last_row = (first + static_cast<int64_t>(c.n) - 1) / d;
    for (int64_t batch = first / d; batch <= last_row; batch += 32) {
        for (int64_t j = 0; j < d; ++j) {
            for (int l = 0; l < 32; ++l) {
                const int64_t p = (batch + l) * d + j, i = p - first;
                if (i < 0 || i >= static_cast<int64_t>(c.n)) continue;
                const int64_t row = c.rows[static_cast<size_t>(t_of(p) - t_of(first))];
                const int64_t L = c.base + 2 * row + (c.columns.empty() ? 0 : c.columns[static_cast<size_t>(j) / c.g]);
                int64_t u = 0, cls = 0, R = L;
                if (c.w != 0) {
                    const int64_t w = c.w, in_band = j % w, frame = 2 * w + w * (w - 1) / 2;
                    const uint8_t* triangle = c.triangles.data() + j / w % static_cast<int64_t>(c.n_triangles) * frame;
                    int64_t sum = 0;
                    for (int64_t k = 0; k < in_band; ++k) {
                        const int64_t a = static_cast<int8_t>(triangle[2 * w + in_band * (in_band - 1) / 2 + k]), before = i - in_band + k;
                        sum += a * (before < 0 ? 0 : z[static_cast<size_t>(before)]);
                    }
                    u = div(static_cast<int32_t>(static_cast<uint32_t>(static_cast<uint64_t>(sum))), 64) +
                        load_le<int16_t>(triangle + 2 * in_band);
                    const int64_t r = c.residuals[static_cast<size_t>(j)], a = std::min<int64_t>(std::abs(u), 32767);
                    const int64_t v =
                        std::min<int64_t>(511, a * (T8[mod(r, 8)] >> 5) >> std::min<int64_t>(31, std::max<int64_t>(0, 16 + div(r, 8))));
                    for (const int64_t threshold : {2, 5, 8, 12, 17, 24, 36, 64, 112, 208, 400}) cls += threshold <= v;
                    R = L + r;
                    if (cls >= 7) {
                        int64_t log = 0;
                        while (a >> log > 1) ++log;
                        R = L + 8 * log + 8 * a / (int64_t{1} << log) - 88;
                    }
                }
                const size_t context = static_cast<size_t>(12 * mod(R, 8) + cls);
                if (slots[context].empty()) return false;
                const Slot slot = slots[context][x[l] % 16384];
                x[l] = f[context][slot.symbol] * (x[l] / 16384) + slot.rank;
                if (x[l] < 1 << 16) {
                    if (word == c.payload.size()) return false;
                    x[l] = x[l] << 16 | load_le<uint16_t>(c.payload.data() + word);
                    word += 2;
                }
                const int64_t r = slot.symbol >> 2 & 15, s = (slot.symbol >> 6) ^ (u < 0);
                int64_t t = slot.symbol & 3, e = div(R, 8) - 11 + r;
                if (r == 0 && t == 0) {
                    e = 0;
                } else if (r == 0) {
                    if (t > 1) return false;
                    const int64_t distance = next_distance();
                    t = next_nibble();
                    if (distance < 0 || t < 0 || t > 3) return false;
                    e -= distance;
                } else if (r == 15) {
                    const int64_t distance = next_distance();
                    if (distance < 0) return false;
                    e += distance;
                }
                if (e < 0 || e >= 1 << 13) return false;
                if (tally != nullptr) {
                    ++tally->of_class[cls];
                    tally->zeros += r == 0 && (slot.symbol & 3) == 0;
                    tally->below += r == 0 && (slot.symbol & 3) == 1;
                    tally->above += r == 15;
                }
                store_le(keys.data() + 2 * i, static_cast<uint16_t>(s << 15 | e << 2 | t));
                const int64_t size = (9 | 2 * t) * T8[mod(L, 8)] >> std::min<int64_t>(31, std::max<int64_t>(4, 8 + div(L, 8) - e));
                z[static_cast<size_t>(i)] = s == 1 ? -size : size;
            }
        }
    }
    for (const uint64_t state : x) {
        if (state != 1 << 16) return false;
    }
    while (nibble % 2 != 0) {
        if (next_nibble() != 0) return false;
    }
    return nibble == 2 * c.escapes.size() && word == c.payload.size();
}

}  // namespace pennyweight::testing
