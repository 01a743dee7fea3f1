// Decoders of single streams: whatever the bytes, every target says the same of them and decodes them to the same.
#include <algorithm>

#include "input.h"
#include "pennyweight/bitpack.h"
#include "pennyweight/byteplane.h"
#include "pennyweight/huffman.h"
#include "pennyweight/palette.h"
#include "pennyweight/piecewise.h"

using namespace pennyweight;
using namespace pennyweight::fuzz;

namespace {

constexpr size_t kMaxOut = 2048;
constexpr size_t kMaxWeightsHere = 400;
constexpr size_t kSpare = 64;  // behind sign_mantissa
constexpr uint32_t kAlphabetBits[] = {4, 5, 8};

Room header_room(1024), payload_room(4096), side_room(4096), low_room(4096), out_room(4096);

View whole_words(View bytes) { return {bytes.data, bytes.size / 2 * 2}; }

void rans(Input& in) {
    const uint32_t bits = kAlphabetBits[in.below(3)];
    const size_t n = in.below(kMaxOut + 1);
    const View header = in.take(in.below(kMaxFrequencyBytes + 1)), payload = whole_words(in.rest());
    uint16_t frequency[kMaxAlphabet];
    RansTable table;
    if (payload.size < kStateBytes || !read_frequencies(header_room.copy(header.data, header.size), header.size, bits, frequency)) return;
    if (!build_rans_table(frequency, bits, &table)) return;
    const uint8_t* const src = payload_room.copy(payload.data, payload.size);
    Verdict verdict;
    each_target([&](const Kernels& kernels) {
        uint8_t* const out = out_room.exactly(n);
        const bool good = kernels.rans_decode(table, src, (payload.size - kStateBytes) / 2, out, n);
        verdict.hear(kernels, good, out, n);
    });
}

void piecewise(Input& in) {
    const uint32_t bits = kAlphabetBits[in.below(3)];
    const size_t n = in.below(kMaxOut + 1);
    uint32_t left = static_cast<uint32_t>((n + kGroup - 1) / kGroup);
    std::vector<uint32_t> groups;
    for (size_t more = in.below(8); more > 0; --more) {
        groups.push_back(std::min<uint32_t>(in.byte(), left));
        left -= groups.back();
    }
    groups.push_back(left);
    const View header = in.take(in.below(1025)), payload = whole_words(in.rest());
    if (payload.size < kStateBytes) return;
    const uint8_t* const frequencies = header_room.copy(header.data, header.size);
    const uint8_t* const src = payload_room.copy(payload.data, payload.size);
    Verdict verdict;
    each_target([&](const Kernels& kernels) {
        uint8_t* const out = out_room.exactly(n);
        const size_t n_words = (payload.size - kStateBytes) / 2;
        verdict.hear(kernels, piecewise_decode(groups, frequencies, header.size, src, n_words, bits, out, n), out, n);
    });
}

void huffman(Input& in) {
    const size_t n = in.below(kMaxOut + 1);
    uint32_t sizes[kHuffmanStreams];
    for (uint32_t& size : sizes) size = in.number<uint16_t>();
    const Bytes nibbles = in.filled(128);
    uint8_t lengths[256];
    for (size_t i = 0; i < 256; ++i) lengths[i] = nibbles[i / 2] >> (4 * (i % 2)) & 15;
    const View payload = in.rest();
    uint8_t* const out = out_room.exactly(n);
    Verdict().hear(scalar_kernels(), huffman_decode(lengths, sizes, payload_room.copy(payload.data, payload.size), payload.size, out, n),
                   out, n);
}

void bitpack(Input& in) {
    const uint32_t width = 1 + in.below(8), h = 1 + in.below(8 * width);
    const size_t n = 1 + in.below(static_cast<uint32_t>(kMaxOut / width));
    const View header = in.take(in.below(64));
    const uint8_t* const runs = header_room.copy(header.data, header.size);
    const size_t n_bytes = bitpack_part_bytes(runs, header.size, n, h);
    if (n_bytes == SIZE_MAX) return;
    const uint8_t* const src = payload_room.copy(in.filled(n_bytes));
    Verdict verdict;
    each_target([&](const Kernels& kernels) {
        uint8_t* const out = out_room.exactly(n * width);
        bitpack_unpack(kernels, runs, header.size, src, n, width, h, out);
        verdict.hear(kernels, true, out, n * width);
    });
}

void byteplane(Input& in) {
    const size_t width = 2 + in.below(15);
    View planes = in.take(kMaxOut);
    planes.size -= planes.size % width;
    const uint8_t* const src = payload_room.copy(planes.data, planes.size);
    Verdict verdict;
    each_target([&](const Kernels& kernels) {
        uint8_t* const out = out_room.exactly(planes.size);
        kernels.byteplane_merge(src, planes.size, width, out);
        verdict.hear(kernels, true, out, planes.size);
    });
}

void palette(Input& in) {
    const size_t width = 1 + in.below(kMaxPaletteWidth), k = 1 + in.below(kMaxPalette);
    const uint8_t* const values = side_room.copy(in.filled(k * width));
    const View indices = in.take(kMaxOut / width);
    uint8_t* const out = out_room.exactly(indices.size * width);
    Verdict().hear(scalar_kernels(), palette_merge(values, k, width, payload_room.copy(indices.data, indices.size), indices.size, out), out,
                   indices.size * width);
}

void fields(Input& in) {
    const FloatFormat format = static_cast<FloatFormat>(1 + in.below(6));
    const FloatTraits& traits = *float_traits(static_cast<uint8_t>(format));
    const uint32_t kind = 4 + in.below(3), window = 1u << window_bits(kind), exponents = 1u << traits.exponent_bits;
    if (window > exponents) return;
    const uint32_t base = in.number<uint16_t>() % (exponents - window + 1);
    const size_t n = 1 + in.below(kMaxWeightsHere);
    uint8_t* const symbols = payload_room.copy(in.filled(n));
    Bytes packed = in.filled(sign_mantissa_bytes(n, high_bits(traits, kind)));
    packed.resize(packed.size() + kSpare);
    uint8_t* const high = side_room.copy(packed);
    uint8_t* const low = low_room.copy(in.filled(n * traits.low_bytes));
    const View patches = in.take(std::min<size_t>(in.left() / 4 * 4, 256));
    uint8_t* const listed = header_room.copy(patches.data, patches.size);
    Verdict verdict;
    each_target([&](const Kernels& kernels) {
        uint8_t* const out = out_room.exactly(n * traits.bytes);
        const FloatParts parts{format, kind, base, 0, n, symbols, high, low, listed};
        const bool good = kernels.merge(parts, out) && apply_patches(traits, n, listed, patches.size / 4, out);
        verdict.hear(kernels, good, out, n * traits.bytes);
    });
}

void keys(Input& in) {
    const FloatFormat format = static_cast<FloatFormat>(1 + in.below(6));
    const uint32_t symbols = 16 + in.below(2);
    if (symbols == 17 && format == FloatFormat::kE5M2) return;
    const size_t n = 1 + in.below(kMaxWeightsHere), n_bytes = n * float_traits(static_cast<uint8_t>(format))->bytes;
    const uint8_t* const given = payload_room.copy(in.filled(2 * n));
    const uint8_t* const high = side_room.copy(in.filled(n));
    const uint8_t* const low = low_room.copy(in.filled(n * key_traits(format, symbols).low_bytes));
    Verdict verdict;
    each_target([&](const Kernels& kernels) {
        uint8_t* const out = out_room.exactly(n_bytes);
        verdict.hear(kernels, kernels.merge_keys(format, symbols, given, high, low, n, out), out, n_bytes);
    });
}

constexpr void (*kDecoders[])(Input&) = {rans, piecewise, huffman, bitpack, byteplane, palette, fields, keys};

}  // namespace

// A byte chooses the decoder; what follows is what each of them reads above.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t n_bytes) {
    Input in(data, std::min<size_t>(n_bytes, 4096));
    kDecoders[in.below(std::size(kDecoders))](in);
    return 0;
}

namespace {

Bytes symbols_of(size_t n, uint32_t bits, Random& random) {
    Bytes made(n);
    for (uint8_t& symbol : made) symbol = static_cast<uint8_t>(std::min(random.skewed(), (1u << bits) - 1));
    return made;
}

// One piece, or two.
Seed coded(size_t decoder, size_t bits_at, size_t n, const Pieces& pieces) {
    Seed seed;
    seed.byte(decoder).byte(bits_at).number(static_cast<uint16_t>(n));
    if (decoder == 1) {
        seed.byte(pieces.groups.size() - 1);
        for (size_t i = 0; i + 1 < pieces.groups.size(); ++i) seed.byte(pieces.groups[i]);
    }
    return seed.number(static_cast<uint16_t>(pieces.frequencies.size())).add(pieces.frequencies).add(pieces.payload);
}

Seed huffman_seed(size_t n, Random& random) {
    const Bytes symbols = symbols_of(n, 8, random);
    uint32_t counts[256], sizes[4];
    uint8_t lengths[256];
    byte_histogram(symbols.data(), n, counts);
    demand(huffman_lengths(counts, lengths), "a seed that is not coded");
    Bytes payload(huffman_capacity(n));
    payload.resize(huffman_encode(symbols.data(), n, lengths, sizes, payload.data()));
    Seed seed;
    seed.byte(2).number(static_cast<uint16_t>(n));
    for (const uint32_t size : sizes) seed.number(static_cast<uint16_t>(size));
    for (size_t i = 0; i < 256; i += 2) seed.byte(lengths[i] | lengths[i + 1] << 4);
    return seed.add(payload);
}

Seed bitpack_seed(uint32_t width, size_t n, Random& random) {
    Bytes src(n * width);
    for (size_t i = 0; i < n; ++i) src[i * width] = static_cast<uint8_t>(random.below(16) << (i / 128 % 3));
    Bytes zeros(bitpack_groups(n)), runs(bitpack_runs_capacity(n)), packed(src.size() + 8);
    const uint32_t h = bitpack_scan(src.data(), n, width, zeros.data());
    runs.resize(bitpack_write_runs(zeros.data(), n, width, h, runs.data()));
    packed.resize(bitpack_pack(scalar_kernels(), zeros.data(), src.data(), n, width, h, packed.data()));
    Seed seed;
    seed.byte(3).byte(width - 1).byte(h - 1);
    kMaxOut / width > 256 ? seed.number(static_cast<uint16_t>(n - 1)) : seed.byte(n - 1);
    return seed.byte(runs.size()).add(runs).add(packed);
}

}  // namespace

std::vector<Bytes> seeds() {
    std::vector<Bytes> made;
    Random random{11};
    for (size_t at = 0; at < 3; ++at) {
        for (const size_t n : {100, 600, 1500}) {
            const Bytes symbols = symbols_of(n, kAlphabetBits[at], random);
            Pieces pieces;
            if (!piecewise_encode(symbols.data(), n, kAlphabetBits[at], &pieces)) continue;
            made.push_back(coded(1, at, n, pieces).bytes);
            if (pieces.groups.size() == 1) made.push_back(coded(0, at, n, pieces).bytes);
        }
    }
    for (const size_t n : {40, 900}) made.push_back(huffman_seed(n, random).bytes);
    for (uint32_t width = 1; width <= 8; ++width) made.push_back(bitpack_seed(width, 250, random).bytes);
    for (const size_t width : {2, 3, 4, 8, 16}) made.push_back(Seed().byte(4).byte(width - 2).add(symbols_of(1200, 8, random)).bytes);
    Bytes values;
    for (size_t i = 0; i < 16; ++i) values.insert(values.end(), {0, static_cast<uint8_t>(3 * i)});
    std::swap(values[0], values[1]);
    made.push_back(Seed().byte(5).byte(1).byte(15).add(values).add(symbols_of(300, 4, random)).bytes);
    for (size_t format = 0; format < 6; ++format) {
        const FloatFormat named = static_cast<FloatFormat>(format + 1);
        for (size_t kind = 0; kind < (named == FloatFormat::kE4M3 ? 2 : 3); ++kind) {  // 16 exponents are no window of 32
            const Bytes symbols = symbols_of(300, 4, random);
            made.push_back(Seed().byte(6).byte(format).byte(kind).number(uint16_t{0}).number(uint16_t{299}).add(symbols).bytes);
        }
        for (size_t kind = 0; kind < (named == FloatFormat::kE5M2 ? 1 : 2); ++kind) {
            made.push_back(
                Seed().byte(7).byte(format).byte(kind).number(uint16_t{299}).add(Bytes(900)).add(symbols_of(300, 1, random)).bytes);
        }
    }
    return made;
}
