#include "buffers.h"
#include "pennyweight/kernels.h"
#include "pennyweight/predictor_fit.h"

namespace pennyweight::python {

namespace {

FitSample sample_of(const Buffer& z, size_t d, size_t w, size_t n_triangles) {
    FitSample sample{z.data(), 0, d, w, n_triangles};
    require(fit_sample_valid(sample), "no such geometry");
    require(z.size() % (2 * d) == 0, "not whole rows");
    sample.n_rows = z.size() / (2 * d);
    return sample;
}

Array predictor_moments_py(nb::handle z, size_t d, size_t w, size_t n_triangles) {
    const Buffer in(z);
    const FitSample sample = sample_of(in, d, w, n_triangles);
    const size_t n = 8 * n_triangles * fit_moments(w);
    Bytes moments = allocate(n);
    {
        nb::gil_scoped_release release;
        predictor_moments(kernels(), sample, moments.get());
    }
    return to_array(std::move(moments), n);
}

Array predictor_solve_py(nb::handle moments, uint64_t n, size_t w, uint32_t shrink, bool biased) {
    const Buffer in(moments);
    require(w >= kMinFitBand && w <= kMaxFitBand && shrink <= 65536 && in.size() == 8 * fit_moments(w), "sizes do not fit");
    Bytes triangle = allocate(fit_triangle_bytes(w));
    {
        nb::gil_scoped_release release;
        predictor_solve(kernels(), in.data(), n, w, shrink, biased, triangle.get());
    }
    return to_array(std::move(triangle), fit_triangle_bytes(w));
}

Array predictor_residuals_py(nb::handle z, size_t d, size_t w, nb::handle triangles) {
    const Buffer in(z), predictors(triangles);
    require(w >= kMinFitBand && w <= kMaxFitBand && predictors.size() % fit_triangle_bytes(w) == 0, "sizes do not fit");
    const FitSample sample = sample_of(in, d, w, predictors.size() / fit_triangle_bytes(w));
    Bytes residuals = allocate(d);
    {
        nb::gil_scoped_release release;
        predictor_residuals(kernels(), sample, predictors.data(), residuals.get());
    }
    return to_array(std::move(residuals), d);
}

}  // namespace

void bind_predictor_fit(nb::module_& m) {
    m.def("predictor_moments", &predictor_moments_py, nb::arg("z"), nb::arg("d"), nb::arg("w"), nb::arg("n_triangles"));
    m.def("predictor_solve", &predictor_solve_py, nb::arg("moments"), nb::arg("n"), nb::arg("w"), nb::arg("shrink"), nb::arg("biased"));
    m.def("predictor_residuals", &predictor_residuals_py, nb::arg("z"), nb::arg("d"), nb::arg("w"), nb::arg("triangles"));
}

}  // namespace pennyweight::python
