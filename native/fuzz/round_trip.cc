// Encoders: whatever the block, every target writes the same bytes, and they decode to the block.
#include <algorithm>
#include <memory>

#include "input.h"
#include "pennyweight/bitpack.h"
#include "pennyweight/frame.h"
#include "pennyweight/huffman.h"
#include "pennyweight/palette.h"
#include "pennyweight/piecewise.h"

using namespace pennyweight;
using namespace pennyweight::fuzz;

namespace {

constexpr size_t kMaxBlock = 4096;
constexpr uint32_t kAlphabetBits[] = {4, 5, 8};

Room in_room(kMaxBlock), coded_room(2 * kMaxBlock), out_room(kMaxBlock);

Bytes whole(View bytes, size_t width) { return Bytes(bytes.data, bytes.data + bytes.size / width * width); }

void demand_block(const Bytes& block, const uint8_t* out, const char* target) {
    demand(same(block.data(), out, block.size()), "not what was encoded:", target);
}

void frames(Input& in) {
    FloatPlan plan{static_cast<FloatFormat>(1 + in.below(6)), 4 + in.below(2), static_cast<Beside>(in.below(4)),
                   static_cast<Beside>(in.below(4))};
    const Bytes block = whole(in.take(kMaxBlock), float_traits(static_cast<uint8_t>(plan.format))->bytes);
    if (block.empty()) return;
    const size_t size = block.size();
    const uint8_t* const src = in_room.copy(block);
    Verdict verdict;
    each_target([&](const Kernels& kernels) {
        uint8_t* const frame = coded_room.exactly(size);
        size_t frame_size = 0;
        encode_float_blocks(kernels, src, &size, 1, plan, frame, &frame_size);
        verdict.hear(kernels, frame_size != 0, frame, frame_size);
        if (frame_size == 0) return;
        demand(frame_size < size, "a frame that is no smaller:", kernels.name);
        const Bytes made(frame, frame + frame_size);
        uint8_t* const out = out_room.exactly(size);
        bool decoded = false;
        decode_blocks(kernels, coded_room.copy(made), &frame_size, &size, 1, out, false, &decoded);
        demand(decoded, "a frame that is not decoded:", kernels.name);
        demand_block(block, out, kernels.name);
    });
}

void pieces(Input& in) {
    const uint32_t bits = kAlphabetBits[in.below(3)];
    Bytes symbols = whole(in.take(kMaxBlock), 1);
    for (uint8_t& symbol : symbols) symbol &= static_cast<uint8_t>((1u << bits) - 1);
    if (symbols.empty()) return;
    const uint8_t* const src = in_room.copy(symbols);
    Verdict verdict;
    each_target([&](const Kernels& kernels) {
        Pieces made;
        const bool good = piecewise_encode(src, symbols.size(), bits, &made);
        Bytes all = made.frequencies;
        all.insert(all.end(), made.payload.begin(), made.payload.end());
        verdict.hear(kernels, good, all.data(), all.size());
        if (!good) return;
        uint8_t* const out = out_room.exactly(symbols.size());
        const size_t n_words = (made.payload.size() - kStateBytes) / 2;
        demand(piecewise_decode(made.groups, made.frequencies.data(), made.frequencies.size(), coded_room.copy(made.payload), n_words, bits,
                                out, symbols.size()),
               "pieces that are not decoded:", kernels.name);
        demand_block(symbols, out, kernels.name);
    });
}

void bitpack(Input& in) {
    const uint32_t width = 1 + in.below(8);
    const Bytes block = whole(in.take(kMaxBlock), width);
    const size_t n = block.size() / width;
    if (n == 0) return;
    const uint8_t* const src = in_room.copy(block);
    Verdict verdict;
    each_target([&](const Kernels& kernels) {
        Bytes zeros(bitpack_groups(n)), runs(bitpack_runs_capacity(n));
        const uint32_t h = bitpack_scan(src, n, width, zeros.data());
        runs.resize(bitpack_write_runs(zeros.data(), n, width, h, runs.data()));
        Bytes packed(block.size() + 8);
        if (!runs.empty()) packed.resize(bitpack_pack(kernels, zeros.data(), src, n, width, h, packed.data()));
        verdict.hear(kernels, !runs.empty(), packed.data(), packed.size());
        if (runs.empty()) return;
        demand(bitpack_part_bytes(runs.data(), runs.size(), n, h) == packed.size(), "runs of another part:", kernels.name);
        uint8_t* const out = out_room.exactly(block.size());
        bitpack_unpack(kernels, runs.data(), runs.size(), coded_room.copy(packed), n, width, h, out);
        demand_block(block, out, kernels.name);
    });
}

void byteplane(Input& in) {
    const size_t width = 2 + in.below(15);
    const Bytes block = whole(in.take(kMaxBlock), width);
    const uint8_t* const src = in_room.copy(block);
    Verdict verdict;
    each_target([&](const Kernels& kernels) {
        uint8_t* const planes = coded_room.exactly(block.size());
        kernels.byteplane_split(src, block.size(), width, planes);
        verdict.hear(kernels, true, planes, block.size());
        uint8_t* const out = out_room.exactly(block.size());
        kernels.byteplane_merge(planes, block.size(), width, out);
        demand_block(block, out, kernels.name);
    });
}

void keys(Input& in) {
    const FloatFormat format = static_cast<FloatFormat>(1 + in.below(6));
    const uint32_t symbols = 16 + in.below(format == FloatFormat::kE5M2 ? 1 : 2);
    const size_t width = float_traits(static_cast<uint8_t>(format))->bytes;
    const Bytes block = whole(in.take(kMaxBlock / 2), width);
    const size_t n = block.size() / width, n_low = n * key_traits(format, symbols).low_bytes;
    const uint8_t* const src = in_room.copy(block);
    Verdict verdict;
    each_target([&](const Kernels& kernels) {
        uint8_t* const made = coded_room.exactly(3 * n + n_low);
        kernels.split_keys(format, symbols, src, n, made, made + 2 * n, made + 3 * n);
        verdict.hear(kernels, true, made, 3 * n + n_low);
        uint8_t* const out = out_room.exactly(block.size());
        demand(kernels.merge_keys(format, symbols, made, made + 2 * n, made + 3 * n, n, out), "keys that are not merged:", kernels.name);
        demand_block(block, out, kernels.name);
    });
}

void huffman(Input& in) {
    const Bytes block = whole(in.take(kMaxBlock), 1);
    uint32_t counts[256], sizes[kHuffmanStreams];
    uint8_t lengths[256];
    byte_histogram(in_room.copy(block), block.size(), counts);
    if (!huffman_lengths(counts, lengths)) return;
    Bytes coded(huffman_capacity(block.size()));
    coded.resize(huffman_encode(block.data(), block.size(), lengths, sizes, coded.data()));
    uint8_t* const out = out_room.exactly(block.size());
    const bool good = huffman_decode(lengths, sizes, coded_room.copy(coded), coded.size(), out, block.size());
    demand(good, "a code that is not decoded");
    Verdict().hear(scalar_kernels(), good, out, block.size());
    demand_block(block, out, "");
}

void palette(Input& in) {
    const size_t width = 1 + in.below(kMaxPaletteWidth);
    const Bytes block = whole(in.take(kMaxBlock), width);
    Bytes values(kMaxPalette * width), indices(block.size() / width);
    const size_t k = palette_split(in_room.copy(block), block.size(), width, values.data(), indices.data());
    if (k == 0) return;
    uint8_t* const out = out_room.exactly(block.size());
    const bool good = palette_merge(values.data(), k, width, indices.data(), indices.size(), out);
    demand(good, "a palette that is not merged");
    Verdict().hear(scalar_kernels(), good, out, block.size());
    demand_block(block, out, "");
}

constexpr void (*kEncoders[])(Input&) = {frames, pieces, bitpack, byteplane, keys, huffman, palette};

}  // namespace

// A byte chooses the encoder; what follows is what each of them reads above, and the block.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t n_bytes) {
    Input in(data, n_bytes);
    kEncoders[in.below(std::size(kEncoders))](in);
    return 0;
}

std::vector<Bytes> seeds() {
    Random random{5};
    const auto weights = [&](size_t width, size_t n) {
        Bytes made(n * width);
        for (size_t i = 0; i < made.size(); ++i) {
            const bool top = i % width == width - 1;
            made[i] = static_cast<uint8_t>(top ? 56 - std::min(random.skewed(), 6u) / 2 | random.below(2) << 7 : random.next());
        }
        return made;
    };
    std::vector<Bytes> made;
    static constexpr size_t kWidths[] = {2, 2, 4, 8, 1, 1};
    for (size_t format = 0; format < 3; ++format) {
        made.push_back(Seed().byte(0).byte(format).byte(0).byte(1).byte(0).add(weights(kWidths[format], 2000 / kWidths[format])).bytes);
    }
    for (size_t format = 0; format < 6; ++format)
        made.push_back(Seed().byte(4).byte(format).byte(0).add(weights(kWidths[format], 200)).bytes);
    Bytes few(1500);
    for (uint8_t& byte : few) byte = static_cast<uint8_t>(std::min(random.skewed(), 7u));
    for (size_t bits = 0; bits < 3; ++bits) made.push_back(Seed().byte(1).byte(bits).add(few).bytes);
    for (size_t width = 0; width < 8; ++width) made.push_back(Seed().byte(2).byte(width).add(few).bytes);
    for (size_t width = 0; width < 15; ++width) made.push_back(Seed().byte(3).byte(width).add(few).bytes);
    made.push_back(Seed().byte(5).add(few).bytes);
    made.push_back(Seed().byte(6).byte(0).add(few).bytes);
    return made;
}
