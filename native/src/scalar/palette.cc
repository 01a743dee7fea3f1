#include "pennyweight/palette.h"

#include <algorithm>
#include <cstring>

#include "pennyweight/bytes.h"

namespace pennyweight {

namespace {

template <size_t kWidth>
uint64_t load(const uint8_t* src) {
    uint8_t bytes[8] = {};
    std::memcpy(bytes, src, kWidth);
    return load_le<uint64_t>(bytes);
}

template <size_t kWidth>
void store(uint8_t* dst, uint64_t value) {
    uint8_t bytes[8];
    store_le(bytes, value);
    std::memcpy(dst, bytes, kWidth);
}

// Numbers elements in the order in which they first come.
class Numbers {
 public:
    // That of value, or kMaxPalette where it would be one too many.
    uint32_t of(uint64_t value) {
        // Open addressing, by the top bits of a product that all bits of the value reach. A sixteenth of the room at most is taken: with a
        // quarter, collisions, which nothing predicts, doubled the time.
        for (size_t at = value * 0x9e3779b97f4a7c15u >> (64 - kBits);; at = (at + 1) % kRoom) {
            if (places_[at] == 0) return add(value, at);
            if (values_[places_[at] - 1] == value) return places_[at] - 1u;
        }
    }
    size_t n() const { return n_; }
    uint64_t value(size_t number) const { return values_[number]; }

 private:
    static constexpr uint32_t kBits = 12;
    static constexpr size_t kRoom = size_t{1} << kBits;

    uint32_t add(uint64_t value, size_t at) {
        if (n_ == kMaxPalette) return kMaxPalette;
        values_[n_++] = value;
        places_[at] = static_cast<uint16_t>(n_);
        return static_cast<uint32_t>(n_ - 1);
    }

    size_t n_ = 0;
    uint64_t values_[kMaxPalette];
    uint16_t places_[kRoom] = {};  // number + 1; 0 where there is none
};

template <size_t kWidth>
size_t split(const uint8_t* src, size_t n, uint8_t* values, uint8_t* indices) {
    const size_t most = std::min(kMaxPalette, n / 4);
    Numbers numbers;
    for (size_t i = 0; i < n; ++i) {
        const uint32_t number = numbers.of(load<kWidth>(src + i * kWidth));
        if (number >= most) return 0;
        indices[i] = static_cast<uint8_t>(number);
    }
    const size_t k = numbers.n();
    uint8_t order[kMaxPalette], rank[kMaxPalette];
    for (size_t number = 0; number < k; ++number) order[number] = static_cast<uint8_t>(number);
    std::sort(order, order + k, [&numbers](uint8_t a, uint8_t b) { return numbers.value(a) < numbers.value(b); });
    for (size_t place = 0; place < k; ++place) {
        rank[order[place]] = static_cast<uint8_t>(place);
        store<kWidth>(values + place * kWidth, numbers.value(order[place]));
    }
    for (size_t i = 0; i < n; ++i) indices[i] = rank[indices[i]];
    return k;
}

template <size_t kWidth>
bool merge(const uint8_t* values, size_t k, const uint8_t* indices, size_t n, uint8_t* dst) {
    uint64_t table[kMaxPalette] = {};  // whole, so that an index that lies reads nothing else
    for (size_t i = 0; i < k; ++i) {
        table[i] = load<kWidth>(values + i * kWidth);
        if (i > 0 && table[i] <= table[i - 1]) return false;
    }
    uint8_t highest = 0;
    for (size_t i = 0; i < n; ++i) {
        highest = std::max(highest, indices[i]);
        store<kWidth>(dst + i * kWidth, table[indices[i]]);
    }
    return highest < k;
}

using Split = size_t (*)(const uint8_t*, size_t, uint8_t*, uint8_t*);
using Merge = bool (*)(const uint8_t*, size_t, const uint8_t*, size_t, uint8_t*);

constexpr Split kSplit[kMaxPaletteWidth] = {split<1>, split<2>, split<3>, split<4>, split<5>, split<6>, split<7>, split<8>};
constexpr Merge kMerge[kMaxPaletteWidth] = {merge<1>, merge<2>, merge<3>, merge<4>, merge<5>, merge<6>, merge<7>, merge<8>};

}  // namespace

size_t palette_split(const uint8_t* src, size_t n_bytes, size_t width, uint8_t* values, uint8_t* indices) {
    return kSplit[width - 1](src, n_bytes / width, values, indices);
}

bool palette_merge(const uint8_t* values, size_t k, size_t width, const uint8_t* indices, size_t n, uint8_t* dst) {
    return kMerge[width - 1](values, k, indices, n, dst);
}

}  // namespace pennyweight
