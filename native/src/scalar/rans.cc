// The rANS of stages/entropy/rans.md in plain loops: what every other target must equal.
#include "scalar.h"

#include <cstring>

#include "pennyweight/bytes.h"

namespace pennyweight::scalar {

void expand_slots(const RansTable& table, uint32_t* slots) {
    const uint32_t alphabet = 1u << table.bits;
    uint32_t own[kMaxAlphabet], other[kMaxAlphabet], threshold[kMaxAlphabet];
    for (uint32_t b = 0; b < alphabet; ++b) {
        const auto symbol = [&table](uint32_t s) { return s << 24 | static_cast<uint32_t>(table.frequency[s]) << 12; };
        own[b] = symbol(b);
        other[b] =
            symbol(table.alias[b]) + static_cast<uint32_t>(static_cast<int32_t>(table.adjust[b]));  // with o added it is no longer negative
        threshold[b] = table.threshold[b];
    }
    for (uint32_t o = 0; o < kSlots >> table.bits; ++o, slots += alphabet) {
        for (uint32_t b = 0; b < alphabet; ++b) slots[b] = (o < threshold[b] ? own[b] : other[b]) + o;
    }
}

void RansDecoder::start(const RansTable& table, const uint32_t* states, const uint8_t* first_word, const uint8_t* end) {
    expand_slots(table, slots);
    std::memcpy(x, states, sizeof(x));
    words = first_word;
    words_end = end;
}

namespace {

// One symbol of every lane; at least 32 words must be left. Loops over all lanes, one for each kind of work, so that a compiler makes
// vectors of what is arithmetic and only the lookups stay single: 1.6 times as fast as lane after lane. acc takes the symbol at its top.
inline const uint8_t* step(const uint32_t* slots, uint32_t* x, uint32_t* acc, const uint8_t* words) {
    uint32_t slot[kLanes], word[kLanes];
    uint8_t refill[kLanes];
    for (uint32_t l = 0; l < kLanes; l += 2) {  // two states in one load
        const uint64_t pair = uint64_t{x[l + 1]} << 32 | x[l];
        slot[l] = slots[pair & (kSlots - 1)];
        slot[l + 1] = slots[pair >> 32 & (kSlots - 1)];
    }
    for (uint32_t l = 0; l < kLanes; ++l) {
        acc[l] = acc[l] >> 8 | (slot[l] & 0xff000000u);
        x[l] = (slot[l] >> 12 & 0xfff) * (x[l] >> kSlotBits) + (slot[l] & 0xfff);
    }
    for (uint32_t l = 0; l < kLanes; ++l) refill[l] = x[l] < kLowerBound;
    for (uint32_t l = 0; l < kLanes; l += 8) {
        // Byte k of the product is twice the number of refills in lanes l to l + k. No branch, which nothing could predict, and the chain
        // from word to word is one addition for eight lanes.
        uint64_t used = load_le<uint64_t>(refill + l) * 0x0202020202020202u;
        word[l] = load_le<uint16_t>(words);
        for (uint32_t k = 1; k < 8; ++k, used >>= 8) word[l + k] = load_le<uint16_t>(words + static_cast<uint8_t>(used));
        words += used;
    }
    for (uint32_t l = 0; l < kLanes; ++l) x[l] = x[l] < kLowerBound ? x[l] << 16 | word[l] : x[l];
    return words;
}

}  // namespace

// Tried and lost, in units of lane after lane with the refill as arithmetic: 64-bit slots with their fields apart 1.1, four words to a load
// and shifted out 1.25, two lanes to a load of words 1.05, conditional moves 0.6.
bool RansDecoder::group(uint8_t* out, size_t n) {
    // A whole group takes at most a word a symbol: with as many left nothing need be checked.
    if (n == kGroup && words_end - words >= static_cast<ptrdiff_t>(2 * kGroup)) {
        uint32_t acc[kLanes] = {}, state[kLanes];  // a copy: the compiler then knows that slots are none of its elements
        std::memcpy(state, x, sizeof(x));
        const uint8_t* at = words;
        for (uint32_t t = 0; t < 4; ++t) at = step(slots, state, acc, at);
        std::memcpy(x, state, sizeof(x));
        words = at;
        for (uint32_t l = 0; l < kLanes; ++l) store_le(out + 4 * l, acc[l]);
        return true;
    }
    for (uint32_t t = 0; t < 4; ++t) {
        for (uint32_t l = 0; l < kLanes; ++l) {
            const uint32_t i = 4 * l + t;
            if (i >= n) continue;
            const uint32_t slot = slots[x[l] & (kSlots - 1)];
            out[i] = static_cast<uint8_t>(slot >> 24);
            x[l] = (slot >> 12 & 0xfff) * (x[l] >> kSlotBits) + (slot & 0xfff);
            if (x[l] < kLowerBound) {
                if (words_end - words < 2) return false;
                x[l] = x[l] << 16 | load_le<uint16_t>(words);
                words += 2;
            }
        }
    }
    return true;
}

bool RansDecoder::finished() const { return stream_ended(x, words, words_end); }

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
