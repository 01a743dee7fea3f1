// rANS streams of every alphabet: every target writes what the scalar one writes, and says and decodes the same of streams that are cut or
// damaged, with no memory to spare behind them; frequencies as headers hold them.
#include <cstdio>
#include <cstring>
#include <random>
#include <vector>

#include "guarded.h"
#include "pennyweight/kernels.h"
#include "pennyweight/price.h"

using namespace pennyweight;
using testing::check;
using testing::Guarded;

namespace {

std::mt19937 rng(20260);

// n symbols: flat, or the more crowded the greater the skew.
std::vector<uint8_t> some_symbols(size_t n, uint32_t bits, int skew) {
    std::vector<uint8_t> symbols(n + kGroup);  // readable up to whole groups
    std::geometric_distribution<uint32_t> crowded(skew == 0 ? 0.5 : 0.02 + 0.3 * skew);
    const uint32_t mask = (1u << bits) - 1;
    for (size_t i = 0; i < n; ++i) symbols[i] = static_cast<uint8_t>((skew == 0 ? rng() : crowded(rng)) & mask);
    return symbols;
}

struct Coded {
    RansTable table;
    RansEncodeTable encode_table;
    std::vector<uint8_t> payload;
    size_t n_words;
};

bool prepare(const std::vector<uint8_t>& symbols, size_t n, uint32_t bits, Coded* coded) {
    uint32_t counts[kMaxAlphabet] = {};
    for (size_t i = 0; i < n; ++i) ++counts[symbols[i]];
    uint16_t frequency[kMaxAlphabet];
    if (!normalize_frequencies(counts, bits, frequency)) return false;
    check(build_rans_table(frequency, bits, &coded->table), "no table of normalized frequencies", n);
    build_rans_encode_table(coded->table, &coded->encode_table);
    return true;
}

// Encodes jobs together and makes payloads of the results.
void encode(const Kernels& k, std::vector<Coded*> coded, const std::vector<std::vector<uint8_t>>& symbols, const std::vector<size_t>& n,
            std::vector<std::vector<uint8_t>>* payloads) {
    std::vector<std::vector<uint8_t>> words;
    std::vector<RansEncodeJob> jobs;
    payloads->clear();
    for (const size_t each : n) {
        words.emplace_back(2 * each + 64);
        payloads->emplace_back(kStateBytes);
    }
    for (size_t j = 0; j < n.size(); ++j) {
        jobs.push_back({&coded[j]->encode_table, symbols[j].data(), n[j], words[j].data() + words[j].size(), (*payloads)[j].data(), 0});
    }
    k.rans_encode(jobs.data(), jobs.size());
    for (size_t j = 0; j < n.size(); ++j) {
        const uint8_t* end = jobs[j].words_end;
        (*payloads)[j].insert((*payloads)[j].end(), end - 2 * jobs[j].n_words, end);
        coded[j]->n_words = jobs[j].n_words;
    }
}

// Both answers for n_words words of a payload, and both outputs where they are yes.
void compare(const Kernels& k, const RansTable& table, const uint8_t* payload, size_t n_words, size_t n, const char* what) {
    Guarded mine(n), theirs(n);
    const bool answer = k.rans_decode(table, payload, n_words, mine.last(n), n);
    check(answer == scalar_kernels().rans_decode(table, payload, n_words, theirs.last(n), n), what, n, k.name);
    check(!answer || std::memcmp(mine.last(n), theirs.last(n), n) == 0, what, n, k.name);
}

void stream(const Kernels& k, size_t n, uint32_t bits, int skew) {
    const auto symbols = some_symbols(n, bits, skew);
    static Coded coded;
    if (!prepare(symbols, n, bits, &coded)) return;
    std::vector<std::vector<uint8_t>> mine, theirs;
    encode(k, {&coded}, {symbols}, {n}, &mine);
    encode(scalar_kernels(), {&coded}, {symbols}, {n}, &theirs);
    check(mine == theirs, "stream differs from scalar", n, k.name);
    const size_t size = theirs[0].size();
    Guarded payload(size), out(n);
    uint8_t* const src = payload.copy(theirs[0].data(), size);
    check(k.rans_decode(coded.table, src, coded.n_words, out.last(n), n), "a stream was refused", n, k.name);
    check(std::memcmp(out.last(n), symbols.data(), n) == 0, "symbols differ", n, k.name);
    for (size_t cut = 1; cut <= coded.n_words; cut += cut < 200 ? 1 + cut / 8 : 997) {
        Guarded part(size - 2 * cut);
        const uint8_t* shorter = part.copy(theirs[0].data(), size - 2 * cut);
        check(!k.rans_decode(coded.table, shorter, coded.n_words - cut, out.last(n), n), "a cut stream was accepted", n, k.name);
    }
    for (int round = 0; round < 60; ++round) {
        const size_t at = rng() % (round % 2 ? size : std::min<size_t>(size, kStateBytes + 16));
        const uint8_t flip = static_cast<uint8_t>(1 + rng() % 255);
        src[at] ^= flip;
        compare(k, coded.table, src, coded.n_words, n, "damage seen differently");
        src[at] ^= flip;
    }
    for (const size_t other : {n - 1, n + 1, n + 128, 2 * n})
        compare(k, coded.table, src, coded.n_words, other, "another size seen differently");
}

// Streams of different lengths coded together are those coded alone.
void together(const Kernels& k, uint32_t bits) {
    const std::vector<size_t> n = {5000, 3001, 3000, 129};
    static Coded coded[kMaxInterleave];
    std::vector<Coded*> pointers;
    std::vector<std::vector<uint8_t>> symbols, mine, theirs;
    for (size_t j = 0; j < n.size(); ++j) {
        symbols.push_back(some_symbols(n[j], bits, static_cast<int>(j)));
        check(prepare(symbols[j], n[j], bits, &coded[j]), "nothing to code", n[j]);
        pointers.push_back(&coded[j]);
    }
    for (size_t count = 1; count <= n.size(); ++count) {
        const std::vector<size_t> some(n.begin(), n.begin() + static_cast<long>(count));
        encode(k, pointers, symbols, some, &mine);
        encode(scalar_kernels(), pointers, symbols, some, &theirs);
        check(mine == theirs, "streams coded together differ", count, k.name);
    }
}

void headers(uint32_t bits) {
    constexpr size_t kMaxAny = 480;  // 15 bits for each of 256 symbols
    const uint32_t alphabet = 1u << bits;
    Guarded memory(kMaxAny);
    for (int round = 0; round < 2000; ++round) {
        uint32_t counts[kMaxAlphabet] = {};
        for (uint32_t i = 2 + rng() % 3000; i-- > 0;) ++counts[(round % 2 ? rng() : rng() % (1 + rng() % alphabet)) % alphabet];
        uint16_t frequency[kMaxAlphabet], read[kMaxAlphabet];
        if (!normalize_frequencies(counts, bits, frequency)) continue;
        uint8_t header[kMaxFrequencyBytes + 1] = {};  // and a byte too many
        const size_t n = static_cast<size_t>(write_frequencies(frequency, bits, header) - header);
        check(n == frequency_header_bytes(frequency, bits) && n <= kMaxFrequencyBytes, "bytes of a header", n);
        for (size_t length = 0; length <= n + 1; ++length) {
            const bool read_whole = read_frequencies(memory.copy(header, length), length, bits, read);
            check(read_whole == (length == n), "a header of another length", length);
            if (length == n) check(std::memcmp(read, frequency, alphabet * sizeof(uint16_t)) == 0, "a header is read differently", n);
        }
        // What is read from any bytes writes the same bytes again: there is one way to write frequencies.
        uint8_t any[kMaxAny], again[kMaxAny + 8];
        for (uint8_t& byte : any) byte = static_cast<uint8_t>(rng() & rng());
        for (size_t length = 0; length <= kMaxAny; ++length) {
            if (!read_frequencies(memory.copy(any, length), length, bits, read)) continue;
            check(write_frequencies(read, bits, again) == again + length && std::memcmp(again, any, length) == 0,
                  "two headers mean the same", length);
        }
    }
}

void prices() {
    check(log2_256(1) == 0 && log2_256(2) == 256 && log2_256(3) == 384 && log2_256(0xffffffff) == 31 * 256 + 255, "logarithm", 0);
    const uint32_t flat[4] = {5, 5, 5, 5}, one[2] = {7, 0}, none[2] = {0, 0};
    check(price_256(flat, 4) == 20 * (log2_256(20) - log2_256(5)) && price_256(one, 2) == 0 && price_256(none, 2) == 0, "price", 0);
    check(is_noise(flat, 4, 2) && !is_noise(flat, 4, 3), "noise", 4);
}

}  // namespace

int main() {
    for (const uint32_t bits : {4u, 5u, 8u}) headers(bits);
    prices();
    const Kernels* list[3];
    const size_t n_targets = available_targets(list);
    for (size_t t = 0; t < n_targets; ++t) {
        for (const uint32_t bits : {4u, 5u, 8u}) {
            for (const size_t n : {2u, 3u, 31u, 32u, 33u, 127u, 128u, 129u, 255u, 256u, 257u, 1000u, 4096u, 4099u, 70000u}) {
                for (int skew = 0; skew < 4; ++skew) stream(*list[t], n, bits, skew);
            }
            together(*list[t], bits);
        }
        std::printf("%s: done\n", list[t]->name);
    }
    std::printf("%d failures\n", testing::failures);
    return testing::failures != 0;
}
