#include <cstring>

#include "buffers.h"
#include "pennyweight/huffman.h"
#include "pennyweight/kernels.h"

namespace pennyweight::python {

namespace {

nb::object rans_encode_py(nb::handle symbols, uint32_t symbol_bits) {
    Buffer in(symbols);
    require(symbol_bits == 4 || symbol_bits == 5, "symbol_bits is 4 or 5");
    const size_t n = in.size();
    uint8_t header[kMaxFrequencyBytes];
    size_t header_bytes = 0;
    Bytes payload;
    size_t payload_bytes = 0;
    bool coded = false, valid = true;
    {
        nb::gil_scoped_release release;
        uint32_t counts[256] = {};
        byte_histogram(in.data(), n, counts);
        for (uint32_t s = 1u << symbol_bits; s < 256; ++s) valid &= counts[s] == 0;
        uint16_t frequency[kMaxAlphabet];
        if (valid && normalize_frequencies(counts, symbol_bits, frequency)) {
            RansTable table;
            auto encode_table = std::make_unique<RansEncodeTable>();
            build_rans_table(frequency, symbol_bits, &table);
            build_rans_encode_table(table, encode_table.get());
            header_bytes = static_cast<size_t>(write_frequencies(frequency, symbol_bits, header) - header);
            // Vector kernels read whole groups of symbols: give them a copy with room to read.
            Bytes padded = allocate(n + kGroup), words = allocate(2 * n + 256);
            std::memcpy(padded.get(), in.data(), n);
            uint8_t states[kStateBytes];
            RansEncodeJob job{encode_table.get(), padded.get(), n, words.get() + 2 * n + 256, states, 0};
            kernels().rans_encode(&job, 1);
            payload_bytes = kStateBytes + 2 * job.n_words;
            payload = allocate(payload_bytes);
            std::memcpy(payload.get(), states, kStateBytes);
            std::memcpy(payload.get() + kStateBytes, job.words_end - 2 * job.n_words, 2 * job.n_words);
            coded = true;
        }
    }
    require(valid, "a symbol is not below 2^symbol_bits");
    if (!coded) return nb::none();
    return nb::make_tuple(nb::bytes(header, header_bytes), to_array(std::move(payload), payload_bytes));
}

bool rans_decode_py(nb::handle frequencies, nb::handle payload, uint32_t symbol_bits, nb::handle out) {
    require(symbol_bits == 4 || symbol_bits == 5, "symbol_bits is 4 or 5");
    Buffer header(frequencies), in(payload), dst(out, true);
    require(in.size() >= kStateBytes && in.size() % 2 == 0, "sizes do not fit");
    nb::gil_scoped_release release;
    uint16_t frequency[kMaxAlphabet];
    RansTable table;
    if (!read_frequencies(header.data(), header.size(), symbol_bits, frequency)) return false;
    if (!build_rans_table(frequency, symbol_bits, &table)) return false;
    return kernels().rans_decode(table, in.data(), (in.size() - kStateBytes) / 2, dst.data(), dst.size());
}

}  // namespace

void bind_rans(nb::module_& m) {
    m.def("rans_encode", &rans_encode_py, nb::arg("symbols"), nb::arg("symbol_bits"));
    m.def("rans_decode", &rans_decode_py, nb::arg("frequencies"), nb::arg("payload"), nb::arg("symbol_bits"), nb::arg("out"));
}

}  // namespace pennyweight::python
