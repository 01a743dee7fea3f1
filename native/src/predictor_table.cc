#include "pennyweight/bytes.h"
#include "pennyweight/predictor.h"

namespace pennyweight {

bool predictor_valid(const ScalesPlace& place, const Predictor& p, size_t triangles_bytes, size_t n_residuals) {
    if (place.mantissa_bits != kSignedKeyMantissa || place.d > kMaxPredictedRow) return false;
    if (p.w == 0) return p.n_triangles == 0 && triangles_bytes == 0 && n_residuals == 0;
    if (p.w < kMinBand || p.w > kMaxBand || place.d % p.w != 0) return false;
    if (p.n_triangles == 0 || p.n_triangles > place.d / p.w) return false;
    return triangles_bytes == p.n_triangles * triangle_bytes(p.w) && n_residuals == place.d;
}

namespace {

constexpr uint32_t kAlphabet = 1u << kPredictorBits;

bool is_empty(const uint8_t* frequencies) {
    uint32_t seen = 0;
    for (uint32_t s = 0; s < kAlphabet; ++s) seen |= load_le<uint16_t>(frequencies + 2 * s);
    return seen == 0;
}

}  // namespace

bool build_predictor_table(const uint8_t* frequencies, PredictorTable* table) {
    // Threshold 0: every slot is the alias's, symbol 2. Whatever frequency it has, the key is refused.
    constexpr uint64_t kRefused = uint64_t{((0u - 1) << kPredictorBits | 2) & 0xffff} << 16;
    for (uint32_t c = 0; c < kPredictorContexts; ++c) {
        const uint8_t* of_context = frequencies + size_t{2} * c * kAlphabet;
        uint64_t* buckets = table->buckets + c * kAlphabet;
        if (is_empty(of_context)) {
            for (uint32_t b = 0; b < kAlphabet; ++b) buckets[b] = kRefused;
        } else if (!build_buckets(of_context, kPredictorBits, buckets)) {
            return false;
        }
    }
    return true;
}

bool build_predictor_encode_table(const PredictorTable& table, const uint8_t* frequencies, PredictorEncodeTable* encode) {
    for (uint32_t at = 0; at < kPredictorSymbols; at += kAlphabet) {
        if (is_empty(frequencies + 2 * at)) {
            for (uint32_t s = 0; s < kAlphabet; ++s) encode->entries[at + s] = {0, 0, 0};
        } else {
            build_slots(table.buckets + at, frequencies + 2 * at, kPredictorBits, at / kAlphabet * kScalesSlots, encode->entries + at,
                        encode->slots);
        }
    }
    bool complete = true;
    for (uint32_t s = 0; s < kPredictorSymbols; ++s) complete &= encode->entries[s].frequency != 0;
    return complete;
}

bool predictor_codes(const PredictorEncodeTable& encode, const uint16_t* symbols, size_t n) {
    bool all = true;
    for (size_t i = 0; i < n; ++i) all &= encode.entries[symbols[i]].frequency != 0;
    return all;
}

}  // namespace pennyweight
