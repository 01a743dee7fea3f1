// rANS alone: encode and decode bytes of a file, per alphabet and target, beside memcpy. Alphabets of 16 and 32 take the low bits of each
// byte. Usage: bench_rans FILE [ROUNDS]
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

#include "pennyweight/kernels.h"

using namespace pennyweight;

namespace {

constexpr size_t kBlock = 131072;  // symbols

struct Row {
    std::string name;
    std::function<void()> run;
    std::vector<double> seconds;
};

double median(std::vector<double> v) {
    std::sort(v.begin(), v.end());
    return v[v.size() / 2];
}

struct Coded {
    RansTable table;
    RansEncodeTable encode_table;
    std::vector<uint8_t> words, payload;
    size_t n_words;
};

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2) return 2;
    std::ifstream file(argv[1], std::ios::binary);
    std::vector<uint8_t> data((std::istreambuf_iterator<char>(file)), {});
    const int rounds = argc > 2 ? std::atoi(argv[2]) : 7;
    const size_t n_blocks = std::min<size_t>(data.size() / kBlock, 256), total = n_blocks * kBlock;
    if (n_blocks == 0) return 2;
    std::vector<uint8_t> out(total);
    std::vector<Row> rows;
    rows.push_back({"memcpy", [&] { std::memcpy(out.data(), data.data(), total); }, {}});
    const Kernels* targets[3];
    const size_t n_targets = available_targets(targets);
    std::vector<std::vector<uint8_t>> symbols(9);
    std::vector<std::vector<Coded>> coded(9);
    for (const uint32_t bits : {4u, 5u, 8u}) {
        auto& s = symbols[bits];
        s.assign(data.begin(), data.begin() + static_cast<long>(total));
        for (uint8_t& b : s) b = static_cast<uint8_t>(b & ((1u << bits) - 1));
        coded[bits].resize(n_blocks);
        double bytes = 0;
        for (size_t i = 0; i < n_blocks; ++i) {
            Coded& c = coded[bits][i];
            uint32_t counts[256] = {};
            for (size_t j = 0; j < kBlock; ++j) ++counts[s[i * kBlock + j]];
            uint16_t frequency[kMaxAlphabet];
            if (!normalize_frequencies(counts, bits, frequency)) return std::printf("one symbol only\n"), 1;
            build_rans_table(frequency, bits, &c.table);
            build_rans_encode_table(c.table, &c.encode_table);
            c.words.resize(2 * kBlock + 256);
            c.payload.resize(kStateBytes + 2 * kBlock + 256);
            RansEncodeJob job{&c.encode_table, s.data() + i * kBlock, kBlock, c.words.data() + c.words.size(), c.payload.data(), 0};
            scalar_kernels().rans_encode(&job, 1);
            c.n_words = job.n_words;
            std::memcpy(c.payload.data() + kStateBytes, job.words_end - 2 * job.n_words, 2 * job.n_words);
            bytes += static_cast<double>(kStateBytes + 2 * c.n_words);
        }
        std::printf("%u symbols: %.4f of a byte each\n", 1u << bits, bytes / static_cast<double>(total));
        for (size_t t = 0; t < n_targets; ++t) {
            const Kernels& k = *targets[t];
            const std::string name = std::string(k.name) + " " + std::to_string(1u << bits);
            rows.push_back({name + " decode",
                            [&, bits] {
                                for (size_t i = 0; i < n_blocks; ++i) {
                                    const Coded& c = coded[bits][i];
                                    k.rans_decode(c.table, c.payload.data(), c.n_words, out.data() + i * kBlock, kBlock);
                                }
                            },
                            {}});
            rows.back().run();
            if (std::memcmp(out.data(), s.data(), total) != 0) return std::printf("%s: wrong\n", rows.back().name.c_str()), 1;
            rows.push_back({name + " encode",
                            [&, bits] {
                                for (size_t i = 0; i < n_blocks; i += kMaxInterleave) {
                                    RansEncodeJob jobs[kMaxInterleave];
                                    const size_t n = std::min(kMaxInterleave, n_blocks - i);
                                    for (size_t j = 0; j < n; ++j) {
                                        Coded& c = coded[bits][i + j];
                                        jobs[j] = {&c.encode_table,  symbols[bits].data() + (i + j) * kBlock,
                                                   kBlock,           c.words.data() + c.words.size(),
                                                   c.payload.data(), 0};
                                    }
                                    k.rans_encode(jobs, n);
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
    for (const Row& row : rows) {
        const double s = median(row.seconds);
        std::printf("%-24s %6.2f GB/s  %5.3f x memcpy\n", row.name.c_str(), static_cast<double>(total) / s / 1e9,
                    median(rows[0].seconds) / s);
    }
}
