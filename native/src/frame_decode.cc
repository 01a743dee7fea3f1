#include <algorithm>
#include <numeric>
#include <vector>

#include "frame_ids.h"
#include "pennyweight/bytes.h"
#include "pennyweight/frame.h"

namespace pennyweight {

namespace {

struct FloatFrame {
    const FloatTraits* traits;
    FloatParts parts;  // high and low point into the frame; symbols are decoded later
    RansTable table;
    const uint8_t* payload;  // states, then words
    size_t n_words;
    const uint8_t* patches;
    size_t n_patches;
    const uint8_t* end;  // of the frame
};

// A part that is a store node of n bytes; nullptr if it is not.
const uint8_t* read_store(ByteReader& reader, size_t n, bool last) {
    const uint64_t length = last ? reader.left() : reader.varint();
    if (length != n + 2) return nullptr;
    const uint8_t* node = reader.take(n + 2);
    return reader.ok && node[0] == kStoreId && node[1] == 0 ? node + 2 : nullptr;
}

bool read_rans(ByteReader& frame, size_t n, FloatFrame* f) {
    const uint64_t length = frame.varint();
    if (!frame.ok || length > frame.left()) return false;
    ByteReader node{frame.take(length), frame.at};
    if (node.byte() != kRansId) return false;
    const uint64_t header_bytes = node.varint();
    const uint8_t* header_start = node.at;
    if (node.byte() != f->parts.symbol_kind) return false;
    f->n_words = node.varint();
    const uint64_t before = static_cast<uint64_t>(node.at - header_start);
    if (!node.ok || header_bytes < before || f->n_words > n) return false;
    const size_t frequency_bytes = header_bytes - before;
    const uint8_t* frequencies = node.take(frequency_bytes);
    uint16_t frequency[kMaxAlphabet];
    if (!node.ok || !read_frequencies(frequencies, frequency_bytes, f->parts.symbol_kind, frequency)) return false;
    if (!build_rans_table(frequency, f->parts.symbol_kind, &f->table)) return false;
    f->payload = read_store(node, kStateBytes + 2 * f->n_words, true);
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
    const uint8_t bits = reader.byte();
    const uint64_t base = reader.varint();
    f->n_patches = reader.varint();
    if (!reader.ok || f->traits == nullptr || (bits != 4 && bits != 5)) return false;
    if (static_cast<uint64_t>(reader.at - header_start) != header_bytes || n_bytes % f->traits->bytes != 0) return false;
    const size_t n = n_bytes / f->traits->bytes;
    if (n >= kMaxWeights || f->n_patches > n || base + 16 > uint64_t{1} << f->traits->exponent_bits) return false;
    f->parts = {static_cast<FloatFormat>(format), bits, static_cast<uint32_t>(base), 0, n, nullptr, nullptr, nullptr, nullptr};
    if (!read_rans(reader, n, f)) return false;
    // FloatParts serves both directions; merge only reads these.
    f->parts.high = const_cast<uint8_t*>(read_store(reader, sign_mantissa_bytes(n, high_bits(*f->traits, bits)), false));
    if (f->parts.high == nullptr) return false;
    if (f->traits->low_bytes > 0) {
        f->parts.low = const_cast<uint8_t*>(read_store(reader, n * f->traits->low_bytes, false));
        if (f->parts.low == nullptr) return false;
    }
    f->patches = read_store(reader, 4 * f->n_patches, true);
    return f->patches != nullptr;
}

bool patch(const FloatFrame& f, uint8_t* out) { return apply_patches(*f.traits, f.parts.n, f.patches, f.n_patches, out); }

bool decode_staged(const Kernels& kernels, FloatFrame& f, uint8_t* out) {
    static thread_local std::vector<uint8_t> symbols;
    symbols.resize(std::max(symbols.size(), f.parts.n + 256));
    f.parts.symbols = symbols.data();
    return kernels.rans_decode(f.table, f.payload, f.n_words, f.parts.symbols, f.parts.n) && kernels.merge(f.parts, out);
}

// BF16 frames with one alphabet, for a kernel that decodes several at once: 12 divide by every number of them that a kernel may like.
constexpr size_t kBatch = 12;

struct Batch {
    FloatFrame frames[kBatch];
    uint8_t* out[kBatch];
    bool* decoded[kBatch];
    size_t n = 0;

    void flush(const Kernels& kernels, bool stream) {
        // Large ones first: blocks that a kernel takes together should be of a size.
        size_t order[kBatch];
        std::iota(order, order + n, size_t{0});
        std::stable_sort(order, order + n, [this](size_t a, size_t b) { return frames[a].parts.n > frames[b].parts.n; });
        FloatBlock blocks[kBatch];
        for (size_t i = 0; i < n; ++i) {
            const FloatFrame& f = frames[order[i]];
            blocks[i] = {FloatFormat::kBF16, f.parts.symbol_kind, &f.table, f.payload, f.payload + kStateBytes,
                         f.n_words,          f.parts.high,        nullptr,  f.end,     f.parts.base,
                         f.parts.n,          out[order[i]],       false};
        }
        kernels.decode_float(blocks, n, stream);
        for (size_t i = 0; i < n; ++i) *decoded[order[i]] = blocks[i].ok && patch(frames[order[i]], out[order[i]]);
        n = 0;
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
            if (f.parts.format != FloatFormat::kBF16) {
                decoded[i] = decode_staged(kernels, f, out) && patch(f, out);
            } else {
                if (batch.n > 0 && batch.frames[0].parts.symbol_kind != f.parts.symbol_kind) {
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
