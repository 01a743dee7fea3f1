// Kernels alone: encode and decode one file of weights in memory, per target, beside memcpy.
// Usage: bench_float bf16|f16|f32 FILE [ROUNDS] [SKIP], SKIP the bytes of FILE before the first weight.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <vector>

#include "pennyweight/frame.h"

using namespace pennyweight;

namespace {

constexpr size_t kBlock = 262144;

struct Row {
    std::string name;
    size_t n_bytes;  // of weights
    std::function<void()> run;
    std::vector<double> rates;  // bytes a second
};

// The blocks of the data that take the fast path, and their frames.
struct Encoded {
    std::vector<uint8_t> data, frames;
    std::vector<size_t> blocks, lengths;
};

FloatPlan plan_of(FloatFormat format, uint32_t bits) {
    return {format, bits, Beside::kBitpack, format == FloatFormat::kF32 ? Beside::kBitpack : Beside::kStore};
}

Encoded encode(const std::vector<uint8_t>& model, const FloatPlan& plan, size_t wanted) {
    Encoded e;
    std::vector<uint8_t> frame(kBlock);
    while (e.data.size() < wanted) {
        const size_t before = e.data.size();
        for (size_t at = 0; at + kBlock <= model.size() && e.data.size() < wanted; at += kBlock) {
            size_t length;
            encode_float_blocks(kernels(), model.data() + at, &kBlock, 1, plan, frame.data(), &length);
            if (length == 0) continue;
            e.data.insert(e.data.end(), model.data() + at, model.data() + at + kBlock);
            e.frames.insert(e.frames.end(), frame.data(), frame.data() + length);
            e.blocks.push_back(kBlock);
            e.lengths.push_back(length);
        }
        if (e.data.size() == before) std::printf("no block takes the fast path\n"), std::exit(1);
    }
    return e;
}

double median(std::vector<double> v) {
    std::sort(v.begin(), v.end());
    return v[v.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 3) return 2;
    const std::string wanted = argv[1];
    const FloatFormat format = wanted == "bf16" ? FloatFormat::kBF16 : wanted == "f16" ? FloatFormat::kF16 : FloatFormat::kF32;
    std::ifstream file(argv[2], std::ios::binary);
    const int rounds = argc > 3 ? std::atoi(argv[3]) : 7;
    file.seekg(argc > 4 ? std::atol(argv[4]) : 0);
    const std::vector<uint8_t> model((std::istreambuf_iterator<char>(file)), {});
    constexpr size_t kTotal = size_t{128} << 20;
    const Encoded encoded[2] = {encode(model, plan_of(format, 4), kTotal), encode(model, plan_of(format, 5), kTotal)};
    std::vector<uint8_t> storage(kTotal + kBlock + 64);
    uint8_t* out = storage.data() + (64 - reinterpret_cast<uintptr_t>(storage.data()) % 64) % 64;
    std::vector<size_t> scratch(encoded[0].blocks.size());
    std::vector<uint8_t> done(encoded[0].blocks.size());

    std::vector<Row> rows;
    rows.push_back({"memcpy", kTotal, [&] { std::memcpy(out, encoded[0].data.data(), kTotal); }, {}});
    const Kernels* targets[3];
    const size_t n_targets = available_targets(targets);
    for (size_t t = 0; t < n_targets; ++t) {
        for (const uint32_t bits : {4u, 5u}) {
            const Kernels& k = *targets[t];
            const Encoded& e = encoded[bits - 4];
            const std::string name = std::string(k.name) + (bits == 4 ? " fast" : " default");
            for (const bool stream : {false, true}) {
                rows.push_back({name + (stream ? " decode, stream" : " decode"),
                                e.data.size(),
                                [&, stream] {
                                    decode_blocks(k, e.frames.data(), e.lengths.data(), e.blocks.data(), e.blocks.size(), out, stream,
                                                  reinterpret_cast<bool*>(done.data()));
                                },
                                {}});
                std::memset(out, 0, e.data.size());
                rows.back().run();
                if (std::memcmp(out, e.data.data(), e.data.size()) != 0) return std::printf("%s: wrong\n", rows.back().name.c_str()), 1;
            }
            rows.push_back({name + " encode",
                            e.data.size(),
                            [&, bits] {
                                for (size_t i = 0; i < e.blocks.size(); i += 8) {
                                    const size_t n = std::min<size_t>(8, e.blocks.size() - i);
                                    encode_float_blocks(k, e.data.data() + i * kBlock, e.blocks.data(), n, plan_of(format, bits),
                                                        out + i * kBlock, scratch.data());
                                }
                            },
                            {}});
        }
    }
    for (int r = 0; r < rounds; ++r) {
        for (Row& row : rows) {
            const std::clock_t start = std::clock();  // processor time: the machine may be shared
            row.run();
            row.rates.push_back(static_cast<double>(row.n_bytes) * CLOCKS_PER_SEC / static_cast<double>(std::clock() - start));
        }
    }
    for (const uint32_t i : {0u, 1u}) {
        std::printf("%s: %.4f %%\n", i == 0 ? "fast" : "default",
                    100.0 * static_cast<double>(encoded[i].frames.size()) / static_cast<double>(encoded[i].data.size()));
    }
    for (const Row& row : rows) {
        std::printf("%-32s %6.2f GB/s  %5.3f x memcpy\n", row.name.c_str(), median(row.rates) / 1e9,
                    median(row.rates) / median(rows[0].rates));
    }
}
