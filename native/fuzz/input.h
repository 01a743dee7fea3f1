// What every fuzz target shares: a cursor over the fuzzer's bytes, memory that ends where nothing may be touched, all targets of this CPU,
// and the demand that ends the process. A target is one file: LLVMFuzzerTestOneInput reads an input, seeds() writes inputs that are valid.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "../tests/guarded.h"
#include "pennyweight/bytes.h"
#include "pennyweight/kernels.h"

#if defined(__SANITIZE_ADDRESS__)
#define PENNYWEIGHT_ASAN
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PENNYWEIGHT_ASAN
#endif
#endif
#if defined(PENNYWEIGHT_ASAN)
#include <sanitizer/asan_interface.h>
#endif

using Bytes = std::vector<uint8_t>;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t n);
std::vector<Bytes> seeds();

namespace pennyweight::fuzz {

// What must hold for every input there is.
inline void demand(bool holds, const char* what, const char* target = "") {
    if (holds) return;
    std::fprintf(stderr, "FOUND: %s %s\n", what, target);
    std::abort();
}

inline bool same(const uint8_t* a, const uint8_t* b, size_t n) { return n == 0 || std::memcmp(a, b, n) == 0; }

struct View {
    const uint8_t* data;
    size_t size;
};

// The fuzzer's bytes. Where they have ended it reads zeros: every input means something.
class Input {
 public:
    Input(const uint8_t* data, size_t n) : at_(data), end_(data + n) {}

    size_t left() const { return static_cast<size_t>(end_ - at_); }
    uint8_t byte() { return at_ == end_ ? uint8_t{0} : *at_++; }
    template <typename T>
    T number() {
        uint64_t value = 0;
        for (size_t i = 0; i < sizeof(T); ++i) value |= uint64_t{byte()} << (8 * i);
        return static_cast<T>(value);
    }
    // Below n, which is at most 2^16.
    uint32_t below(uint32_t n) { return (n > 256 ? number<uint16_t>() : byte()) % n; }
    View take(size_t n) {
        const View taken{at_, std::min(n, left())};
        at_ += taken.size;
        return taken;
    }
    View rest() { return take(left()); }
    // n bytes: the next ones, again and again where there are fewer, so that a short input fills whole groups.
    Bytes filled(size_t n) {
        const View taken = take(n);
        Bytes bytes(n);
        for (size_t i = 0; i < n && taken.size > 0; ++i) bytes[i] = taken.data[i % taken.size];
        return bytes;
    }

 private:
    const uint8_t* at_;
    const uint8_t* end_;
};

// Writes what Input reads.
struct Seed {
    Bytes bytes;

    Seed& byte(size_t value) { return bytes.push_back(static_cast<uint8_t>(value)), *this; }
    template <typename T>
    Seed& number(T value) {
        for (size_t i = 0; i < sizeof(T); ++i) byte(static_cast<size_t>(value) >> (8 * i));
        return *this;
    }
    Seed& add(const uint8_t* data, size_t n) { return bytes.insert(bytes.end(), data, data + n), *this; }
    Seed& add(const Bytes& more) { return add(more.data(), more.size()); }
};

// One buffer at a time, which ends at a page that cannot be touched. Under ASan what lies before it cannot be either.
class Room {
 public:
    explicit Room(size_t capacity) : memory_(capacity), capacity_(capacity) {}

    uint8_t* exactly(size_t n) {
        demand(n <= capacity_, "the target's memory is too small");
        uint8_t* const start = memory_.last(n);
#if defined(PENNYWEIGHT_ASAN)
        ASAN_POISON_MEMORY_REGION(memory_.last(capacity_), capacity_ - n);
        ASAN_UNPOISON_MEMORY_REGION(start, n);
#endif
        return start;
    }
    uint8_t* copy(const uint8_t* src, size_t n) {
        uint8_t* const start = exactly(n);
        if (n != 0) std::memcpy(start, src, n);
        return start;
    }
    uint8_t* copy(const Bytes& src) { return copy(src.data(), src.size()); }

 private:
    testing::Guarded memory_;
    size_t capacity_;
};

// f(kernels) for each target of this CPU, scalar first, which is also the one in use meanwhile.
template <typename F>
void each_target(F f) {
    static const Kernels* list[3];
    static const size_t n = available_targets(list);
    for (size_t k = 0; k < n; ++k) {
        set_target(list[k]->name);
        f(*list[k]);
    }
}

inline bool is_scalar(const Kernels& kernels) { return &kernels == &scalar_kernels(); }

// How many answers were yes: each seed must add to it, or the target is blind.
inline size_t accepted = 0;

// The answer of each target must be that of scalar, and so must what it wrote if the answer is yes.
class Verdict {
 public:
    void hear(const Kernels& kernels, bool good, const uint8_t* out, size_t n) {
        if (is_scalar(kernels)) {
            good_ = good;
            accepted += good;
            if (good) out_.assign(out, out + n);
            return;
        }
        demand(good == good_, "another verdict than scalar:", kernels.name);
        demand(!good || (n == out_.size() && same(out, out_.data(), n)), "other bytes than scalar:", kernels.name);
    }
    bool good() const { return good_; }
    const Bytes& bytes() const { return out_; }

 private:
    bool good_ = false;
    Bytes out_;
};

// Deterministic numbers for seeds.
struct Random {
    uint32_t state;
    uint32_t next() {
        state = state * 1664525 + 1013904223;
        return state >> 8;
    }
    uint32_t below(uint32_t n) { return next() % n; }
    // Small ones often.
    uint32_t skewed() { return static_cast<uint32_t>(__builtin_ctz(next() | 1u << 20)); }
};

}  // namespace pennyweight::fuzz
