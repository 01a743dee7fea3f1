// Kernels alone: encode and decode one file of BF16 weights in memory, per target, beside memcpy. Usage: bench_bf16 FILE [ROUNDS]
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
    std::function<void()> run;
    std::vector<double> seconds;
};

double median(std::vector<double> v) {
    std::sort(v.begin(), v.end());
    return v[v.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2) return 2;
    std::ifstream file(argv[1], std::ios::binary);
    const std::vector<uint8_t> model((std::istreambuf_iterator<char>(file)), {});
    const int rounds = argc > 2 ? std::atoi(argv[2]) : 7;
    std::vector<uint8_t> data;
    while (data.size() < size_t{256} << 20) data.insert(data.end(), model.begin(), model.begin() + static_cast<long>(model.size() / 2 * 2));
    std::vector<size_t> sizes(data.size() / kBlock, kBlock);
    const size_t total = sizes.size() * kBlock;
    std::vector<uint8_t> storage(total + 64), frames4(total), frames5(total);
    uint8_t* out = storage.data() + (64 - reinterpret_cast<uintptr_t>(storage.data()) % 64) % 64;
    std::vector<size_t> sizes4(sizes.size()), sizes5(sizes.size()), scratch(sizes.size());
    std::vector<uint8_t> done(sizes.size());
    encode_float_blocks(kernels(), data.data(), sizes.data(), sizes.size(), FloatFormat::kBF16, 4, frames4.data(), sizes4.data());
    encode_float_blocks(kernels(), data.data(), sizes.data(), sizes.size(), FloatFormat::kBF16, 5, frames5.data(), sizes5.data());

    std::vector<Row> rows;
    rows.push_back({"memcpy", [&] { std::memcpy(out, data.data(), total); }, {}});
    const Kernels* targets[3];
    const size_t n_targets = available_targets(targets);
    for (size_t t = 0; t < n_targets; ++t) {
        for (uint32_t bits : {4u, 5u}) {
            const Kernels& k = *targets[t];
            const std::string name = std::string(k.name) + (bits == 4 ? " fast" : " default");
            const auto& frames = bits == 4 ? frames4 : frames5;
            const auto& lengths = bits == 4 ? sizes4 : sizes5;
            for (bool stream : {false, true}) {
                rows.push_back({name + (stream ? " decode, stream" : " decode"),
                                [&, stream] {
                                    decode_blocks(k, frames.data(), lengths.data(), sizes.data(), sizes.size(), out, stream,
                                                  reinterpret_cast<bool*>(done.data()));
                                },
                                {}});
                rows.back().run();
                if (std::memcmp(out, data.data(), total) != 0) return std::printf("%s: wrong\n", rows.back().name.c_str()), 1;
                std::memset(out, 0, total);
            }
            rows.push_back({name + " encode",
                            [&, bits] {
                                uint8_t* dst = out;
                                for (size_t i = 0; i < sizes.size(); i += 8) {
                                    const size_t n = std::min<size_t>(8, sizes.size() - i);
                                    encode_float_blocks(k, data.data() + i * kBlock, sizes.data(), n, FloatFormat::kBF16, bits, dst,
                                                        scratch.data());
                                    dst += kBlock;
                                }
                            },
                            {}});
        }
    }
    for (int r = 0; r < rounds; ++r) {
        for (Row& row : rows) {
            const std::clock_t start = std::clock();  // processor time: the machine may be shared
            row.run();
            row.seconds.push_back(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC);
        }
    }
    size_t n4 = 0, n5 = 0;
    for (size_t i = 0; i < sizes.size(); ++i) n4 += sizes4[i], n5 += sizes5[i];
    std::printf("fast %.4f %%, default %.4f %%\n", 100.0 * static_cast<double>(n4) / static_cast<double>(total),
                100.0 * static_cast<double>(n5) / static_cast<double>(total));
    for (const Row& row : rows) {
        const double s = median(row.seconds);
        std::printf("%-32s %6.2f GB/s  %5.3f x memcpy\n", row.name.c_str(), static_cast<double>(total) / s / 1e9,
                    median(rows[0].seconds) / s);
    }
}
