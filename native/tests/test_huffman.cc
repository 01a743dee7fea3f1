// The huffman kernels against their page, and against data that lies.
#include <algorithm>
#include <array>
#include <functional>
#include <queue>
#include <random>
#include <string>
#include <vector>

#include "guarded.h"
#include "pennyweight/huffman.h"

using namespace pennyweight;
using testing::check;
using testing::Guarded;

namespace {

using Bytes = std::vector<uint8_t>;
using Counts = std::array<uint32_t, 256>;
using Lengths = std::array<uint8_t, 256>;
using Sizes = std::array<uint32_t, 4>;

std::mt19937 rng(7);

struct Coded {
    Lengths lengths{};
    Sizes sizes{};
    Bytes payload;
    size_t n = 0;
};

Counts count(const Bytes& src) {
    Counts counts{};
    for (uint8_t b : src) ++counts[b];
    return counts;
}

// Cost of an optimal code without a limit, and the depth of one such code.
std::pair<uint64_t, unsigned> huffman_cost(const Counts& counts) {
    using Node = std::pair<uint64_t, unsigned>;  // weight, depth
    std::priority_queue<Node, std::vector<Node>, std::greater<>> nodes;
    for (uint32_t c : counts) {
        if (c != 0) nodes.push({c, 0u});
    }
    uint64_t cost = 0;
    while (nodes.size() > 1) {
        const Node a = nodes.top();
        nodes.pop();
        const Node b = nodes.top();
        nodes.pop();
        cost += a.first + b.first;
        nodes.push({a.first + b.first, std::max(a.second, b.second) + 1});
    }
    return {cost, nodes.top().second};
}

// Lengths as the page says them, with the leaves of every item spelled out.
Lengths package_merge(const Counts& counts) {
    struct Item {
        uint64_t weight;
        std::vector<uint8_t> leaves;
    };
    std::vector<Item> leaves;
    for (size_t b = 0; b < 256; ++b) {
        if (counts[b] != 0) leaves.push_back({counts[b], {static_cast<uint8_t>(b)}});
    }
    const auto lighter = [](const Item& a, const Item& b) { return a.weight < b.weight; };
    std::stable_sort(leaves.begin(), leaves.end(), lighter);
    std::vector<Item> list = leaves;
    for (unsigned level = 1; level < kHuffmanMaxBits; ++level) {
        std::vector<Item> packages;
        for (size_t i = 0; i + 1 < list.size(); i += 2) {
            packages.push_back(list[i]);
            packages.back().weight += list[i + 1].weight;
            packages.back().leaves.insert(packages.back().leaves.end(), list[i + 1].leaves.begin(), list[i + 1].leaves.end());
        }
        list.clear();  // std::merge takes from the first range on equal weights
        std::merge(leaves.begin(), leaves.end(), packages.begin(), packages.end(), std::back_inserter(list), lighter);
    }
    Lengths lengths{};
    for (size_t i = 0; i < 2 * leaves.size() - 2; ++i) {
        for (uint8_t b : list[i].leaves) ++lengths[b];
    }
    return lengths;
}

// The page's stream, bit by bit.
Bytes encode_by_the_page(const Bytes& src, const Lengths& lengths, size_t first, size_t last) {
    std::array<unsigned, 256> codes{};
    unsigned code = 0;
    for (unsigned length = 1; length <= kHuffmanMaxBits; ++length) {
        code <<= 1;
        for (size_t b = 0; b < 256; ++b) {
            if (lengths[b] == length) codes[b] = code++;
        }
    }
    Bytes stream;
    size_t bit = 0;
    for (size_t i = first; i < last; ++i) {
        for (unsigned k = lengths[src[i]]; k-- > 0; ++bit) {
            if (bit % 8 == 0) stream.push_back(0);
            stream.back() = static_cast<uint8_t>(stream.back() | (codes[src[i]] >> k & 1u) << bit % 8);
        }
    }
    return stream;
}

bool decode(const Coded& coded, const Bytes& payload, Bytes* out = nullptr) {
    Guarded src_memory(payload.size()), dst_memory(coded.n);
    const uint8_t* const src = src_memory.copy(payload.data(), payload.size());
    uint8_t* const dst = dst_memory.last(coded.n);
    const bool good = huffman_decode(coded.lengths.data(), coded.sizes.data(), src, payload.size(), dst, coded.n);
    if (good && out != nullptr) out->assign(dst, dst + coded.n);
    return good;
}

void check_lengths(const Counts& counts, const Lengths& lengths, size_t n) {
    uint64_t kraft = 0;
    uint64_t cost = 0;
    bool fits = true;
    for (size_t b = 0; b < 256; ++b) {
        fits &= lengths[b] <= kHuffmanMaxBits && (lengths[b] != 0) == (counts[b] != 0);
        if (lengths[b] != 0) kraft += 2048u >> lengths[b];
        cost += uint64_t{counts[b]} * lengths[b];
    }
    check(fits, "a length for each byte that occurs, at most 11", n);
    check(kraft == 2048, "Kraft sum", n);
    const auto [best, depth] = huffman_cost(counts);
    check(depth <= kHuffmanMaxBits ? cost == best : cost >= best, "cost against an unrestricted code", n);
}

// Everything an encoder must do for src; nothing coded where it declines.
Coded test_encode(const Bytes& src) {
    const size_t n = src.size();
    Guarded src_memory(n), dst_memory(huffman_capacity(n));
    const uint8_t* const guarded = src_memory.copy(src.data(), n);
    Counts counts;
    byte_histogram(guarded, n, counts.data());
    check(counts == count(src), "byte_histogram", n);
    Coded coded;
    const auto distinct = std::count_if(counts.begin(), counts.end(), [](uint32_t c) { return c != 0; });
    const bool has_code = huffman_lengths(counts.data(), coded.lengths.data());
    check(has_code == (distinct >= 2), "declines fewer than two distinct bytes", n);
    if (!has_code) {
        check(coded.lengths == Lengths{}, "lengths are 0 where it declines", n);
        return coded;
    }
    check_lengths(counts, coded.lengths, n);
    uint8_t* const dst = dst_memory.last(huffman_capacity(n));
    const size_t size = huffman_encode(guarded, n, coded.lengths.data(), coded.sizes.data(), dst);
    coded.payload.assign(dst, dst + size);
    coded.n = n;
    Bytes expected;
    const size_t quarter = (n + 3) / 4;
    for (size_t j = 0; j < 4; ++j) {
        const Bytes stream = encode_by_the_page(src, coded.lengths, std::min(j * quarter, n), std::min((j + 1) * quarter, n));
        check(stream.size() == coded.sizes[j], "bytes of a stream", n);
        expected.insert(expected.end(), stream.begin(), stream.end());
    }
    check(expected == coded.payload, "streams as on the page", n);
    return coded;
}

// Damaged in every way that must be seen, and in random ways that only must not crash.
void test_damage(const Coded& coded, size_t n_random) {
    const size_t n = coded.n;
    const size_t size = coded.payload.size();
    Bytes payload = coded.payload;
    payload.pop_back();
    check(!decode(coded, payload), "payload one byte short", n);
    payload = coded.payload;
    payload.push_back(0);
    check(!decode(coded, payload), "payload one byte long", n);
    size_t end = 0;
    for (size_t j = 0; j < 4; ++j) {
        Coded bad = coded;
        end += coded.sizes[j];
        payload = coded.payload;
        payload.insert(payload.begin() + static_cast<std::ptrdiff_t>(end), 0);
        ++bad.sizes[j];
        check(!decode(bad, payload), "stream one byte long", n);
        if (coded.sizes[j] == 0) continue;
        bad.sizes[j] -= 2;
        payload = coded.payload;
        payload.erase(payload.begin() + static_cast<std::ptrdiff_t>(end - 1));
        check(!decode(bad, payload), "stream one byte short", n);
        bad.sizes = coded.sizes;
        bad.sizes[j] = UINT32_MAX;
        check(!decode(bad, coded.payload), "size of 2^32 - 1", n);
        bad.sizes[(j + 1) % 4] += coded.sizes[j] + 1;  // the sum is right modulo 2^32
        check(!decode(bad, coded.payload), "sizes that overflow", n);
    }
    for (size_t k = 0; k < n_random; ++k) {
        Bytes out;
        Coded bad = coded;
        payload = coded.payload;
        switch (k % 5) {
            case 0: payload[rng() % size] ^= static_cast<uint8_t>(1u << rng() % 8); break;
            case 1: std::generate(payload.begin(), payload.end(), [] { return static_cast<uint8_t>(rng()); }); break;
            case 2: bad.lengths[rng() % 256] = static_cast<uint8_t>(rng()); break;
            case 3: std::shuffle(bad.lengths.begin(), bad.lengths.end(), rng); break;
            default: {  // other borders between the streams
                uint32_t left = static_cast<uint32_t>(size);
                for (size_t j = 0; j < 3; ++j) left -= bad.sizes[j] = static_cast<uint32_t>(rng()) % (left + 1);
                bad.sizes[3] = left;
            }
        }
        if (!decode(bad, payload, &out)) continue;
        // What is accepted is exactly what the page's encoder makes of the bytes decoded.
        Bytes dst(huffman_capacity(n));
        Sizes sizes;
        dst.resize(huffman_encode(out.data(), n, bad.lengths.data(), sizes.data(), dst.data()));
        check(sizes == bad.sizes && dst == payload, "accepted, but no encoder writes it", n);
    }
    payload.assign(coded.payload.begin(), coded.payload.end());
    for (size_t i = 0; i < 256; ++i) {
        if (coded.lengths[i] == 0) continue;
        Coded bad = coded;
        bad.lengths[i] = 0;
        check(!decode(bad, payload), "code with a hole", n);
        bad.lengths[i] = 12;
        check(!decode(bad, payload), "length of 12", n);
        bad.lengths[i] = static_cast<uint8_t>(coded.lengths[i] - 1);
        check(!decode(bad, payload), "Kraft sum too large or too small", n);
    }
}

void test_padding(const Coded& coded) {
    size_t end = 0;
    for (size_t j = 0; j < 4; ++j) {
        end += coded.sizes[j];
        if (coded.sizes[j] == 0) continue;
        Coded bad = coded;
        bad.payload[end - 1] ^= 0x80;  // filling, or the last code: never the same data
        Bytes out, original;
        check(decode(coded, coded.payload, &original), "decodes", coded.n);
        check(!decode(bad, bad.payload, &out) || out != original, "last bit of a stream flipped", coded.n);
    }
}

void test(const Bytes& src, size_t n_random) {
    const Coded coded = test_encode(src);
    if (coded.n == 0) return;
    Bytes out;
    check(decode(coded, coded.payload, &out) && out == src, "round trip", src.size());
    test_padding(coded);
    test_damage(coded, n_random);
}

Bytes generate(size_t n, const std::function<double()>& value) {
    Bytes bytes(n);
    for (uint8_t& b : bytes) b = static_cast<uint8_t>(std::clamp(value(), 0.0, 255.0));
    return bytes;
}

std::vector<Bytes> samples(size_t n) {
    std::uniform_real_distribution<double> uniform(0, 256);
    std::normal_distribution<double> wide(128, 48), narrow(100, 4);
    std::exponential_distribution<double> skewed(1.0), very_skewed(4.0);
    return {
        generate(n, [&] { return uniform(rng); }),
        generate(n, [&] { return wide(rng); }),
        generate(n, [&] { return narrow(rng); }),
        generate(n, [&] { return 255 - skewed(rng); }),
        generate(n, [&] { return very_skewed(rng); }),
        generate(n, [&] { return rng() % 2 ? 255.0 : 0.0; }),
        generate(n, [&] { return rng() % 1000 ? 9.0 : uniform(rng); }),
    };
}

// Counts that ties, Fibonacci weights or large numbers make hard.
void test_lengths_alone() {
    for (unsigned k = 0; k < 3000; ++k) {
        Counts counts{};
        const size_t used = 2 + rng() % 255;
        const uint32_t largest = 1u << rng() % 31;
        for (size_t i = 0; i < used; ++i) counts[rng() % 256] = 1 + static_cast<uint32_t>(rng()) % largest;
        if (k % 7 == 0) {
            uint32_t a = 1, b = 1;
            for (size_t i = 0; i < 46; ++i) {
                counts[i * 5] = a;
                b += a;
                a = b - a;
            }
        }
        if (k % 11 == 0) counts.fill(UINT32_MAX - k % 2);
        Lengths lengths{};
        const auto distinct = std::count_if(counts.begin(), counts.end(), [](uint32_t c) { return c != 0; });
        if (huffman_lengths(counts.data(), lengths.data()) != (distinct >= 2)) check(false, "declines", k);
        if (distinct < 2) continue;
        check_lengths(counts, lengths, k);
        if (k % 10 < 2) check(lengths == package_merge(counts), "lengths as on the page", k);
    }
}

void test_empty() {
    Coded empty;
    empty.lengths[3] = empty.lengths[4] = 1;
    check(decode(empty, {}), "no bytes from empty streams", 0);
    empty.sizes[2] = 1;
    check(!decode(empty, {0}), "no bytes from a stream of one", 0);
    empty.sizes[2] = 0;
    empty.n = 1;
    check(!decode(empty, {}), "one byte from empty streams", 1);
    empty.lengths = {};
    check(!decode(empty, {}), "no code", 1);
}

}  // namespace

int main() {
    test_lengths_alone();
    test_empty();
    for (size_t n = 0; n <= 1000; n += n < 130 ? 1 : 29) {
        for (const Bytes& src : samples(n)) test(src, 10);
    }
    for (size_t n : {size_t{4096}, size_t{16'384}, size_t{65'537}, size_t{262'144}}) {
        for (const Bytes& src : samples(n)) test(src, 60);
    }
    if (testing::failures == 0) std::printf("huffman: ok\n");
    return testing::failures == 0 ? 0 : 1;
}
