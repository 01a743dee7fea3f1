#include "pennyweight/predictor.h"

#include <cstring>

#include "buffers.h"
#include "pennyweight/bytes.h"
#include "pennyweight/kernels.h"

namespace pennyweight::python {

namespace {

constexpr size_t kMaxKeys = size_t{1} << 22;

std::unique_ptr<Buffer> optional_buffer(const nb::object& object) { return object.is_none() ? nullptr : std::make_unique<Buffer>(object); }

// What this thread's kernels work in, and the tables it decoded with last: making them anew for each block took a twentieth of the time.
struct Kept {
    PredictorRoom room;
    PredictorTable table;
    uint8_t frequencies[2 * kPredictorSymbols];
    bool valid = false;  // the table is that of the frequencies

    static Kept& of_this_thread() {
        static thread_local std::unique_ptr<Kept> kept;
        if (!kept) kept.reset(new Kept);
        return *kept;
    }
    // False where the page is broken.
    bool take_tables(const uint8_t* given) {
        if (valid && std::memcmp(frequencies, given, sizeof(frequencies)) == 0) return true;
        std::memcpy(frequencies, given, sizeof(frequencies));
        valid = build_predictor_table(frequencies, &table);
        return valid;
    }
};

// Geometry and predictor as stages/entropy/linear_predictor.py has them, and room for a kernel to work in.
struct Predicted {
    Predicted(uint64_t first, uint64_t d, uint64_t S, uint64_t g, const nb::object& column_scales, const nb::object& coefficients,
              uint32_t w, const nb::object& residual_scales, size_t n)
        : columns(optional_buffer(column_scales)),
          triangles(optional_buffer(coefficients)),
          residuals(optional_buffer(residual_scales)),
          kept(Kept::of_this_thread()) {
        require(n <= kMaxKeys, "too many keys");
        place = {kSignedKeyMantissa, first, d, S, g, columns ? reinterpret_cast<const int8_t*>(columns->data()) : nullptr, n};
        require(scales_place_valid(place, columns != nullptr, columns ? columns->size() : 0), "no such geometry");
        const size_t n_bytes = triangles ? triangles->size() : 0;
        if (w != 0) {
            require(triangles && residuals && w >= kMinBand && w <= kMaxBand, "no such predictor");
            predictor = {w, n_bytes / triangle_bytes(w), triangles->data(), reinterpret_cast<const int8_t*>(residuals->data())};
        }
        require(predictor_valid(place, predictor, n_bytes, residuals ? residuals->size() : 0), "no such predictor");
    }
    std::unique_ptr<Buffer> columns, triangles, residuals;
    Kept& kept;
    ScalesPlace place;
    Predictor predictor;
};

// A block before rANS.
struct Modelled {
    Modelled(const Predicted& of, const Buffer& keys)
        : n_rows(scales_rows(of.place)), rows(allocate(n_rows)), escapes(allocate(of.place.n)), symbols(new uint16_t[of.place.n]) {
        std::unique_ptr<uint16_t[]> levels(new uint16_t[n_rows]);
        uint32_t base = 0;
        coded = predictor_rows(kernels(), of.place, keys.data(), symbols.get(), levels.get(), &base, rows.get());
        model = {of.place, of.predictor, keys.data(), base, rows.get(), symbols.get(), escapes.get(), 0, &of.kept.room};
        coded = coded && kernels().predictor_model(model);
    }
    size_t n_rows;
    Bytes rows, escapes;
    std::unique_ptr<uint16_t[]> symbols;
    PredictorModel model;
    bool coded;
};

// Tables as the encoder needs them: they cost as much as encoding some hundred thousand keys, so they are made once for a file.
struct PredictorCoder {
    explicit PredictorCoder(nb::handle tables) {
        Buffer frequencies(tables);
        require(frequencies.size() == 2 * kPredictorSymbols, "sizes do not fit");
        auto table = std::make_unique<PredictorTable>();
        require(build_predictor_table(frequencies.data(), table.get()), "no such tables");
        complete = build_predictor_encode_table(*table, frequencies.data(), &encode);
    }
    bool complete;  // no block need be searched for a frequency of 0
    PredictorEncodeTable encode;
};

size_t keys_of(const Buffer& keys) {
    require(keys.size() % 2 == 0, "a key has two bytes");
    return keys.size() / 2;
}

nb::object predictor_encode_py(nb::handle keys, const PredictorCoder& coder, uint64_t first, uint64_t d, uint64_t S, uint64_t g,
                               const nb::object& columns, const nb::object& triangles, uint32_t w, const nb::object& residuals) {
    Buffer in(keys);
    const size_t n = keys_of(in);
    const Predicted of(first, d, S, g, columns, triangles, w, residuals, n);
    std::unique_ptr<Modelled> made;
    Bytes payload;
    size_t payload_bytes = 0;
    bool coded;
    {
        nb::gil_scoped_release release;
        made = std::make_unique<Modelled>(of, in);
        coded = made->coded && (coder.complete || predictor_codes(coder.encode, made->symbols.get(), n));
        if (coded) {
            const size_t room = 2 * n + 256;
            Bytes words = allocate(room);
            uint8_t states[kStateBytes];
            size_t n_words = 0;
            kernels().predictor_encode(coder.encode, of.place, made->symbols.get(), states, words.get() + room, &n_words);
            payload_bytes = kStateBytes + 2 * n_words;
            payload = allocate(payload_bytes);
            std::memcpy(payload.get(), states, kStateBytes);
            std::memcpy(payload.get() + kStateBytes, words.get() + room - 2 * n_words, 2 * n_words);
        }
    }
    if (!coded) return nb::none();
    return nb::make_tuple(made->model.base, to_array(std::move(made->rows), made->n_rows),
                          to_array(std::move(made->escapes), made->model.n_escape_bytes), to_array(std::move(payload), payload_bytes));
}

bool predictor_decode_py(nb::handle tables, uint64_t first, uint64_t d, uint64_t S, uint64_t g, const nb::object& columns,
                         const nb::object& triangles, uint32_t w, const nb::object& residuals, uint32_t base, nb::handle rows,
                         nb::handle escapes, nb::handle payload, nb::handle out) {
    Buffer frequencies(tables), r(rows), e(escapes), in(payload), dst(out, true);
    const Predicted of(first, d, S, g, columns, triangles, w, residuals, keys_of(dst));
    require(base < kScalesBaseEnd && frequencies.size() == 2 * kPredictorSymbols && r.size() == scales_rows(of.place) &&
                in.size() >= kStateBytes && in.size() % 2 == 0,
            "sizes do not fit");
    nb::gil_scoped_release release;
    if (!of.kept.take_tables(frequencies.data())) return false;
    return kernels().predictor_decode(of.kept.table, {of.place, of.predictor, base, r.data(), e.data(), e.size(), in.data(),
                                                      (in.size() - kStateBytes) / 2, dst.data(), &of.kept.room});
}

// How often each symbol of each context occurs, and the row scales and escapes beside them.
nb::object predictor_count_py(nb::handle keys, uint64_t d, uint64_t S, uint64_t g, const nb::object& columns, const nb::object& triangles,
                              uint32_t w, const nb::object& residuals) {
    Buffer in(keys);
    const size_t n = keys_of(in);
    const Predicted of(0, d, S, g, columns, triangles, w, residuals, n);
    Bytes counts = allocate(4 * kPredictorSymbols);
    std::unique_ptr<Modelled> made;
    {
        nb::gil_scoped_release release;
        made = std::make_unique<Modelled>(of, in);
        auto tally = std::make_unique<uint32_t[]>(kPredictorSymbols);
        for (size_t i = 0; made->coded && i < n; ++i) ++tally[made->symbols[i]];
        for (size_t i = 0; i < kPredictorSymbols; ++i) store_le(counts.get() + 4 * i, tally[i]);
    }
    if (!made->coded) return nb::none();
    return nb::make_tuple(to_array(std::move(counts), 4 * kPredictorSymbols), to_array(std::move(made->rows), made->n_rows),
                          made->model.n_escape_bytes);
}

Array predictor_values_py(nb::handle keys, uint64_t d, uint64_t S, uint64_t g, const nb::object& columns) {
    Buffer in(keys);
    const size_t n = keys_of(in);
    const Predicted of(0, d, S, g, columns, nb::none(), 0, nb::none(), n);
    require(n % d == 0, "keys are not whole rows");
    const size_t n_rows = scales_rows(of.place);
    Bytes z = allocate(2 * n);
    bool valid;
    {
        nb::gil_scoped_release release;
        Bytes rows = allocate(n_rows);
        std::unique_ptr<uint16_t[]> levels(new uint16_t[n_rows]);
        uint16_t* const values = reinterpret_cast<uint16_t*>(z.get());
        uint32_t base;
        valid = predictor_rows(kernels(), of.place, in.data(), values, levels.get(), &base, rows.get());
        if (valid) predictor_values(kernels(), of.place, in.data(), base, rows.get(), reinterpret_cast<int16_t*>(z.get()));
    }
    require(valid, "keys too large for row scales");
    return to_array(std::move(z), 2 * n);
}

}  // namespace

void bind_predictor(nb::module_& m) {
    nb::class_<PredictorCoder>(m, "PredictorCoder").def(nb::init<nb::handle>(), nb::arg("tables"));
    m.def("linear_predictor_encode", &predictor_encode_py, nb::arg("keys"), nb::arg("coder"), nb::arg("first"), nb::arg("d"), nb::arg("s"),
          nb::arg("g"), nb::arg("columns").none(), nb::arg("triangles").none(), nb::arg("w"), nb::arg("residuals").none());
    m.def("linear_predictor_decode", &predictor_decode_py, nb::arg("tables"), nb::arg("first"), nb::arg("d"), nb::arg("s"), nb::arg("g"),
          nb::arg("columns").none(), nb::arg("triangles").none(), nb::arg("w"), nb::arg("residuals").none(), nb::arg("base"),
          nb::arg("rows"), nb::arg("escapes"), nb::arg("payload"), nb::arg("out"));
    m.def("linear_predictor_count", &predictor_count_py, nb::arg("keys"), nb::arg("d"), nb::arg("s"), nb::arg("g"),
          nb::arg("columns").none(), nb::arg("triangles").none(), nb::arg("w"), nb::arg("residuals").none());
    m.def("linear_predictor_values", &predictor_values_py, nb::arg("keys"), nb::arg("d"), nb::arg("s"), nb::arg("g"),
          nb::arg("columns").none());
}

}  // namespace pennyweight::python
