/* SPDX-License-Identifier: Apache-2.0
 *
 * Settings, from the environment the program was started with. It is read from the initial stack, because the
 * first allocation may come before libc has set `environ`, and because the program may change its copy.
 */
#include "runtime.h"

#include <unistd.h>

extern void *__libc_stack_end __attribute__((weak)); /* in ld.so: address of argc */

static bool begins_with(const char *text, const char *prefix)
{
    while (*prefix)
        if (*text++ != *prefix++)
            return false;
    return true;
}

/* The environment of this process at its start; NULL where it cannot be found. For memtrack_boot alone: later putenv
 * may have put strings into this array that are gone by then. */
const char *const *memtrack_config_variables(void)
{
    if (!&__libc_stack_end || !__libc_stack_end)
        return NULL;
    const uintptr_t *at = __libc_stack_end;
    return (const char *const *)(at + 1 + at[0] + 1);
}

/* The arguments of the program as it was started, each with its NUL; returns the bytes written, `size` at most. */
size_t memtrack_config_arguments(char *to, size_t size)
{
    if (!&__libc_stack_end || !__libc_stack_end)
        return 0;
    const uintptr_t *at = __libc_stack_end;
    size_t written = 0;
    for (uintptr_t i = 0; i < at[0] && at[1 + i]; i++) {
        const char *text = (const char *)at[1 + i];
        do {
            if (written == size)
                return size;
            to[written++] = *text;
        } while (*text++);
    }
    return written;
}

/* The value of one variable in it; NULL if it was not set. */
const char *memtrack_config_value(const char *name)
{
    for (const char *const *variables = memtrack_config_variables(); variables && *variables; variables++) {
        if (begins_with(*variables, name)) {
            const char *rest = *variables;
            const char *n = name;
            while (*n) {
                rest++;
                n++;
            }
            if (*rest == '=')
                return rest + 1;
        }
    }
    return NULL;
}

static uint64_t number(const char *name, uint64_t otherwise, uint64_t least, uint64_t most)
{
    const char *text = memtrack_config_value(name);
    if (!text || *text < '0' || *text > '9')
        return otherwise;
    uint64_t value = 0;
    while (*text >= '0' && *text <= '9' && value <= most)
        value = value * 10 + (uint64_t)(*text++ - '0');
    if (value < least)
        return least;
    return value > most ? most : value;
}

void memtrack_configure(void)
{
    memtrack_rt.stack_depth = (uint32_t)number("MEMTRACK_STACK_DEPTH", MEMTRACK_DEFAULT_DEPTH, 1, MEMTRACK_MAX_DEPTH);
    memtrack_rt.verify_stacks = (uint32_t)number("MEMTRACK_VERIFY_STACKS", 0, 0, 1);
    memtrack_rt.follow_children = (uint32_t)number("MEMTRACK_CHILDREN", 1, 0, 1);
    const char *exec = memtrack_config_value("MEMTRACK_FOLLOW_EXEC");
    memtrack_rt.follow_exec = !exec                       ? MEMTRACK_EXEC_INHERIT
                              : begins_with(exec, "force") ? MEMTRACK_EXEC_FORCE
                              : begins_with(exec, "off")   ? MEMTRACK_EXEC_OFF
                                                           : MEMTRACK_EXEC_INHERIT;
    const char *unwinder = memtrack_config_value("MEMTRACK_UNWINDER");
    memtrack_rt.unwinder = MEMTRACK_UNWINDER_RULES;
    if (unwinder && begins_with(unwinder, "libunwind"))
        memtrack_rt.unwinder = MEMTRACK_UNWINDER_LIBUNWIND;
    if (memtrack_rt.stack_depth == 1)
        memtrack_rt.unwinder = MEMTRACK_UNWINDER_CALL_SITE;
    memtrack_rt.region_bytes = number("MEMTRACK_REGION_BYTES", 0, 0, UINT64_C(1) << 40);
    memtrack_rt.sample_bytes = number("MEMTRACK_SAMPLE", 0, 0, UINT64_C(1) << 40);
    const char *session = memtrack_config_value("MEMTRACK_SESSION");
    memtrack_rt.session[0] = 0;
    if (session && session[0] == '/') {
        size_t i = 0;
        for (; session[i] && i + 1 < sizeof(memtrack_rt.session); i++)
            memtrack_rt.session[i] = session[i];
        memtrack_rt.session[session[i] ? 0 : i] = 0; /* too long: as if not set */
    }
}
