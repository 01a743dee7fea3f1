// Scalar kernels, and the pieces of them with which the vector kernels finish what does not fill a vector.
#pragma once

#include "pennyweight/kernels.h"

namespace pennyweight::scalar {

// Slot z of rans.md as one word, symbol << 24 | frequency << 12 | rank, for all 4096: a symbol is then one lookup. Without vectors that
// pays from a few thousand symbols on, and with 256 symbols everywhere.
void expand_slots(const RansTable& table, uint32_t* slots);

// Decodes group by group with every read checked. 16 KiB: keep it out of loops over small things.
struct RansDecoder {
    // States of all lanes, their low and high 16 bits apart: even lanes below 16, the odd ones, then those from 16 on.
    struct Halves {
        uint16_t low[kLanes], high[kLanes];
    };
    Halves x;
    const uint8_t* words;
    const uint8_t* words_end;
    uint32_t slots[kSlots];  // as expand_slots, for halves: symbol >> 4, frequency, symbol & 15, rank

    void start(const RansTable& table, const uint32_t* states, const uint8_t* first_word, const uint8_t* end);
    // Symbols i < n of one group, n <= 128. False if the words run out.
    bool group(uint8_t* out, size_t n);
    bool finished() const;
};

// A stream on its way through a vector kernel: what its loops hand on from one to the next, and in the end to finish_*. Members are
// not inline: a copy compiled for one target must not serve another.
struct Progress {
    static constexpr ptrdiff_t kRoom = 2 * kGroup + 32;  // what one group may read: all its words and the rest of the last load

    alignas(64) uint32_t x[kLanes];
    const uint8_t* words;
    const uint8_t* readable;  // end of the memory that a load of words may touch
    size_t groups_done;

    void start(const uint8_t* states, const uint8_t* first_word, const uint8_t* readable_end);
};

bool states_valid(const uint8_t* states);
// Whether all words are used and every state is L again.
bool stream_ended(const uint32_t* x, const uint8_t* words, const uint8_t* words_end);
void rans_encode_group(const RansEncodeTable& table, const uint8_t* symbols, size_t n, uint32_t* x, uint8_t** words);

size_t split(const uint8_t* src, const FloatParts& parts, uint32_t* symbol_counts);
// Weights first <= i < n of a block; first is a multiple of 8. Counts and patches are added to.
size_t split_from(const uint8_t* src, const FloatParts& parts, size_t first, size_t n_patches, uint32_t* symbol_counts);
bool merge(const FloatParts& parts, uint8_t* out);
void split_keys(FloatFormat format, uint32_t symbols, const uint8_t* src, size_t n, uint8_t* keys, uint8_t* high, uint8_t* low);
bool merge_keys(FloatFormat format, uint32_t symbols, const uint8_t* keys, const uint8_t* high, const uint8_t* low, size_t n, uint8_t* out);
void pack_words(const uint8_t* src, size_t groups, uint32_t b, uint32_t z, uint8_t* dst);
void unpack_words(const uint8_t* src, size_t groups, uint32_t b, uint32_t z, uint8_t* dst);
void rans_encode(RansEncodeJob* jobs, size_t n_jobs);
bool rans_decode(const RansTable& table, const uint8_t* payload, size_t n_words, uint8_t* out, size_t n);
// Up to that number of groups of n symbols, the last of which may be short. False if the words run out.
bool rans_groups(const RansTable& table, Progress& progress, size_t groups, const uint8_t* words_end, uint8_t* out, size_t n);
// Finishes a stream from the groups that are done; checks its end.
bool finish_symbols(const RansTable& table, const Progress& done, const uint8_t* words_end, uint8_t* out, size_t n);
void decode_float(FloatBlock* blocks, size_t n_blocks, bool stream);
// Finishes a block from the groups that are done, and says in it whether its end is right.
void finish_float(FloatBlock& block, const Progress& done);

}  // namespace pennyweight::scalar
