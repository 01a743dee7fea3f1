// A loop of the `scales` encoder that compilers turn into vectors: each target includes it in its own namespace and compiles it with its
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
