// Every target against slow transcriptions; triangles against least squares solved in another way; input that no weights make.
#include <algorithm>
#include <cmath>
#include <cstdio>
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

enum class Kind { kPlanted, kAnything, kExtreme, kZero, kConstantPlaces };

// Vectors of w places in which each leans on up to three before it.
std::vector<int16_t> make(std::mt19937& random, size_t n_rows, size_t d, size_t w, Kind kind) {
    std::vector<int16_t> z(n_rows * d);
    std::vector<double> weights(3 * w);
    for (double& weight : weights) weight = static_cast<int32_t>(random() % 1201) / 1000.0 - 0.6;
    std::normal_distribution<double> normal(0, 900);
    for (size_t i = 0; i < z.size(); ++i) {
        const size_t j = i % d % w;
        double value = normal(random) + (j % 5 == 0 ? 300 : 0);
        for (size_t k = 1; k <= 3 && k <= j; ++k) value += weights[3 * j + k - 1] * z[i - k];
        if (kind == Kind::kAnything) value = static_cast<int16_t>(random());
        if (kind == Kind::kExtreme) value = random() % 50 == 0 ? 32767 : -32768;
        if (kind == Kind::kZero) value = 0;
        if (kind == Kind::kConstantPlaces && j % 3 == 1) value = 77 * static_cast<double>(j);
        z[i] = static_cast<int16_t>(std::clamp(value, -32768.0, 32767.0));
    }
    return z;
}

const uint8_t* bytes(const std::vector<int16_t>& z) { return reinterpret_cast<const uint8_t*>(z.data()); }

std::vector<uint8_t> moments_of(const Kernels& kernels, const std::vector<int16_t>& z, size_t d, size_t w, size_t n_triangles) {
    Guarded in(2 * z.size()), out(8 * n_triangles * fit_moments(w));
    const size_t n = 8 * n_triangles * fit_moments(w);
    predictor_moments(kernels, {in.copy(bytes(z), 2 * z.size()), z.size() / d, d, w, n_triangles}, out.last(n));
    return {out.last(n), out.last(n) + n};
}

std::vector<uint8_t> slow_moments(const std::vector<int16_t>& z, size_t d, size_t w, size_t n_triangles) {
    std::vector<int64_t> sums(n_triangles * fit_moments(w));
    for (size_t band = 0; band < z.size() / w; ++band) {
        int64_t* at = sums.data() + band % (d / w) % n_triangles * fit_moments(w);
        const auto clipped = [&](size_t j) { return int64_t{std::clamp<int16_t>(z[band * w + j], -8192, 8192)}; };
        for (size_t j = 0; j < w; ++j) {
            for (size_t k = 0; k <= j; ++k) *at++ += clipped(j) * clipped(k);
        }
        for (size_t j = 0; j < w; ++j) *at++ += clipped(j);
    }
    std::vector<uint8_t> stored(8 * sums.size());
    for (size_t i = 0; i < sums.size(); ++i) store_le(stored.data() + 8 * i, sums[i]);
    return stored;
}

// Not rounded.
std::vector<double> slow_residuals(const std::vector<int16_t>& z, size_t d, size_t w, size_t n_triangles, const uint8_t* triangles) {
    std::vector<double> scales(d);
    for (size_t i = 0; i < z.size(); ++i) {
        const size_t j = i % d % w, start = i - j;
        const uint8_t* triangle = triangles + i % d / w % n_triangles * fit_triangle_bytes(w);
        int64_t sum = 0;
        for (size_t k = 0; k < j; ++k) sum += int64_t{static_cast<int8_t>(triangle[2 * w + j * (j - 1) / 2 + k])} * z[start + k];
        scales[i % d] += std::abs(z[i] - ((static_cast<int32_t>(sum) >> 6) + load_le<int16_t>(triangle + 2 * j)));
    }
    const double n_rows = static_cast<double>(z.size()) / static_cast<double>(d);
    for (double& scale : scales) scale = scale == 0 ? -128 : std::clamp(8 * std::log2(scale / n_rows / 1024), -128.0, 127.0);
    return scales;
}

void sums(std::mt19937& random, size_t n_rows, size_t w, size_t bands, size_t n_triangles, Kind kind) {
    const size_t d = w * bands, n_bytes = fit_triangle_bytes(w) * n_triangles;
    const std::vector<int16_t> z = make(random, n_rows, d, w, kind);
    std::vector<uint8_t> triangles(n_bytes);
    for (uint8_t& byte : triangles) byte = static_cast<uint8_t>(kind == Kind::kExtreme ? 127 : random());
    const std::vector<uint8_t> moments = slow_moments(z, d, w, n_triangles);
    const std::vector<double> scales = slow_residuals(z, d, w, n_triangles, triangles.data());
    std::vector<int8_t> first;
    const Kernels* list[3];
    for (size_t t = available_targets(list); t-- > 0;) {
        check(moments_of(*list[t], z, d, w, n_triangles) == moments, "moments", w, list[t]->name);
        Guarded in(2 * z.size()), coefficients(n_bytes), out(d);
        predictor_residuals(*list[t], {in.copy(bytes(z), 2 * z.size()), n_rows, d, w, n_triangles},
                            coefficients.copy(triangles.data(), n_bytes), out.last(d));
        const int8_t* const made = reinterpret_cast<const int8_t*>(out.last(d));
        if (first.empty()) first.assign(made, made + d);
        check(std::equal(first.begin(), first.end(), made), "residual scales of targets differ", w, list[t]->name);
        // The thresholds are integers of 16 bits.
        for (size_t j = 0; j < d; ++j) check(std::abs(made[j] - scales[j]) < 0.5005, "residual scale", w, list[t]->name);
    }
}

// Coefficients of place j by elimination with pivots, in units of 1/64, and what they leave of its mean.
std::vector<long double> least_squares(const std::vector<int16_t>& z, size_t w, size_t j, double shrink, bool biased) {
    const size_t n = z.size() / w;
    std::vector<long double> mean(w), a(j * (j + 1)), solution(j);
    for (size_t i = 0; i < z.size(); ++i) mean[i % w] += biased ? static_cast<long double>(std::clamp<int16_t>(z[i], -8192, 8192)) / n : 0;
    for (size_t row = 0; row < j; ++row) {
        for (size_t column = 0; column <= j; ++column) {
            long double sum = 0;
            for (size_t v = 0; v < n; ++v) {
                sum += (std::clamp<int16_t>(z[v * w + row], -8192, 8192) - mean[row]) *
                       (std::clamp<int16_t>(z[v * w + column], -8192, 8192) - mean[column]);
            }
            a[row * (j + 1) + column] = row == column ? sum : sum * (1 - shrink);
        }
    }
    for (size_t step = 0; step < j; ++step) {
        size_t best = step;
        for (size_t row = step; row < j; ++row) {
            if (std::abs(a[row * (j + 1) + step]) > std::abs(a[best * (j + 1) + step])) best = row;
        }
        for (size_t c = 0; c <= j; ++c) std::swap(a[step * (j + 1) + c], a[best * (j + 1) + c]);
        for (size_t row = 0; row < j; ++row) {
            if (row == step) continue;
            const long double factor = a[row * (j + 1) + step] / a[step * (j + 1) + step];
            for (size_t c = step; c <= j; ++c) a[row * (j + 1) + c] -= factor * a[step * (j + 1) + c];
        }
    }
    for (size_t k = 0; k < j; ++k) solution[k] = 64 * a[k * (j + 1) + j] / a[k * (j + 1) + k];
    return solution;
}

void planted(std::mt19937& random, size_t n, size_t w, uint32_t shrink, bool biased) {
    const std::vector<int16_t> z = make(random, n, w, w, Kind::kPlanted);
    const std::vector<uint8_t> moments = moments_of(scalar_kernels(), z, w, w, 1);
    Guarded in(moments.size()), out(fit_triangle_bytes(w));
    uint8_t* const triangle = out.last(fit_triangle_bytes(w));
    predictor_solve(scalar_kernels(), in.copy(moments.data(), moments.size()), n, w, shrink, biased, triangle);
    const uint8_t* at = triangle + 2 * w;
    int largest = 0;
    for (size_t j = 0; j < w; ++j) {
        long double bias = 0;
        const std::vector<long double> expected = least_squares(z, w, j, shrink / 65536.0, biased);
        std::vector<long double> mean(w);
        for (size_t i = 0; i < z.size(); ++i) mean[i % w] += static_cast<long double>(std::clamp<int16_t>(z[i], -8192, 8192)) / n;
        bias = mean[j];
        for (size_t k = 0; k < j; ++k) {
            const int coefficient = static_cast<int8_t>(*at++);
            check(std::abs(std::clamp(expected[k], -127.0L, 127.0L) - coefficient) < 0.5001L, "coefficient", w);
            bias -= coefficient / 64.0L * mean[k];
            largest = std::max(largest, std::abs(coefficient));
        }
        check(std::abs((biased ? bias : 0) - load_le<int16_t>(triangle + 2 * j)) < 0.5001L, "bias", w);
    }
    check(w < 8 || largest > 15, "nothing planted", w);
}

void degenerate(std::mt19937& random) {
    const Kernels& kernels = scalar_kernels();
    for (const size_t w : {size_t{2}, size_t{7}, size_t{100}}) {
        for (const uint64_t n : {1, 3, 60}) {
            const std::vector<int16_t> z = make(random, n, w, w, Kind::kConstantPlaces);
            std::vector<uint8_t> triangle(fit_triangle_bytes(w));
            predictor_solve(kernels, moments_of(kernels, z, w, w, 1).data(), n, w, 0, true, triangle.data());
            for (size_t j = 0; j < w; ++j) {
                for (size_t k = 0; k < j; ++k) {
                    const bool constant = n == 1 || j % 3 == 1 || k % 3 == 1;
                    check(!constant || triangle[2 * w + j * (j - 1) / 2 + k] == 0, "constant place has a coefficient", w);
                }
                if (j % 3 == 1) check(load_le<int16_t>(triangle.data() + 2 * j) == z[j], "constant place is not its bias", w);
            }
        }
        std::vector<uint8_t> zeros(8 * fit_moments(w)), triangle(fit_triangle_bytes(w), 1);
        for (const uint64_t n : {0, 1}) {
            predictor_solve(kernels, zeros.data(), n, w, 300, true, triangle.data());
            check(std::all_of(triangle.begin(), triangle.end(), [](uint8_t b) { return b == 0; }), "coefficients from nothing", w);
        }
    }
    // The same place twice: the first is taken, the copy is of no further use.
    std::vector<int16_t> z(3 * 500);
    for (size_t i = 0; i < z.size(); ++i) z[i] = i % 3 == 1 ? z[i - 1] : static_cast<int16_t>(random() % 2000);
    std::vector<uint8_t> triangle(fit_triangle_bytes(3));
    predictor_solve(kernels, moments_of(kernels, z, 3, 3, 1).data(), 500, 3, 0, true, triangle.data());
    check(triangle[6] == 64, "copy not seen", 3);
}

uint64_t hash(uint64_t h, const std::vector<uint8_t>& data) {
    for (const uint8_t byte : data) h = (h ^ byte) * 0x100000001b3u;
    return h;
}

// Bytes that every machine must make, also of moments that contradict each other: where one rounds otherwise, archives would differ.
void reproducible(const Kernels& kernels) {
    std::mt19937 random(11);
    uint64_t h = 0xcbf29ce484222325u;
    for (const size_t w : {size_t{2}, size_t{33}, size_t{64}, size_t{150}, size_t{333}}) {
        std::vector<int16_t> z(w * 200);
        for (size_t i = 0; i < z.size(); ++i) {
            z[i] = static_cast<int16_t>(random() % 2048 + random() % 2048 + (i % w > 2 ? z[i - 3] / 2 : 0) - 2048);
        }
        std::vector<uint8_t> moments = moments_of(kernels, z, w, w, 1), triangle(fit_triangle_bytes(w));
        for (const uint32_t shrink : {0u, 300u, 65536u}) {
            predictor_solve(kernels, moments.data(), 200, w, shrink, true, triangle.data());
            h = hash(h, triangle);
        }
        for (const uint32_t bits : {0u, 20u, 40u}) {
            for (size_t i = 0; i < fit_moments(w); ++i) {
                store_le(moments.data() + 8 * i, static_cast<int64_t>(uint64_t{random()} << 32 | random()) >> bits);
            }
            predictor_solve(kernels, moments.data(), 1 + random() % 99, w, 0, bits != 20, triangle.data());
            h = hash(h, triangle);
        }
    }
    std::printf("triangles: %016llx\n", static_cast<unsigned long long>(h));
    check(h == 0x6f7b1f982953011f, "triangles are not those of other machines", 0, kernels.name);
}

}  // namespace

int main() {
    std::mt19937 random(7);
    for (const Kind kind : {Kind::kPlanted, Kind::kAnything, Kind::kExtreme, Kind::kZero, Kind::kConstantPlaces}) {
        sums(random, 40, 1024, 1, 1, kind);
        sums(random, 600, 37, 1, 1, kind);
        sums(random, 700, 150, 1, 1, kind);  // more pairs, and more places, than are summed together
        sums(random, 0, 5, 3, 2, kind);
        for (int i = 0; i < 25; ++i) {
            const size_t bands = 1 + random() % 5;
            sums(random, 1 + random() % 400, 2 + random() % 70, bands, 1 + random() % bands, kind);
        }
    }
    for (const bool biased : {false, true}) {
        planted(random, 4000, 2, 0, biased);
        planted(random, 3000, 9, 0, biased);
        planted(random, 3000, 9, 2000, biased);
        planted(random, 2000, 40, 0, biased);
        planted(random, 90, 30, 6000, biased);
        planted(random, 20, 30, 20000, biased);  // fewer vectors than places
    }
    degenerate(random);
    const Kernels* list[3];
    for (size_t t = available_targets(list); t-- > 0;) reproducible(*list[t]);
    if (testing::failures > 0) std::printf("%d failures\n", testing::failures);
    return testing::failures > 0;
}
