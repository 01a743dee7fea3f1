// The frequencies as rans.md lays them down: for each symbol the number of its bits, then those below the top one.
#include <bit>

#include "pennyweight/rans.h"

namespace pennyweight {

namespace {

uint32_t extra_bits(uint32_t frequency) { return frequency < 2 ? 0 : static_cast<uint32_t>(std::bit_width(frequency)) - 1; }

}  // namespace

size_t frequency_header_bytes(const uint16_t* frequency, uint32_t bits) {
    size_t n = 0;
    for (uint32_t s = 0; s < 1u << bits; ++s) n += 4 + extra_bits(frequency[s]);
    return (n + 7) / 8;
}

uint8_t* write_frequencies(const uint16_t* frequency, uint32_t bits, uint8_t* dst) {
    uint64_t pending = 0;
    uint32_t n_pending = 0;
    for (uint32_t s = 0; s < 1u << bits; ++s) {
        const uint32_t f = frequency[s], extra = extra_bits(f);
        const uint32_t field = static_cast<uint32_t>(std::bit_width(f)) | (f & ((1u << extra) - 1)) << 4;
        pending |= uint64_t{field} << n_pending;
        for (n_pending += 4 + extra; n_pending >= 8; n_pending -= 8, pending >>= 8) *dst++ = static_cast<uint8_t>(pending);
    }
    if (n_pending > 0) *dst++ = static_cast<uint8_t>(pending);
    return dst;
}

const uint8_t* take_frequencies(const uint8_t* src, const uint8_t* end, uint32_t bits, uint16_t* frequency) {
    uint64_t pending = 0;
    uint32_t n_pending = 0;
    for (uint32_t s = 0; s < 1u << bits; ++s) {
        for (; n_pending < 16 && src < end; n_pending += 8) pending |= uint64_t{*src++} << n_pending;
        const uint32_t width = pending & 15, extra = width < 2 ? 0 : width - 1;
        if (width > kSlotBits || 4 + extra > n_pending) return nullptr;
        const uint32_t below = static_cast<uint32_t>(pending >> 4) & ((1u << extra) - 1);
        frequency[s] = static_cast<uint16_t>(width == 0 ? 0 : 1u << extra | below);
        pending >>= 4 + extra;
        n_pending -= 4 + extra;
    }
    src -= n_pending / 8;
    return (pending & ((1u << n_pending % 8) - 1)) == 0 ? src : nullptr;
}

bool read_frequencies(const uint8_t* src, size_t n_bytes, uint32_t bits, uint16_t* frequency) {
    return take_frequencies(src, src + n_bytes, bits, frequency) == src + n_bytes;
}

}  // namespace pennyweight
