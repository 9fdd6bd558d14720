// SPDX-License-Identifier: Apache-2.0
// A Python extension that makes classes as numpy makes those of its dtypes: static types, of a metaclass of their own, in
// memory of PyObject_Malloc. make(n) returns a list of as many classes.
#include <Python.h>

typedef struct {
    PyHeapTypeObject type;
    long number;
} Class;

static PyTypeObject Meta = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "static_types.ClassMeta",
    .tp_basicsize = sizeof(Class),
    .tp_flags = Py_TPFLAGS_DEFAULT,
};

typedef struct {
    PyObject head;
    long words[5];
} Instance;

static PyObject *class_make(void)
{
    Class *made = PyObject_Calloc(1, sizeof(Class));
    if (!made)
        return PyErr_NoMemory();
    PyTypeObject *type = &made->type.ht_type;
    PyObject_Init((PyObject *)type, &Meta);
    type->tp_name = "static_types.Made";
    type->tp_basicsize = sizeof(Instance);
    type->tp_flags = Py_TPFLAGS_DEFAULT;
    type->tp_new = PyType_GenericNew;
    return PyType_Ready(type) < 0 ? NULL : (PyObject *)type;
}

static PyObject *make(PyObject *self, PyObject *argument)
{
    (void)self;
    long n = PyLong_AsLong(argument);
    PyObject *list = PyList_New(0);
    for (long i = 0; i < n && list; i++) {
        PyObject *made = class_make();
        if (!made || PyList_Append(list, made) < 0)
            Py_CLEAR(list);
    }
    return list;
}

static PyMethodDef methods[] = {{"make", make, METH_O, ""}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "static_types", .m_size = -1, .m_methods = methods};

PyMODINIT_FUNC PyInit_static_types(void)
{
    Meta.tp_base = &PyType_Type;
    return PyType_Ready(&Meta) < 0 ? NULL : PyModule_Create(&definition);
}
