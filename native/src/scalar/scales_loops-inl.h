// Loops of the `scales` encoder that compilers turn into vectors: each target includes them in its own namespace and compiles them with its
// own flags.

// In 16 bits throughout, twice as many to a vector as in 32: references are below 2^12, so exponents from 2^14 on are all as far above.
// With m as a constant, for GCC widens shifts by a variable. Returns the escapes, which are below 2^8.
template <uint32_t m>
inline uint8_t scales_relate(const uint8_t* __restrict keys, const int16_t* __restrict levels, size_t n, uint16_t* __restrict symbols) {
    constexpr uint16_t t_mask = (1u << m) - 1;
    uint16_t escapes = 0;
    for (size_t i = 0; i < n; ++i) {
        const uint16_t key = load_le<uint16_t>(keys + 2 * i);
        uint16_t e = static_cast<uint16_t>(key >> m);
        e = e < 16384 ? e : uint16_t{16384};
        int16_t r = static_cast<int16_t>(static_cast<int16_t>(e) - static_cast<int16_t>(levels[i] >> 3) + int16_t{kReferencePlace});
        r = r > 0 ? r : int16_t{0};
        r = r < 15 ? r : int16_t{15};
        escapes = static_cast<uint16_t>(escapes + (r == 0 || r == 15 ? 1 : 0));
        symbols[i] = static_cast<uint16_t>((levels[i] & 7) << (4 + m) | r << m | (key & t_mask));
    }
    return static_cast<uint8_t>(escapes);
}

template <uint32_t m>
inline void scales_relate_all(const uint8_t* keys, const int16_t* levels, size_t n, uint16_t* symbols, uint8_t* escapes) {
    constexpr size_t piece = kSymbolsPiece;
    size_t i = 0;
    for (; i + piece <= n; i += piece) *escapes++ = scales_relate<m>(keys + 2 * i, levels + i, piece, symbols + i);
    if (i < n) *escapes = scales_relate<m>(keys + 2 * i, levels + i, n - i, symbols + i);
}

inline void scales_symbols(const uint8_t* keys, const int16_t* levels, size_t n, uint32_t mantissa_bits, uint16_t* symbols,
                           uint8_t* escapes) {
    switch (mantissa_bits) {
        case 0: return scales_relate_all<0>(keys, levels, n, symbols, escapes);
        case 1: return scales_relate_all<1>(keys, levels, n, symbols, escapes);
        case 2: return scales_relate_all<2>(keys, levels, n, symbols, escapes);
        default: return scales_relate_all<3>(keys, levels, n, symbols, escapes);
    }
}

// Adds to sums[i] what key i of a run is above its row scale: its magnitude times `fraction`, 2^43 and more for an exponent field of
// `above`.
inline void scales_columns(const uint8_t* __restrict keys, size_t n, uint32_t mantissa_bits, uint32_t fraction, int32_t above,
                           uint64_t* __restrict sums) {
    const uint32_t m = mantissa_bits, t_mask = (1u << m) - 1;
    for (size_t i = 0; i < n; ++i) {
        const uint32_t key = load_le<uint16_t>(keys + 2 * i), u = (2u << m | 2 * (key & t_mask) | 1u) << (3 - m);
        const uint32_t shift = static_cast<uint32_t>(above - static_cast<int32_t>(key >> m));
        sums[i] += (uint64_t{u * fraction} << 20) >> (shift < 63 ? shift : 63);  // below 2^40: 63 gives 0 as well
    }
}
