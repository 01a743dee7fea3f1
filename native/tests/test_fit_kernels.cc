// The kernels of the fit of linear predictors: every target against slow sums, with no memory to spare around what they are given.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <random>
#include <vector>

#include "guarded.h"
#include "pennyweight/bytes.h"
#include "pennyweight/kernels.h"
#include "pennyweight/predictor_fit.h"

using namespace pennyweight;
using testing::check;
using testing::Guarded;

namespace {

// Now and then what is largest.
int16_t any(std::mt19937& random) { return static_cast<int16_t>(random() % 8 == 0 ? -32768 : random()); }

template <typename T>
std::vector<uint8_t> bytes(const std::vector<T>& values) {
    std::vector<uint8_t> made(values.size() * sizeof(T));
    if (!made.empty()) std::memcpy(made.data(), values.data(), made.size());
    return made;
}

void vectors(std::mt19937& random, const Kernels& kernels, size_t n) {
    std::vector<int16_t> z[2];
    for (auto& vector : z) {
        for (size_t k = 0; k < n; ++k) vector.push_back(any(random));
    }
    const size_t n_tiles = (n + kFitTile - 1) / kFitTile, stride = kFitTile * (1 + random() % 3);
    std::vector<uint32_t> tiles(n_tiles * stride, 0xaaaaaaaa), expected = tiles, squares(n), sums;
    for (uint32_t& square : squares) square = static_cast<uint32_t>(random());
    sums = squares;
    for (size_t k = 0; k < n; ++k) {
        int64_t both[2], sum = 0;
        for (size_t i = 0; i < 2; ++i) {
            both[i] = std::min(std::max<int64_t>(z[i][k], -kFitClip), int64_t{kFitClip});
            sum += both[i] * both[i];
        }
        expected[k / kFitTile * stride + k % kFitTile] = static_cast<uint32_t>((both[0] & 0xffff) | (both[1] & 0xffff) << 16);
        sums[k] += static_cast<uint32_t>(sum);
    }
    Guarded first(2 * n), second(2 * n);
    kernels.pair_vectors(first.copy(bytes(z[0]).data(), 2 * n), second.copy(bytes(z[1]).data(), 2 * n), n, tiles.data(), stride,
                         squares.data());
    check(tiles == expected, "pairs", n, kernels.name);
    check(squares == sums, "squares", n, kernels.name);
}

void products(std::mt19937& random, const Kernels& kernels, size_t n, bool by_rows) {
    std::vector<uint32_t> a(kFitTileRows * n), b(kFitTile * n);
    const auto pair = [&] { return static_cast<uint16_t>(any(random)) | static_cast<uint32_t>(static_cast<uint16_t>(any(random))) << 16; };
    for (uint32_t& both : a) both = pair();
    for (uint32_t& both : b) both = pair();
    const size_t a_row = by_rows ? n : 1, a_pair = by_rows ? 1 : kFitTileRows;
    const auto half = [](uint32_t both, int i) { return int64_t{static_cast<int16_t>(both >> 16 * i)}; };
    std::vector<int32_t> made(kFitTileRows * kFitTile, 1), expected;
    for (size_t i = 0; i < kFitTileRows; ++i) {
        for (size_t c = 0; c < kFitTile; ++c) {
            uint64_t sum = 0;
            for (size_t p = 0; p < n; ++p) {
                const uint32_t left = a[i * a_row + p * a_pair], right = b[kFitTile * p + c];
                sum += static_cast<uint64_t>(half(left, 0) * half(right, 0) + half(left, 1) * half(right, 1));
            }
            expected.push_back(static_cast<int32_t>(static_cast<uint32_t>(sum)));
        }
    }
    Guarded left(4 * a.size()), right(4 * b.size());
    const auto* of_a = reinterpret_cast<const uint32_t*>(left.copy(bytes(a).data(), 4 * a.size()));
    const auto* of_b = reinterpret_cast<const uint32_t*>(right.copy(bytes(b).data(), 4 * b.size()));
    kernels.pair_products(of_a, a_row, a_pair, of_b, n, made.data());
    check(made == expected, by_rows ? "products by rows" : "products by pairs", n, kernels.name);
}

void rows(std::mt19937& random, const Kernels& kernels, size_t n_rows, size_t n) {
    const size_t stride = n + random() % 9, factor_stride = kFitTileRows + random() % 5;
    std::normal_distribution<double> normal;
    std::vector<double> y((kFitTileRows - 1) * stride + n), from(n_rows == 0 ? 0 : (n_rows - 1) * stride + n);
    std::vector<double> factors(n_rows == 0 ? 0 : (n_rows - 1) * factor_stride + kFitTileRows);
    for (auto* values : {&y, &from, &factors}) {
        for (double& value : *values) value = normal(random);
    }
    std::vector<double> expected = y;
    for (size_t r = 0; r < kFitTileRows; ++r) {
        for (size_t k = 0; k < n; ++k) {
            for (size_t i = 0; i < n_rows; ++i) {
                const volatile double product = factors[i * factor_stride + r] * from[i * stride + k];  // rounded, whoever compiles this
                expected[r * stride + k] -= product;
            }
        }
    }
    Guarded out(8 * y.size()), in(8 * from.size()), by(8 * factors.size());
    double* const made = reinterpret_cast<double*>(out.copy(bytes(y).data(), 8 * y.size()));
    kernels.subtract_rows(made, reinterpret_cast<const double*>(in.copy(bytes(from).data(), 8 * from.size())), stride,
                          reinterpret_cast<const double*>(by.copy(bytes(factors).data(), 8 * factors.size())), factor_stride, n_rows, n);
    check(std::memcmp(made, expected.data(), 8 * y.size()) == 0, "rows", n, kernels.name);
}

// linear_predictor.md, "Prediction".
void values(std::mt19937& random, const Kernels& kernels, size_t n) {
    static constexpr int64_t T8[8] = {32768, 30048, 27554, 25268, 23170, 21247, 19484, 17867};
    std::vector<uint16_t> keys(n);
    std::vector<int16_t> levels(n), made(n, 1), expected(n);
    for (size_t i = 0; i < n; ++i) {
        keys[i] = static_cast<uint16_t>(random());
        levels[i] = static_cast<int16_t>(random() % 3 == 0 ? random() % 25214 - 128 : (keys[i] >> 2 & 0x1fff) * 8 + random() % 400 - 200);
        if (levels[i] < -128) levels[i] = -128;
        const int64_t L = levels[i], floor = L >= 0 ? L / 8 : -((7 - L) / 8), e = keys[i] >> 2 & 0x1fff, t = keys[i] & 3;
        const int64_t shift = std::min<int64_t>(31, std::max<int64_t>(4, 8 + floor - e)), size = (9 | 2 * t) * T8[L - 8 * floor] >> shift;
        expected[i] = static_cast<int16_t>(keys[i] >> 15 != 0 ? -size : size);
    }
    Guarded in(2 * n), of(2 * n);
    const auto* at = reinterpret_cast<const int16_t*>(of.copy(bytes(levels).data(), 2 * n));
    kernels.predictor_values(in.copy(bytes(keys).data(), 2 * n), at, n, made.data());
    check(made == expected, "values", n, kernels.name);
}

}  // namespace

int main() {
    const Kernels* list[3];
    for (size_t t = available_targets(list); t-- > 0;) {
        std::mt19937 random(3);
        for (size_t n = 1; n < 70; ++n) {
            vectors(random, *list[t], n);
            products(random, *list[t], n - 1, n % 2 == 0);
            rows(random, *list[t], n - 1, 8 * (1 + random() % 9));
            values(random, *list[t], n);
        }
        values(random, *list[t], 100000);
    }
    if (testing::failures > 0) std::printf("%d failures\n", testing::failures);
    return testing::failures > 0;
}
