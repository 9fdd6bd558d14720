/* SPDX-License-Identifier: Apache-2.0
 *
 * Demanglers behind one function. The scheme is chosen by the prefix of the name,
 * so that a C function called "d" or "f" is never taken for a mangled type.
 *
 * C++ and Rust print through a callback: the output is cut off at a limit by a
 * longjmp out of the printer. Both printers keep their state on the stack (Rust
 * may hold one small buffer while it prints a punycode identifier, which then
 * leaks: only a hostile name gets there).
 */
#include "memtrack_demangle.h"

#include <libiberty/demangle.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* The demanglers recurse once a character in the worst case, with 320 bytes of stack
 * each time (measured: 2.5 MiB for 8,192). Short names are safe on any thread. */
#define SHORT_NAME 1024u
#define LONG_NAME_STACK (8u << 20)

/* From swift/include/swift/Demangling/Demangle.h; exported by libswiftCore.
 * With a NULL buffer the result is allocated with malloc. */
char *swift_demangle(const char *mangled, size_t length, char *buffer, size_t *buffer_size,
                     uint32_t flags);

struct output {
    char *text;
    size_t length;
    size_t capacity;
    jmp_buf give_up;
};

static void append(const char *part, size_t length, void *opaque)
{
    struct output *out = opaque;
    if (length >= MEMTRACK_DEMANGLE_OUTPUT_LIMIT - out->length)
        longjmp(out->give_up, 1);
    size_t needed = out->length + length + 1;
    if (needed > out->capacity) {
        size_t capacity = needed < 512 ? 1024 : needed * 2;
        char *text = realloc(out->text, capacity);
        if (!text)
            longjmp(out->give_up, 1);
        out->text = text;
        out->capacity = capacity;
    }
    memcpy(out->text + out->length, part, length);
    out->length += length;
    out->text[out->length] = '\0';
}

typedef int (*printer)(const char *mangled, int options, demangle_callbackref, void *opaque);

static char *print_bounded(printer print, const char *name, int options)
{
    struct output out = {0};
    options |= DMGL_PARAMS | DMGL_ANSI;
    if (setjmp(out.give_up) == 0 && print(name, options, append, &out) && out.length)
        return out.text;
    free(out.text);
    return NULL;
}

static int has_prefix(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

/* libiberty's limit on the recursion stays for Rust, whose back references may form a
 * loop. For C++ it is one on the length, 1,024 characters, which real names pass. */
static char *demangle_rust(const char *name)
{
    return print_bounded(rust_demangle_callback, name, 0);
}

static char *demangle_cplusplus(const char *name)
{
    return print_bounded(cplus_demangle_v3_callback, name, DMGL_NO_RECURSE_LIMIT);
}

static char *demangle_here(const char *name, size_t length)
{
    if (has_prefix(name, "_R"))
        return demangle_rust(name);
    if (has_prefix(name, "_Z")) {
        /* Rust's legacy scheme is C++'s with a hash as the last part. */
        char *rust = has_prefix(name, "_ZN") ? demangle_rust(name) : NULL;
        return rust ? rust : demangle_cplusplus(name);
    }
    if (has_prefix(name, "_GLOBAL_"))
        return demangle_cplusplus(name);
    if (has_prefix(name, "_D"))
        return dlang_demangle(name, 0);
    if (has_prefix(name, "$s") || has_prefix(name, "$S") || has_prefix(name, "_$s")
        || has_prefix(name, "_$S") || has_prefix(name, "$e") || has_prefix(name, "_T0")
        || has_prefix(name, "@__swiftmacro_"))
        return swift_demangle(name, length, NULL, NULL, 0);
    return NULL;
}

struct job {
    const char *name;
    size_t length;
    char *result;
};

static void *run_job(void *argument)
{
    struct job *job = argument;
    job->result = demangle_here(job->name, job->length);
    return NULL;
}

/* On a thread whose stack is large enough for the deepest recursion. */
static char *demangle_elsewhere(const char *name, size_t length)
{
    struct job job = {name, length, NULL};
    pthread_attr_t attributes;
    pthread_t thread;
    if (pthread_attr_init(&attributes) != 0)
        return NULL;
    if (pthread_attr_setstacksize(&attributes, LONG_NAME_STACK) == 0
        && pthread_create(&thread, &attributes, run_job, &job) == 0)
        pthread_join(thread, NULL);
    pthread_attr_destroy(&attributes);
    return job.result;
}

char *memtrack_demangle(const char *name)
{
    size_t length = strnlen(name, MEMTRACK_DEMANGLE_INPUT_LIMIT + 1);
    if (length > MEMTRACK_DEMANGLE_INPUT_LIMIT)
        return NULL;
    return length <= SHORT_NAME ? demangle_here(name, length) : demangle_elsewhere(name, length);
}
