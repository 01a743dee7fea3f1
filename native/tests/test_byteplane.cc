// byteplane on every target against its page, transcribed; is_constant.
#include <random>
#include <vector>

#include "guarded.h"
#include "pennyweight/byteplane.h"
#include "pennyweight/kernels.h"

using namespace pennyweight;
using testing::check;
using testing::Guarded;

namespace {

constexpr size_t kMaxWidth = 16;
constexpr size_t kBig = 70'001;

void test_round_trip(const Kernels& target, const std::vector<uint8_t>& data, size_t n_elements, size_t width) {
    const size_t n = n_elements * width;
    Guarded src_memory(n), planes_memory(n), out_memory(n);
    const uint8_t* const src = src_memory.copy(data.data(), n);
    uint8_t* const planes = planes_memory.last(n);
    uint8_t* const out = out_memory.last(n);
    target.byteplane_split(src, n, width, planes);
    bool split_good = true;
    for (size_t i = 0; i < n; ++i) split_good &= planes[i % width * n_elements + i / width] == src[i];
    check(split_good, "byteplane_split", n, target.name);
    target.byteplane_merge(planes, n, width, out);
    check(n == 0 || std::memcmp(out, src, n) == 0, "byteplane_merge", n, target.name);
}

void test_constant(const std::vector<uint8_t>& data, size_t width) {
    for (size_t n_elements : {size_t{1}, size_t{2}, size_t{3}, size_t{9}, size_t{1000}}) {
        const size_t n = n_elements * width;
        Guarded memory(n);
        uint8_t* const src = memory.last(n);
        for (size_t i = 0; i < n; ++i) src[i] = data[i % width];
        check(is_constant(src, n, width), "is_constant: repeated element", n);
        for (size_t i : {size_t{0}, n / 2, n - 1}) {
            src[i] ^= 1;
            check(is_constant(src, n, width) == (n_elements == 1), "is_constant: one bit differs", n);
            src[i] ^= 1;
        }
        if (width > 1) check(!is_constant(src, n - 1, width), "is_constant: part of an element", n);
    }
    check(!is_constant(data.data(), 0, width), "is_constant: empty", 0);
}

}  // namespace

int main() {
    std::mt19937 random(1);
    std::vector<uint8_t> data(kBig * kMaxWidth);
    for (uint8_t& byte : data) byte = static_cast<uint8_t>(random());
    const Kernels* targets[3];
    const size_t n_targets = available_targets(targets);
    for (size_t t = 0; t < n_targets; ++t) {
        for (size_t width = 2; width <= kMaxWidth; ++width) {
            for (size_t n = 0; n <= 300; ++n) test_round_trip(*targets[t], data, n, width);
            test_round_trip(*targets[t], data, kBig, width);
        }
    }
    for (size_t width = 1; width <= kMaxWidth; ++width) test_constant(data, width);
    if (testing::failures == 0) std::printf("byteplane: ok on %zu targets\n", n_targets);
    return testing::failures == 0 ? 0 : 1;
}
