// Threads that decode different blocks with the same tables, while others choose the target: for ThreadSanitizer, and for the bytes.
#include <atomic>
#include <cstdio>
#include <cstring>
#include <thread>
#include <vector>

#include "pennyweight/frame.h"
#include "pennyweight/kernels.h"
#include "pennyweight/piecewise.h"

using namespace pennyweight;

namespace {

constexpr size_t kThreads = 4, kRounds = 30, kSymbols = 20000;

std::vector<uint8_t> symbols_of(uint32_t state) {
    std::vector<uint8_t> made(kSymbols);
    for (uint8_t& symbol : made) {
        state = state * 1664525 + 1013904223;
        symbol = static_cast<uint8_t>(__builtin_ctz(state >> 8 | 1u << 7));  // all of them occur
    }
    return made;
}

}  // namespace

int main() {
    const std::vector<uint8_t> all = symbols_of(1);
    uint16_t frequency[kMaxAlphabet];
    static RansTable table;
    static RansEncodeTable encode;
    if (!choose_frequencies(all.data(), all.size(), 4, frequency) || !build_rans_table(frequency, 4, &table)) return 1;
    build_rans_encode_table(table, &encode);
    const Kernels* list[3];
    const size_t targets = available_targets(list);
    std::atomic<size_t> failures{0};
    const auto work = [&](size_t thread) {
        for (size_t round = 0; round < kRounds; ++round) {
            if (thread == 0) set_target(list[round % targets]->name);
            std::vector<uint8_t> symbols = symbols_of(static_cast<uint32_t>(thread * kRounds + round)), out(kSymbols);
            symbols.resize(kSymbols + kGroup);
            std::vector<uint8_t> words(2 * kSymbols + 256), payload(kStateBytes);
            RansEncodeJob job{&encode, symbols.data(), kSymbols, words.data() + words.size(), payload.data(), 0};
            kernels().rans_encode(&job, 1);
            payload.insert(payload.end(), job.words_end - 2 * job.n_words, job.words_end);
            failures += !kernels().rans_decode(table, payload.data(), job.n_words, out.data(), kSymbols) ||
                        std::memcmp(out.data(), symbols.data(), kSymbols) != 0;

            Pieces pieces;
            if (!piecewise_encode(symbols.data(), kSymbols, 4, &pieces)) continue;
            failures += !piecewise_decode(pieces.groups, pieces.frequencies.data(), pieces.frequencies.size(), pieces.payload.data(),
                                          (pieces.payload.size() - kStateBytes) / 2, 4, out.data(), kSymbols) ||
                        std::memcmp(out.data(), symbols.data(), kSymbols) != 0;
        }
    };
    std::vector<std::thread> threads;
    for (size_t i = 0; i < kThreads; ++i) threads.emplace_back(work, i);
    for (std::thread& thread : threads) thread.join();
    std::printf("%zu targets, %zu failures\n", targets, failures.load());
    return failures != 0;
}
