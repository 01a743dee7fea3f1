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
    RansEncodeJob job;
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
size_t write_frame(const BlockScratch& b, const FloatTraits& traits, size_t n_bytes, uint8_t* dst) {
    const RansEncodeJob& job = b.job;
    const size_t n = b.parts.n;
    const uint32_t bits = b.parts.symbol_bits;
    const size_t rans_header = 1 + varint_bytes(job.n_words) + frequency_header_bytes(b.table.frequency, bits);
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
    at = write_frequencies(b.table.frequency, bits, at);
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

// Blocks that are encoded together: as many large ones as a kernel takes at once, and small ones between them, which are cheap to hold and
// would only break up a group of large ones.
constexpr size_t kSmallBytes = 32768, kMaxSmall = 16;

struct Run {
    std::vector<BlockScratch> large, small;

    Run() : large(kMaxInterleave), small(kMaxSmall) {}
};

void encode_symbols(const Kernels& kernels, BlockScratch* const* blocks, size_t n_blocks) {
    BlockScratch* order[kMaxInterleave + kMaxSmall];
    RansEncodeJob jobs[kMaxInterleave + kMaxSmall];
    size_t n = 0;
    for (size_t i = 0; i < n_blocks; ++i) {
        if (blocks[i]->taken) order[n++] = blocks[i];
    }
    std::stable_sort(order, order + n, [](const BlockScratch* a, const BlockScratch* b) { return a->parts.n > b->parts.n; });
    for (size_t i = 0; i < n; ++i) {
        BlockScratch& b = *order[i];
        uint8_t* words_end = b.words.data() + (b.words.size() & ~size_t{1});
        jobs[i] = {&b.encode_table, b.symbols.data(), b.parts.n, words_end, b.states, 0};
    }
    for (size_t i = 0; i < n; i += kMaxInterleave) kernels.rans_encode(jobs + i, std::min(kMaxInterleave, n - i));
    for (size_t i = 0; i < n; ++i) order[i]->job = jobs[i];
}

}  // namespace

void encode_float_blocks(const Kernels& kernels, const uint8_t* src, const size_t* sizes, size_t n_blocks, FloatFormat format,
                         uint32_t symbol_bits, uint8_t* dst, size_t* frame_sizes) {
    static thread_local Run run;
    const FloatTraits& traits = *float_traits(static_cast<uint8_t>(format));
    for (size_t first = 0; first < n_blocks;) {
        BlockScratch* blocks[kMaxInterleave + kMaxSmall];
        size_t n_large = 0, n_small = 0, last = first;
        for (; last < n_blocks; ++last) {
            const bool is_small = sizes[last] <= kSmallBytes;
            if (is_small ? n_small == kMaxSmall : n_large == kMaxInterleave) break;
            BlockScratch& b = is_small ? run.small[n_small++] : run.large[n_large++];
            blocks[last - first] = &b;
            b.prepare(format, symbol_bits, traits, sizes[last]);
            b.taken = b.parts.n > 0 && split_block(kernels, src, traits, b);
            src += sizes[last];
        }
        encode_symbols(kernels, blocks, last - first);
        for (size_t i = first; i < last; ++i) {
            const BlockScratch& b = *blocks[i - first];
            frame_sizes[i] = b.taken ? write_frame(b, traits, sizes[i], dst) : 0;
            dst += frame_sizes[i];
        }
        first = last;
    }
}

}  // namespace pennyweight
