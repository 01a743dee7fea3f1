// Symbols 16 and 17 of stages/split/floatfields.md: every exponent, up to three mantissa bits, and with 17 the sign, as a key for stages
// that model them together. Loops that compilers turn into vectors: each target includes them in its own namespace and compiles them with
// its own flags.

template <typename Word, uint32_t kExponentBits, uint32_t kInKey, uint32_t kLowBytes, bool kSigned>
struct Keys {
    static constexpr uint32_t kBytes = sizeof(Word), kMantissaBits = 8 * kBytes - 1 - kExponentBits;
    static constexpr uint32_t kShift = kMantissaBits - kInKey;  // of the key in the weight
    static constexpr uint32_t kMiddle = kShift - 8 * kLowBytes;  // mantissa bits in sign_mantissa
    static constexpr uint32_t kHigh = kMiddle + !kSigned;  // bits of it
    static constexpr uint32_t kKeyMask = (1u << (kExponentBits + kInKey)) - 1, kMiddleMask = (1u << kMiddle) - 1;

    static void split(const uint8_t* __restrict src, size_t n, uint8_t* __restrict keys, uint8_t* __restrict high,
                      uint8_t* __restrict low) {
        for (size_t i = 0; i < n; ++i) {
            const Word w = load_le<Word>(src + i * kBytes);
            const Word sign = static_cast<Word>(w >> (8 * kBytes - 1)), middle = w >> (8 * kLowBytes) & kMiddleMask;
            store_le(keys + 2 * i, static_cast<uint16_t>((kSigned ? sign << 15 : 0) | (w >> kShift & kKeyMask)));
            high[i] = static_cast<uint8_t>((kSigned ? 0 : sign << kMiddle) | middle);
            if constexpr (kLowBytes >= 2) store_le(low + i * kLowBytes, static_cast<uint16_t>(w));
            if constexpr (kLowBytes == 6) store_le(low + i * kLowBytes + 2, static_cast<uint32_t>(w >> 16));
        }
    }

    static bool merge(const uint8_t* __restrict keys, const uint8_t* __restrict high, const uint8_t* __restrict low, size_t n,
                      uint8_t* __restrict out) {
        uint32_t seen_keys = 0, seen_high = 0;
        for (size_t i = 0; i < n; ++i) {
            const uint16_t key = load_le<uint16_t>(keys + 2 * i);
            const uint8_t value = high[i];
            seen_keys |= key;
            seen_high |= value;
            const uint32_t sign = kSigned ? key >> 15 : value >> kMiddle;
            Word w = static_cast<Word>(static_cast<Word>(kSigned ? key & 0x7fff : key) << kShift);
            w = static_cast<Word>(w | static_cast<Word>(sign) << (8 * kBytes - 1));
            w = static_cast<Word>(w | static_cast<Word>(value & kMiddleMask) << (8 * kLowBytes));
            if constexpr (kLowBytes >= 2) w |= load_le<uint16_t>(low + i * kLowBytes);
            if constexpr (kLowBytes == 6) w |= static_cast<Word>(load_le<uint32_t>(low + i * kLowBytes + 2)) << 16;
            store_le(out + i * kBytes, w);
        }
        return (kSigned ? seen_keys & 0x7fff : seen_keys) <= kKeyMask && seen_high >> kHigh == 0;
    }
};

// symbols: 16, or 17, which is not for F8_E5M2.
template <typename Visit>
auto with_keys(FloatFormat format, uint32_t symbols, const Visit& visit) {
    if (symbols == 17) {
        switch (format) {
            case FloatFormat::kBF16: return visit(Keys<uint16_t, 8, 2, 0, true>());
            case FloatFormat::kF16: return visit(Keys<uint16_t, 5, 2, 0, true>());
            case FloatFormat::kF32: return visit(Keys<uint32_t, 8, 2, 2, true>());
            case FloatFormat::kF64: return visit(Keys<uint64_t, 11, 2, 6, true>());
            case FloatFormat::kE4M3:
            case FloatFormat::kE5M2: break;
        }
        return visit(Keys<uint8_t, 4, 2, 0, true>());
    }
    switch (format) {
        case FloatFormat::kBF16: return visit(Keys<uint16_t, 8, 3, 0, false>());
        case FloatFormat::kF16: return visit(Keys<uint16_t, 5, 3, 0, false>());
        case FloatFormat::kF32: return visit(Keys<uint32_t, 8, 3, 2, false>());
        case FloatFormat::kF64: return visit(Keys<uint64_t, 11, 3, 6, false>());
        case FloatFormat::kE4M3: return visit(Keys<uint8_t, 4, 3, 0, false>());
        case FloatFormat::kE5M2: break;
    }
    return visit(Keys<uint8_t, 5, 2, 0, false>());
}

inline void split_keys(FloatFormat format, uint32_t symbols, const uint8_t* src, size_t n, uint8_t* keys, uint8_t* high, uint8_t* low) {
    with_keys(format, symbols, [&](auto of) { of.split(src, n, keys, high, low); });
}

inline bool merge_keys(FloatFormat format, uint32_t symbols, const uint8_t* keys, const uint8_t* high, const uint8_t* low, size_t n,
                       uint8_t* out) {
    return with_keys(format, symbols, [&](auto of) { return of.merge(keys, high, low, n, out); });
}
