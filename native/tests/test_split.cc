// The split of every target against the scalar one, for every format, kind of symbol and number of weights around a vector's; then its
// merge.
#include <cstring>
#include <random>
#include <vector>

#include "guarded.h"
#include "pennyweight/bytes.h"
#include "pennyweight/kernels.h"

using namespace pennyweight;
using testing::check;
using testing::Guarded;

namespace {

struct Parts {
    std::vector<uint8_t> symbols, high, low, patches;
    uint32_t counts[kMaxAlphabet];
    FloatParts parts;
    size_t n_patches;

    Parts(FloatFormat format, uint32_t kind, uint32_t base, uint32_t substitute, size_t n)
        : symbols(n + 256), high(n + 256), low(n * 8 + 256), patches(n / 8 + 256) {
        parts = {format, kind, base, substitute, n, symbols.data(), high.data(), low.data(), patches.data()};
    }
};

// Weights whose exponents lie in the window but for a share of them.
void fill(std::mt19937& random, const FloatTraits& traits, uint32_t kind, uint32_t base, double outside, std::vector<uint8_t>& bytes) {
    for (uint8_t& b : bytes) b = static_cast<uint8_t>(random());
    std::uniform_real_distribution<double> unit(0, 1);
    for (size_t at = 0; at < bytes.size(); at += traits.bytes) {
        if (unit(random) < outside) continue;
        const uint32_t e = base + random() % (1u << window_bits(kind)), shift = 8 * traits.bytes - 1 - traits.exponent_bits;
        uint64_t w = 0;
        for (uint32_t b = 0; b < traits.bytes; ++b) w |= uint64_t{bytes[at + b]} << (8 * b);
        const uint64_t mask = ((uint64_t{1} << traits.exponent_bits) - 1) << shift;
        w = (w & ~mask) | uint64_t{e} << shift;
        for (uint32_t b = 0; b < traits.bytes; ++b) bytes[at + b] = static_cast<uint8_t>(w >> (8 * b));
    }
}

void same_split(const Kernels& k, FloatFormat format, uint32_t kind, size_t n, double outside, std::mt19937& random) {
    const FloatTraits& traits = *float_traits(static_cast<uint8_t>(format));
    const uint32_t last_base = (1u << traits.exponent_bits) - (1u << window_bits(kind));
    const uint32_t bases[] = {0, last_base, static_cast<uint32_t>(random() % (last_base + 1))};
    for (const uint32_t base : bases) {
        std::vector<uint8_t> bytes(n * traits.bytes);
        fill(random, traits, kind, base, outside, bytes);
        Guarded guarded(bytes.size());
        const uint8_t* src = guarded.copy(bytes.data(), bytes.size());
        Parts want(format, kind, base, 3, n), got(format, kind, base, 3, n);
        want.n_patches = scalar_kernels().split(src, want.parts, want.counts);
        got.n_patches = k.split(src, got.parts, got.counts);
        check(want.n_patches == got.n_patches, "number of patches", n, k.name);
        if (want.n_patches == SIZE_MAX) continue;
        const uint32_t h = high_bits(traits, kind);
        check(std::memcmp(want.counts, got.counts, 4u << alphabet_bits(kind)) == 0, "counts", n, k.name);
        check(std::memcmp(want.symbols.data(), got.symbols.data(), n) == 0, "symbols", n, k.name);
        check(std::memcmp(want.high.data(), got.high.data(), sign_mantissa_bytes(n, h)) == 0, "sign_mantissa", n, k.name);
        check(std::memcmp(want.low.data(), got.low.data(), n * traits.low_bytes) == 0, "low", n, k.name);
        check(std::memcmp(want.patches.data(), got.patches.data(), 4 * want.n_patches) == 0, "patches", n, k.name);
        Guarded out_guarded(bytes.size());
        uint8_t* out = out_guarded.last(bytes.size());
        const bool merged = k.merge(got.parts, out) && apply_patches(traits, n, got.patches.data(), got.n_patches, out);
        check(merged && std::memcmp(out, bytes.data(), bytes.size()) == 0, "merge", n, k.name);
    }
}

}  // namespace

int main() {
    const Kernels* list[3];
    const size_t n_targets = available_targets(list);
    std::mt19937 random(7);
    for (size_t t = 0; t < n_targets; ++t) {
        for (uint8_t format = 1; format <= 6; ++format) {
            for (const uint32_t kind : {4u, 5u, 6u}) {
                if (window_bits(kind) > float_traits(format)->exponent_bits) continue;
                const FloatFormat f = static_cast<FloatFormat>(format);
                for (size_t n = 1; n < 270; n += n < 70 ? 1 : 13) same_split(*list[t], f, kind, n, n % 3 == 0 ? 0.02 : 0, random);
                for (const double outside : {0.0, 0.001, 0.02, 0.5}) same_split(*list[t], f, kind, 5000, outside, random);
                same_split(*list[t], f, kind, 70001, 0.01, random);
            }
        }
    }
    std::printf("%d failures\n", testing::failures);
    return testing::failures != 0;
}
