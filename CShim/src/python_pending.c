/* SPDX-License-Identifier: Apache-2.0
 *
 * What is set up in CPython once it is up, by a pending call: the interpreter's main thread runs it between two of its
 * instructions, with the GIL. No file on sys.path, no start-up file, no module of the user's is shadowed.
 *
 *   gc.callbacks   gets one entry, whose figures go into gauges:
 *                  gc.gen0.collections, .collected, .uncollectable, the same for gen1 and gen2: sums since then
 *                  At the first collection of finalisation it waits for the last census (census.c), unless
 *   atexit         did so before; it gets one entry, from 3.10 on
 *   sys.meta_path  gets one entry, at its end: it finds the module `memtrack` where nothing else does, with
 *                  memtrack.checkpoint(label) and memtrack.gauge(name, value)
 *
 * Objects of the interpreter are handled by pointer alone; the functions are looked up by name. Whatever fails leaves
 * the program as it was, and no exception.
 */
#define _GNU_SOURCE
#include "python.h"

#include "runtime.h"

#include <dlfcn.h>

void memtrack_checkpoint(const char *label);
void memtrack_gauge(const char *name, double value);

typedef void object; /* PyObject */

#define MEMTRACK_PYTHON_API(X) \
    X(int, Py_AddPendingCall, (int (*)(void *), void *)) \
    X(object *, PyImport_ImportModule, (const char *)) \
    X(object *, PyImport_GetModuleDict, (void)) \
    X(object *, PyModule_New, (const char *)) \
    X(object *, PyModule_GetDict, (object *)) \
    X(object *, PyObject_GetAttrString, (object *, const char *)) \
    X(int, PyObject_SetAttrString, (object *, const char *, object *)) \
    X(object *, PyObject_CallFunction, (object *, const char *, ...)) \
    X(object *, PyCFunction_NewEx, (void *, object *, object *)) \
    X(int, PyDict_SetItemString, (object *, const char *, object *)) \
    X(object *, PyDict_GetItemString, (object *, const char *)) \
    X(int, PyDict_DelItemString, (object *, const char *)) \
    X(int, PyList_Append, (object *, object *)) \
    X(int, PyArg_ParseTuple, (object *, const char *, ...)) \
    X(long, PyLong_AsLong, (object *)) \
    X(void, PyErr_Clear, (void)) \
    X(void, PyErr_Fetch, (object **, object **, object **)) \
    X(void, PyErr_Restore, (object *, object *, object *)) \
    X(object *, PyErr_Occurred, (void)) \
    X(void, Py_IncRef, (object *)) \
    X(void, Py_DecRef, (object *))

static struct {
#define MEMTRACK_MEMBER(result, name, parameters) result(*name) parameters;
    MEMTRACK_PYTHON_API(MEMTRACK_MEMBER)
#undef MEMTRACK_MEMBER
    object *none;
    int (*is_finalizing)(void);
} py;

/* PyMethodDef */
struct method {
    const char *name;
    object *(*function)(object *self, object *arguments);
    int flags;
    const char *doc;
};
#define METH_VARARGS 1

static object *nothing(void)
{
    py.Py_IncRef(py.none);
    return py.none;
}

/* ---- gc ---- */

static long entry(object *info, const char *name)
{
    object *value = py.PyDict_GetItemString(info, name); /* borrowed */
    long number = value ? py.PyLong_AsLong(value) : 0;
    return number > 0 ? number : 0;
}

static object *on_collection(object *self, object *arguments)
{
    static double sums[3][3];
    static const char *const names[3][3] = {
        {"gc.gen0.collections", "gc.gen0.collected", "gc.gen0.uncollectable"},
        {"gc.gen1.collections", "gc.gen1.collected", "gc.gen1.uncollectable"},
        {"gc.gen2.collections", "gc.gen2.collected", "gc.gen2.uncollectable"},
    };
    (void)self;
    const char *phase = NULL;
    object *info = NULL;
    if (py.PyArg_ParseTuple(arguments, "sO", &phase, &info) && phase[0] == 's' && phase[1] == 't' && phase[2] == 'o') {
        long generation = entry(info, "generation");
        long by[3] = {1, entry(info, "collected"), entry(info, "uncollectable")};
        for (int i = 0; i < 3 && generation < 3; i++) {
            sums[generation][i] += (double)by[i];
            memtrack_gauge(names[generation][i], sums[generation][i]);
        }
    }
    if (py.PyErr_Occurred())
        py.PyErr_Clear();
    /* All modules are there still. atexit was before, unless it is not to be had, or was cleared. */
    if (phase && phase[2] == 'a' && py.is_finalizing && py.is_finalizing())
        memtrack_last_census();
    return nothing();
}

static struct method collection_method = {"memtrack_gc_callback", on_collection, METH_VARARGS,
                                          "Counts collections for memtrack-preload."};

static void watch_collections(void)
{
    object *modules = py.PyImport_GetModuleDict(); /* borrowed */
    bool is_there = py.PyDict_GetItemString(modules, "gc");
    object *gc = py.PyImport_ImportModule("gc");
    object *callbacks = gc ? py.PyObject_GetAttrString(gc, "callbacks") : NULL;
    object *function = callbacks ? py.PyCFunction_NewEx(&collection_method, NULL, NULL) : NULL;
    if (function)
        py.PyList_Append(callbacks, function);
    if (gc && !is_there)
        py.PyDict_DelItemString(modules, "gc"); /* sys.modules is as it was; the list is the interpreter's */
    py.Py_DecRef(function); /* NULL is fine */
    py.Py_DecRef(callbacks);
    py.Py_DecRef(gc);
}

/* ---- the end ---- */

static object *on_exit(object *self, object *arguments)
{
    (void)self;
    (void)arguments;
    memtrack_last_census();
    return nothing();
}

static struct method exit_method = {"memtrack_at_exit", on_exit, METH_VARARGS,
                                    "Waits until memtrack-preload has looked at the objects."};

/* Called last, since it is registered first. Before 3.10 the list is the module's, and sys.modules could not be left as it
 * is. */
static void watch_exit(void)
{
    if (!memtrack_rt.region || (memtrack_rt.region->python >> 16 & 255) < 10)
        return;
    object *modules = py.PyImport_GetModuleDict(); /* borrowed */
    bool is_there = py.PyDict_GetItemString(modules, "atexit");
    object *atexit_module = py.PyImport_ImportModule("atexit");
    object *enter = atexit_module ? py.PyObject_GetAttrString(atexit_module, "register") : NULL;
    object *function = enter ? py.PyCFunction_NewEx(&exit_method, NULL, NULL) : NULL;
    object *result = function ? py.PyObject_CallFunction(enter, "O", function) : NULL;
    if (atexit_module && !is_there)
        py.PyDict_DelItemString(modules, "atexit");
    py.Py_DecRef(result); /* NULL is fine */
    py.Py_DecRef(function);
    py.Py_DecRef(enter);
    py.Py_DecRef(atexit_module);
}

/* ---- the module ---- */

static object *module_checkpoint(object *self, object *arguments)
{
    (void)self;
    const char *label = NULL;
    if (!py.PyArg_ParseTuple(arguments, "s:checkpoint", &label))
        return NULL;
    memtrack_checkpoint(label);
    return nothing();
}

static object *module_gauge(object *self, object *arguments)
{
    (void)self;
    const char *name = NULL;
    double value = 0;
    if (!py.PyArg_ParseTuple(arguments, "sd:gauge", &name, &value))
        return NULL;
    memtrack_gauge(name, value);
    return nothing();
}

static struct method checkpoint_method = {"checkpoint", module_checkpoint, METH_VARARGS,
                                          "checkpoint(label)\n\nMarks this moment in the profile."};
static struct method gauge_method = {"gauge", module_gauge, METH_VARARGS,
                                     "gauge(name, value)\n\nSets a named figure of the profile."};

static bool add_method(object *module, struct method *method)
{
    object *function = py.PyCFunction_NewEx(method, NULL, NULL);
    bool is_added = function && py.PyObject_SetAttrString(module, method->name, function) == 0;
    py.Py_DecRef(function);
    return is_added;
}

/* Finder and loader in one: a module object whose functions the import system calls. */
static object *finder;

static object *find_spec(object *self, object *arguments)
{
    (void)self;
    const char *name = NULL;
    object *path = NULL, *target = NULL;
    if (!py.PyArg_ParseTuple(arguments, "s|OO", &name, &path, &target))
        return NULL;
    if (!finder || __builtin_strcmp(name, "memtrack") != 0)
        return nothing();
    object *machinery = py.PyImport_ImportModule("_frozen_importlib");
    object *make = machinery ? py.PyObject_GetAttrString(machinery, "ModuleSpec") : NULL;
    object *spec = make ? py.PyObject_CallFunction(make, "sO", name, finder) : NULL;
    py.Py_DecRef(make);
    py.Py_DecRef(machinery);
    return spec;
}

static object *create_module(object *self, object *arguments)
{
    (void)self;
    (void)arguments;
    return nothing(); /* an ordinary module */
}

static object *exec_module(object *self, object *arguments)
{
    (void)self;
    object *module = NULL;
    if (!py.PyArg_ParseTuple(arguments, "O", &module) || !add_method(module, &checkpoint_method) ||
        !add_method(module, &gauge_method))
        return NULL;
    return nothing();
}

static struct method finder_methods[] = {
    {"find_spec", find_spec, METH_VARARGS, NULL},
    {"create_module", create_module, METH_VARARGS, NULL},
    {"exec_module", exec_module, METH_VARARGS, NULL},
};

static void offer_module(void)
{
    object *sys = py.PyImport_ImportModule("sys");
    object *path = sys ? py.PyObject_GetAttrString(sys, "meta_path") : NULL;
    finder = path ? py.PyModule_New("memtrack-preload") : NULL;
    bool is_made = finder != NULL;
    for (int i = 0; is_made && i < 3; i++)
        is_made = add_method(finder, &finder_methods[i]);
    if (is_made)
        py.PyList_Append(path, finder);
    py.Py_DecRef(path);
    py.Py_DecRef(sys);
}

static int set_up(void *unused)
{
    (void)unused;
    object *type, *value, *trace;
    py.PyErr_Fetch(&type, &value, &trace);
    watch_collections();
    py.PyErr_Clear();
    watch_exit();
    py.PyErr_Clear();
    offer_module();
    py.PyErr_Restore(type, value, trace); /* also drops ours, if any */
    if (memtrack_rt.region)
        __atomic_fetch_add(&memtrack_rt.region->python, (uint32_t)(MEMTRACK_PYTHON_READY - MEMTRACK_PYTHON_WRAPPED),
                           __ATOMIC_RELAXED);
    return 0;
}

static bool is_complete;

void memtrack_python_resolve(void)
{
    is_complete = true;
#define MEMTRACK_FIND(result, name, parameters) \
    *(void **)&py.name = dlsym(RTLD_DEFAULT, #name); \
    is_complete &= py.name != NULL;
    MEMTRACK_PYTHON_API(MEMTRACK_FIND)
#undef MEMTRACK_FIND
    py.none = dlsym(RTLD_DEFAULT, "_Py_NoneStruct");
    *(void **)&py.is_finalizing = dlsym(RTLD_DEFAULT, "_Py_IsFinalizing");
    if (!py.is_finalizing)
        *(void **)&py.is_finalizing = dlsym(RTLD_DEFAULT, "Py_IsFinalizing"); /* its name from 3.13 on */
    is_complete &= py.none != NULL;
    (void)dlsym(RTLD_DEFAULT, "malloc"); /* drops the message of a failure, as in memtrack_resolve */
}

int64_t memtrack_python_allocated_blocks(void)
{
    object *type, *value, *trace, *function, *number;
    int64_t blocks = -1;
    if (!is_complete)
        return blocks;
    py.PyErr_Fetch(&type, &value, &trace);
    object *sys = py.PyImport_ImportModule("sys");
    function = sys ? py.PyObject_GetAttrString(sys, "getallocatedblocks") : NULL;
    number = function ? py.PyObject_CallFunction(function, NULL) : NULL;
    if (number)
        blocks = py.PyLong_AsLong(number);
    if (number)
        py.Py_DecRef(number);
    if (function)
        py.Py_DecRef(function);
    if (sys)
        py.Py_DecRef(sys);
    py.PyErr_Restore(type, value, trace);
    return blocks;
}

void memtrack_python_schedule(void)
{
    if (is_complete)
        py.Py_AddPendingCall(set_up, NULL);
}
