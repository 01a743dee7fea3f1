// Whole frames on the fast path: whatever they are, every target decodes the same ones, to the same bytes.
#include <numeric>

#include "input.h"
#include "pennyweight/frame.h"

using namespace pennyweight;
using namespace pennyweight::fuzz;

namespace {

constexpr size_t kMaxFrames = 13;  // more than are decoded at once
constexpr size_t kMaxBlock = 4096;
constexpr size_t kMaxInput = 1 << 14;

Room frames_room(kMaxInput), out_room(kMaxFrames* kMaxBlock);

struct Frames {
    size_t n;
    size_t frame_sizes[kMaxFrames], sizes[kMaxFrames];
    size_t total() const { return std::accumulate(sizes, sizes + n, size_t{0}); }
};

void decode(const Frames& frames, const View& bytes, bool stream) {
    bool expected[kMaxFrames];
    Bytes blocks;
    each_target([&](const Kernels& kernels) {
        bool decoded[kMaxFrames];
        uint8_t* const out = out_room.exactly(frames.total());
        std::memset(out, is_scalar(kernels) ? 0x5a : 0xa5, frames.total());  // what nobody wrote differs
        decode_blocks(kernels, frames_room.copy(bytes.data, bytes.size), frames.frame_sizes, frames.sizes, frames.n, out, stream, decoded);
        if (is_scalar(kernels)) {
            std::copy_n(decoded, frames.n, expected);
            accepted += static_cast<size_t>(std::count(decoded, decoded + frames.n, true));
            blocks.assign(out, out + frames.total());
            return;
        }
        for (size_t i = 0, at = 0; i < frames.n; at += frames.sizes[i++]) {
            demand(decoded[i] == expected[i], "another verdict than scalar:", kernels.name);
            demand(!decoded[i] || same(out + at, blocks.data() + at, frames.sizes[i]), "other bytes than scalar:", kernels.name);
        }
    });
}

}  // namespace

// A byte: bit 0, whether to write around the cache; bits 1 and 2, how many frames follow the first, where 3 is as many as there may be. Of
// each frame the bytes of its block and its own, u16; then the frames.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t n_bytes) {
    Input in(data, n_bytes);
    const uint8_t shape = in.byte();
    Frames frames;
    const size_t more = shape >> 1 & 3;
    frames.n = more == 3 ? kMaxFrames : 1 + more;
    for (size_t i = 0; i < frames.n; ++i) {
        frames.sizes[i] = in.below(kMaxBlock + 1);
        frames.frame_sizes[i] = in.number<uint16_t>();
    }
    const View bytes = in.take(kMaxInput);
    size_t left = bytes.size;
    for (size_t i = 0; i < frames.n; ++i) left -= frames.frame_sizes[i] = std::min(frames.frame_sizes[i], left);
    decode(frames, {bytes.data, bytes.size - left}, shape & 1);
    return 0;
}

namespace {

Bytes weights(FloatFormat format, size_t n, uint32_t zero_bits, Random& random) {
    const FloatTraits& traits = *float_traits(static_cast<uint8_t>(format));
    Bytes made;
    for (size_t i = 0; i < n; ++i) {
        const uint64_t exponent = (1u << (traits.exponent_bits - 1)) - 2 - std::min(random.skewed(), 12u);
        const uint64_t noise = uint64_t{random.next()} << 40 ^ uint64_t { random.next() } << 20 ^ random.next();
        const uint64_t mantissa = noise & ((uint64_t{1} << traits.mantissa_bits) - 1) & ~uint64_t{0} << zero_bits;
        const uint64_t weight = uint64_t{random.next() & 1} << (8 * traits.bytes - 1) | exponent << traits.mantissa_bits | mantissa;
        for (uint32_t b = 0; b < traits.bytes; ++b) made.push_back(static_cast<uint8_t>(weight >> (8 * b)));
    }
    return made;
}

}  // namespace

std::vector<Bytes> seeds() {
    std::vector<Bytes> made;
    Random random{7};
    for (uint8_t format = 1; format <= 6; ++format) {
        for (const uint32_t bits : {4u, 5u}) {
            for (const size_t n : {200, 400, 600}) {
                for (const Beside beside : {Beside::kStore, Beside::kBitpack}) {
                    const FloatPlan plan{static_cast<FloatFormat>(format), bits, beside, beside};
                    const size_t more = n == 200 ? (bits == 4 ? 2 : 3) : 0, n_frames = more == 3 ? kMaxFrames : 1 + more;
                    Seed seed;
                    seed.byte(more << 1 | (bits & 1));
                    Bytes frames;
                    for (size_t i = 0; i < n_frames; ++i) {
                        const Bytes block = weights(plan.format, (more == 3 ? 100 : n) - i, n == 400 ? 9 : 0, random);
                        const size_t size = block.size();
                        size_t frame_size = 0;
                        Bytes frame(size);
                        encode_float_blocks(scalar_kernels(), block.data(), &size, 1, plan, frame.data(), &frame_size);
                        seed.number(static_cast<uint16_t>(size)).number(static_cast<uint16_t>(frame_size));
                        frames.insert(frames.end(), frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(frame_size));
                    }
                    if (!frames.empty() && (more == 3 ? 100 : n) * float_traits(format)->bytes <= kMaxBlock)
                        made.push_back(seed.add(frames).bytes);
                }
            }
        }
    }
    return made;
}
