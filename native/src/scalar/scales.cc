// The decoder of stages/entropy/scales.md in plain loops: what every other target must equal.
#include "scales.h"

#include "pennyweight/bytes.h"
#include "scalar.h"

namespace pennyweight::scalar {

RowWalk::RowWalk(const ScalesPlace& p) : place(p), column(p.first % p.d), row(0), in_segment(column % p.S) {}

size_t RowWalk::run(size_t limit) const {
    uint64_t left = place.S - in_segment;
    if (left > place.d - column) left = place.d - column;
    return left < limit ? static_cast<size_t>(left) : limit;
}

void RowWalk::advance(size_t keys) {
    column += keys;
    in_segment += keys;
    if (column == place.d) column = 0;
    if (column == 0 || in_segment == place.S) {
        in_segment = 0;
        ++row;
    }
}

void scales_levels(RowWalk& walk, uint32_t base, const uint8_t* rows, size_t n, int16_t* levels) {
    const ScalesPlace& place = walk.place;
    for (size_t done = 0; done < n;) {
        const size_t run = walk.run(n - done);
        const int32_t level = static_cast<int32_t>(base + 2u * rows[walk.row]);
        int16_t* out = levels + done;
        if (place.columns == nullptr) {
            for (size_t k = 0; k < run; ++k) out[k] = static_cast<int16_t>(level);
        } else if (place.g == 1) {
            const int8_t* columns = place.columns + walk.column;
            for (size_t k = 0; k < run; ++k) out[k] = static_cast<int16_t>(level + columns[k]);
        } else {
            const int8_t* scale = place.columns + walk.column / place.g;
            uint64_t left = place.g - walk.column % place.g;
            for (size_t k = 0; k < run; ++scale, left = place.g) {
                const size_t stop = left < run - k ? k + static_cast<size_t>(left) : run;
                for (; k < stop; ++k) out[k] = static_cast<int16_t>(level + *scale);
            }
        }
        walk.advance(run);
        done += run;
    }
}

bool EscapeReader::next(uint32_t* distance) {
    *distance = 0;
    while (at < n_nibbles) {
        const uint32_t nibble = bytes[at / 2] >> (at % 2 * 4) & 15;
        ++at;
        *distance += nibble;
        if (nibble < 15) return true;
    }
    return false;
}

bool EscapeReader::finished() const {
    if (at == n_nibbles) return true;
    return at + 1 == n_nibbles && bytes[at / 2] >> 4 == 0 && at % 2 == 1;
}

bool scales_escapes(const int16_t* levels, uint32_t mantissa_bits, size_t n, EscapeReader& reader, uint8_t* keys) {
    const uint32_t m = mantissa_bits;
    // Few keys escape: a loop without branches first, that says whether all n are as they should be.
    int32_t escapes = 0, range = 0;
    for (size_t i = 0; i < n; ++i) {
        const int32_t lowest = (levels[i] >> 3) - static_cast<int32_t>(kReferencePlace);
        const int32_t r = ((load_le<uint16_t>(keys + 2 * i) - lowest * (1 << m)) & 0xffff) >> m, e = lowest + r;
        escapes |= (r - 1) | (14 - r);
        range |= e | ((1 << (16 - m)) - 1 - e);
    }
    if ((escapes | range) >= 0) return true;
    for (size_t i = 0; i < n; ++i) {
        const int32_t lowest = (levels[i] >> 3) - static_cast<int32_t>(kReferencePlace);
        const int32_t symbol = (load_le<uint16_t>(keys + 2 * i) - lowest * (1 << m)) & 0xffff, r = symbol >> m;
        int64_t e = int64_t{lowest} + r;
        if (r == 0 || r == 15) {
            uint32_t distance;
            if (!reader.next(&distance)) return false;
            e += r == 0 ? -int64_t{distance} : int64_t{distance};
        }
        if (e < 0 || e >> (16 - m) != 0) return false;
        store_le(keys + 2 * i, static_cast<uint16_t>(e << m | (symbol & ((1 << m) - 1))));
    }
    return true;
}

bool scales_group(const ScalesTable& table, const int16_t* levels, size_t n, ScalesProgress& p, uint8_t* keys) {
    const uint32_t m = table.mantissa_bits, bits = 4 + m, mask = (1u << bits) - 1;
    const auto decode = [&](uint32_t l, uint32_t i) {
        const uint32_t x = p.x[l], level = static_cast<uint32_t>(static_cast<int32_t>(levels[i]));
        uint32_t symbol;
        const uint32_t next = decode_slot(table.buckets[(level & 7) << bits | (x & mask)], x, bits, &symbol);
        const uint32_t lowest = static_cast<uint32_t>((levels[i] >> 3) - static_cast<int32_t>(kReferencePlace)) << m;
        store_le(keys + 2 * i, static_cast<uint16_t>(lowest + symbol));
        return next;
    };
    // As in rANS: with a word for each key left nothing need be checked, and the refill becomes arithmetic.
    if (n == kGroup && p.words_end - p.words >= static_cast<ptrdiff_t>(2 * kGroup)) {
        const uint8_t* words = p.words;
        for (uint32_t t = 0; t < 4; ++t) {
            for (uint32_t l = 0; l < kLanes; ++l) {
                const uint32_t x = decode(l, 4 * l + t), refill = x < kLowerBound;
                p.x[l] = x << (16 * refill) | (load_le<uint16_t>(words) & (0 - refill));
                words += 2 * refill;
            }
        }
        p.words = words;
        return true;
    }
    for (uint32_t t = 0; t < 4; ++t) {
        for (uint32_t l = 0; l < kLanes; ++l) {
            const uint32_t i = 4 * l + t;
            if (i >= n) continue;
            p.x[l] = decode(l, i);
            if (p.x[l] < kLowerBound) {
                if (p.words_end - p.words < 2) return false;
                p.x[l] = p.x[l] << 16 | load_le<uint16_t>(p.words);
                p.words += 2;
            }
        }
    }
    return true;
}

bool scales_rest(const ScalesTable& table, const int16_t* levels, size_t i, size_t n, ScalesProgress& p, EscapeReader& reader,
                 uint8_t* keys) {
    for (; i < n; i += kGroup) {
        const size_t left = n - i < kGroup ? n - i : kGroup;
        if (!scales_group(table, levels + i, left, p, keys + 2 * i)) return false;
        if (!scales_escapes(levels + i, table.mantissa_bits, left, reader, keys + 2 * i)) return false;
    }
    return true;
}

bool scales_decode(const ScalesTable& table, const ScalesBlock& block) {
    if (!states_valid(block.payload)) return false;
    ScalesProgress p;
    for (uint32_t l = 0; l < kLanes; ++l) p.x[l] = load_le<uint32_t>(block.payload + 4 * l);
    p.words = block.payload + kStateBytes;
    p.words_end = p.words + 2 * block.n_words;
    EscapeReader reader{block.escapes, 2 * block.n_escape_bytes};
    RowWalk walk(block.place);
    const size_t n = block.place.n;
    for (size_t done = 0; done < n;) {
        int16_t levels[kScalesChunk];
        const size_t chunk = n - done < kScalesChunk ? n - done : kScalesChunk;
        uint8_t* keys = block.out + 2 * done;
        scales_levels(walk, block.base, block.rows, chunk, levels);
        if (!scales_rest(table, levels, 0, chunk, p, reader, keys)) return false;
        done += chunk;
    }
    return reader.finished() && stream_ended(p.x, p.words, p.words_end);
}

}  // namespace pennyweight::scalar
