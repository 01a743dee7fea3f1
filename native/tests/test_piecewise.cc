// Streams in pieces on every target, cut and damaged ones too, and quants that lie: memory ends at a guard.
#include <cstdio>
#include <cstring>
#include <random>
#include <vector>

#include "guarded.h"
#include "pennyweight/cells.h"
#include "pennyweight/kernels.h"
#include "pennyweight/piecewise.h"

namespace {

using namespace pennyweight;
using testing::check;
using testing::Guarded;

// Whether pieces decode, on the target in use, and to what.
bool decodes(const Pieces& pieces, const std::vector<uint8_t>& payload, uint32_t bits, uint8_t* out, size_t n) {
    Guarded words(payload.size());
    const uint8_t* const src = words.copy(payload.data(), payload.size());
    return piecewise_decode(pieces.groups, pieces.frequencies.data(), pieces.frequencies.size(), src, (payload.size() - kStateBytes) / 2,
                            bits, out, n);
}

void stream(const char* target, size_t n, uint32_t bits, std::mt19937_64& random) {
    std::vector<uint8_t> symbols(n);
    for (size_t i = 0; i < n; ++i) {
        std::geometric_distribution<uint32_t> crowded(0.1 + 0.2 * static_cast<double>(4 * i / n));
        symbols[i] = static_cast<uint8_t>(crowded(random) & ((1u << bits) - 1));
    }
    Pieces pieces, again;
    if (!piecewise_encode(symbols.data(), n, bits, &pieces)) return;
    Guarded copy(n), out(n), theirs(n);
    check(piecewise_encode(copy.copy(symbols.data(), n), n, bits, &again), "declined the second time", n, target);
    check(again.groups == pieces.groups && again.payload == pieces.payload, "not the same the second time", n, target);
    check(decodes(pieces, pieces.payload, bits, out.last(n), n), "a stream was refused", n, target);
    check(std::memcmp(out.last(n), symbols.data(), n) == 0, "symbols differ", n, target);
    for (size_t cut = 2; cut + kStateBytes <= pieces.payload.size(); cut += cut < 100 ? 2 : 778) {
        std::vector<uint8_t> shorter(pieces.payload.begin(), pieces.payload.end() - static_cast<ptrdiff_t>(cut));
        check(!decodes(pieces, shorter, bits, out.last(n), n), "a cut stream was accepted", n, target);
    }
    for (int round = 0; round < 40; ++round) {
        std::vector<uint8_t> damaged = pieces.payload;
        damaged[random() % damaged.size()] ^= static_cast<uint8_t>(1 + random() % 255);
        const bool answer = decodes(pieces, damaged, bits, out.last(n), n);
        set_target("scalar");
        const bool expected = decodes(pieces, damaged, bits, theirs.last(n), n);
        set_target(target);
        check(answer == expected, "damage seen differently", n, target);
        check(!answer || std::memcmp(out.last(n), theirs.last(n), n) == 0, "damaged symbols differ", n, target);
    }
}

void quants(size_t n_groups, size_t group, std::mt19937_64& random) {
    Extremes extremes{};
    extremes.n_sets = 2;
    extremes.size[0] = extremes.size[1] = 1;
    extremes.quant[1][0] = 15;
    extremes.set[0] = 1;
    extremes.set[15] = 2;
    const size_t n = n_groups * group;
    Guarded src(n), classes(n_groups), first(2 * n_groups), left(n), out(n);
    for (size_t i = 0; i < n; ++i) src.last(n)[i] = random() & 15;
    for (size_t i = 0; i < n_groups; ++i) classes.last(n_groups)[i] = random() & 15;
    uint8_t* const at = first.last(2 * n_groups);
    const size_t n_left = sort_quants(src.last(n), n_groups, group, classes.last(n_groups), extremes, at, left.last(n));
    const auto unsort = [&](size_t count) {
        Guarded some(count);
        const uint8_t* const sorted = some.copy(left.last(n), count);
        return unsort_quants(sorted, count, at, n_groups, group, classes.last(n_groups), extremes, out.last(n));
    };
    check(unsort(n_left) && std::memcmp(out.last(n), src.last(n), n) == 0, "quants differ", n);
    check(n_left == 0 || !unsort(n_left - 1), "a quant too few was accepted", n);
    for (int round = 0; round < 60; ++round) {  // whatever first says, nothing outside is touched
        uint8_t& one = at[random() % (2 * n_groups)];
        const uint8_t before = one;
        one = static_cast<uint8_t>(random());
        unsort(n_left);
        one = before;
    }
}

}  // namespace

int main() {
    const Kernels* list[3];
    const size_t n_targets = available_targets(list);
    std::mt19937_64 random(5);
    for (size_t t = 0; t < n_targets; ++t) {
        set_target(list[t]->name);
        for (const uint32_t bits : {4u, 5u, 8u}) {
            for (const size_t n : {2, 100, 128, 129, 512, 513, 1000, 1537, 5000, 30000}) stream(list[t]->name, n, bits, random);
        }
    }
    for (const size_t group : {8, 16, 32}) {
        for (const size_t n_groups : {1, 2, 33, 500}) quants(n_groups, group, random);
    }
    std::printf("%d failures\n", testing::failures);
    return testing::failures != 0;
}
