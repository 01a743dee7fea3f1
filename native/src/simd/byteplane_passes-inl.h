// byteplane_split and byteplane_merge for any vector type that can pull even and odd bytes apart.
//
// `Vector` must be a type of an unnamed namespace: the templates then belong to the one file that includes
// them, and the linker cannot keep a copy compiled for one CPU for all of them. For the same reason nothing
// here is from <algorithm>.
#pragma once

#include "pennyweight/byteplane.h"

namespace pennyweight::simd {

// kWidth vectors of elements to one of each plane. Each pass sorts by one bit of the byte's number, from 0.
template <typename Vector, size_t kWidth>
void split_vectors(typename Vector::Register (&v)[kWidth]) {
    for (size_t pass = 1; pass < kWidth; pass *= 2) {
        typename Vector::Register next[kWidth];
        for (size_t k = 0; k < kWidth / 2; ++k) {
            next[k] = Vector::even_bytes(v[2 * k], v[2 * k + 1]);
            next[k + kWidth / 2] = Vector::odd_bytes(v[2 * k], v[2 * k + 1]);
        }
        for (size_t k = 0; k < kWidth; ++k) v[k] = next[k];
    }
}

template <typename Vector, size_t kWidth>
void merge_vectors(typename Vector::Register (&v)[kWidth]) {
    for (size_t pass = 1; pass < kWidth; pass *= 2) {
        typename Vector::Register next[kWidth];
        for (size_t k = 0; k < kWidth / 2; ++k) {
            Vector::interleave(v[k], v[k + kWidth / 2], next[2 * k], next[2 * k + 1]);
        }
        for (size_t k = 0; k < kWidth; ++k) v[k] = next[k];
    }
}

template <typename Vector, size_t kWidth>
void split(const uint8_t* src, size_t n_elements, uint8_t* dst) {
    size_t i = 0;
    for (; i + Vector::kBytes <= n_elements; i += Vector::kBytes) {
        typename Vector::Register v[kWidth];
        for (size_t k = 0; k < kWidth; ++k) v[k] = Vector::load(src + i * kWidth + k * Vector::kBytes);
        split_vectors<Vector, kWidth>(v);
        for (size_t k = 0; k < kWidth; ++k) Vector::store(dst + k * n_elements + i, v[k]);
    }
    for (; i < n_elements; ++i) {
        for (size_t k = 0; k < kWidth; ++k) dst[k * n_elements + i] = src[i * kWidth + k];
    }
}

template <typename Vector, size_t kWidth>
void merge(const uint8_t* planes, size_t n_elements, uint8_t* dst) {
    size_t i = 0;
    for (; i + Vector::kBytes <= n_elements; i += Vector::kBytes) {
        typename Vector::Register v[kWidth];
        for (size_t k = 0; k < kWidth; ++k) v[k] = Vector::load(planes + k * n_elements + i);
        merge_vectors<Vector, kWidth>(v);
        for (size_t k = 0; k < kWidth; ++k) Vector::store(dst + i * kWidth + k * Vector::kBytes, v[k]);
    }
    for (; i < n_elements; ++i) {
        for (size_t k = 0; k < kWidth; ++k) dst[i * kWidth + k] = planes[k * n_elements + i];
    }
}

template <typename Vector>
void byteplane_split(const uint8_t* src, size_t n_bytes, size_t width, uint8_t* dst) {
    switch (width) {
        case 2: return split<Vector, 2>(src, n_bytes / 2, dst);
        case 4: return split<Vector, 4>(src, n_bytes / 4, dst);
        case 8: return split<Vector, 8>(src, n_bytes / 8, dst);
        default: return pennyweight::byteplane_split(src, n_bytes, width, dst);
    }
}

template <typename Vector>
void byteplane_merge(const uint8_t* planes, size_t n_bytes, size_t width, uint8_t* dst) {
    switch (width) {
        case 2: return merge<Vector, 2>(planes, n_bytes / 2, dst);
        case 4: return merge<Vector, 4>(planes, n_bytes / 4, dst);
        case 8: return merge<Vector, 8>(planes, n_bytes / 8, dst);
        default: return pennyweight::byteplane_merge(planes, n_bytes, width, dst);
    }
}

}  // namespace pennyweight::simd
