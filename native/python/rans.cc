#include <nanobind/stl/optional.h>

#include <cstring>
#include <optional>

#include "buffers.h"
#include "pennyweight/kernels.h"

namespace pennyweight::python {

namespace {

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

nb::object rans_encode_py(nb::handle symbols, uint32_t bits) {
    require(bits == 4 || bits == 5 || bits == 8, "bits is 4, 5 or 8");
    Buffer in(symbols);
    uint16_t frequency[kMaxAlphabet];
    uint8_t header[kMaxFrequencyBytes];
    size_t header_bytes = 0, payload_bytes = 0;
    Bytes payload;
    bool valid;
    {
        nb::gil_scoped_release release;
        valid = in_alphabet(in.data(), in.size(), bits);
        if (valid && choose_frequencies(in.data(), in.size(), bits, frequency)) {
            RansTable table;
            auto encode_table = std::make_unique<RansEncodeTable>();
            build_rans_table(frequency, bits, &table);
            build_rans_encode_table(table, encode_table.get());
            header_bytes = static_cast<size_t>(write_frequencies(frequency, bits, header) - header);
            payload = encode(in.data(), in.size(), *encode_table, &payload_bytes);
        }
    }
    require(valid, "a symbol is not below 2^bits");
    if (!payload) return nb::none();
    return nb::make_tuple(nb::bytes(header, header_bytes), to_array(std::move(payload), payload_bytes));
}

std::optional<size_t> rans_price_py(nb::handle symbols, uint32_t bits) {
    require(bits == 4 || bits == 5 || bits == 8, "bits is 4, 5 or 8");
    Buffer in(symbols);
    require(in.size() > 0, "no symbols");
    nb::gil_scoped_release release;
    size_t bytes;
    return rans_price(in.data(), in.size(), bits, &bytes) ? std::optional(bytes) : std::nullopt;
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
    m.def("rans_encode", &rans_encode_py, nb::arg("symbols"), nb::arg("bits"));
    m.def("rans_price", &rans_price_py, nb::arg("symbols"), nb::arg("bits"));
    m.def("rans_decode", &rans_decode_py, nb::arg("frequencies"), nb::arg("payload"), nb::arg("bits"), nb::arg("out"));
}

}  // namespace pennyweight::python
