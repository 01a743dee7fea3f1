// Blocks of keys with side data, `scales` and `linear_predictor`: tables, column scales, triangles, rows and escapes may all lie, and every
// target says the same of the block and decodes it to the same keys.
#include <algorithm>
#include <memory>

#include "input.h"

using namespace pennyweight;
using namespace pennyweight::fuzz;

namespace {

constexpr size_t kMaxKeys = 1024, kMaxRow = 128;
constexpr size_t kTables = 3;

Room column_room(kMaxRow), triangle_room(1 << 14), residual_room(kMaxRow), row_room(2048), escape_room(4096), payload_room(4096);
Room out_room(2 * kMaxKeys), frequency_room(2 * kPredictorSymbols);

// Frequencies of n_tables tables of 2^bits symbols. Kind 0: all alike; 1: few are likely, all possible; 2: some symbols do not occur.
Bytes frequencies_of(size_t kind, size_t n_tables, uint32_t bits) {
    const uint32_t alphabet = 1u << bits, most = kScalesSlots - alphabet;
    Bytes made;
    for (size_t i = 0; i < n_tables; ++i) {
        std::vector<uint32_t> f(alphabet, kind == 0 ? kScalesSlots >> bits : 1);
        if (kind == 2) {
            for (uint32_t s = 0; s < alphabet; s += 2) f[s] = 0, ++f[s + 1];
        }
        if (kind != 0) f[(alphabet / 2 + 2 * i + 1) % alphabet] += most / 2, f[(alphabet / 2 + 2 * i + 5) % alphabet] += most - most / 2;
        for (const uint32_t one : f) made.push_back(static_cast<uint8_t>(one)), made.push_back(static_cast<uint8_t>(one >> 8));
    }
    return made;
}

struct Tables {
    Bytes scales[kTables][kMaxKeyMantissa + 1], predictor[kTables];
    ScalesTable scales_tables[kTables][kMaxKeyMantissa + 1];
    PredictorTable predictor_tables[kTables];

    Tables() {
        for (size_t kind = 0; kind < kTables; ++kind) {
            for (uint32_t m = 0; m <= kMaxKeyMantissa; ++m) {
                scales[kind][m] = frequencies_of(kind, kPhases, 4 + m);
                demand(build_scales_table(scales[kind][m].data(), m, &scales_tables[kind][m]), "valid tables");
            }
            predictor[kind] = frequencies_of(kind, kPredictorContexts, kPredictorBits);
            demand(build_predictor_table(predictor[kind].data(), &predictor_tables[kind]), "valid tables");
        }
    }
    static const Tables& made() {
        static const auto tables = std::make_unique<Tables>();  // once: they take longer than a thousand blocks
        return *tables;
    }
};

// What Input reads of a block in front of its rows, escapes and payload.
struct Shape {
    bool predicted, with_columns;
    size_t kind;  // of the tables; kTables: one of them with a few bytes changed
    uint32_t m;
    uint64_t first, d, S, g;
    size_t n;
    uint32_t base, w;
    size_t n_triangles, n_escape_bytes;
};

Shape shape_of(Input& in) {
    Shape s{};
    const uint8_t flags = in.byte();
    s.predicted = flags & 1;
    s.with_columns = flags & 2;
    s.kind = flags >> 2 & 3;
    s.m = s.predicted ? kSignedKeyMantissa : flags >> 4 & 3;
    s.first = in.number<uint16_t>();
    if (flags >> 6 == 3) s.first <<= 31;
    s.d = 1 + in.below(kMaxRow);
    s.S = 1 + in.below(static_cast<uint32_t>(s.d));
    s.g = 1 + in.below(static_cast<uint32_t>(s.d));
    s.n = 1 + in.below(kMaxKeys);
    s.base = in.number<uint16_t>() % kScalesBaseEnd;
    s.w = s.predicted ? in.byte() : 0;
    s.n_triangles = s.w == 0 ? 0 : 1 + in.byte() % 4;
    s.n_escape_bytes = in.byte();
    return s;
}

// A table of its own where the fuzzer wants to lie about it.
template <typename Table, typename Build>
const Table* spoilt(Input& in, Bytes frequencies, Table& room, Build build) {
    for (size_t hits = 1 + in.below(4); hits > 0; --hits) {
        const size_t at = in.below(static_cast<uint32_t>(frequencies.size()));
        frequencies[at] = static_cast<uint8_t>(frequencies[at] + in.byte());
    }
    return build(frequency_room.copy(frequencies), &room) ? &room : nullptr;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t n_bytes) {
    Input in(data, n_bytes);
    const Shape s = shape_of(in);
    const size_t n_columns = s.with_columns ? static_cast<size_t>((s.d + s.g - 1) / s.g) : 0;
    const auto* const columns = reinterpret_cast<const int8_t*>(column_room.copy(in.filled(n_columns)));
    const ScalesPlace place{s.m, s.first, s.d, s.S, s.g, s.with_columns ? columns : nullptr, s.n};
    if (!scales_place_valid(place, s.with_columns, n_columns) || scales_rows(place) > 2048) return 0;
    Predictor predictor;
    const size_t triangles_bytes = s.n_triangles * triangle_bytes(s.w), n_residuals = s.w == 0 ? 0 : static_cast<size_t>(s.d);
    if (s.w != 0) {
        if (s.d % s.w != 0 || triangles_bytes > 1 << 14) return 0;
        predictor = {s.w, s.n_triangles, triangle_room.copy(in.filled(triangles_bytes)),
                     reinterpret_cast<const int8_t*>(residual_room.copy(in.filled(n_residuals)))};
    }
    if (s.predicted && !predictor_valid(place, predictor, triangles_bytes, n_residuals)) return 0;

    static PredictorTable own_predictor;
    static ScalesTable own_scales;
    static PredictorRoom room;
    const Tables& tables = Tables::made();
    const bool own = s.kind == kTables;
    const PredictorTable* predictor_table = own ? nullptr : &tables.predictor_tables[s.kind];
    const ScalesTable* scales_table = own ? nullptr : &tables.scales_tables[s.kind][s.m];
    if (own && s.predicted) predictor_table = spoilt(in, tables.predictor[1], own_predictor, build_predictor_table);
    if (own && !s.predicted) {
        scales_table = spoilt(in, tables.scales[1][s.m], own_scales,
                              [&](const uint8_t* f, ScalesTable* table) { return build_scales_table(f, s.m, table); });
    }
    if (s.predicted ? predictor_table == nullptr : scales_table == nullptr) return 0;

    const uint8_t* const rows = row_room.copy(in.filled(scales_rows(place)));
    const View escapes = in.take(s.n_escape_bytes), payload = in.take(std::min<size_t>(in.left() / 2 * 2, 4096));
    if (payload.size < kStateBytes) return 0;
    const uint8_t* const nibbles = escape_room.copy(escapes.data, escapes.size);
    const uint8_t* const src = payload_room.copy(payload.data, payload.size);
    const size_t n_words = (payload.size - kStateBytes) / 2;
    Verdict verdict;
    each_target([&](const Kernels& kernels) {
        uint8_t* const out = out_room.exactly(2 * s.n);
        const bool good = s.predicted
                              ? kernels.predictor_decode(*predictor_table,
                                                         {place, predictor, s.base, rows, nibbles, escapes.size, src, n_words, out, &room})
                              : kernels.scales_decode(*scales_table, {place, s.base, rows, nibbles, escapes.size, src, n_words, out});
        verdict.hear(kernels, good, out, 2 * s.n);
    });
    return 0;
}

namespace {

// A valid block. Encoders are those of the scalar target.
Bytes seed(bool predicted, size_t kind, uint32_t m, uint64_t d, size_t n, uint32_t w, Random& random) {
    const Kernels& kernels = scalar_kernels();
    Bytes keys(2 * n);
    for (size_t i = 0; i < n; ++i) {
        const uint32_t e = 40 - std::min(random.skewed(), 30u), sign = predicted ? random.below(2) << 15 : 0;
        store_le(keys.data() + 2 * i, static_cast<uint16_t>(sign | e << m | random.below(1u << m)));
    }
    const Bytes columns(static_cast<size_t>(d), 3), triangles(w == 0 ? 0 : triangle_bytes(w), 1),
        residuals(w == 0 ? 0 : static_cast<size_t>(d));
    const ScalesPlace place{m, 0, d, d, 1, reinterpret_cast<const int8_t*>(columns.data()), n};
    const size_t n_rows = scales_rows(place);
    Bytes rows(n_rows), escapes(n), words(2 * n + 256), states(kStateBytes);
    std::vector<uint16_t> symbols(n + kGroup), levels(n_rows);
    uint32_t base = 0;
    size_t n_escape_bytes = 0, n_words = 0;
    uint8_t* const words_end = words.data() + words.size();
    const Tables& tables = Tables::made();
    if (predicted) {
        const auto room = std::make_unique<PredictorRoom>();
        Predictor predictor;
        if (w != 0) predictor = {w, 1, triangles.data(), reinterpret_cast<const int8_t*>(residuals.data())};
        if (!predictor_rows(kernels, place, keys.data(), symbols.data(), levels.data(), &base, rows.data())) return {};
        PredictorModel model{place, predictor, keys.data(), base, rows.data(), symbols.data(), escapes.data(), 0, room.get()};
        if (!kernels.predictor_model(model)) return {};
        n_escape_bytes = model.n_escape_bytes;
        std::unique_ptr<PredictorEncodeTable> encode(new PredictorEncodeTable);
        build_predictor_encode_table(tables.predictor_tables[kind], tables.predictor[kind].data(), encode.get());
        if (!predictor_codes(*encode, symbols.data(), n)) return {};
        kernels.predictor_encode(*encode, place, symbols.data(), states.data(), words_end, &n_words);
    } else {
        ScalesSymbols made{0, rows.data(), symbols.data(), escapes.data(), 0};
        if (!scales_symbols(kernels, place, keys.data(), levels.data(), &made)) return {};
        base = made.base;
        n_escape_bytes = made.n_escape_bytes;
        std::unique_ptr<ScalesEncodeTable> encode(new ScalesEncodeTable);
        build_scales_encode_table(tables.scales_tables[kind][m], tables.scales[kind][m].data(), encode.get());
        kernels.scales_encode(*encode, symbols.data(), n, states.data(), words_end, &n_words);
    }
    if (n_escape_bytes > 255) return {};
    Seed seed;
    seed.byte(predicted | 2 | kind << 2 | m << 4).number(uint16_t{0}).byte(d - 1).byte(d - 1).byte(0).number(static_cast<uint16_t>(n - 1));
    seed.number(static_cast<uint16_t>(base));
    if (predicted) seed.byte(w);
    if (w != 0) seed.byte(0);
    seed.byte(n_escape_bytes).add(columns).add(triangles).add(residuals).add(rows).add(escapes.data(), n_escape_bytes);
    return seed.add(states).add(words_end - 2 * n_words, 2 * n_words).bytes;
}

}  // namespace

std::vector<Bytes> seeds() {
    std::vector<Bytes> made;
    Random random{3};
    for (size_t kind = 0; kind < 2; ++kind) {
        for (const size_t n : {32, 300, 700}) {
            for (uint32_t m = 0; m <= kMaxKeyMantissa; ++m) made.push_back(seed(false, kind, m, 50, n, 0, random));
            for (const uint32_t w : {0, 8, 16}) made.push_back(seed(true, kind, kSignedKeyMantissa, 16, n, w, random));
        }
    }
    std::erase(made, Bytes{});
    return made;
}
