// Memory that ends where an unmapped page begins: one byte read or written too far crashes the test.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace pennyweight::testing {

class Guarded {
 public:
    explicit Guarded(size_t capacity) : page_(static_cast<size_t>(sysconf(_SC_PAGESIZE))) {
        mapped_ = (capacity + page_ - 1) / page_ * page_;
        void* const base = mmap(nullptr, mapped_ + 2 * page_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (base == MAP_FAILED) fail();
        base_ = static_cast<uint8_t*>(base);
        if (mapped_ != 0 && mprotect(base_ + page_, mapped_, PROT_READ | PROT_WRITE) != 0) fail();
    }
    Guarded(const Guarded&) = delete;
    Guarded& operator=(const Guarded&) = delete;
    ~Guarded() { munmap(base_, mapped_ + 2 * page_); }

    // n bytes up to the guard.
    uint8_t* last(size_t n) { return base_ + page_ + mapped_ - n; }
    uint8_t* copy(const uint8_t* src, size_t n) {
        if (n != 0) std::memcpy(last(n), src, n);
        return last(n);
    }

 private:
    [[noreturn]] static void fail() {
        std::perror("mmap");
        std::abort();
    }

    size_t page_;
    size_t mapped_;
    uint8_t* base_;
};

inline int failures = 0;

inline void check(bool good, const char* what, size_t n, const char* detail = "") {
    if (good) return;
    if (++failures <= 20) std::printf("FAILED: %s, n = %zu %s\n", what, n, detail);
}

}  // namespace pennyweight::testing
