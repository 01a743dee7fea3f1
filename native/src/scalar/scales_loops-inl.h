// Loops of the `scales` encoder that compilers turn into vectors: each target includes them in its own namespace and compiles them with its
// own flags.

// Symbols of n keys of these levels, phase << bits | symbol. Returns how many escape.
inline uint32_t scales_symbols(const uint8_t* __restrict keys, const int16_t* __restrict levels, size_t n, uint32_t mantissa_bits,
                               uint16_t* __restrict symbols) {
    const uint32_t m = mantissa_bits, bits = 4 + m;
    const int32_t t_mask = (1 << m) - 1;
    uint32_t escapes = 0;
    for (size_t i = 0; i < n; ++i) {
        const int32_t key = load_le<uint16_t>(keys + 2 * i), L = levels[i];
        int32_t r = (key >> m) - (L >> 3) + static_cast<int32_t>(kReferencePlace);
        r = r < 0 ? 0 : r;
        r = r > 15 ? 15 : r;
        escapes += static_cast<uint32_t>((r + 1) & 15) < 2 ? 1u : 0u;
        symbols[i] = static_cast<uint16_t>((L & 7) << bits | r << m | (key & t_mask));
    }
    return escapes;
}

// Adds to sums[i] what key i of a run is above its row scale: its magnitude times `fraction`, 2^43 and more for an exponent field of
// `above`.
inline void scales_columns(const uint8_t* __restrict keys, size_t n, uint32_t mantissa_bits, uint32_t fraction, int32_t above,
                           uint64_t* __restrict sums) {
    const uint32_t m = mantissa_bits, t_mask = (1u << m) - 1;
    for (size_t i = 0; i < n; ++i) {
        const uint32_t key = load_le<uint16_t>(keys + 2 * i), u = (2u << m | 2 * (key & t_mask) | 1u) << (3 - m);
        const uint64_t shift = static_cast<uint32_t>(above - static_cast<int32_t>(key >> m));
        const uint64_t value = uint64_t{u * fraction} << 20;
        sums[i] += shift > 63 ? 0 : value >> (shift & 63);
    }
}
