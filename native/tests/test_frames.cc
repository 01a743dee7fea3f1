// Every target against the scalar one: frames, decoded blocks and rANS streams, byte for byte; then frames that lie, with no memory to
// spare behind them.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <vector>

#include "guarded.h"
#include "pennyweight/bytes.h"
#include "pennyweight/frame.h"

using namespace pennyweight;

namespace {

// A buffer of exactly n bytes with nothing readable behind it.
struct Page {
    explicit Page(size_t n) : guarded(n), n(n) {}
    uint8_t* data() { return guarded.last(n); }
    size_t size() const { return n; }

    testing::Guarded guarded;
    size_t n;
};

int failures = 0;

void check(bool ok, const char* target, const char* what, size_t n, unsigned bits) {
    if (ok) return;
    ++failures;
    std::printf("%s: %s, %zu weights, %u symbol bits\n", target, what, n, bits);
}

std::vector<uint8_t> weights(std::mt19937& random, FloatFormat format, size_t n, double spread, double outliers) {
    const FloatTraits& traits = *float_traits(static_cast<uint8_t>(format));
    std::normal_distribution<float> normal(0.0f, 0.05f);
    std::uniform_real_distribution<double> unit(0, 1);
    std::vector<uint8_t> bytes(n * traits.bytes);
    for (size_t i = 0; i < n; ++i) {
        for (uint32_t b = 0; b < traits.bytes; ++b) bytes[i * traits.bytes + b] = static_cast<uint8_t>(random());
        const float value = normal(random) * static_cast<float>(std::exp2(spread * unit(random)));
        uint32_t raw;
        std::memcpy(&raw, &value, 4);
        if (unit(random) < outliers) continue;  // any bits at all
        uint8_t* top = bytes.data() + i * traits.bytes + traits.bytes - 2;
        const uint32_t exponent = (raw >> 23 & 0xff) & ((1u << traits.exponent_bits) - 1);
        const uint32_t shift = 15 - traits.exponent_bits;
        const uint32_t mask = ((1u << traits.exponent_bits) - 1) << shift;
        store_le(top, static_cast<uint16_t>((load_le<uint16_t>(top) & ~mask) | exponent << shift));
    }
    return bytes;
}

// Weights that were computed in a narrower type: in some groups of 128 low bits are 0.
void round_groups(std::mt19937& random, const FloatTraits& traits, std::vector<uint8_t>& bytes) {
    const size_t group = 128 * traits.bytes;
    for (size_t first = 0, zero_bits = 0; first < bytes.size(); first += group) {
        if (random() % 4 == 0) zero_bits = random() % (8 * traits.low_bytes + 1);
        for (size_t i = first; i < std::min(first + group, bytes.size()); ++i) {
            const size_t below = 8 * (i % traits.bytes), zero = zero_bits < below ? 0 : std::min<size_t>(8, zero_bits - below);
            bytes[i] = static_cast<uint8_t>(bytes[i] >> zero << zero);
        }
    }
}

// Nothing that the staged path would have to compare: what is taken depends on the weights alone.
FloatPlan plan_of(FloatFormat format, unsigned bits) {
    return {format, bits, Beside::kBitpack, format == FloatFormat::kF16 ? Beside::kStore : Beside::kBitpack};
}

// Frames seen of each format with symbols 4, 5 and 6: the tests mean little where one is missing.
size_t seen[5][7];

void round_trip(const Kernels& k, const std::vector<uint8_t>& data, const std::vector<size_t>& sizes, FloatFormat format, unsigned bits) {
    const size_t n = data.size();
    std::vector<uint8_t> expected(n), got(n);
    std::vector<size_t> expected_sizes(sizes.size()), got_sizes(sizes.size());
    Page src(n);
    if (n > 0) std::memcpy(src.data(), data.data(), n);
    encode_float_blocks(scalar_kernels(), src.data(), sizes.data(), sizes.size(), plan_of(format, bits), expected.data(),
                        expected_sizes.data());
    encode_float_blocks(k, src.data(), sizes.data(), sizes.size(), plan_of(format, bits), got.data(), got_sizes.data());
    size_t total = 0;
    for (const size_t s : expected_sizes) total += s;
    check(expected_sizes == got_sizes && std::memcmp(expected.data(), got.data(), total) == 0, k.name, "frames differ from scalar", n,
          bits);

    size_t frame_at = 0, block_at = 0;
    for (size_t i = 0; i < sizes.size(); ++i) {  // each alone, with nothing readable behind frame or block
        Page frame(expected_sizes[i]), out(sizes[i]);
        if (expected_sizes[i] > 0) {
            ++seen[static_cast<int>(format)][expected[frame_at + 3]];
            std::memcpy(frame.data(), expected.data() + frame_at, expected_sizes[i]);
            bool decoded = false;
            decode_blocks(k, frame.data(), &expected_sizes[i], &sizes[i], 1, out.data(), false, &decoded);
            check(decoded && std::memcmp(out.data(), data.data() + block_at, sizes[i]) == 0, k.name, "decoded block differs", sizes[i],
                  bits);
        }
        frame_at += expected_sizes[i];
        block_at += sizes[i];
    }
    for (const bool stream : {false, true}) {  // all at once
        std::vector<uint8_t> out(n + 64);
        uint8_t* aligned = out.data() + (64 - reinterpret_cast<uintptr_t>(out.data()) % 64) % 64;
        std::vector<size_t> frames, blocks;
        bool decoded[64];
        std::vector<uint8_t> want;
        size_t at = 0;
        for (size_t i = 0; i < sizes.size(); at += sizes[i++]) {
            if (expected_sizes[i] == 0) continue;
            frames.push_back(expected_sizes[i]);
            blocks.push_back(sizes[i]);
            want.insert(want.end(), data.begin() + static_cast<long>(at), data.begin() + static_cast<long>(at + sizes[i]));
        }
        if (frames.empty()) continue;
        Page packed(total);
        std::memcpy(packed.data(), expected.data(), total);
        decode_blocks(k, packed.data(), frames.data(), blocks.data(), frames.size(), aligned, stream, decoded);
        bool all = true;
        for (size_t i = 0; i < frames.size(); ++i) all &= decoded[i];
        check(all && std::memcmp(aligned, want.data(), want.size()) == 0, k.name, "batch differs", n, bits);
    }
}

void rans_streams(const Kernels& k, std::mt19937& random) {
    for (const unsigned bits : {4u, 5u}) {
        for (const size_t n : {2u, 31u, 127u, 128u, 129u, 1000u, 4096u, 70000u}) {
            for (int skew = 0; skew < 4; ++skew) {
                std::vector<uint8_t> symbols(n + kGroup);
                std::geometric_distribution<int> skewed(0.1 + 0.28 * skew);
                uint32_t counts[kMaxAlphabet] = {};
                for (size_t i = 0; i < n; ++i) {
                    symbols[i] = static_cast<uint8_t>(static_cast<uint32_t>(skewed(random)) & ((1u << bits) - 1));
                    ++counts[symbols[i]];
                }
                uint16_t frequency[kMaxAlphabet];
                if (!normalize_frequencies(counts, bits, frequency)) continue;
                RansTable table;
                static RansEncodeTable encode_table;
                check(build_rans_table(frequency, bits, &table), k.name, "table", n, bits);
                build_rans_encode_table(table, &encode_table);
                std::vector<uint8_t> words(2 * n + 256), states(kStateBytes), reference(2 * n + 256), reference_states(kStateBytes);
                RansEncodeJob job{&encode_table, symbols.data(), n, words.data() + words.size(), states.data(), 0};
                RansEncodeJob scalar_job{&encode_table, symbols.data(), n, reference.data() + reference.size(), reference_states.data(), 0};
                k.rans_encode(&job, 1);
                scalar_kernels().rans_encode(&scalar_job, 1);
                const bool same =
                    job.n_words == scalar_job.n_words && states == reference_states &&
                    std::memcmp(job.words_end - 2 * job.n_words, scalar_job.words_end - 2 * job.n_words, 2 * job.n_words) == 0;
                check(same, k.name, "rans stream differs from scalar", n, bits);
                Page payload(kStateBytes + 2 * scalar_job.n_words), out(n);
                std::memcpy(payload.data(), reference_states.data(), kStateBytes);
                std::memcpy(payload.data() + kStateBytes, scalar_job.words_end - 2 * scalar_job.n_words, 2 * scalar_job.n_words);
                check(k.rans_decode(table, payload.data(), scalar_job.n_words, out.data(), n), k.name, "rans refused", n, bits);
                check(std::memcmp(out.data(), symbols.data(), n) == 0, k.name, "rans symbols differ", n, bits);
                for (int flip = 0; flip < 40; ++flip) {  // accepted or not, every target says the same and stays inside
                    const size_t at = random() % payload.size();
                    const uint8_t mask = static_cast<uint8_t>(1u << random() % 8);
                    payload.data()[at] ^= mask;
                    std::vector<uint8_t> other(n);
                    const bool mine = k.rans_decode(table, payload.data(), scalar_job.n_words, out.data(), n);
                    const bool theirs = scalar_kernels().rans_decode(table, payload.data(), scalar_job.n_words, other.data(), n);
                    check(mine == theirs && (!mine || std::memcmp(out.data(), other.data(), n) == 0), k.name, "damage seen differently", n,
                          bits);
                    payload.data()[at] ^= mask;
                }
            }
        }
    }
}

void damaged_frames(const Kernels& k, std::mt19937& random, FloatFormat format, unsigned bits, double spread, bool rounded) {
    const FloatTraits& traits = *float_traits(static_cast<uint8_t>(format));
    size_t damaged = 0;  // of 600 weights with many exponents a frame may not be smaller
    for (const size_t n : {600u, 3000u}) {
        auto data = weights(random, format, n, spread, 0.01);
        if (rounded) round_groups(random, traits, data);
        const size_t size = data.size();
        std::vector<uint8_t> frame(size);
        size_t frame_size = 0;
        encode_float_blocks(scalar_kernels(), data.data(), &size, 1, plan_of(format, bits), frame.data(), &frame_size);
        if (frame_size == 0) continue;
        ++damaged;
        for (size_t cut = 0; cut < frame_size; cut += cut < 256 ? 1 : 13) {
            Page part(cut), out(size);
            if (cut > 0) std::memcpy(part.data(), frame.data(), cut);
            bool decoded = true;
            decode_blocks(k, part.data(), &cut, &size, 1, out.data(), false, &decoded);
            check(!decoded, k.name, "a cut frame was accepted", n, bits);
        }
        Page whole(frame_size), out(size), reference(size);
        for (int round = 0; round < 1000; ++round) {
            std::memcpy(whole.data(), frame.data(), frame_size);
            for (unsigned hits = 1 + random() % 3; hits > 0; --hits)
                whole.data()[random() % (round % 2 ? 64 : frame_size)] = static_cast<uint8_t>(random());
            bool mine = false, theirs = false;
            decode_blocks(k, whole.data(), &frame_size, &size, 1, out.data(), false, &mine);
            decode_blocks(scalar_kernels(), whole.data(), &frame_size, &size, 1, reference.data(), false, &theirs);
            check(mine == theirs && (!mine || std::memcmp(out.data(), reference.data(), size) == 0), k.name, "damage seen differently", n,
                  bits);
        }
    }
    check(damaged > 0, k.name, "no frame to damage", static_cast<size_t>(format), bits);
}

}  // namespace

int main() {
    const Kernels* list[3];
    const size_t n_targets = available_targets(list);
    for (size_t t = 0; t < n_targets; ++t) {
        std::mt19937 random(20240);
        for (const FloatFormat format : {FloatFormat::kBF16, FloatFormat::kF16, FloatFormat::kF32, FloatFormat::kF64}) {
            const FloatTraits& traits = *float_traits(static_cast<uint8_t>(format));
            const size_t bytes = traits.bytes;
            for (const unsigned bits : {4u, 5u}) {
                for (const double spread : {2.0, 16.0}) {  // of 16 exponents, and of more
                    for (size_t n = 1; n < 700; n += n < 140 ? 1 : 37) {
                        round_trip(*list[t], weights(random, format, n, spread, n % 3 ? 0 : 0.02), {n * bytes}, format, bits);
                    }
                    const size_t large = 131072 / bytes;
                    for (const double outliers : {0.0, 0.001, 0.02, 0.2}) {
                        const std::vector<size_t> n = {large, large, large + 64, 129, large, 5000, large, 40000 / bytes, large + 1, large};
                        size_t total = 0;
                        std::vector<size_t> sizes;
                        for (const size_t i : n) total += i, sizes.push_back(i * bytes);
                        auto data = weights(random, format, total, spread, outliers);
                        if (outliers == 0.001) round_groups(random, traits, data);
                        round_trip(*list[t], data, sizes, format, bits);
                    }
                }
                damaged_frames(*list[t], random, format, bits, 1, false);
                if (traits.low_bytes > 0) damaged_frames(*list[t], random, format, bits, 1, true);
                if (bits == 5 && format != FloatFormat::kF64) damaged_frames(*list[t], random, format, bits, 8, true);
            }
        }
        rans_streams(*list[t], random);
        std::printf("%s: done\n", list[t]->name);
    }
    for (unsigned format = 1; format <= 4; ++format) {
        for (unsigned symbols = 4; symbols <= 6; ++symbols)
            check(seen[format][symbols] > 0, "all", "no frame with such symbols", format, symbols);
    }
    std::printf("%d failures\n", failures);
    return failures != 0;
}
