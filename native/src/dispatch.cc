// The only file that looks at the CPU.
#include <atomic>
#include <cstdlib>
#include <cstring>

#include "pennyweight/byteplane.h"
#include "pennyweight/kernels.h"
#include "scalar/fit.h"
#include "scalar/predictor.h"
#include "scalar/scalar.h"
#include "scalar/scales.h"

namespace pennyweight {

namespace {

// Without vectors: all is left to what looks at every word.
void no_groups(const RansTable&, scalar::Progress&, size_t, uint8_t*) {}

}  // namespace

const Kernels& scalar_kernels() {
    static constexpr Kernels kTable = {"scalar",
                                       scalar::split,
                                       scalar::merge,
                                       scalar::rans_encode,
                                       scalar::rans_decode,
                                       no_groups,
                                       scalar::decode_float,
                                       scalar::scales_decode,
                                       scalar::scales_symbols,
                                       scalar::scales_encode,
                                       scalar::scales_top,
                                       scalar::scales_sum,
                                       scalar::scales_columns,
                                       scalar::predictor_decode,
                                       scalar::predictor_model,
                                       scalar::predictor_encode,
                                       byteplane_split,
                                       byteplane_merge,
                                       scalar::split_keys,
                                       scalar::merge_keys,
                                       scalar::pack_words,
                                       scalar::unpack_words,
                                       scalar::predictor_values,
                                       scalar::pair_vectors,
                                       scalar::pair_products,
                                       scalar::subtract_rows};
    return kTable;
}

#if !defined(PENNYWEIGHT_HAVE_X86)
const Kernels* avx2_kernels() { return nullptr; }
const Kernels* avx512_kernels() { return nullptr; }
#endif

size_t available_targets(const Kernels** list) {
    size_t n = 0;
    list[n++] = &scalar_kernels();
#if defined(PENNYWEIGHT_HAVE_X86)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt")) {
        list[n++] = avx2_kernels();
    }
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vbmi2") &&
        __builtin_cpu_supports("avx512vpopcntdq")) {
        list[n++] = avx512_kernels();
    }
#endif
    return n;
}

namespace {

std::atomic<const Kernels*> active{nullptr};

const Kernels* find(const char* name) {
    const Kernels* list[3];
    const size_t n = available_targets(list);
    if (name == nullptr || *name == '\0') return list[n - 1];
    for (size_t i = 0; i < n; ++i) {
        if (std::strcmp(list[i]->name, name) == 0) return list[i];
    }
    return nullptr;
}

}  // namespace

bool set_target(const char* name) {
    const Kernels* found = find(name);
    if (found == nullptr) return false;
    active.store(found, std::memory_order_relaxed);
    return true;
}

const Kernels& kernels() {
    const Kernels* table = active.load(std::memory_order_relaxed);
    if (table == nullptr) {
        // A name that this CPU does not have falls back to the best: the same bytes, so no reason to refuse to work.
        if (!set_target(std::getenv("PENNYWEIGHT_TARGET"))) set_target(nullptr);
        table = active.load(std::memory_order_relaxed);
    }
    return *table;
}

}  // namespace pennyweight
