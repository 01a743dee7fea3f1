// Little-endian loads and stores, and the varint of docs/format.md. Wire data is never overlaid with structs.
// Functions are static: of inline ones the linker keeps one copy, which might be the one compiled for AVX-512.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace pennyweight {

template <typename T>
static inline T load_le(const uint8_t* src) {
    T value;
    std::memcpy(&value, src, sizeof(T));
    if constexpr (std::endian::native == std::endian::big) {
        T swapped = 0;
        for (size_t i = 0; i < sizeof(T); ++i) swapped = static_cast<T>(swapped | static_cast<T>(src[i]) << (8 * i));
        return swapped;
    }
    return value;
}

template <typename T>
static inline void store_le(uint8_t* dst, T value) {
    if constexpr (std::endian::native == std::endian::little) {
        std::memcpy(dst, &value, sizeof(T));
    } else {
        for (size_t i = 0; i < sizeof(T); ++i) dst[i] = static_cast<uint8_t>(value >> (8 * i));
    }
}

inline constexpr size_t kMaxVarint = 9;

static inline uint8_t* write_varint(uint8_t* dst, uint64_t value) {
    while (value >= 0x80) {
        *dst++ = static_cast<uint8_t>(value | 0x80);
        value >>= 7;
    }
    *dst++ = static_cast<uint8_t>(value);
    return dst;
}

static inline size_t varint_bytes(uint64_t value) {
    size_t n = 1;
    while (value >>= 7) ++n;
    return n;
}

// A cursor over bytes that may lie. After the first failure `ok` is false and everything read is 0.
struct ByteReader {
    const uint8_t* at;
    const uint8_t* end;
    bool ok = true;

    size_t left() const { return static_cast<size_t>(end - at); }

    const uint8_t* take(size_t n) {
        if (!ok || n > left()) {
            ok = false;
            return at;
        }
        const uint8_t* start = at;
        at += n;
        return start;
    }
    uint8_t byte() {
        const uint8_t* p = take(1);
        return ok ? *p : uint8_t{0};
    }
    uint64_t varint() {
        uint64_t value = 0;
        for (unsigned shift = 0; shift < 63; shift += 7) {
            const uint8_t b = byte();
            if (!ok) return 0;
            value |= uint64_t{b & 0x7fu} << shift;
            if (b < 0x80) {
                if (b == 0 && shift > 0) break;  // not the shortest form
                return value;
            }
        }
        ok = false;
        return 0;
    }
};

}  // namespace pennyweight
