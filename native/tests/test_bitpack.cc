// bitpack and the keys of floatfields: every target against the scalar one, which is held against the words of the pages, with no memory to
// spare around packed groups.
#include <algorithm>
#include <cstring>
#include <random>
#include <vector>

#include "guarded.h"
#include "pennyweight/bitpack.h"
#include "pennyweight/bytes.h"

using namespace pennyweight;
using testing::check;
using testing::Guarded;

namespace {

// The page, bit by bit.
std::vector<uint8_t> packed_bits(const std::vector<uint8_t>& zeros, const std::vector<uint8_t>& src, uint32_t width, uint32_t h) {
    std::vector<uint8_t> out;
    const size_t n = src.size() / width;
    for (size_t first = 0; first < n; first += kBitpackGroup) {
        const uint32_t z = zeros[first / kBitpackGroup], b = h - z;
        const size_t c = std::min(kBitpackGroup, n - first), start = out.size();
        out.resize(start + (c * b + 7) / 8);
        for (size_t bit = 0; bit < c * b; ++bit) {
            const size_t element = first + bit / b, from = bit % b + z;
            const uint32_t value = src[element * width + from / 8] >> from % 8 & 1;
            out[start + bit / 8] = static_cast<uint8_t>(out[start + bit / 8] | value << bit % 8);
        }
    }
    return out;
}

void packs(const Kernels& k, uint32_t width, uint32_t h, size_t n, uint32_t most_zeros, std::mt19937_64& random) {
    std::vector<uint8_t> src(n * width), zeros(bitpack_groups(n)), runs(bitpack_runs_capacity(n));
    for (size_t first = 0; first < n; first += kBitpackGroup) {
        const uint32_t z = static_cast<uint32_t>(random() % (most_zeros + 1));
        for (size_t i = first; i < std::min(n, first + kBitpackGroup); ++i) {
            const uint64_t value = z >= h ? 0 : random() >> (64 - h) >> z << z;
            for (uint32_t b = 0; b < width; ++b) src[i * width + b] = static_cast<uint8_t>(value >> (8 * b));
        }
    }
    const uint32_t found = bitpack_scan(src.data(), n, width, zeros.data());
    check(found <= h, "h", n, k.name);
    const size_t n_runs = bitpack_write_runs(zeros.data(), n, width, found, runs.data());
    if (n_runs == 0) return;
    const std::vector<uint8_t> want = packed_bits(zeros, src, width, found);
    check(bitpack_part_bytes(runs.data(), n_runs, n, found) == want.size(), "bytes of the part", n, k.name);
    Guarded space(n * width + 8), source(src.size());
    uint8_t* const got = space.last(n * width + 8);
    const size_t n_packed = bitpack_pack(k, zeros.data(), source.copy(src.data(), src.size()), n, width, found, got);
    check(n_packed == want.size() && std::equal(want.begin(), want.end(), got), "packed", n, k.name);
    Guarded part(want.size()), out(src.size());
    const uint8_t* const packed = part.copy(want.data(), want.size());
    uint8_t* const back = out.last(src.size());
    bitpack_unpack(k, runs.data(), n_runs, packed, n, width, found, back);
    check(std::equal(src.begin(), src.end(), back), "unpacked", n, k.name);
}

void keys(const Kernels& k, FloatFormat format, uint32_t symbols, size_t n, std::mt19937_64& random) {
    const FloatTraits& traits = *float_traits(static_cast<uint8_t>(format));
    const KeyTraits key = key_traits(format, symbols);
    const bool with_sign = symbols == 17;
    const uint32_t middle = traits.mantissa_bits - key.mantissa_bits - 8 * key.low_bytes, bytes = traits.bytes;
    Guarded source(n * bytes), keys_space(2 * n), high_space(n), low_space(n * key.low_bytes), out_space(n * bytes);
    uint8_t *src = source.last(n * bytes), *keys = keys_space.last(2 * n), *high = high_space.last(n);
    uint8_t *low = low_space.last(n * key.low_bytes), *out = out_space.last(n * bytes);
    for (size_t i = 0; i < n * bytes; ++i) src[i] = static_cast<uint8_t>(random());
    k.split_keys(format, symbols, src, n, keys, high, low);
    bool same = true;
    for (size_t i = 0; i < n; ++i) {
        uint64_t w = 0, rest = 0;
        for (uint32_t b = 0; b < bytes; ++b) w |= uint64_t{src[i * bytes + b]} << (8 * b);
        for (uint32_t b = 0; b < key.low_bytes; ++b) rest |= uint64_t{low[i * key.low_bytes + b]} << (8 * b);
        const uint64_t sign = w >> (8 * bytes - 1), mantissa = w & ((uint64_t{1} << traits.mantissa_bits) - 1);
        const uint64_t exponent = w >> traits.mantissa_bits & ((1u << traits.exponent_bits) - 1);
        same &= load_le<uint16_t>(keys + 2 * i) ==
                ((with_sign ? sign << 15 : 0) | exponent << key.mantissa_bits | mantissa >> (traits.mantissa_bits - key.mantissa_bits));
        same &= high[i] == ((with_sign ? 0 : sign << middle) | (mantissa >> 8 * key.low_bytes & ((1u << middle) - 1)));
        same &= rest == (mantissa & ((uint64_t{1} << 8 * key.low_bytes) - 1));
    }
    check(same, "keys", n, k.name);
    check(k.merge_keys(format, symbols, keys, high, low, n, out) && std::memcmp(out, src, n * bytes) == 0, "keys merged", n, k.name);
    const size_t at = random() % n;
    const uint32_t above = with_sign ? 1u << middle : 2u << middle;
    if (above < 256) {
        high[at] = static_cast<uint8_t>(high[at] | above);
        check(!k.merge_keys(format, symbols, keys, high, low, n, out), "a sign_mantissa out of range was accepted", n, k.name);
        high[at] = static_cast<uint8_t>(high[at] & ~above);
    }
    const uint32_t key_bits = traits.exponent_bits + key.mantissa_bits;
    const uint32_t wrong = key_bits + static_cast<uint32_t>(random() % (16 - with_sign - key_bits));
    store_le(keys + 2 * at, static_cast<uint16_t>(load_le<uint16_t>(keys + 2 * at) | 1u << wrong));
    check(!k.merge_keys(format, symbols, keys, high, low, n, out), "a key out of range was accepted", n, k.name);
}

}  // namespace

int main() {
    const Kernels* list[3];
    const size_t n_targets = available_targets(list);
    std::mt19937_64 random(3);
    for (size_t t = 0; t < n_targets; ++t) {
        for (uint32_t h = 1; h <= 16; ++h) {
            for (const size_t n : {1, 7, 127, 128, 129, 255, 256, 640, 1000, 5000}) {
                for (uint32_t most_zeros = 0; most_zeros <= h; ++most_zeros) packs(*list[t], 2, h, n, most_zeros, random);
            }
        }
        for (uint32_t width = 1; width <= 8; ++width) {
            for (uint32_t h = 1; h <= 8 * width; ++h) packs(*list[t], width, h, 1 + random() % 700, h / 2, random);
        }
        for (uint8_t format = 1; format <= 6; ++format) {
            for (size_t n = 1; n < 300; n += n < 140 ? 1 : 17) {
                keys(*list[t], static_cast<FloatFormat>(format), 16, n, random);
                if (static_cast<FloatFormat>(format) != FloatFormat::kE5M2) keys(*list[t], static_cast<FloatFormat>(format), 17, n, random);
            }
        }
    }
    std::printf("%d failures\n", testing::failures);
    return testing::failures != 0;
}
