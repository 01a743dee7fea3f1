// The packing of stages/split/bitpack.md. Elements of two bytes, the low halves of F32, have a kernel of each target; elements of one byte
// are packed by the kernels that split floats, and are packed here, eight at a time, only on the staged path.
#include "pennyweight/bitpack.h"

#include <bit>
#include <cstring>

#include "pennyweight/bytes.h"
#include "scalar.h"

namespace pennyweight {

namespace {

uint64_t load_element(const uint8_t* src, uint32_t width) {
    if (width == 1) return *src;
    if (width == 2) return load_le<uint16_t>(src);
    uint64_t value = 0;
    for (uint32_t b = 0; b < width; ++b) value |= uint64_t{src[b]} << (8 * b);
    return value;
}

void store_element(uint8_t* dst, uint32_t width, uint64_t value) {
    if (width == 2) return store_le(dst, static_cast<uint16_t>(value));
    for (uint32_t b = 0; b < width; ++b) dst[b] = static_cast<uint8_t>(value >> (8 * b));
}

uint64_t ones(uint32_t bits) { return bits >= 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1; }

// Eight bytes below 2^b into 8 b bits, and back: neighbours are joined to pairs, pairs to fours, fours to eight.
uint64_t join_bytes(uint64_t x, uint32_t b) {
    x = (x & 0x00ff00ff00ff00ff) | (x >> 8 & 0x00ff00ff00ff00ff) << b;
    x = (x & 0x0000ffff0000ffff) | (x >> 16 & 0x0000ffff0000ffff) << 2 * b;
    return (x & 0xffffffff) | x >> 32 << 4 * b;
}
uint64_t part_bytes(uint64_t x, uint32_t b) {
    x = (x & ones(4 * b)) | (x >> 4 * b & ones(4 * b)) << 32;
    const uint64_t pair = ones(2 * b) * 0x0000000100000001;
    x = (x & pair) | (x >> 2 * b & pair) << 16;
    const uint64_t one = ones(b) * 0x0001000100010001;
    return (x & one) | (x >> b & one) << 8;
}

// b bits from bit `at` on of a group of n_bytes.
uint64_t load_bits(const uint8_t* src, size_t n_bytes, size_t at, uint32_t b) {
    const size_t first = at / 8, shift = at % 8;
    if (b <= 56 && first + 8 <= n_bytes) return load_le<uint64_t>(src + first) >> shift & ones(b);
    uint64_t value = 0;
    for (size_t i = first; 8 * i < at + b; ++i) {
        const uint64_t byte = src[i];
        value |= i == first ? byte >> shift : byte << (8 * (i - first) - shift);
    }
    return value & ones(b);
}

uint8_t* pack_group(const uint8_t* src, size_t c, uint32_t width, uint32_t h, uint32_t z, uint8_t* dst) {
    const uint32_t b = h - z;
    if (b == 8 * width) {
        std::memcpy(dst, src, c * width);
        return dst + c * width;
    }
    size_t i = 0;
    if (width == 1) {
        const uint64_t mask = ones(b) * 0x0101010101010101;
        for (; i + 8 <= c; i += 8, dst += b) store_le(dst, join_bytes(load_le<uint64_t>(src + i) >> z & mask, b));
    }
    uint64_t waiting = 0;  // fewer than 8 bits
    uint32_t n_waiting = 0;
    const auto put = [&](uint64_t value, uint32_t n) {  // n is at most 32
        waiting |= value << n_waiting;
        for (n_waiting += n; n_waiting >= 8; n_waiting -= 8, waiting >>= 8) *dst++ = static_cast<uint8_t>(waiting);
    };
    for (; i < c; ++i) {
        const uint64_t value = z == 64 ? 0 : load_element(src + i * width, width) >> z;
        put(value & ones(b < 32 ? b : 32), b < 32 ? b : 32);
        if (b > 32) put(value >> 32 & ones(b - 32), b - 32);
    }
    if (n_waiting > 0) *dst++ = static_cast<uint8_t>(waiting);
    return dst;
}

// Calls visit(z, groups) for every run; false where they break the page.
template <typename Visit>
bool for_each_run(const uint8_t* runs, size_t n_bytes, size_t n, uint32_t h, const Visit& visit) {
    ByteReader reader{runs, runs + n_bytes};
    size_t left = bitpack_groups(n);
    uint32_t previous = UINT32_MAX;
    while (reader.left() > 0) {
        const uint32_t z = reader.byte();
        const uint64_t groups = reader.varint();
        if (!reader.ok || z > h || z == previous || groups == 0 || groups > left) return false;
        left -= groups;
        previous = z;
        visit(z, static_cast<size_t>(groups));
    }
    return left == 0;
}

}  // namespace

uint32_t bitpack_scan(const uint8_t* src, size_t n, uint32_t width, uint8_t* zeros) {
    constexpr uint32_t kAllZero = 64;  // no element that is not 0 has as many low zeros
    uint64_t seen_anywhere = 1;
    const uint64_t highest = uint64_t{1} << (8 * width - 1);
    uint64_t lowest = 0;
    for (uint32_t bit = 0; bit < 64 && 8 % width == 0; bit += 8 * width) lowest |= uint64_t{1} << bit;
    uint8_t* group = zeros;
    for (size_t first = 0; first < n; first += kBitpackGroup) {
        const size_t c = n - first < kBitpackGroup ? n - first : kBitpackGroup, bytes = c * width;
        const uint8_t* at = src + first * width;
        uint64_t seen = 0;
        size_t i = 0;
        if (8 % width == 0) {
            for (; i + 8 <= bytes; i += 8) {
                seen |= load_le<uint64_t>(at + i);
                // In most groups of most streams the first few elements say all there is to say.
                if (i % 32 == 24 && (seen & lowest) != 0 && (seen_anywhere & highest) != 0) i = bytes;
            }
            for (uint32_t bits = 32; bits >= 8 * width; bits /= 2) seen |= seen >> bits;
            seen &= ones(8 * width);
        }
        for (; i < bytes; i += width) seen |= load_element(at + i, width);
        seen_anywhere |= seen;
        *group++ = static_cast<uint8_t>(seen == 0 ? kAllZero : static_cast<uint32_t>(std::countr_zero(seen)));
    }
    const uint32_t h = static_cast<uint32_t>(std::bit_width(seen_anywhere));
    for (uint8_t* z = zeros; z < group; ++z) *z = *z == kAllZero ? static_cast<uint8_t>(h) : *z;
    return h;
}

size_t bitpack_write_runs(const uint8_t* zeros, size_t n, uint32_t width, uint32_t h, uint8_t* dst) {
    const size_t groups = bitpack_groups(n);
    bool saves = h < 8 * width;
    uint8_t* at = dst;
    for (size_t first = 0, last; first < groups; first = last) {
        for (last = first + 1; last < groups && zeros[last] == zeros[first];) ++last;
        saves |= zeros[first] > 0;
        *at++ = zeros[first];
        at = write_varint(at, last - first);
    }
    return saves ? static_cast<size_t>(at - dst) : 0;
}

size_t bitpack_part_bytes(const uint8_t* runs, size_t n_runs_bytes, size_t n, uint32_t h) {
    size_t total = 0, seen = 0;
    const bool valid = for_each_run(runs, n_runs_bytes, n, h, [&](uint32_t z, size_t groups) {
        const size_t end = seen + groups * kBitpackGroup;
        total += groups * bitpack_group_bytes(kBitpackGroup, h - z);
        if (end > n) total -= bitpack_group_bytes(kBitpackGroup, h - z) - bitpack_group_bytes(n % kBitpackGroup, h - z);
        seen = end;
    });
    return valid ? total : SIZE_MAX;
}

size_t bitpack_pack(const Kernels& kernels, const uint8_t* zeros, const uint8_t* src, size_t n, uint32_t width, uint32_t h, uint8_t* dst) {
    uint8_t* at = dst;
    const size_t whole = n / kBitpackGroup, group_bytes = kBitpackGroup * width;
    for (size_t g = 0, last; g < whole; g = last) {
        for (last = g + 1; last < whole && zeros[last] == zeros[g];) ++last;
        const uint32_t z = zeros[g], b = h - z;
        if (width == 2 && b > 0 && b < 16) {
            kernels.pack_words(src + g * group_bytes, last - g, b, z, at);
            at += (last - g) * bitpack_group_bytes(kBitpackGroup, b);
        } else {
            for (size_t i = g; i < last; ++i) at = pack_group(src + i * group_bytes, kBitpackGroup, width, h, z, at);
        }
    }
    if (n % kBitpackGroup != 0) at = pack_group(src + whole * group_bytes, n % kBitpackGroup, width, h, zeros[whole], at);
    return static_cast<size_t>(at - dst);
}

void bitpack_unpack_group(const uint8_t* src, size_t c, uint32_t width, uint32_t h, uint32_t z, uint8_t* dst) {
    const uint32_t b = h - z;
    if (b == 8 * width) {
        std::memcpy(dst, src, c * width);
        return;
    }
    if (b == 0) {
        std::memset(dst, 0, c * width);
        return;
    }
    const size_t n_bytes = bitpack_group_bytes(c, b);
    size_t i = 0;
    if (width == 1 && c == kBitpackGroup) {
        constexpr size_t kEights = kBitpackGroup / 8;
        uint64_t eights[kEights];  // all loads first, so that a compiler makes vectors of the rest
        for (size_t k = 0; k < kEights; ++k) {
            const size_t at = k * b, from = at < n_bytes - 8 ? at : n_bytes - 8;  // nothing behind the group
            eights[k] = load_le<uint64_t>(src + from) >> 8 * (at - from);
        }
        for (uint64_t& x : eights) x = part_bytes(x, b) << z;
        for (size_t k = 0; k < kEights; ++k) store_le(dst + 8 * k, eights[k]);
        return;
    }
    if (width == 1) {
        for (; i + 8 <= c && i / 8 * b + 8 <= n_bytes; i += 8) {
            store_le(dst + i, part_bytes(load_le<uint64_t>(src + i / 8 * b) & ones(8 * b), b) << z);
        }
    }
    for (; i < c; ++i) store_element(dst + i * width, width, load_bits(src, n_bytes, i * b, b) << z);
}

void bitpack_unpack(const Kernels& kernels, const uint8_t* runs, size_t n_runs_bytes, const uint8_t* src, size_t n, uint32_t width,
                    uint32_t h, uint8_t* dst) {
    constexpr size_t kReadBehind = 64;  // by unpack_words
    const uint8_t* const end = src + bitpack_part_bytes(runs, n_runs_bytes, n, h);
    size_t first = 0;
    for_each_run(runs, n_runs_bytes, n, h, [&](uint32_t z, size_t groups) {
        const uint32_t b = h - z;
        if (width == 2 && b > 0 && b < 16) {
            const size_t packed = bitpack_group_bytes(kBitpackGroup, b), left = static_cast<size_t>(end - src);
            const size_t roomy = left < kReadBehind ? 0 : (left - kReadBehind) / packed, whole = (n - first) / kBitpackGroup;
            size_t fast = groups < roomy ? groups : roomy;
            if (fast > whole) fast = whole;
            kernels.unpack_words(src, fast, b, z, dst + 2 * first);
            src += fast * packed;
            first += fast * kBitpackGroup;
            groups -= fast;
        }
        for (; groups > 0; --groups, first += kBitpackGroup) {
            const size_t c = n - first < kBitpackGroup ? n - first : kBitpackGroup;
            bitpack_unpack_group(src, c, width, h, z, dst + first * width);
            src += bitpack_group_bytes(c, b);
        }
    });
}

namespace scalar {

// Four elements of b bits at once: two of them, eight elements, take b bytes.
void pack_words(const uint8_t* src, size_t groups, uint32_t b, uint32_t z, uint8_t* dst) {
    const auto four = [b, z](const uint8_t* at) {
        uint64_t x = load_le<uint64_t>(at) >> z;  // the z bits that move into a neighbour's place are 0
        x = (x & 0x0000ffff0000ffff) | (x >> 16 & 0x0000ffff0000ffff) << b;
        return (x & 0xffffffff) | x >> 32 << 2 * b;
    };
    for (size_t i = 0; i < groups * kBitpackGroup / 8; ++i, src += 16, dst += b) {
        const uint64_t low = four(src), high = four(src + 8);
        store_le(dst, low | high << 4 * b);
        store_le(dst + 8, high >> (64 - 4 * b));
    }
}

void unpack_words(const uint8_t* src, size_t groups, uint32_t b, uint32_t z, uint8_t* dst) {
    const uint64_t two = ones(2 * b), one = ones(b) * 0x100000001;
    for (size_t i = 0; i < groups * kBitpackGroup / 4; ++i, dst += 8) {
        const size_t at = 4 * b * i;  // a multiple of four, so the four elements end within 64 bits
        uint64_t x = load_le<uint64_t>(src + at / 8) >> (at & 4);
        x = (x & two) | (x >> 2 * b & two) << 32;
        store_le(dst, ((x & one) | (x >> b & one) << 16) << z);
    }
}

}  // namespace scalar
}  // namespace pennyweight
