// SPDX-License-Identifier: Apache-2.0
// A Python extension in C++. The interpreter loads it, and libstdc++ with it, with RTLD_LOCAL: there is no operator new
// in the global scope but the shim's. work(n) makes and drops n strings, keeps one in a hundred, and throws and
// catches bad_alloc.
#include <Python.h>

#include <new>
#include <string>
#include <vector>

static std::vector<std::string *> kept;

__attribute__((noinline)) static std::string *keep(long i)
{
    return new std::string(100 + static_cast<size_t>(i % 7), 'x');
}

static PyObject *work(PyObject *, PyObject *argument)
{
    long n = PyLong_AsLong(argument);
    long caught = 0;
    for (long i = 0; i < n; i++) {
        std::string text = "number " + std::to_string(i) + std::string(64, '.');
        if (i % 100 == 0)
            kept.push_back(keep(i));
        if (i % 1000 == 0) {
            try {
                ::operator delete(::operator new(~size_t{0} / 4));
            } catch (const std::bad_alloc &) {
                caught++;
            }
        }
    }
    return PyLong_FromLong(caught);
}

static PyMethodDef methods[] = {{"work", work, METH_O, ""}, {nullptr, nullptr, 0, nullptr}};
static PyModuleDef definition = {PyModuleDef_HEAD_INIT, "extension", nullptr, -1, methods,
                                 nullptr, nullptr, nullptr, nullptr};

PyMODINIT_FUNC PyInit_extension()
{
    return PyModule_Create(&definition);
}
