#include <cstring>
#include <nanobind/stl/optional.h>

#include "buffers.h"
#include "pennyweight/bytes.h"
#include "pennyweight/kernels.h"

namespace pennyweight::python {

namespace {

constexpr size_t kMaxKeys = size_t{1} << 22;

// d, S, g, m and the position of the first key, as stages/entropy/scales.py has them.
struct Geometry {
    Geometry(uint32_t m, uint64_t first, uint64_t d, uint64_t S, uint64_t g, const nb::object& scales, size_t n) {
        require(n <= kMaxKeys, "too many keys");
        if (!scales.is_none()) columns = std::make_unique<Buffer>(scales);
        place = {m, first, d, S, g, columns ? reinterpret_cast<const int8_t*>(columns->data()) : nullptr, n};
        require(scales_place_valid(place, columns != nullptr, columns ? columns->size() : 0), "no such geometry");
    }
    std::unique_ptr<Buffer> columns;
    ScalesPlace place;
};

// Tables as the encoder needs them: they cost as much as encoding some ten thousand keys, so they are made once for a tensor.
struct ScalesCoder {
    ScalesCoder(nb::handle tables, uint32_t mantissa_bits) : m(mantissa_bits) {
        Buffer frequencies(tables);
        require(m <= kMaxKeyMantissa && frequencies.size() == 2 * scales_frequencies(m), "sizes do not fit");
        auto table = std::make_unique<ScalesTable>();
        require(build_scales_table(frequencies.data(), m, table.get()), "no such tables");
        build_scales_encode_table(*table, frequencies.data(), &encode);
        for (size_t i = 0; i < scales_frequencies(m); ++i) complete &= load_le<uint16_t>(frequencies.data() + 2 * i) != 0;
    }
    uint32_t m;
    bool complete = true;  // no frequency is 0: no block need be searched for one
    ScalesEncodeTable encode;
};

nb::object scales_encode_py(nb::handle keys, const ScalesCoder& coder, uint64_t first, uint64_t d, uint64_t S, uint64_t g,
                            const nb::object& columns) {
    Buffer in(keys);
    require(in.size() % 2 == 0, "a key has two bytes");
    const size_t n = in.size() / 2;
    const Geometry geometry(coder.m, first, d, S, g, columns, n);
    const size_t n_rows = scales_rows(geometry.place);
    Bytes rows = allocate(n_rows), escapes = allocate(n), payload;
    ScalesSymbols made{0, rows.get(), nullptr, escapes.get(), 0};
    size_t payload_bytes = 0;
    bool coded;
    {
        nb::gil_scoped_release release;
        std::unique_ptr<uint16_t[]> symbols(new uint16_t[n + kGroup]), levels(new uint16_t[n_rows]);
        made.symbols = symbols.get();
        coded = scales_symbols(kernels(), geometry.place, in.data(), levels.get(), &made);
        for (size_t i = 0; coded && !coder.complete && i < n; ++i) coded = coder.encode.entries[symbols[i]].frequency != 0;
        if (coded) {
            const size_t room = 2 * n + 256;
            Bytes words = allocate(room);
            uint8_t states[kStateBytes];
            size_t n_words = 0;
            kernels().scales_encode(coder.encode, symbols.get(), n, states, words.get() + room, &n_words);
            payload_bytes = kStateBytes + 2 * n_words;
            payload = allocate(payload_bytes);
            std::memcpy(payload.get(), states, kStateBytes);
            std::memcpy(payload.get() + kStateBytes, words.get() + room - 2 * n_words, 2 * n_words);
        }
    }
    if (!coded) return nb::none();
    return nb::make_tuple(made.base, to_array(std::move(rows), n_rows), to_array(std::move(escapes), made.n_escape_bytes),
                          to_array(std::move(payload), payload_bytes));
}

// Whole rows: the price of a geometry and its column scales; g = 0: without.
nb::object scales_fit_py(nb::handle keys, uint32_t m, uint64_t d, uint64_t S, uint64_t g, int rounds) {
    Buffer in(keys);
    const size_t n = in.size() / 2;
    const Geometry geometry(m, 0, d, S, g == 0 ? d : g, nb::none(), n);
    require(in.size() % 2 == 0 && n % d == 0, "keys are not whole rows");
    const size_t n_columns = g == 0 ? 0 : static_cast<size_t>((d + g - 1) / g);
    Bytes columns = allocate(n_columns);
    int64_t price;
    {
        nb::gil_scoped_release release;
        std::unique_ptr<uint16_t[]> levels(new uint16_t[scales_rows(geometry.place)]);
        std::unique_ptr<uint64_t[]> sums(new uint64_t[n_columns + 1]);
        int8_t* const scales = g == 0 ? nullptr : reinterpret_cast<int8_t*>(columns.get());
        price = scales_fit(kernels(), geometry.place, in.data(), rounds, scales, sums.get(), levels.get());
    }
    return nb::make_tuple(price, g == 0 ? nb::object(nb::none()) : nb::cast(to_array(std::move(columns), n_columns)));
}

// How often each symbol of each phase occurs, and the row scales and escapes beside them.
nb::object scales_count_py(nb::handle keys, uint32_t m, uint64_t d, uint64_t S, uint64_t g, const nb::object& columns) {
    Buffer in(keys);
    require(in.size() % 2 == 0, "a key has two bytes");
    const size_t n = in.size() / 2, alphabet = scales_frequencies(m);
    const Geometry geometry(m, 0, d, S, g, columns, n);
    const size_t n_rows = scales_rows(geometry.place);
    Bytes rows = allocate(n_rows), escapes = allocate(n), counts = allocate(4 * alphabet);
    ScalesSymbols made{0, rows.get(), nullptr, escapes.get(), 0};
    bool coded;
    {
        nb::gil_scoped_release release;
        std::unique_ptr<uint16_t[]> symbols(new uint16_t[n]), levels(new uint16_t[n_rows]);
        auto tally = std::make_unique<uint32_t[]>(alphabet);
        made.symbols = symbols.get();
        coded = scales_symbols(kernels(), geometry.place, in.data(), levels.get(), &made);
        for (size_t i = 0; coded && i < n; ++i) ++tally[symbols[i]];
        for (size_t i = 0; i < alphabet; ++i) store_le(counts.get() + 4 * i, tally[i]);
    }
    if (!coded) return nb::none();
    return nb::make_tuple(to_array(std::move(counts), 4 * alphabet), to_array(std::move(rows), n_rows), made.n_escape_bytes);
}

bool scales_decode_py(nb::handle tables, uint32_t m, uint64_t first, uint64_t d, uint64_t S, uint64_t g, const nb::object& columns,
                      uint32_t base, nb::handle rows, nb::handle escapes, nb::handle payload, nb::handle out) {
    Buffer frequencies(tables), r(rows), e(escapes), in(payload), dst(out, true);
    require(dst.size() % 2 == 0, "a key has two bytes");
    const Geometry geometry(m, first, d, S, g, columns, dst.size() / 2);
    require(base < kScalesBaseEnd && frequencies.size() == 2 * scales_frequencies(m) && r.size() == scales_rows(geometry.place) &&
                in.size() >= kStateBytes && in.size() % 2 == 0,
            "sizes do not fit");
    nb::gil_scoped_release release;
    ScalesTable table;
    if (!build_scales_table(frequencies.data(), m, &table)) return false;
    return kernels().scales_decode(
        table, {geometry.place, base, r.data(), e.data(), e.size(), in.data(), (in.size() - kStateBytes) / 2, dst.data()});
}

size_t scales_rows_py(uint64_t first, uint64_t d, uint64_t S, size_t n) {
    const ScalesPlace place{0, first, d, S, 1, nullptr, n};
    require(scales_place_valid(place, false, 0), "no such geometry");
    return scales_rows(place);
}

}  // namespace

void bind_scales(nb::module_& m) {
    nb::class_<ScalesCoder>(m, "ScalesCoder").def(nb::init<nb::handle, uint32_t>(), nb::arg("tables"), nb::arg("mantissa_bits"));
    m.def("scales_encode", &scales_encode_py, nb::arg("keys"), nb::arg("coder"), nb::arg("first"), nb::arg("d"), nb::arg("s"), nb::arg("g"),
          nb::arg("columns").none());
    m.def("scales_decode", &scales_decode_py, nb::arg("tables"), nb::arg("mantissa_bits"), nb::arg("first"), nb::arg("d"), nb::arg("s"),
          nb::arg("g"), nb::arg("columns").none(), nb::arg("base"), nb::arg("rows"), nb::arg("escapes"), nb::arg("payload"),
          nb::arg("out"));
    m.def("scales_fit", &scales_fit_py, nb::arg("keys"), nb::arg("mantissa_bits"), nb::arg("d"), nb::arg("s"), nb::arg("g"),
          nb::arg("rounds"));
    m.def("scales_count", &scales_count_py, nb::arg("keys"), nb::arg("mantissa_bits"), nb::arg("d"), nb::arg("s"), nb::arg("g"),
          nb::arg("columns").none());
    m.def("scales_rows", &scales_rows_py, nb::arg("first"), nb::arg("d"), nb::arg("s"), nb::arg("n"));
}

}  // namespace pennyweight::python
