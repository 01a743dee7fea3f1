// Sums of products for the fit of linear predictors. Loops that compilers turn into multiply-add of pairs: each target includes them in its
// own namespace and compiles them with its own flags. Four by two sums at once keep the loads below the multiplications.

inline void dot_products(const int16_t* __restrict a, const int16_t* __restrict b, size_t stride, size_t n, size_t n_b,
                         int32_t* __restrict out) {
    n &= ~size_t{31};  // a promise, so that no compiler makes loops for the rest
    const int16_t *a1 = a + stride, *a2 = a1 + stride, *a3 = a2 + stride;
    for (size_t k = 0; k < n_b; k += 2, b += 2 * stride, out += 8) {
        const int16_t* b1 = b + stride;
        int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0, t0 = 0, t1 = 0, t2 = 0, t3 = 0;
        for (size_t i = 0; i < n; ++i) {
            s0 += a[i] * b[i];
            s1 += a1[i] * b[i];
            s2 += a2[i] * b[i];
            s3 += a3[i] * b[i];
            t0 += a[i] * b1[i];
            t1 += a1[i] * b1[i];
            t2 += a2[i] * b1[i];
            t3 += a3[i] * b1[i];
        }
        out[0] = s0, out[1] = s1, out[2] = s2, out[3] = s3;
        out[4] = t0, out[5] = t1, out[6] = t2, out[7] = t3;
    }
}
