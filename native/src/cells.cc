#include "pennyweight/cells.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace pennyweight {

void take_plane(const uint8_t* cells, size_t n_cells, size_t cell_bytes, const Plane& plane, uint32_t shift, uint8_t* numbers) {
    const uint8_t mask = static_cast<uint8_t>((1u << plane.bits) - 1);
    for (size_t i = 0; i < n_cells; ++i) {
        const uint8_t* const src = cells + i * cell_bytes + plane.at;
        for (size_t begin = 0; begin < plane.n_bytes; begin += plane.run) {
            for (uint32_t low = 0; low < 8; low += plane.bits) {
                for (size_t j = 0; j < plane.run; ++j) {
                    numbers[j] = static_cast<uint8_t>(numbers[j] | (src[begin + j] >> low & mask) << shift);
                }
                numbers += plane.run;
            }
        }
    }
}

void put_plane(const uint8_t* numbers, size_t n_cells, size_t cell_bytes, const Plane& plane, uint32_t shift, uint8_t* cells) {
    const uint8_t mask = static_cast<uint8_t>((1u << plane.bits) - 1);
    for (size_t i = 0; i < n_cells; ++i) {
        uint8_t* const dst = cells + i * cell_bytes + plane.at;
        std::memset(dst, 0, plane.n_bytes);
        for (size_t begin = 0; begin < plane.n_bytes; begin += plane.run) {
            for (uint32_t low = 0; low < 8; low += plane.bits) {
                for (size_t j = 0; j < plane.run; ++j) {
                    dst[begin + j] = static_cast<uint8_t>(dst[begin + j] | (numbers[j] >> shift & mask) << low);
                }
                numbers += plane.run;
            }
        }
    }
}

namespace {

// Quants begin <= p < end of a group, which stand behind the same extremes.
struct Run {
    size_t begin, end, behind;
};

// The runs of a group whose sets have their first extremes at these places, `group` where there is none: one more than there are sets.
std::array<Run, kMaxSets + 1> runs_of(const size_t* at, size_t n_sets, size_t group) {
    if (n_sets == 0) return {Run{0, group, 0}};
    if (n_sets == 1) return {Run{0, at[0], 0}, Run{std::min(at[0] + 1, group), group, 1}};
    const size_t one = at[0] < at[1] ? 0 : 1, near = at[one], far = at[1 - one];
    return {Run{0, near, 0}, Run{std::min(near + 1, far), far, size_t{1} << one}, Run{std::min(far + 1, group), group, 3}};
}

using Starts = std::array<size_t, kGroupClasses << kMaxSets>;

// Where the quants of each class begin, from how many there are.
size_t make_starts(Starts& counts) {
    size_t sum = 0;
    for (size_t& count : counts) {
        const size_t n = count;
        count = sum;
        sum += n;
    }
    return sum;
}

// Visits all runs of all groups: f(class, first quant, how many).
template <typename F>
void each_run(const uint8_t* first, size_t n_groups, size_t group, const uint8_t* classes, const Extremes& extremes, F f) {
    for (size_t i = 0; i < n_groups; ++i) {
        size_t at[kMaxSets] = {group, group};
        for (size_t s = 0; s < extremes.n_sets; ++s) {
            const size_t value = first[s * n_groups + i];
            if (value < group * extremes.size[s]) at[s] = value % group;
        }
        const auto runs = runs_of(at, extremes.n_sets, group);
        for (size_t r = 0; r <= extremes.n_sets; ++r) {
            f(runs[r].behind * kGroupClasses + classes[i], i * group + runs[r].begin, runs[r].end - runs[r].begin);
        }
    }
}

size_t starts_of(const uint8_t* first, size_t n_groups, size_t group, const uint8_t* classes, const Extremes& extremes, Starts& starts) {
    starts.fill(0);
    each_run(first, n_groups, group, classes, extremes, [&](size_t c, size_t, size_t n) { starts[c] += n; });
    return make_starts(starts);
}

}  // namespace

size_t sort_quants(const uint8_t* quants, size_t n_groups, size_t group, const uint8_t* classes, const Extremes& extremes, uint8_t* first,
                   uint8_t* left) {
    for (size_t s = 0; s < extremes.n_sets; ++s) {
        for (size_t i = 0; i < n_groups; ++i) {
            const uint8_t* const q = quants + i * group;
            size_t at = 0;
            while (at < group && extremes.set[q[at]] != s + 1) ++at;
            const size_t number = at < group ? extremes.number[q[at]] : extremes.size[s];
            first[s * n_groups + i] = static_cast<uint8_t>(number * group + (at < group ? at : 0));
        }
    }
    Starts next;
    const size_t n_left = starts_of(first, n_groups, group, classes, extremes, next);
    each_run(first, n_groups, group, classes, extremes, [&](size_t c, size_t at, size_t n) {
        std::copy_n(quants + at, n, left + next[c]);
        next[c] += n;
    });
    return n_left;
}

bool unsort_quants(const uint8_t* left, size_t n_left, const uint8_t* first, size_t n_groups, size_t group, const uint8_t* classes,
                   const Extremes& extremes, uint8_t* quants) {
    for (size_t i = 0; i < n_groups; ++i) {
        size_t taken = group;
        for (size_t s = 0; s < extremes.n_sets; ++s) {
            const size_t value = first[s * n_groups + i], number = value / group, at = value % group;
            if (number > extremes.size[s] || (number == extremes.size[s] && at != 0)) return false;
            if (number == extremes.size[s]) continue;
            if (at == taken) return false;
            taken = at;
            quants[i * group + at] = extremes.quant[s][number];
        }
    }
    Starts next;
    if (starts_of(first, n_groups, group, classes, extremes, next) != n_left) return false;
    each_run(first, n_groups, group, classes, extremes, [&](size_t c, size_t at, size_t n) {
        std::copy_n(left + next[c], n, quants + at);
        next[c] += n;
    });
    return true;
}

}  // namespace pennyweight
