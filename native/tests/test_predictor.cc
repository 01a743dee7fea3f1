// Every target, and the page itself, of many shapes; then blocks that lie, with no memory to spare around them.
#include <cstdio>
#include <memory>
#include <random>

#include "guarded.h"
#include "pennyweight/kernels.h"
#include "predictor_page.h"

using namespace pennyweight;
using testing::check;
using testing::Guarded;
using testing::Predicted;

namespace {

// Buffers of a block, each at the end of its memory, and a kernel's room full of what another block left.
struct Laid {
    explicit Laid(const Predicted& c)
        : columns(c.columns.size()), residuals(c.residuals.size()), triangles(c.triangles.size()), room(new PredictorRoom) {
        std::memset(static_cast<void*>(room.get()), 0x55, sizeof(PredictorRoom));
        place = {kSignedKeyMantissa, c.first, c.d, c.S, c.g, nullptr, c.n};
        if (!c.columns.empty()) place.columns = copy(columns, c.columns);
        if (c.w != 0)
            predictor = {c.w, c.n_triangles, triangles.copy(c.triangles.data(), c.triangles.size()), copy(residuals, c.residuals)};
        check(predictor_valid(place, predictor, c.triangles.size(), c.residuals.size()), "a valid geometry was refused", c.n);
    }
    static const int8_t* copy(Guarded& space, const std::vector<int8_t>& from) {
        return reinterpret_cast<const int8_t*>(space.copy(reinterpret_cast<const uint8_t*>(from.data()), from.size()));
    }
    Guarded columns, residuals, triangles;
    std::unique_ptr<PredictorRoom> room;
    ScalesPlace place;
    Predictor predictor;
};

// 3 MiB of 16-bit weights, some rows short of whole batches, in bands of an odd width.
Predicted largest(std::mt19937& random) {
    Predicted c;
    c.d = 375;
    c.first = 200;
    c.n = (size_t{3} << 20) / 2;
    c.S = 100;
    c.columns.resize(375);
    c.w = 25;
    c.n_triangles = 2;
    c.triangles.resize(2 * triangle_bytes(c.w));
    for (uint8_t& a : c.triangles) a = static_cast<uint8_t>(random() % 5 - 2);
    c.residuals.resize(375, -3);
    return c;
}

Predicted shape(std::mt19937& random, int round) {
    static constexpr uint32_t kRows[] = {1, 2, 9, 64, 96, 384, 13, 200, 1024};
    const auto below = [&](uint32_t n) { return static_cast<uint32_t>(random()) % n; };
    Predicted c;
    if (round == 0) return largest(random);
    c.d = kRows[below(round % 16 == 0 ? 9 : 8)];
    const uint64_t rows = 1 + below(below(3) == 0 ? 8 : c.d < 100 ? 200 : 80);
    c.n = static_cast<size_t>(rows * c.d - (below(2) == 0 ? 0 : below(static_cast<uint32_t>(c.d))));
    c.first = below(3) == 0 ? 0 : below(2) == 0 ? below(100000) : (uint64_t{1} << 47) + below(1000);
    if (below(3) == 0) c.first = c.first / c.d * c.d;
    c.S = below(2) == 0 ? c.d : 1 + below(static_cast<uint32_t>(c.d));
    c.g = below(2) == 0 ? 1 : 1 + below(static_cast<uint32_t>(c.d));
    if (below(3) != 0) {
        c.columns.resize(static_cast<size_t>((c.d + c.g - 1) / c.g));
        for (int8_t& column : c.columns) column = static_cast<int8_t>(below(4) == 0 ? random() : below(16));
    }
    if (below(6) == 0) return c;
    std::vector<uint32_t> widths;
    for (uint32_t w = kMinBand; w <= c.d && w <= kMaxBand; ++w) {
        if (c.d % w == 0) widths.push_back(w);
    }
    if (widths.empty()) return c;
    c.w = below(2) == 0 ? widths.back() : widths[below(static_cast<uint32_t>(widths.size()))];
    const uint32_t bands = static_cast<uint32_t>(c.d) / c.w;
    c.n_triangles = below(2) == 0 ? 1 : below(2) == 0 ? bands : 1 + below(bands);
    c.triangles.resize(c.n_triangles * triangle_bytes(c.w));
    const uint32_t wild = below(6), quiet = 1 + below(below(2) == 0 ? 4 : 40);
    for (size_t i = 0; i < c.triangles.size(); ++i) {
        const bool bias = i % triangle_bytes(c.w) < 2 * c.w;
        const int32_t value = static_cast<int32_t>(below(2 * quiet + 1)) - static_cast<int32_t>(quiet);
        c.triangles[i] = static_cast<uint8_t>(wild == 0 ? random()
                                              : bias    ? (i % 2 == 0      ? random()
                                                           : below(2) == 0 ? 0
                                                                           : 255)
                                                        : static_cast<uint32_t>(value));
    }
    c.residuals.resize(static_cast<size_t>(c.d));
    for (int8_t& x : c.residuals) x = static_cast<int8_t>(wild <= 1 ? random() : static_cast<int32_t>(below(40)) - 30);
    return c;
}

std::vector<uint8_t> keys_of(std::mt19937& random, const Predicted& c) {
    std::vector<uint8_t> keys(2 * c.n);
    const uint32_t rare = random() % 3 == 0 ? 1000000 : 60 + random() % 300, zeros = random() % 4 == 0 ? 3 : 300;
    const int32_t top = random() % 8 == 0   ? 8191
                        : random() % 2 == 0 ? 255
                                            : 31,
                  middle = 14 + static_cast<int32_t>(random()) % (top / 4 + 1) % 2000;
    for (size_t i = 0; i < c.n; ++i) {
        const size_t column = static_cast<size_t>((c.first + i) % c.d / c.g);
        int32_t e = middle - __builtin_ctz(random() | 256) + (c.columns.empty() ? 0 : c.columns[column] / 8);
        if (random() % rare == 0) e += random() % 4 == 0 ? 40 : -static_cast<int32_t>(random() % 60);
        e = std::clamp(e, 0, top);
        const bool zero = random() % zeros == 0;
        store_le(keys.data() + 2 * i,
                 static_cast<uint16_t>((random() & 1) << 15 | (zero ? 0 : static_cast<uint32_t>(e) << 2 | (random() & 3))));
    }
    return keys;
}

// Frequencies by which every symbol that occurs can be coded; where none does, perhaps none.
std::vector<uint8_t> tables_of(std::mt19937& random, const std::vector<uint16_t>& symbols) {
    std::vector<uint8_t> bytes(2 * kPredictorSymbols);
    std::vector<uint32_t> counts(kPredictorSymbols);
    for (const uint16_t s : symbols) ++counts[s];
    const bool sparse = random() % 2 == 0, all = random() % 2 == 0;
    for (uint32_t context = 0; context < kPredictorContexts; ++context) {
        uint32_t* count = counts.data() + 128 * context;
        uint32_t seen = 0;
        for (uint32_t s = 0; s < 128; ++s) seen += count[s] != 0;
        if (seen == 0 && sparse) continue;
        std::vector<uint32_t> f(128);
        uint32_t sum = 0;
        for (uint32_t s = 0; s < 128; ++s) sum += f[s] = all || count[s] != 0 ? 1 : 0;
        while (sum < 2) {  // a symbol alone would have all the slots, and may not
            uint32_t& one = f[random() % 128];
            sum += 1 - one;
            one = 1;
        }
        const uint32_t skew = 1 + random() % 3000;
        for (uint32_t s = random() % 128; sum < kScalesSlots; s = random() % 128) {
            if (f[s] == 0) continue;
            const uint32_t some = std::min(kScalesSlots - sum, 1 + static_cast<uint32_t>(random()) % skew);
            f[s] += some;
            sum += some;
        }
        for (uint32_t s = 0; s < 128; ++s) store_le(bytes.data() + 2 * (128 * context + s), static_cast<uint16_t>(f[s]));
    }
    return bytes;
}

bool decode(const Kernels& k, const Predicted& c, std::vector<uint8_t>* keys) {
    auto table = std::make_unique<PredictorTable>();
    if (!build_predictor_table(c.tables.data(), table.get())) return false;
    const Laid laid(c);
    Guarded rows(c.rows.size()), escapes(c.escapes.size()), payload(c.payload.size()), out(2 * c.n);
    const bool ok = k.predictor_decode(
        *table, {laid.place, laid.predictor, c.base, rows.copy(c.rows.data(), c.rows.size()),
                 escapes.copy(c.escapes.data(), c.escapes.size()), c.escapes.size(), payload.copy(c.payload.data(), c.payload.size()),
                 (c.payload.size() - kStateBytes) / 2, out.last(2 * c.n), laid.room.get()});
    keys->assign(out.last(2 * c.n), out.last(2 * c.n) + 2 * c.n);
    return ok;
}

// All targets must make the same of the keys. False where they decline.
bool encode(std::mt19937& random, const std::vector<uint8_t>& keys, Predicted* c) {
    const Kernels* list[3];
    const size_t targets = available_targets(list);
    std::vector<uint16_t> symbols(c->n), expected;
    bool coded = false;
    for (size_t k = 0; k < targets; ++k) {
        const Laid laid(*c);
        Guarded source(2 * c->n), rows_space(scales_rows(laid.place)), symbol_space(2 * c->n), escapes(c->n);
        const size_t n_rows = scales_rows(laid.place);
        const uint8_t* src = source.copy(keys.data(), keys.size());
        std::vector<uint16_t> levels(n_rows), magnitudes(c->n);
        uint8_t* const rows = rows_space.last(n_rows);
        uint32_t base = 0;
        if (!predictor_rows(*list[k], laid.place, src, magnitudes.data(), levels.data(), &base, rows)) return false;
        uint16_t* const made = reinterpret_cast<uint16_t*>(symbol_space.last(2 * c->n));
        PredictorModel model{laid.place, laid.predictor, src, base, rows, made, escapes.last(c->n), 0, laid.room.get()};
        const bool good = list[k]->predictor_model(model);
        check(k == 0 || good == coded, "another verdict on keys than scalar", c->n, list[k]->name);
        coded = good;
        if (!good) continue;
        symbols.assign(made, made + c->n);
        const std::vector<uint8_t> nibbles(model.escapes, model.escapes + model.n_escape_bytes);
        if (k == 0) {
            c->base = base;
            c->rows.assign(rows, rows + n_rows);
            c->escapes = nibbles;
            expected = symbols;
            c->tables = tables_of(random, symbols);
        }
        check(symbols == expected && nibbles == c->escapes, "symbols differ from scalar", c->n, list[k]->name);
        auto table = std::make_unique<PredictorTable>();
        std::unique_ptr<PredictorEncodeTable> slots(new PredictorEncodeTable);
        check(build_predictor_table(c->tables.data(), table.get()), "valid tables refused", c->n);
        build_predictor_encode_table(*table, c->tables.data(), slots.get());
        check(predictor_codes(*slots, expected.data(), c->n), "a frequency of 0", c->n);
        std::vector<uint8_t> words(2 * c->n + 256), payload(kStateBytes);
        size_t n_words = 0;
        list[k]->predictor_encode(*slots, laid.place, expected.data(), payload.data(), words.data() + words.size(), &n_words);
        payload.insert(payload.end(), words.end() - static_cast<ptrdiff_t>(2 * n_words), words.end());
        if (k == 0) c->payload = payload;
        check(payload == c->payload, "payload differs from scalar", c->n, list[k]->name);
    }
    return coded;
}

void lie(std::mt19937& random, Predicted& c) {
    std::vector<uint8_t>* const all[] = {&c.rows, &c.escapes, &c.payload, &c.payload, &c.tables, &c.triangles};
    std::vector<uint8_t>& bytes = *all[random() % 6];
    switch (random() % 7) {
        case 0: c.payload.resize(c.payload.size() > kStateBytes ? c.payload.size() - 2 : kStateBytes); break;
        case 1: c.payload.resize(c.payload.size() + 2); break;
        case 2: c.escapes.resize(c.escapes.size() + 1); break;
        case 3: c.base = random() % kScalesBaseEnd; break;
        case 4: {  // a context without frequencies
            const size_t context = random() % kPredictorContexts;
            std::fill_n(c.tables.begin() + static_cast<ptrdiff_t>(256 * context), 256, uint8_t{0});
            break;
        }
        default:
            if (!bytes.empty()) bytes[random() % bytes.size()] ^= static_cast<uint8_t>(1u << (random() % 8));
    }
}

}  // namespace

int main() {
    std::mt19937 random(17);
    const Kernels* list[3];
    const size_t targets = available_targets(list);
    size_t coded = 0, refused = 0, accepted = 0;
    testing::PageTally tally;
    for (int round = 0; round < 1100; ++round) {
        Predicted c = shape(random, round);
        const std::vector<uint8_t> source = keys_of(random, c);
        if (!encode(random, source, &c)) {
            check(round != 0, "the largest block was declined", c.n);
            continue;
        }
        ++coded;
        std::vector<uint8_t> keys, expected;
        check(page_decode(c, keys, &tally) && keys == source, "the page decodes something else", c.n);
        for (size_t k = 0; k < targets; ++k) {
            check(decode(*list[k], c, &keys), "valid block refused", c.n, list[k]->name);
            check(keys == source, "keys differ", c.n, list[k]->name);
        }
        for (int i = 0; i < 4; ++i) {
            Predicted damaged = c;
            lie(random, damaged);
            const bool good = page_decode(damaged, expected);
            ++(good ? accepted : refused);
            for (size_t k = 0; k < targets; ++k) {
                check(decode(*list[k], damaged, &keys) == good, "another verdict than the page's", c.n, list[k]->name);
                check(!good || keys == expected, "keys of a damaged block differ from the page's", c.n, list[k]->name);
            }
        }
    }
    bool met = tally.zeros > 1000 && tally.below > 100 && tally.above > 100;
    for (const size_t of_class : tally.of_class) met &= of_class > 1000;
    check(met && coded > 400 && refused > 1000 && accepted > 50, "the test has lost its teeth", coded);
    std::printf("%zu coded, %zu zeros, %zu and %zu escapes, %zu lies refused, %zu true, %d failures\n", coded, tally.zeros, tally.below,
                tally.above, refused, accepted, testing::failures);
    for (const size_t of_class : tally.of_class) std::printf("%zu ", of_class);
    std::printf("keys of each class\n");
    return testing::failures == 0 ? 0 : 1;
}
