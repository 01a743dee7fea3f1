#include <algorithm>
#include <numeric>
#include <vector>

#include "frame_ids.h"
#include "pennyweight/bitpack.h"
#include "pennyweight/bytes.h"
#include "pennyweight/frame.h"

namespace pennyweight {

namespace {

// A part as it stands in the frame: stored, or packed by bitpack and then stored.
struct Part {
    const uint8_t* data;
    const uint8_t* runs;  // nullptr where it is stored
    size_t n_runs_bytes;
    uint32_t h;

    bool packed() const { return runs != nullptr; }
    // Whether nothing but h bits of every element, all in one run: then the fields stand in the part as the kernels want them.
    bool is_fields(size_t n, uint32_t bits) const {
        ByteReader reader{runs, runs + n_runs_bytes};
        return h == bits && reader.byte() == 0 && reader.varint() == bitpack_groups(n) && reader.left() == 0;
    }
};

struct FloatFrame {
    const FloatTraits* traits;
    FloatFormat format;
    uint32_t symbols;
    uint32_t base;
    size_t n;  // weights
    RansTable table;
    const uint8_t* payload;  // states, then words
    size_t n_words;
    const uint8_t* high;
    Part low;
    const uint8_t* patches;
    size_t n_patches;
    const uint8_t* end;  // of the frame

    size_t low_bytes() const { return n * traits->low_bytes; }
    // Low bytes of the weights: of the frame itself, or unpacked to scratch.
    const uint8_t* read_low(const Kernels& kernels, uint8_t* scratch) const {
        if (!low.packed()) return low.data;
        bitpack_unpack(kernels, low.runs, low.n_runs_bytes, low.data, n, traits->low_bytes, low.h, scratch);
        return scratch;
    }
    bool patch(uint8_t* out) const { return apply_patches(*traits, n, patches, n_patches, out); }
};

// A node that is the rest of the reader: store, of n bytes; nullptr if it is not.
const uint8_t* read_store(ByteReader& node, size_t n) {
    if (node.left() != n + 2) return nullptr;
    const uint8_t* at = node.take(n + 2);
    return at[0] == kStoreId && at[1] == 0 ? at + 2 : nullptr;
}

// The next part, which is not the last: its node.
ByteReader read_node(ByteReader& frame) {
    const uint64_t length = frame.varint();
    const uint8_t* start = frame.take(length);
    return {start, frame.at, frame.ok};
}

// Of n elements of width bytes, stored or packed. False if it is neither.
bool read_part(ByteReader& frame, size_t n, uint32_t width, Part* part) {
    ByteReader node = read_node(frame);
    if (!node.ok || node.left() == 0) return false;
    *part = {nullptr, nullptr, 0, 8 * width};
    size_t n_bytes = n * width;
    if (*node.at == kBitpackId) {
        node.byte();
        const uint64_t header_bytes = node.varint();
        if (header_bytes < 2) return false;
        const uint8_t* header = node.take(header_bytes);
        if (!node.ok || header[0] != width || header[1] < 1 || header[1] > 8 * width) return false;
        *part = {nullptr, header + 2, static_cast<size_t>(header_bytes) - 2, header[1]};
        n_bytes = bitpack_part_bytes(part->runs, part->n_runs_bytes, n, part->h);
        if (n_bytes == SIZE_MAX) return false;
    }
    part->data = read_store(node, n_bytes);
    return part->data != nullptr;
}

bool read_rans(ByteReader& frame, size_t n, uint32_t bits, FloatFrame* f) {
    ByteReader node = read_node(frame);
    if (node.byte() != kRansId) return false;
    const uint64_t header_bytes = node.varint();
    const uint8_t* header_start = node.at;
    if (node.byte() != bits) return false;
    f->n_words = node.varint();
    const uint64_t before = static_cast<uint64_t>(node.at - header_start);
    if (!node.ok || header_bytes < before || f->n_words > n) return false;
    const size_t frequency_bytes = header_bytes - before;
    const uint8_t* frequencies = node.take(frequency_bytes);
    uint16_t frequency[kMaxAlphabet];
    if (!node.ok || !read_frequencies(frequencies, frequency_bytes, bits, frequency)) return false;
    if (!build_rans_table(frequency, bits, &f->table)) return false;
    f->payload = read_store(node, kStateBytes + 2 * f->n_words);
    if (f->payload == nullptr) return false;
    for (uint32_t l = 0; l < kLanes; ++l) {
        if (load_le<uint32_t>(f->payload + 4 * l) < kLowerBound) return false;
    }
    return true;
}

// Whether the frame has the fast path's shape and keeps every rule that can be checked before decoding.
bool parse(const uint8_t* src, size_t frame_bytes, size_t n_bytes, FloatFrame* f) {
    ByteReader reader{src, src + frame_bytes};
    f->end = reader.end;
    if (reader.byte() != kFloatFieldsId) return false;
    const uint64_t header_bytes = reader.varint();
    const uint8_t* header_start = reader.at;
    const uint8_t format = reader.byte();
    f->traits = float_traits(format);
    f->format = static_cast<FloatFormat>(format);
    f->symbols = reader.byte();
    const uint64_t base = reader.varint();
    f->n_patches = reader.varint();
    if (!reader.ok || f->traits == nullptr || f->symbols < 4 || f->symbols > 6) return false;
    if (static_cast<uint64_t>(reader.at - header_start) != header_bytes || n_bytes % f->traits->bytes != 0) return false;
    f->n = n_bytes / f->traits->bytes;
    if (f->n >= kMaxWeights || f->n_patches > f->n) return false;
    if (base + (uint64_t{1} << window_bits(f->symbols)) > uint64_t{1} << f->traits->exponent_bits) return false;
    f->base = static_cast<uint32_t>(base);
    if (!read_rans(reader, f->n, alphabet_bits(f->symbols), f)) return false;
    Part high;
    if (!read_part(reader, f->n, 1, &high)) return false;
    const uint32_t h = high_bits(*f->traits, f->symbols);
    if (high.packed() ? !high.is_fields(f->n, h) : h != 8) return false;
    f->high = high.data;
    f->low = {};
    if (f->traits->low_bytes > 0 && !read_part(reader, f->n, f->traits->low_bytes, &f->low)) return false;
    f->patches = read_store(reader, 4 * f->n_patches);
    return f->patches != nullptr;
}

// Memory for what stands between a frame and its block. Kept per thread: fresh megabytes for each call would cost more in page faults than
// the decoding.
uint8_t* scratch_of(size_t n_bytes) {
    static thread_local std::vector<uint8_t> scratch;
    if (scratch.size() < n_bytes) scratch.resize(n_bytes);
    return scratch.data();
}

constexpr size_t kSpare = 256;  // vector stores may run past the end

bool has_kernel(FloatFormat format) { return format == FloatFormat::kBF16 || format == FloatFormat::kF16 || format == FloatFormat::kF32; }

// In passes, for the formats that no kernel decodes in one.
bool decode_in_passes(const Kernels& kernels, const FloatFrame& f, uint8_t* out) {
    uint8_t* symbols = scratch_of(f.n + kSpare + (f.low.packed() ? f.low_bytes() : 0));
    if (!kernels.rans_decode(f.table, f.payload, f.n_words, symbols, f.n)) return false;
    // FloatParts serves both directions; merge only reads these.
    uint8_t* const high = const_cast<uint8_t*>(f.high);
    uint8_t* const low = const_cast<uint8_t*>(f.read_low(kernels, symbols + f.n + kSpare));
    return kernels.merge({f.format, f.symbols, f.base, 0, f.n, symbols, high, low, nullptr}, out) && f.patch(out);
}

// Frames of one format and one kind of symbols, for a kernel that decodes several at once: 12 divide by every number of them that a kernel
// may like. Where low bytes have to be unpacked first six are: more of them would have left the cache when their turn comes.
constexpr size_t kBatch = 12, kBatchUnpacked = 6;

struct Batch {
    FloatFrame frames[kBatch];
    uint8_t* out[kBatch];
    bool* decoded[kBatch];
    size_t n = 0;

    bool takes(const FloatFrame& f) const { return n == 0 || (frames[0].format == f.format && frames[0].symbols == f.symbols); }

    void flush(const Kernels& kernels, bool stream) {
        // Large ones first: blocks that a kernel takes together should be of a size.
        size_t order[kBatch];
        std::iota(order, order + n, size_t{0});
        std::stable_sort(order, order + n, [this](size_t a, size_t b) { return frames[a].n > frames[b].n; });
        const bool unpack = std::any_of(frames, frames + n, [](const FloatFrame& f) { return f.low.packed(); });
        const size_t step = unpack ? kBatchUnpacked : kBatch;
        for (size_t first = 0; first < n; first += step) decode(kernels, order + first, std::min(step, n - first), stream);
        n = 0;
    }

 private:
    void decode(const Kernels& kernels, const size_t* order, size_t n_blocks, bool stream) {
        size_t n_scratch = 0;
        for (size_t i = 0; i < n_blocks; ++i) n_scratch += frames[order[i]].low.packed() ? frames[order[i]].low_bytes() : 0;
        uint8_t* scratch = scratch_of(n_scratch);
        FloatBlock blocks[kBatch];
        for (size_t i = 0; i < n_blocks; ++i) {
            const FloatFrame& f = frames[order[i]];
            const uint8_t* low = f.read_low(kernels, scratch);
            if (f.low.packed()) scratch += f.low_bytes();
            const uint8_t* words = f.payload + kStateBytes;
            blocks[i] = {f.format, f.symbols, &f.table, f.payload, words, f.n_words, f.high, low, f.end, f.base, f.n, out[order[i]], false};
        }
        kernels.decode_float(blocks, n_blocks, stream);
        for (size_t i = 0; i < n_blocks; ++i) *decoded[order[i]] = blocks[i].ok && frames[order[i]].patch(out[order[i]]);
    }
};

}  // namespace

void decode_blocks(const Kernels& kernels, const uint8_t* src, const size_t* frame_sizes, const size_t* sizes, size_t n_blocks,
                   uint8_t* out, bool stream, bool* decoded) {
    Batch batch;
    for (size_t i = 0; i < n_blocks; ++i) {
        FloatFrame& f = batch.frames[batch.n];
        decoded[i] = false;
        if (parse(src, frame_sizes[i], sizes[i], &f)) {
            if (!has_kernel(f.format)) {
                decoded[i] = decode_in_passes(kernels, f, out);
            } else {
                if (!batch.takes(f)) {
                    const FloatFrame current = f;
                    batch.flush(kernels, stream);
                    batch.frames[0] = current;
                }
                batch.out[batch.n] = out;
                batch.decoded[batch.n++] = &decoded[i];
                if (batch.n == kBatch) batch.flush(kernels, stream);
            }
        }
        src += frame_sizes[i];
        out += sizes[i];
    }
    if (batch.n > 0) batch.flush(kernels, stream);
}

}  // namespace pennyweight
