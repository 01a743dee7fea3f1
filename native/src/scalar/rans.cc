// The rANS of stages/entropy/rans.md in plain loops: what every other target must equal.
#include "scalar.h"

#include <bit>
#include <cstring>

#include "pennyweight/bytes.h"

namespace pennyweight::scalar {

namespace {

// entry(symbol, frequency) has room for a rank in its low 12 bits.
template <typename Entry>
void fill_slots(const RansTable& table, Entry entry, uint32_t* slots) {
    const uint32_t alphabet = 1u << table.bits;
    uint32_t own[kMaxAlphabet], other[kMaxAlphabet], threshold[kMaxAlphabet];
    for (uint32_t b = 0; b < alphabet; ++b) {
        const uint32_t alias = table.alias[b];
        own[b] = entry(b, uint32_t{table.frequency[b]});
        // with o added it is no longer negative
        other[b] = entry(alias, uint32_t{table.frequency[alias]}) + static_cast<uint32_t>(static_cast<int32_t>(table.adjust[b]));
        threshold[b] = table.threshold[b];
    }
    for (uint32_t o = 0; o < kSlots >> table.bits; ++o, slots += alphabet) {
        for (uint32_t b = 0; b < alphabet; ++b) slots[b] = (o < threshold[b] ? own[b] : other[b]) + o;
    }
}

// Where a lane stands in RansDecoder::Halves.
constexpr uint32_t place_of(uint32_t lane) { return lane / 16 * 16 + lane % 2 * 8 + lane % 16 / 2; }

inline uint32_t state_of(const RansDecoder::Halves& x, uint32_t lane) {
    return uint32_t{x.high[place_of(lane)]} << 16 | x.low[place_of(lane)];
}

inline void set_state(RansDecoder::Halves& x, uint32_t lane, uint32_t state) {
    x.low[place_of(lane)] = static_cast<uint16_t>(state);
    x.high[place_of(lane)] = static_cast<uint16_t>(state >> 16);
}

}  // namespace

void expand_slots(const RansTable& table, uint32_t* slots) {
    fill_slots(table, [](uint32_t symbol, uint32_t frequency) { return symbol << 24 | frequency << 12; }, slots);
}

void RansDecoder::start(const RansTable& table, const uint32_t* states, const uint8_t* first_word, const uint8_t* end) {
    fill_slots(table, [](uint32_t symbol, uint32_t frequency) { return symbol >> 4 << 28 | frequency << 16 | (symbol & 15) << 12; }, slots);
    for (uint32_t l = 0; l < kLanes; ++l) set_state(x, l, states[l]);
    words = first_word;
    words_end = end;
}

namespace {

// Shifts that put two bytes into a word so that memory has them in this order.
constexpr uint32_t kFirstByte = std::endian::native == std::endian::little ? 0 : 8, kSecondByte = 8 - kFirstByte;

// One symbol of every lane, two to a word and in order; at least 32 words must be left. Loops over all lanes, one for each kind of work, so
// that a compiler makes vectors of what is arithmetic and only the lookups stay single. In halves, as base line x86-64 multiplies 16 bits
// but not 32; "empty" is then a comparison with 0 of what is shifted away. Even and odd lanes apart: what a vector of words holds is put
// together from two of dwords, and bytes from two of words, by shifts instead of shuffles, of which there are few in a cycle.
inline const uint8_t* step(const uint32_t* slots, RansDecoder::Halves& x, uint16_t* symbols, const uint8_t* words) {
    uint32_t both[kLanes / 2], one[kLanes / 2], other[kLanes / 2];
    uint16_t rank[kLanes], frequency[kLanes], symbol[kLanes], word[kLanes], refill[kLanes], refills[kLanes / 2];
    std::memcpy(both, x.low, sizeof(both));
    for (uint32_t k = 0; k < kLanes / 2; ++k) {
        one[k] = slots[both[k] & (kSlots - 1)];
        other[k] = slots[both[k] >> 16 & (kSlots - 1)];
    }
    for (uint32_t k = 0; k < kLanes / 2; ++k) both[k] = (one[k] & 0xffff) | other[k] << 16;
    std::memcpy(rank, both, sizeof(rank));
    for (uint32_t k = 0; k < kLanes / 2; ++k) both[k] = one[k] >> 16 | (other[k] & 0xffff0000u);
    std::memcpy(frequency, both, sizeof(frequency));
    for (uint32_t l = 0; l < kLanes; ++l) {
        symbol[l] = static_cast<uint16_t>(rank[l] >> 12 | frequency[l] >> 12 << 4);
        const uint16_t f = frequency[l] & 0xfff, q = static_cast<uint16_t>(x.low[l] >> 12 | x.high[l] << 4), top = x.high[l] >> 12;
        const uint16_t product = static_cast<uint16_t>(uint32_t{f} * q), over = static_cast<uint16_t>(uint32_t{f} * q >> 16);
        const uint16_t low = static_cast<uint16_t>(product + (rank[l] & 0xfff));
        x.low[l] = low;
        x.high[l] = static_cast<uint16_t>(over + uint32_t{f} * top + (low < product ? 1 : 0));
        refill[l] = x.high[l] == 0;
    }
    for (uint32_t i = 0; i < kLanes; i += 16) {
        for (uint32_t k = i; k < i + 8; ++k) {
            symbols[k - i / 2] = static_cast<uint16_t>(symbol[k] << kFirstByte | symbol[k + 8] << kSecondByte);
            refills[k - i / 2] = static_cast<uint16_t>(refill[k] << kFirstByte | refill[k + 8] << kSecondByte);
        }
    }
    for (uint32_t l = 0; l < kLanes; l += 8) {
        // Byte k of the product is twice the number of refills in lanes l to l + k. No branch, which nothing could predict, and the chain
        // from word to word is one addition for eight lanes.
        uint64_t used = load_le<uint64_t>(reinterpret_cast<const uint8_t*>(refills) + l) * 0x0202020202020202u;
        word[place_of(l)] = load_le<uint16_t>(words);
        for (uint32_t k = 1; k < 8; ++k, used >>= 8) word[place_of(l + k)] = load_le<uint16_t>(words + static_cast<uint8_t>(used));
        words += used;
    }
    for (uint32_t l = 0; l < kLanes; ++l) {
        const bool empty = x.high[l] == 0;
        x.high[l] = empty ? x.low[l] : x.high[l];
        x.low[l] = empty ? word[l] : x.low[l];
    }
    return words;
}

}  // namespace

// Tried and lost, with GCC 12 and as parts of this speed: whole states of 32 bits 0.75, even without the halves' order of lanes; eight or
// 16 lanes at a time 0.3 to 0.7 (scalar stores that a vector then loads have to leave the store queue first), which the tables as two
// arrays of words cost too; lane after lane without any vector 0.8, with conditional moves, which become branches, 0.45.
bool RansDecoder::group(uint8_t* out, size_t n) {
    // A whole group takes at most a word a symbol: with as many left nothing need be checked.
    if (n == kGroup && words_end - words >= static_cast<ptrdiff_t>(2 * kGroup)) {
        Halves state = x;  // a copy: the compiler then knows that slots are none of its elements
        uint16_t symbols[4][kLanes / 2];
        uint8_t of_lane[4][kLanes];
        const uint8_t* at = words;
        for (uint32_t t = 0; t < 4; ++t) at = step(slots, state, symbols[t], at);
        x = state;
        words = at;
        std::memcpy(of_lane, symbols, sizeof(of_lane));
        for (uint32_t l = 0; l < kLanes; ++l) {
            for (uint32_t t = 0; t < 4; ++t) out[4 * l + t] = of_lane[t][l];
        }
        return true;
    }
    for (uint32_t t = 0; t < 4; ++t) {
        for (uint32_t l = 0; l < kLanes; ++l) {
            const uint32_t i = 4 * l + t;
            if (i >= n) continue;
            uint32_t state = state_of(x, l);
            const uint32_t slot = slots[state & (kSlots - 1)];
            out[i] = static_cast<uint8_t>((slot >> 12 & 15) | slot >> 28 << 4);
            state = (slot >> 16 & 0xfff) * (state >> kSlotBits) + (slot & 0xfff);
            if (state < kLowerBound) {
                if (words_end - words < 2) return false;
                state = state << 16 | load_le<uint16_t>(words);
                words += 2;
            }
            set_state(x, l, state);
        }
    }
    return true;
}

bool RansDecoder::finished() const {
    uint32_t states[kLanes];
    for (uint32_t l = 0; l < kLanes; ++l) states[l] = state_of(x, l);
    return stream_ended(states, words, words_end);
}

bool stream_ended(const uint32_t* x, const uint8_t* words, const uint8_t* words_end) {
    uint32_t off = 0;
    for (uint32_t l = 0; l < kLanes; ++l) off |= x[l] ^ kLowerBound;
    return off == 0 && words == words_end;
}

void Progress::start(const uint8_t* states, const uint8_t* first_word, const uint8_t* readable_end) {
    for (uint32_t l = 0; l < kLanes; ++l) x[l] = load_le<uint32_t>(states + 4 * l);
    words = first_word;
    readable = readable_end;
    groups_done = 0;
}

bool rans_decode(const RansTable& table, const uint8_t* payload, size_t n_words, uint8_t* out, size_t n) {
    if (!states_valid(payload)) return false;
    const uint8_t* words_end = payload + kStateBytes + 2 * n_words;
    Progress nothing_done;
    nothing_done.start(payload, payload + kStateBytes, words_end);
    return finish_symbols(table, nothing_done, words_end, out, n);
}

bool rans_groups(const RansTable& table, Progress& p, size_t groups, const uint8_t* words_end, uint8_t* out, size_t n) {
    if (p.words > words_end) return false;
    if (p.groups_done >= groups) return true;
    RansDecoder decoder;
    decoder.start(table, p.x, p.words, words_end);
    for (; p.groups_done < groups; ++p.groups_done) {
        const size_t i = p.groups_done * kGroup;
        if (!decoder.group(out + i, n - i < kGroup ? n - i : kGroup)) return false;
    }
    for (uint32_t l = 0; l < kLanes; ++l) p.x[l] = state_of(decoder.x, l);
    p.words = decoder.words;
    return true;
}

bool finish_symbols(const RansTable& table, const Progress& done, const uint8_t* words_end, uint8_t* out, size_t n) {
    if (done.words > words_end) return false;
    if (done.groups_done * kGroup >= n) return stream_ended(done.x, done.words, words_end);
    RansDecoder decoder;
    decoder.start(table, done.x, done.words, words_end);
    for (size_t i = done.groups_done * kGroup; i < n; i += kGroup) {
        if (!decoder.group(out + i, n - i < kGroup ? n - i : kGroup)) return false;
    }
    return decoder.finished();
}

bool states_valid(const uint8_t* states) {
    bool ok = true;
    for (uint32_t l = 0; l < kLanes; ++l) ok &= load_le<uint32_t>(states + 4 * l) >= kLowerBound;
    return ok;
}

namespace {

// Symbols i < n of one group, backwards. Tried and lost: loops over all lanes for each kind of work as in the decoder, 0.9 of the speed
// (the division wants 64 bits, or 32-bit products that vectors without AVX2 do not have); what belongs to a symbol side by side in memory,
// 0.95.
inline uint8_t* encode_group(const RansEncodeTable& table, const uint8_t* symbols, size_t n, uint32_t* x, uint8_t* p) {
    for (uint32_t t = 4; t-- > 0;) {
        for (uint32_t l = kLanes; l-- > 0;) {
            const uint32_t i = 4 * l + t;
            if (i >= n) continue;
            const uint32_t s = symbols[i], f = table.frequency[s];
            const uint32_t spill = x[l] >= f << 20;  // as arithmetic: no branch predictor can guess it
            store_le(p - 2, static_cast<uint16_t>(x[l]));
            p -= 2 * spill;
            const uint32_t state = x[l] >> (16 * spill);
            // state < 2^20 f, so the product stays below 2^64 and the quotient is exact: see reciprocal.
            const uint32_t q = static_cast<uint32_t>(uint64_t{state} * table.reciprocal[s] >> 44);
            x[l] = (q << kSlotBits) + table.slots[table.start[s] + (state - q * f)];
        }
    }
    return p;
}

}  // namespace

void rans_encode_group(const RansEncodeTable& table, const uint8_t* symbols, size_t n, uint32_t* x, uint8_t** words) {
    // A whole group by itself: the compiler then leaves out the question whether a symbol is still one of them.
    *words = n == kGroup ? encode_group(table, symbols, kGroup, x, *words) : encode_group(table, symbols, n, x, *words);
}

void rans_encode(RansEncodeJob* jobs, size_t n_jobs) {
    for (size_t j = 0; j < n_jobs; ++j) {
        RansEncodeJob& job = jobs[j];
        uint32_t x[kLanes];
        for (uint32_t& state : x) state = kLowerBound;
        uint8_t* words = job.words_end;
        const size_t groups = (job.n + kGroup - 1) / kGroup;
        for (size_t g = groups; g-- > 0;) {
            const size_t left = job.n - g * kGroup;
            rans_encode_group(*job.table, job.symbols + g * kGroup, left < kGroup ? left : kGroup, x, &words);
        }
        for (uint32_t l = 0; l < kLanes; ++l) store_le(job.states + 4 * l, x[l]);
        job.n_words = static_cast<size_t>(job.words_end - words) / 2;
    }
}

}  // namespace pennyweight::scalar
