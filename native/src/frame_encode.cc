#include <algorithm>
#include <cstring>
#include <vector>

#include "frame_ids.h"
#include "pennyweight/bytes.h"
#include "pennyweight/frame.h"

namespace pennyweight {

namespace {

// Everything between a block and its frame. Kept per thread: fresh megabytes for each call would cost more in page faults than the coding.
struct BlockScratch {
    std::vector<uint8_t> symbols, high, low, patches, words;
    RansTable table;
    RansEncodeTable encode_table;
    uint8_t states[kStateBytes];
    uint32_t counts[kWindowCounts];
    uint32_t symbol_counts[kMaxAlphabet];
    FloatParts parts;
    size_t n_patches;
    bool taken;

    void prepare(FloatFormat format, uint32_t symbol_bits, const FloatTraits& traits, size_t n_bytes) {
        const size_t n = n_bytes / traits.bytes;
        constexpr size_t kSpare = 256;  // vector stores may run past the end
        symbols.resize(std::max(symbols.size(), n + kSpare));
        high.resize(std::max(high.size(), n + kSpare));
        low.resize(std::max(low.size(), n * traits.low_bytes + kSpare));
        patches.resize(std::max(patches.size(), n / kWeightsPerPatch * 4 + kSpare));
        words.resize(std::max(words.size(), 2 * n + kSpare));
        parts = {format, symbol_bits, 0, 0, n, symbols.data(), high.data(), low.data(), patches.data()};
    }
};

// One part of a frame: a store node.
uint8_t* write_store(uint8_t* at, const uint8_t* data, size_t n, bool last) {
    if (!last) at = write_varint(at, n + 2);
    *at++ = kStoreId;
    *at++ = 0;
    if (n > 0) std::memcpy(at, data, n);
    return at + n;
}

bool split_block(const Kernels& kernels, const uint8_t* src, const FloatTraits& traits, BlockScratch& b) {
    choose_window(src, traits, b.parts.n, b.counts, &b.parts);
    b.n_patches = kernels.split(src, b.parts, b.symbol_counts);
    if (b.n_patches == SIZE_MAX) return false;
    uint16_t frequency[kMaxAlphabet];
    if (!normalize_frequencies(b.symbol_counts, b.parts.symbol_bits, frequency)) return false;
    build_rans_table(frequency, b.parts.symbol_bits, &b.table);
    build_rans_encode_table(b.table, &b.encode_table);
    return true;
}

// Writes the frame, or returns 0 where it is not smaller than the block or its rans node not smaller than the symbols stored.
size_t write_frame(const BlockScratch& b, const RansEncodeJob& job, const FloatTraits& traits, size_t n_bytes, uint8_t* dst) {
    const size_t n = b.parts.n;
    const uint32_t bits = b.parts.symbol_bits;
    const size_t rans_header = 1 + varint_bytes(job.n_words) + packed_frequency_bytes(bits);
    const size_t rans_node = 2 + rans_header + 2 + kStateBytes + 2 * job.n_words;
    const size_t n_high = sign_mantissa_bytes(n, high_bits(traits, bits));
    const size_t n_low = n * traits.low_bytes;
    const size_t header = 2 + varint_bytes(b.parts.base) + varint_bytes(b.n_patches);
    size_t total = 2 + header + varint_bytes(rans_node) + rans_node + varint_bytes(n_high + 2) + 2 + n_high + 2 + 4 * b.n_patches;
    if (traits.low_bytes > 0) total += varint_bytes(n_low + 2) + 2 + n_low;
    if (rans_node >= n + 2 || total >= n_bytes) return 0;

    uint8_t* at = dst;
    *at++ = kFloatFieldsId;
    *at++ = static_cast<uint8_t>(header);
    *at++ = static_cast<uint8_t>(b.parts.format);
    *at++ = static_cast<uint8_t>(bits);
    at = write_varint(at, b.parts.base);
    at = write_varint(at, b.n_patches);

    at = write_varint(at, rans_node);
    *at++ = kRansId;
    *at++ = static_cast<uint8_t>(rans_header);
    *at++ = static_cast<uint8_t>(bits);
    at = write_varint(at, job.n_words);
    pack_frequencies(b.table.frequency, bits, at);
    at += packed_frequency_bytes(bits);
    *at++ = kStoreId;
    *at++ = 0;
    std::memcpy(at, b.states, kStateBytes);
    at += kStateBytes;
    std::memcpy(at, job.words_end - 2 * job.n_words, 2 * job.n_words);
    at += 2 * job.n_words;

    at = write_store(at, b.high.data(), n_high, false);
    if (traits.low_bytes > 0) at = write_store(at, b.low.data(), n_low, false);
    at = write_store(at, b.patches.data(), 4 * b.n_patches, true);
    return static_cast<size_t>(at - dst);
}

}  // namespace

void encode_float_blocks(const Kernels& kernels, const uint8_t* src, const size_t* sizes, size_t n_blocks, FloatFormat format,
                         uint32_t symbol_bits, uint8_t* dst, size_t* frame_sizes) {
    static thread_local std::vector<BlockScratch> scratch(kMaxInterleave);
    const FloatTraits& traits = *float_traits(static_cast<uint8_t>(format));
    for (size_t first = 0; first < n_blocks; first += kMaxInterleave) {
        const size_t count = std::min(kMaxInterleave, n_blocks - first);
        RansEncodeJob jobs[kMaxInterleave];
        size_t n_jobs = 0;
        const uint8_t* block = src;
        for (size_t i = 0; i < count; block += sizes[first + i], ++i) {
            BlockScratch& b = scratch[i];
            b.prepare(format, symbol_bits, traits, sizes[first + i]);
            b.taken = b.parts.n > 0 && split_block(kernels, block, traits, b);
            if (!b.taken) continue;
            // Symbols past n up to the group's end are read by vector kernels: any valid symbol will do, none is coded.
            uint8_t* words_end = b.words.data() + (b.words.size() & ~size_t{1});
            jobs[n_jobs++] = {&b.encode_table, b.symbols.data(), b.parts.n, words_end, b.states, 0};
        }
        kernels.rans_encode(jobs, n_jobs);
        for (size_t i = 0, j = 0; i < count; ++i) {
            const size_t n_bytes = sizes[first + i];
            frame_sizes[first + i] = scratch[i].taken ? write_frame(scratch[i], jobs[j++], traits, n_bytes, dst) : 0;
            dst += frame_sizes[first + i];
        }
        src = block;
    }
}

}  // namespace pennyweight
