#include "pennyweight/piecewise.h"

#include <algorithm>
#include <array>
#include <memory>
#include <numeric>

#include "pennyweight/bytes.h"
#include "pennyweight/price.h"
#include "scalar/scalar.h"

namespace pennyweight {

namespace {

constexpr uint64_t kOne = 4096;  // a bit, in the units of prices

// log2_4096 of every count that is common.
const std::array<uint32_t, 4096> kLogs = [] {
    std::array<uint32_t, 4096> logs{};
    for (uint32_t c = 1; c < logs.size(); ++c) logs[c] = log2_4096(c);
    return logs;
}();

uint64_t log_of(uint32_t c) { return c < kLogs.size() ? kLogs[c] : log2_4096(c); }

// Symbols and table of a piece whose counts are those of both rows.
uint64_t price_of(const uint32_t* one, const uint32_t* other, uint32_t alphabet, uint64_t* symbols_only = nullptr) {
    uint64_t n = 0, spared = 0, used = 0;
    for (uint32_t s = 0; s < alphabet; ++s) {
        const uint32_t c = one[s] + other[s];
        if (c == 0) continue;
        n += c;
        spared += c * log_of(c);
        ++used;
    }
    const uint64_t symbols = n * log_of(static_cast<uint32_t>(n)) - spared;
    if (symbols_only != nullptr) *symbols_only = symbols;
    return symbols + kOne * (4 * alphabet + 8 * used + 16);
}

// The counts of pieces, each as long as the page says, and how many units each has.
struct Cut {
    uint32_t alphabet;
    std::vector<uint32_t> counts;
    std::vector<size_t> units;

    const uint32_t* of(size_t piece) const { return counts.data() + piece * alphabet; }

    Cut(const uint8_t* symbols, size_t n, size_t unit, uint32_t alphabet_size) : alphabet(alphabet_size), units((n + unit - 1) / unit, 1) {
        counts.resize(units.size() * alphabet);
        uint32_t* row = counts.data();
        for (size_t begin = 0; begin < n; begin += unit, row += alphabet) {
            for (size_t i = begin; i < std::min(begin + unit, n); ++i) ++row[symbols[i]];
        }
    }

    void join_with_next(size_t piece) {
        const auto next = counts.begin() + static_cast<ptrdiff_t>((piece + 1) * alphabet);
        std::transform(next, next + alphabet, next - alphabet, next - alphabet, std::plus<>());
        counts.erase(next, next + alphabet);
        units[piece] += units[piece + 1];
        units.erase(units.begin() + static_cast<ptrdiff_t>(piece) + 1);
    }

    // Joins neighbours as long as that saves something, those first that save most.
    void join() {
        const std::vector<uint32_t> none(alphabet);
        std::vector<uint64_t> alone, joined;
        for (size_t i = 0; i < units.size(); ++i) alone.push_back(price_of(of(i), none.data(), alphabet));
        for (size_t i = 0; i + 1 < units.size(); ++i) joined.push_back(price_of(of(i), of(i + 1), alphabet));
        while (units.size() > 1) {
            size_t best = 0;
            int64_t most = 0;
            for (size_t i = 0; i < joined.size(); ++i) {
                const int64_t saved = static_cast<int64_t>(alone[i] + alone[i + 1] - joined[i]);
                if (saved > most) most = saved, best = i;
            }
            if (most == 0) return;
            join_with_next(best);
            alone[best] = joined[best];
            alone.erase(alone.begin() + static_cast<ptrdiff_t>(best) + 1);
            joined.erase(joined.begin() + static_cast<ptrdiff_t>(best));
            if (best < joined.size()) joined[best] = price_of(of(best), of(best + 1), alphabet);
            if (best > 0) joined[best - 1] = price_of(of(best - 1), of(best), alphabet);
        }
    }

    // Of all symbols, without tables.
    uint64_t price() const {
        const std::vector<uint32_t> none(alphabet);
        uint64_t sum = 0;
        for (size_t i = 0; i < units.size(); ++i) {
            uint64_t symbols;
            price_of(of(i), none.data(), alphabet, &symbols);
            sum += symbols;
        }
        return sum;
    }
};

// A piece of one symbol leaves a slot to the next.
void frequencies_of(const uint32_t* counts, uint32_t bits, uint16_t* frequency) {
    if (normalize_frequencies(counts, bits, frequency)) return;
    const uint32_t alphabet = 1u << bits;
    std::fill_n(frequency, alphabet, uint16_t{0});
    const uint32_t symbol = static_cast<uint32_t>(std::find_if(counts, counts + alphabet, [](uint32_t c) { return c != 0; }) - counts);
    frequency[symbol] = kSlots - 1;
    frequency[(symbol + 1) % alphabet] = 1;
}

bool is_noise(const Cut& cut, size_t n, uint32_t bits) {
    uint32_t symbol_bits = bits;
    if (bits == 8) {
        uint32_t all[kMaxAlphabet] = {};
        for (size_t i = 0; i < cut.counts.size(); ++i) all[i % kMaxAlphabet] += cut.counts[i];
        symbol_bits = largest_symbol_bits(all);
    }
    return 64 * cut.price() >= 63 * kOne * n * symbol_bits;
}

}  // namespace

bool piecewise_encode(const uint8_t* symbols, size_t n, uint32_t bits, Pieces* pieces) {
    if (std::all_of(symbols, symbols + n, [symbols](uint8_t s) { return s == symbols[0]; })) return false;
    const size_t unit = kUnit * ((n + kUnit * kMaxPieces - 1) / (kUnit * kMaxPieces));
    Cut cut(symbols, n, unit, 1u << bits);
    cut.join();
    if (is_noise(cut, n, bits)) return false;

    const size_t n_pieces = cut.units.size();
    std::vector<uint16_t> frequency(n_pieces * cut.alphabet);
    for (size_t i = 0; i < n_pieces; ++i) {
        uint16_t* const of_piece = frequency.data() + i * cut.alphabet;
        frequencies_of(cut.of(i), bits, of_piece);
        uint8_t header[kMaxFrequencyBytes];
        pieces->frequencies.insert(pieces->frequencies.end(), header, write_frequencies(of_piece, bits, header));
        pieces->groups.push_back(static_cast<uint32_t>(cut.units[i] * unit / kGroup));
    }
    const size_t n_groups = (n + kGroup - 1) / kGroup;
    pieces->groups.back() -= static_cast<uint32_t>(std::accumulate(pieces->groups.begin(), pieces->groups.end(), size_t{0}) - n_groups);

    // Backwards, the states carried from piece to piece.
    uint32_t x[kLanes];
    std::fill_n(x, kLanes, kLowerBound);
    std::vector<uint8_t> memory(2 * n + 64);
    uint8_t* words = memory.data() + memory.size();
    auto encode_table = std::make_unique<RansEncodeTable>();
    size_t group = n_groups;
    for (size_t i = n_pieces; i-- > 0;) {
        RansTable table;
        build_rans_table(frequency.data() + i * cut.alphabet, bits, &table);
        build_rans_encode_table(table, encode_table.get());
        for (size_t left = pieces->groups[i]; left-- > 0;) {
            --group;
            scalar::rans_encode_group(*encode_table, symbols + group * kGroup, std::min<size_t>(kGroup, n - group * kGroup), x, &words);
        }
    }
    pieces->payload.resize(kStateBytes);
    for (uint32_t l = 0; l < kLanes; ++l) store_le(pieces->payload.data() + 4 * l, x[l]);
    pieces->payload.insert(pieces->payload.end(), words, memory.data() + memory.size());
    return true;
}

bool piecewise_decode(const std::vector<uint32_t>& groups, const uint8_t* frequencies, size_t frequency_bytes, const uint8_t* payload,
                      size_t n_words, uint32_t bits, uint8_t* out, size_t n) {
    if (!scalar::states_valid(payload)) return false;
    const uint8_t* const words_end = payload + kStateBytes + 2 * n_words;
    const uint8_t* const frequencies_end = frequencies + frequency_bytes;
    scalar::Progress progress;
    progress.start(payload, payload + kStateBytes, words_end);
    size_t end = 0;
    for (const uint32_t of_piece : groups) {
        uint16_t frequency[kMaxAlphabet];
        RansTable table;
        frequencies = take_frequencies(frequencies, frequencies_end, bits, frequency);
        if (frequencies == nullptr || !build_rans_table(frequency, bits, &table)) return false;
        end += of_piece;
        kernels().rans_groups(table, progress, std::min(end, n / kGroup), out);
        if (!scalar::rans_groups(table, progress, end, words_end, out, n)) return false;
    }
    return frequencies == frequencies_end && scalar::stream_ended(progress.x, progress.words, words_end);
}

}  // namespace pennyweight
