#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

#include "frame_ids.h"
#include "pennyweight/bitpack.h"
#include "pennyweight/byteplane.h"
#include "pennyweight/bytes.h"
#include "pennyweight/frame.h"
#include "pennyweight/price.h"

namespace pennyweight {

namespace {

// A node without children to decide on: what stands before its body, and the body.
struct LeafNode {
    const uint8_t* head;
    size_t n_head;
    const uint8_t* body;
    size_t n_body;

    size_t size() const { return n_head + n_body; }
    uint8_t* write(uint8_t* at, bool last) const {
        if (!last) at = write_varint(at, size());
        std::memcpy(at, head, n_head);
        if (n_body > 0) std::memcpy(at + n_head, body, n_body);
        return at + n_head + n_body;
    }
};

constexpr uint8_t kStoreHead[] = {kStoreId, 0};

LeafNode store_node(const uint8_t* body, size_t n) { return {kStoreHead, sizeof kStoreHead, body, n}; }

// Everything between a block and its frame. Kept per thread: fresh megabytes for each call would cost more in page faults than the coding.
struct BlockScratch {
    std::vector<uint8_t> symbols, high, low, patches, words, zeros, runs, low_bits, high_head, low_head;
    RansTable table;
    RansEncodeTable encode_table;
    uint8_t states[kStateBytes];
    uint32_t counts[kWindowCounts];
    uint32_t symbol_counts[kMaxAlphabet];
    FloatParts parts;
    size_t n_patches;
    LeafNode high_node, low_node;
    RansEncodeJob job;
    bool taken;

    void prepare(const FloatPlan& plan, const FloatTraits& traits, size_t n_bytes) {
        const size_t n = n_bytes / traits.bytes;
        constexpr size_t kSpare = 256;  // vector stores may run past the end
        symbols.resize(std::max(symbols.size(), n + kSpare));
        high.resize(std::max(high.size(), n + kSpare));
        low.resize(std::max(low.size(), n * traits.low_bytes + kSpare));
        patches.resize(std::max(patches.size(), n / kWeightsPerPatch * 4 + kSpare));
        words.resize(std::max(words.size(), 2 * n + kSpare));
        parts = {plan.format, plan.bits, 0, 0, n, symbols.data(), high.data(), low.data(), patches.data()};
    }
};

LeafNode bitpack_node(std::vector<uint8_t>& head, uint32_t width, uint32_t h, const uint8_t* runs, size_t n_runs, const uint8_t* bits,
                      size_t n_bits) {
    head.resize(n_runs + 8 + kMaxVarint);
    uint8_t* at = head.data();
    *at++ = kBitpackId;
    at = write_varint(at, 2 + n_runs);
    *at++ = static_cast<uint8_t>(width);
    *at++ = static_cast<uint8_t>(h);
    at = std::copy_n(runs, n_runs, at);
    at = std::copy_n(kStoreHead, sizeof kStoreHead, at);
    return {head.data(), static_cast<size_t>(at - head.data()), bits, n_bits};
}

// Counts of the sign_mantissa of the weights that the noise rule looks at, as sample_counts has them for bytes: taken from the weights,
// whose top 16 bits hold it, since unpacking the fields took twice as long.
template <uint32_t kBytes>
void sample_high(const uint8_t* src, uint32_t low_bytes, uint32_t h, size_t n, uint32_t* counts) {
    constexpr size_t kSampleFrom = 16384, kPeriod = 512, kTaken = 64;
    const uint32_t shift = 8 * low_bytes + 16 - 8 * kBytes, mask = (1u << (h - 1)) - 1;
    const auto high = [&](size_t i) -> uint32_t {
        uint32_t top;
        if constexpr (kBytes == 1) top = static_cast<uint32_t>(src[i]) << 8;
        if constexpr (kBytes > 1) top = load_le<uint16_t>(src + (i + 1) * kBytes - 2);
        return (top >> shift & mask) | top >> 15 << (h - 1);
    };
    uint32_t odd[256] = {};  // neighbours are often equal, and an increment waits for the one before it
    std::memset(counts, 0, 256 * sizeof(uint32_t));
    const size_t period = n < kSampleFrom ? n : kPeriod, taken = n < kSampleFrom ? n : kTaken;
    for (size_t first = 0; first < n; first += period) {
        size_t i = first;
        const size_t end = first + std::min(taken, n - first);
        for (; i + 2 <= end; i += 2) {
            ++counts[high(i)];
            ++odd[high(i + 1)];
        }
        if (i < end) ++counts[high(i)];
    }
    for (size_t s = 0; s < 256; ++s) counts[s] += odd[s];
}

void sample_high(const uint8_t* src, const FloatTraits& traits, uint32_t h, size_t n, uint32_t* counts) {
    switch (traits.bytes) {
        case 1: return sample_high<1>(src, traits.low_bytes, h, n, counts);
        case 2: return sample_high<2>(src, traits.low_bytes, h, n, counts);
        case 4: return sample_high<4>(src, traits.low_bytes, h, n, counts);
        default: return sample_high<8>(src, traits.low_bytes, h, n, counts);
    }
}

// Whether rans declines such a stream as noise.
bool is_byte_noise(const uint32_t* counts) {
    uint32_t largest = 1;
    for (uint32_t s = 2; s < 256; ++s) largest = counts[s] != 0 ? s : largest;
    return is_noise(counts, 256, static_cast<uint32_t>(std::bit_width(largest)));
}

// Whether bitpack of the packed fields is one run with z = 0 and all h bits.
bool fields_are_full(const uint8_t* packed, size_t n, uint32_t h) {
    uint64_t lowest = 0;  // of each of eight fields
    for (uint32_t i = 0; i < 8; ++i) lowest |= uint64_t{1} << (h * i);
    const uint64_t highest = lowest << (h - 1);
    uint64_t anywhere = 0;
    for (size_t first = 0; first < n; first += kBitpackGroup) {
        const uint8_t* at = packed + first / 8 * h;
        uint64_t seen = 0;
        if (n - first >= kBitpackGroup) {  // the buffer has room to read a whole word at the last unit
            for (size_t u = 0; u < kBitpackGroup / 8; u += 4) {  // noise shows in the first four units
                for (size_t v = u; v < u + 4; ++v) seen |= load_le<uint64_t>(at + v * h);
                if ((seen & lowest) != 0 && (anywhere & highest) != 0) break;
            }
        } else {
            for (size_t i = 0; i < sign_mantissa_bytes(n - first, h); ++i) seen |= uint64_t{at[i]} << (8 * (i % h));
        }
        if ((seen & lowest) == 0) return false;
        anywhere |= seen;
    }
    return (anywhere & highest) != 0;
}

// The node of sign_mantissa; false where the staged path has to look.
bool code_high(Beside plan, const uint8_t* src, const FloatTraits& traits, size_t n, uint32_t h, BlockScratch& b) {
    const size_t bytes = sign_mantissa_bytes(n, h);
    if (plan == Beside::kRans || plan == Beside::kRansOrBitpack) {
        uint32_t counts[256];
        sample_high(src, traits, h, n, counts);
        if (!is_byte_noise(counts)) return false;
    }
    b.high_node = store_node(b.parts.high, bytes);
    if (plan == Beside::kStore || plan == Beside::kRans) return h == 8 && !(plan == Beside::kRans && is_constant(b.parts.high, n, 1));
    if (!fields_are_full(b.parts.high, n, h)) return false;
    if (h == 8) return !is_constant(b.parts.high, n, 1);  // bitpack declines; what one byte repeated becomes is the staged path's to say
    uint8_t run[1 + kMaxVarint] = {0};
    const size_t n_run = static_cast<size_t>(write_varint(run + 1, bitpack_groups(n)) - run);
    b.high_node = bitpack_node(b.high_head, 1, h, run, n_run, b.parts.high, bytes);
    return b.high_node.size() < n + 2;
}

bool code_low(const Kernels& kernels, Beside plan, size_t n, uint32_t k, BlockScratch& b) {
    const uint8_t* low = b.parts.low;
    b.low_node = store_node(low, n * k);
    if (k == 0 || plan == Beside::kStore) return true;
    if (plan == Beside::kRans) {
        uint32_t counts[256];
        sample_counts(low, n * k, counts);
        return is_byte_noise(counts) && !is_constant(low, n * k, 1);
    }
    if (plan != Beside::kBitpack) return false;
    b.zeros.resize(std::max(b.zeros.size(), bitpack_groups(n)));
    const uint32_t h = bitpack_scan(low, n, k, b.zeros.data());
    b.runs.resize(std::max(b.runs.size(), bitpack_runs_capacity(n)));
    const size_t n_runs = bitpack_write_runs(b.zeros.data(), n, k, h, b.runs.data());
    if (n_runs == 0) return !is_constant(low, n * k, 1);
    b.low_bits.resize(std::max(b.low_bits.size(), n * k + 8));
    const size_t n_bits = bitpack_pack(kernels, b.zeros.data(), low, n, k, h, b.low_bits.data());
    b.low_node = bitpack_node(b.low_head, k, h, b.runs.data(), n_runs, b.low_bits.data(), n_bits);
    return b.low_node.size() < n * k + 2;
}

bool split_block(const Kernels& kernels, const uint8_t* src, const FloatTraits& traits, const FloatPlan& plan, BlockScratch& b) {
    choose_window(src, traits, b.parts.n, plan.bits, b.counts, &b.parts);
    b.n_patches = kernels.split(src, b.parts, b.symbol_counts);
    if (b.n_patches == SIZE_MAX) return false;
    const uint32_t kind = b.parts.symbol_kind, a = alphabet_bits(kind);
    uint16_t frequency[kMaxAlphabet];
    if (is_noise(b.symbol_counts, size_t{1} << a, a) || !normalize_frequencies(b.symbol_counts, a, frequency)) return false;
    build_rans_table(frequency, a, &b.table);
    build_rans_encode_table(b.table, &b.encode_table);
    return code_low(kernels, plan.low, b.parts.n, traits.low_bytes, b) &&
           code_high(plan.sign_mantissa, src, traits, b.parts.n, high_bits(traits, kind), b);
}

// Writes the frame, or returns 0 where it is not smaller than the block or its rans node not smaller than the symbols stored.
size_t write_frame(const BlockScratch& b, const FloatTraits& traits, size_t n_bytes, uint8_t* dst) {
    const RansEncodeJob& job = b.job;
    const uint32_t a = b.table.bits;
    const LeafNode patches = store_node(b.patches.data(), 4 * b.n_patches);
    const size_t rans_header = 1 + varint_bytes(job.n_words) + frequency_header_bytes(b.table.frequency, a);
    const size_t rans_node = 2 + rans_header + 2 + kStateBytes + 2 * job.n_words;
    const size_t header = 2 + varint_bytes(b.parts.base) + varint_bytes(b.n_patches);
    size_t total = 2 + header + varint_bytes(rans_node) + rans_node;
    total += varint_bytes(b.high_node.size()) + b.high_node.size() + patches.size();
    if (traits.low_bytes > 0) total += varint_bytes(b.low_node.size()) + b.low_node.size();
    if (rans_node >= b.parts.n + 2 || total >= n_bytes) return 0;

    uint8_t* at = dst;
    *at++ = kFloatFieldsId;
    *at++ = static_cast<uint8_t>(header);
    *at++ = static_cast<uint8_t>(b.parts.format);
    *at++ = static_cast<uint8_t>(b.parts.symbol_kind);
    at = write_varint(at, b.parts.base);
    at = write_varint(at, b.n_patches);

    at = write_varint(at, rans_node);
    *at++ = kRansId;
    *at++ = static_cast<uint8_t>(rans_header);
    *at++ = static_cast<uint8_t>(a);
    at = write_varint(at, job.n_words);
    at = write_frequencies(b.table.frequency, a, at);
    at = std::copy_n(kStoreHead, sizeof kStoreHead, at);
    at = std::copy_n(b.states, kStateBytes, at);
    at = std::copy_n(job.words_end - 2 * job.n_words, 2 * job.n_words, at);

    at = b.high_node.write(at, false);
    if (traits.low_bytes > 0) at = b.low_node.write(at, false);
    at = patches.write(at, true);
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

void encode_float_blocks(const Kernels& kernels, const uint8_t* src, const size_t* sizes, size_t n_blocks, const FloatPlan& plan,
                         uint8_t* dst, size_t* frame_sizes) {
    static thread_local Run run;
    const FloatTraits& traits = *float_traits(static_cast<uint8_t>(plan.format));
    for (size_t first = 0; first < n_blocks;) {
        BlockScratch* blocks[kMaxInterleave + kMaxSmall];
        size_t n_large = 0, n_small = 0, last = first;
        for (; last < n_blocks; ++last) {
            const bool is_small = sizes[last] <= kSmallBytes;
            if (is_small ? n_small == kMaxSmall : n_large == kMaxInterleave) break;
            BlockScratch& b = is_small ? run.small[n_small++] : run.large[n_large++];
            blocks[last - first] = &b;
            b.prepare(plan, traits, sizes[last]);
            b.taken = b.parts.n > 0 && split_block(kernels, src, traits, plan, b);
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
