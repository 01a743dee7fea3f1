// Cells of quantised types: quants put back where any numbers say, and every quant that is sorted comes back.
#include <algorithm>

#include "input.h"
#include "pennyweight/cells.h"

using namespace pennyweight;
using namespace pennyweight::fuzz;

namespace {

constexpr size_t kMaxGroups = 64, kMaxQuants = 64 * kMaxGroups, kMaxCells = 8, kMaxCellBytes = 256;

// Groups and sets as the types have them, and the most numbers for a place.
struct Kind {
    size_t group;
    std::vector<std::vector<uint8_t>> sets;
};
const Kind kKinds[] = {{8, {}},           {32, {{0}}},         {32, {{0}, {15}}}, {32, {{1, 255}}}, {16, {{0, 1, 62, 63}}},
                       {64, {{7, 8, 9}}}, {16, {{0}, {3, 2}}}, {52, {}},          {1, {{5}, {6}}}};

Room quants_room(kMaxQuants), left_room(kMaxQuants), first_room(kMaxSets* kMaxGroups), classes_room(kMaxGroups), back_room(kMaxQuants);
Room cells_room(kMaxCells* kMaxCellBytes), numbers_room(kMaxCells * kMaxCellBytes * 8), again_room(kMaxCells* kMaxCellBytes);

Extremes extremes_of(const Kind& kind) {
    Extremes made{};
    made.n_sets = kind.sets.size();
    for (size_t s = 0; s < kind.sets.size(); ++s) {
        for (const uint8_t quant : kind.sets[s]) {
            made.set[quant] = static_cast<uint8_t>(s + 1);
            made.number[quant] = made.size[s];
            made.quant[s][made.size[s]++] = quant;
        }
    }
    return made;
}

uint8_t* classes_from(Input& in, size_t n_groups) {
    Bytes classes = in.filled(n_groups);
    for (uint8_t& one : classes) one %= kGroupClasses;
    return classes_room.copy(classes);
}

void round_trip(const uint8_t* quants, size_t n_groups, const Kind& kind, const Extremes& extremes, const uint8_t* classes) {
    const size_t n = n_groups * kind.group;
    Bytes first(n_groups * extremes.n_sets), left(n), back(n);
    left.resize(sort_quants(quants, n_groups, kind.group, classes, extremes, first.data(), left.data()));
    const uint8_t* const sorted = left_room.copy(left);
    const uint8_t* const at = first_room.copy(first);
    uint8_t* const out = back_room.exactly(n);
    demand(unsort_quants(sorted, left.size(), at, n_groups, kind.group, classes, extremes, out), "what was sorted is refused");
    demand(same(out, quants, n), "other quants come back");
}

void unsort(Input& in) {
    const Kind& kind = kKinds[in.below(std::size(kKinds))];
    const Extremes extremes = extremes_of(kind);
    const size_t n_groups = 1 + in.below(kMaxGroups), n = n_groups * kind.group;
    const uint8_t* const classes = classes_from(in, n_groups);
    const uint8_t* const first = first_room.copy(in.filled(n_groups * extremes.n_sets));
    const Bytes left = in.filled(std::min<size_t>(in.number<uint16_t>(), n));
    uint8_t* const out = quants_room.exactly(n);
    const bool good = unsort_quants(left_room.copy(left), left.size(), first, n_groups, kind.group, classes, extremes, out);
    Verdict().hear(scalar_kernels(), good, out, n);
    if (good) round_trip(out, n_groups, kind, extremes, classes);
}

void sort(Input& in) {
    const Kind& kind = kKinds[in.below(std::size(kKinds))];
    const size_t n_groups = 1 + in.below(kMaxGroups);
    const uint8_t* const classes = classes_from(in, n_groups);
    round_trip(quants_room.copy(in.filled(n_groups * kind.group)), n_groups, kind, extremes_of(kind), classes);
    ++accepted;
}

void planes(Input& in) {
    const uint32_t bits = 1u << in.below(4), shift = in.below(9 - bits);
    const size_t run = 1 + in.below(64), n_bytes = run * (1 + in.below(static_cast<uint32_t>(kMaxCellBytes / run / 2)));
    const size_t at = in.below(static_cast<uint32_t>(kMaxCellBytes - n_bytes + 1)), cell_bytes = at + n_bytes + in.below(3);
    const size_t n_cells = 1 + in.below(kMaxCells);
    if (cell_bytes > kMaxCellBytes) return;
    const Plane plane{at, n_bytes, bits, run};
    const Bytes original = in.filled(n_cells * cell_bytes);
    const uint8_t* const cells = cells_room.copy(original);
    uint8_t* const numbers = numbers_room.copy(Bytes(n_cells * n_bytes * 8 / bits));
    take_plane(cells, n_cells, cell_bytes, plane, shift, numbers);
    Bytes spoilt = original;
    for (size_t i = 0; i < n_cells; ++i)
        std::fill_n(spoilt.begin() + static_cast<std::ptrdiff_t>(i * cell_bytes + at), n_bytes, uint8_t{0xA5});
    uint8_t* const again = again_room.copy(spoilt);
    put_plane(numbers, n_cells, cell_bytes, plane, shift, again);
    demand(same(again, cells, n_cells * cell_bytes), "other cells come back");
    ++accepted;
}

constexpr void (*kWays[])(Input&) = {unsort, sort, planes};

}  // namespace

// A byte chooses the way; what follows is what each of them reads above.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t n_bytes) {
    Input in(data, std::min<size_t>(n_bytes, 4096));
    kWays[in.below(std::size(kWays))](in);
    return 0;
}

std::vector<Bytes> seeds() {
    std::vector<Bytes> made;
    Random random{5};
    for (size_t k = 0; k < std::size(kKinds); ++k) {
        const Kind& kind = kKinds[k];
        const Extremes extremes = extremes_of(kind);
        for (const size_t n_groups : {1, 7, 64}) {
            Bytes quants(n_groups * kind.group), classes(n_groups), first(n_groups * extremes.n_sets), left(quants.size());
            for (uint8_t& quant : quants) quant = static_cast<uint8_t>(random.skewed() + 2 * random.below(2));
            for (uint8_t& one : classes) one = static_cast<uint8_t>(random.below(kGroupClasses));
            left.resize(sort_quants(quants.data(), n_groups, kind.group, classes.data(), extremes, first.data(), left.data()));
            Seed sorted, plain;
            sorted.byte(0).byte(k).byte(n_groups - 1).add(classes).add(first).number(static_cast<uint16_t>(left.size())).add(left);
            made.push_back(sorted.bytes);
            made.push_back(plain.byte(1).byte(k).byte(n_groups - 1).add(classes).add(quants).bytes);
        }
    }
    for (size_t bits = 0; bits < 4; ++bits) {
        Bytes cells(600);
        for (uint8_t& byte : cells) byte = static_cast<uint8_t>(random.next());
        made.push_back(Seed().byte(2).byte(bits).byte(0).byte(15).byte(1).byte(2).byte(1).byte(7).add(cells).bytes);
    }
    return made;
}
