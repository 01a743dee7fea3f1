// What every binding shares: buffers of Python objects, checked arguments, arrays made here.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstdint>
#include <memory>
#include <stdexcept>

namespace pennyweight::python {

namespace nb = nanobind;

// A contiguous buffer of any Python object, held while a call runs without the GIL.
class Buffer {
 public:
    Buffer(nb::handle object, bool writable = false) {
        if (PyObject_GetBuffer(object.ptr(), &view_, writable ? PyBUF_WRITABLE : PyBUF_SIMPLE) != 0) throw nb::python_error();
    }
    ~Buffer() { PyBuffer_Release(&view_); }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;

    uint8_t* data() const { return static_cast<uint8_t*>(view_.buf); }
    size_t size() const { return static_cast<size_t>(view_.len); }

 private:
    Py_buffer view_;
};

inline void require(bool condition, const char* message) {
    if (!condition) throw std::invalid_argument(message);
}

using Array = nb::ndarray<nb::numpy, uint8_t, nb::ndim<1>>;
using Bytes = std::unique_ptr<uint8_t[]>;

inline Bytes allocate(size_t n) { return Bytes(new uint8_t[n == 0 ? 1 : n]); }

inline Array to_array(Bytes bytes, size_t n) {
    uint8_t* data = bytes.release();
    nb::capsule owner(data, [](void* p) noexcept { delete[] static_cast<uint8_t*>(p); });
    return Array(data, {n}, owner);
}

void bind_targets(nb::module_& m);
void bind_bitpack(nb::module_& m);
void bind_byteplane(nb::module_& m);
void bind_floatfields(nb::module_& m);
void bind_palette(nb::module_& m);
void bind_rans(nb::module_& m);
void bind_piecewise(nb::module_& m);
void bind_cells(nb::module_& m);
void bind_huffman(nb::module_& m);
void bind_predictor(nb::module_& m);
void bind_scales(nb::module_& m);
void bind_predictor_fit(nb::module_& m);
void bind_frames(nb::module_& m);

}  // namespace pennyweight::python
