/* SPDX-License-Identifier: Apache-2.0
 *
 * --follow-exec=force: programs that are started with an environment in which the library is missing get it back.
 *
 * A program may start another with an environment made from scratch: the library is then not loaded, and that is what
 * "inherit", the default, means. With "force" the functions of the exec and posix_spawn families put LD_PRELOAD and our
 * settings, as they were when this image started, into a copy of the environment where they are missing. The copy is on
 * the stack: these functions run in vfork children too, and after fork in programs with many threads.
 *
 * Not reached: system and popen after clearenv (libc's own, inner calls), and execve by a system call instruction.
 */
#define _GNU_SOURCE
#include "limits.h"
#include "next.h"
#include "runtime.h"

#include <alloca.h>
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <spawn.h>
#include <stdarg.h>
#include <unistd.h>

#define MEMTRACK_EXPORT __attribute__((visibility("default"), used))
#define MEMTRACK_KEPT 24u         /* our variables */
#define MEMTRACK_KEPT_BYTES 4096u

extern char **environ;

/* Our variables at the start of this image, and the library as the loader knows it. Written once, by the first hook. */
static MEMTRACK_LARGE char kept_text[MEMTRACK_KEPT_BYTES];
static char *kept[MEMTRACK_KEPT];
static uint32_t kept_count;
static const char *library;

static int (*next_execve)(const char *, char *const *, char *const *);
static int (*next_execvpe)(const char *, char *const *, char *const *);
static int (*next_fexecve)(int, char *const *, char *const *);
static int (*next_execveat)(int, const char *, char *const *, char *const *, int);
typedef int spawn_function(pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *,
                           char *const *, char *const *);
static spawn_function *next_posix_spawn, *next_posix_spawnp;

static bool begins_with(const char *text, const char *prefix)
{
    while (*prefix)
        if (*text++ != *prefix++)
            return false;
    return true;
}

void memtrack_resolve_exec(void)
{
    *(void **)&next_execve = dlsym(RTLD_NEXT, "execve");
    *(void **)&next_execvpe = dlsym(RTLD_NEXT, "execvpe");
    *(void **)&next_fexecve = dlsym(RTLD_NEXT, "fexecve");
    *(void **)&next_execveat = dlsym(RTLD_NEXT, "execveat");
    *(void **)&next_posix_spawn = dlsym(RTLD_NEXT, "posix_spawn");
    *(void **)&next_posix_spawnp = dlsym(RTLD_NEXT, "posix_spawnp");
}

void memtrack_exec_keep(const char *const *variables)
{
    struct memtrack_object own;
    if (!memtrack_object_find((uintptr_t)memtrack_exec_keep, &own))
        return;
    library = ((const struct link_map *)own.link_map)->l_name;
    size_t used = 0;
    for (; variables && *variables; variables++) {
        if (!begins_with(*variables, "MEMTRACK_"))
            continue;
        size_t length = __builtin_strlen(*variables) + 1;
        if (kept_count == MEMTRACK_KEPT || used + length > sizeof(kept_text))
            return;
        __builtin_memcpy(kept_text + used, *variables, length);
        kept[kept_count++] = kept_text + used;
        used += length;
    }
}

static bool is_separator(char c)
{
    return c == ' ' || c == ':' || c == 0;
}

/* Is the library one of the names in the value of LD_PRELOAD? */
static bool names_library(const char *value)
{
    while (*value) {
        const char *name = library;
        while (*name && *value == *name) {
            value++;
            name++;
        }
        if (!*name && is_separator(*value))
            return true;
        while (!is_separator(*value))
            value++;
        while (*value && is_separator(*value))
            value++;
    }
    return false;
}

static bool has_variable(char *const *environment, const char *variable)
{
    for (; environment && *environment; environment++) {
        size_t i = 0;
        while (variable[i] != '=' && (*environment)[i] == variable[i])
            i++;
        if (variable[i] == '=' && (*environment)[i] == '=')
            return true;
    }
    return false;
}

struct plan {
    size_t variables;     /* in the environment as it is */
    size_t preload_bytes; /* of the LD_PRELOAD to be made; 0: nothing is to be done */
    const char *others;   /* value of the LD_PRELOAD that is there */
};

static struct plan plan_for(char *const *environment)
{
    struct plan plan = {0, 0, NULL};
    if (memtrack_rt.follow_exec != MEMTRACK_EXEC_FORCE || !library || !library[0] ||
        (environment && !memtrack_readable((uintptr_t)environment))) /* the kernel's to refuse */
        return plan;
    for (; environment && environment[plan.variables]; plan.variables++)
        if (!plan.others && begins_with(environment[plan.variables], "LD_PRELOAD="))
            plan.others = environment[plan.variables] + 11;
    bool is_there = plan.others && names_library(plan.others);
    for (uint32_t i = 0; is_there && i < kept_count; i++)
        is_there = has_variable(environment, kept[i]);
    if (!is_there)
        plan.preload_bytes = sizeof("LD_PRELOAD=") + __builtin_strlen(library) + 1 +
                             (plan.others ? __builtin_strlen(plan.others) : 0);
    return plan;
}

static char *copy(char *to, const char *from)
{
    while (*from)
        *to++ = *from++;
    return to;
}

static char **fill(char **to, char *preload, char *const *environment, const struct plan *plan)
{
    char *at = copy(preload, "LD_PRELOAD=");
    if (!plan->others || !names_library(plan->others)) {
        at = copy(at, library);
        if (plan->others && plan->others[0])
            *at++ = ':';
    }
    if (plan->others)
        at = copy(at, plan->others);
    *at = 0;
    size_t count = 0;
    to[count++] = preload;
    for (size_t i = 0; i < plan->variables; i++)
        if (!begins_with(environment[i], "LD_PRELOAD="))
            to[count++] = environment[i];
    for (uint32_t i = 0; i < kept_count; i++)
        if (!has_variable(environment, kept[i]))
            to[count++] = kept[i];
    to[count] = NULL;
    return to;
}

/* In the caller's frame, where alloca must be. */
#define MEMTRACK_FOLLOW(environment) \
    memtrack_resolve(); \
    struct plan plan = plan_for(environment); \
    if (MEMTRACK_UNLIKELY(plan.preload_bytes)) \
        environment = fill(alloca((plan.variables + MEMTRACK_KEPT + 2) * sizeof(char *)), alloca(plan.preload_bytes), \
                           environment, &plan)

/* Around a call that does not come back where it succeeds. */
#define MEMTRACK_EXEC(function, arguments) \
    if (!(function)) { \
        errno = ENOSYS; \
        return -1; \
    } \
    memtrack_limits_exec(true); \
    (function)arguments; \
    int failure = errno; \
    memtrack_limits_exec(false); \
    errno = failure; \
    return -1

MEMTRACK_EXPORT int execve(const char *path, char *const arguments[], char *const environment[])
{
    char *const *given = environment;
    MEMTRACK_FOLLOW(given);
    MEMTRACK_EXEC(next_execve, (path, arguments, given));
}

MEMTRACK_EXPORT int execvpe(const char *file, char *const arguments[], char *const environment[])
{
    char *const *given = environment;
    MEMTRACK_FOLLOW(given);
    MEMTRACK_EXEC(next_execvpe, (file, arguments, given));
}

MEMTRACK_EXPORT int fexecve(int descriptor, char *const arguments[], char *const environment[])
{
    char *const *given = environment;
    MEMTRACK_FOLLOW(given);
    MEMTRACK_EXEC(next_fexecve, (descriptor, arguments, given));
}

MEMTRACK_EXPORT int execveat(int directory, const char *path, char *const arguments[], char *const environment[], int flags)
{
    char *const *given = environment;
    MEMTRACK_FOLLOW(given);
    MEMTRACK_EXEC(next_execveat, (directory, path, arguments, given, flags));
}

MEMTRACK_EXPORT int execv(const char *path, char *const arguments[])
{
    return execve(path, arguments, environ);
}

MEMTRACK_EXPORT int execvp(const char *file, char *const arguments[])
{
    return execvpe(file, arguments, environ);
}

MEMTRACK_EXPORT int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                                const posix_spawnattr_t *attributes, char *const arguments[], char *const environment[])
{
    char *const *given = environment;
    MEMTRACK_FOLLOW(given);
    return next_posix_spawn ? next_posix_spawn(pid, path, actions, attributes, arguments, given) : ENOSYS;
}

MEMTRACK_EXPORT int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
                                 const posix_spawnattr_t *attributes, char *const arguments[],
                                 char *const environment[])
{
    char *const *given = environment;
    MEMTRACK_FOLLOW(given);
    return next_posix_spawnp ? next_posix_spawnp(pid, file, actions, attributes, arguments, given) : ENOSYS;
}

/* The forms with a list of arguments: an array of them, and for execle the environment behind the NULL. */
#define MEMTRACK_LIST(first, list) \
    va_list list; \
    va_start(list, first); \
    size_t count = 1; \
    while (va_arg(list, const char *)) \
        count++; \
    va_end(list); \
    char **arguments = alloca((count + 1) * sizeof(char *)); \
    va_start(list, first); \
    arguments[0] = (char *)(uintptr_t)first; \
    for (size_t i = 1; i <= count; i++) \
        arguments[i] = va_arg(list, char *)

MEMTRACK_EXPORT int execl(const char *path, const char *first, ...)
{
    MEMTRACK_LIST(first, list);
    va_end(list);
    return execve(path, arguments, environ);
}

MEMTRACK_EXPORT int execlp(const char *file, const char *first, ...)
{
    MEMTRACK_LIST(first, list);
    va_end(list);
    return execvpe(file, arguments, environ);
}

MEMTRACK_EXPORT int execle(const char *path, const char *first, ...)
{
    MEMTRACK_LIST(first, list);
    char *const *environment = va_arg(list, char *const *);
    va_end(list);
    return execve(path, arguments, environment);
}
