// Blocks of floats in plain loops: group by group through the rANS decoder and the merge. Every other target must equal it, and hands to it
// what its own loops leave.
#include "pennyweight/bytes.h"
#include "scalar.h"

namespace pennyweight::scalar {

void finish_float(FloatBlock& block, const Progress& done) {
    const uint8_t* words_end = block.words + 2 * block.n_words;
    const size_t first = done.groups_done * kGroup;
    block.ok = false;
    if (done.words > words_end) return;
    if (first >= block.n) {
        block.ok = stream_ended(done.x, done.words, words_end);
        return;
    }
    RansDecoder decoder;
    decoder.start(*block.table, done.x, done.words, words_end);
    uint8_t symbols[kGroup];
    const FloatTraits& traits = *float_traits(static_cast<uint8_t>(block.format));
    const size_t h = high_bits(traits, block.symbols), k = traits.low_bytes;
    for (size_t i = first; i < block.n; i += kGroup) {
        const size_t n = block.n - i < kGroup ? block.n - i : kGroup;
        if (!decoder.group(symbols, n)) return;
        // FloatParts serves both directions; merge only reads what its n weights fill.
        uint8_t* const high = const_cast<uint8_t*>(block.high) + i / 8 * h;
        uint8_t* const low = k == 0 ? nullptr : const_cast<uint8_t*>(block.low) + i * k;
        merge({block.format, block.symbols, block.base, 0, n, symbols, high, low, nullptr}, block.out + i * traits.bytes);
    }
    block.ok = decoder.finished();
}

void decode_float(FloatBlock* blocks, size_t n_blocks, bool /*stream*/) {
    for (size_t b = 0; b < n_blocks; ++b) {
        Progress nothing_done;
        nothing_done.start(blocks[b].states, blocks[b].words, blocks[b].readable);
        finish_float(blocks[b], nothing_done);
    }
}

}  // namespace pennyweight::scalar
