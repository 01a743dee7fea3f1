#include <cstring>

#include "buffers.h"
#include "pennyweight/huffman.h"
#include "pennyweight/kernels.h"
#include "pennyweight/price.h"

namespace pennyweight::python {

namespace {

// False where rans.md declines the stream. valid: every symbol is in the alphabet.
bool choose_frequencies(const uint8_t* symbols, size_t n, uint32_t symbol_bits, uint16_t* frequency, bool* valid) {
    const uint32_t bits = rans_bits(symbol_bits);
    uint32_t counts[kMaxAlphabet];
    if (bits == 8) {
        sample_counts(symbols, n, counts);
        if (is_noise(counts, kMaxAlphabet, symbol_bits)) return false;
    }
    byte_histogram(symbols, n, counts);
    for (uint32_t s = 1u << bits; s < kMaxAlphabet; ++s) *valid &= counts[s] == 0;
    if (!*valid || (bits < 8 && is_noise(counts, 1u << bits, symbol_bits))) return false;
    return normalize_frequencies(counts, bits, frequency);
}

// States and words.
Bytes encode(const uint8_t* symbols, size_t n, const RansEncodeTable& table, size_t* payload_bytes) {
    // Vector kernels read whole groups of symbols: give them a copy with room to read.
    Bytes padded = allocate(n + kGroup), words = allocate(2 * n + 256);
    std::memcpy(padded.get(), symbols, n);
    uint8_t states[kStateBytes];
    RansEncodeJob job{&table, padded.get(), n, words.get() + 2 * n + 256, states, 0};
    kernels().rans_encode(&job, 1);
    *payload_bytes = kStateBytes + 2 * job.n_words;
    Bytes payload = allocate(*payload_bytes);
    std::memcpy(payload.get(), states, kStateBytes);
    std::memcpy(payload.get() + kStateBytes, job.words_end - 2 * job.n_words, 2 * job.n_words);
    return payload;
}

nb::object rans_encode_py(nb::handle symbols, uint32_t symbol_bits) {
    Buffer in(symbols);
    require(symbol_bits >= 1 && symbol_bits <= 8, "symbol_bits is 1 to 8");
    uint16_t frequency[kMaxAlphabet];
    uint8_t header[kMaxFrequencyBytes];
    size_t header_bytes = 0, payload_bytes = 0;
    Bytes payload;
    bool valid = true;
    {
        nb::gil_scoped_release release;
        if (choose_frequencies(in.data(), in.size(), symbol_bits, frequency, &valid)) {
            const uint32_t bits = rans_bits(symbol_bits);
            RansTable table;
            auto encode_table = std::make_unique<RansEncodeTable>();
            build_rans_table(frequency, bits, &table);
            build_rans_encode_table(table, encode_table.get());
            header_bytes = static_cast<size_t>(write_frequencies(frequency, bits, header) - header);
            payload = encode(in.data(), in.size(), *encode_table, &payload_bytes);
        }
    }
    require(valid, "a symbol is not below 2^symbol_bits");
    if (!payload) return nb::none();
    return nb::make_tuple(nb::bytes(header, header_bytes), to_array(std::move(payload), payload_bytes));
}

bool rans_decode_py(nb::handle frequencies, nb::handle payload, uint32_t bits, nb::handle out) {
    require(bits == 4 || bits == 5 || bits == 8, "bits is 4, 5 or 8");
    Buffer header(frequencies), in(payload), dst(out, true);
    require(in.size() >= kStateBytes && in.size() % 2 == 0, "sizes do not fit");
    nb::gil_scoped_release release;
    uint16_t frequency[kMaxAlphabet];
    RansTable table;
    if (!read_frequencies(header.data(), header.size(), bits, frequency)) return false;
    if (!build_rans_table(frequency, bits, &table)) return false;
    return kernels().rans_decode(table, in.data(), (in.size() - kStateBytes) / 2, dst.data(), dst.size());
}

}  // namespace

void bind_rans(nb::module_& m) {
    m.def("rans_encode", &rans_encode_py, nb::arg("symbols"), nb::arg("symbol_bits"));
    m.def("rans_decode", &rans_decode_py, nb::arg("frequencies"), nb::arg("payload"), nb::arg("bits"), nb::arg("out"));
}

}  // namespace pennyweight::python
