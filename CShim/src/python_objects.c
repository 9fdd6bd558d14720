/* SPDX-License-Identifier: Apache-2.0
 *
 * CPython's objects without leaving pymalloc.
 *
 * pymalloc cuts blocks of up to 512 bytes out of arenas that it gets from mmap, where no malloc hook sees them. The
 * interpreter lets anybody wrap its allocator (PyMem_SetAllocator), also before it is initialised, so that each
 * block from the first is counted and stands in the live map; speed and memory stay those of pymalloc. Requests that it
 * hands on to malloc are counted there, once:
 *
 *   more than 512 bytes   go to malloc always
 *   0 bytes               would go to malloc as 1 byte: asked of pymalloc as 1 byte, so that all small ones are its own
 *   512 bytes or less     go to malloc where there is no memory for an arena: the block is in the live map already
 *
 * An interpreter that is told to use another allocator (PYTHONMALLOC, -X dev) puts it in the place of ours while it starts:
 * then the region says WRAPPED and never READY, and malloc's blocks are what there is to see. One whose version is not known is
 * told to use malloc for everything: MALLOC. One without a GIL has an allocator that cannot be replaced.
 */
#define _GNU_SOURCE
#include "python.h"

#include "python_frames.h"

#include <dlfcn.h>

enum { DOMAIN_RAW = 0, DOMAIN_MEM = 1, DOMAIN_OBJ = 2 }; /* PyMemAllocatorDomain */

static void (*get_allocator)(int domain, struct memtrack_python_allocator *allocator);
static void (*set_allocator)(int domain, struct memtrack_python_allocator *allocator);
static const char *(*get_version)(void);
static int (*is_initialized)(void);
static int (*holds_gil)(void);
static const char *(*allocator_name)(void);
static struct memtrack_python_allocator pymalloc[3]; /* by domain; never changes once it is wrapped */

bool memtrack_python_waits, memtrack_python_is_late;

/* Of a sample one cannot say what all the objects are: then there are none. */
static bool asked(void)
{
    const char *value = memtrack_config_value("MEMTRACK_OBJECTS");
    const char *sample = memtrack_config_value("MEMTRACK_SAMPLE");
    bool sampled = sample && *sample >= '1' && *sample <= '9';
    return value && value[0] == '1' && !value[1] && !sampled;
}

void memtrack_python_find(void)
{
    if (!asked())
        return;
    *(void **)&get_allocator = memtrack_dlsym(RTLD_DEFAULT, "PyMem_GetAllocator");
    *(void **)&set_allocator = memtrack_dlsym(RTLD_DEFAULT, "PyMem_SetAllocator");
    *(void **)&get_version = memtrack_dlsym(RTLD_DEFAULT, "Py_GetVersion");
    *(void **)&is_initialized = memtrack_dlsym(RTLD_DEFAULT, "Py_IsInitialized");
    *(void **)&holds_gil = memtrack_dlsym(RTLD_DEFAULT, "PyGILState_Check");
    *(void **)&allocator_name = memtrack_dlsym(RTLD_DEFAULT, "_PyMem_GetCurrentAllocatorName");
}

bool memtrack_python_is_there(void)
{
    return get_allocator && set_allocator && get_version && is_initialized;
}

MEMTRACK_COLD void memtrack_python_look(void)
{
    if (!is_initialized())
        return;
    memtrack_python_waits = false;
    memtrack_python_schedule();
}

/* The minor version of CPython 3 with a GIL; 0 for any other. */
static uint32_t minor_version(void)
{
    const char *text = get_version();
    uint32_t minor = 0;
    if (!text || text[0] != '3' || text[1] != '.')
        return 0;
    for (text += 2; *text >= '0' && *text <= '9' && minor < 255; text++)
        minor = minor * 10 + (uint32_t)(*text - '0');
    for (const char *rest = text; *rest; rest++)
        if (__builtin_strncmp(rest, "free-threading", 14) == 0)
            return 0;
    return minor;
}

/* The same as PYTHONMALLOC=malloc, but also under -I and -E, and not in the environment of what the program starts. */
static void use_malloc(void)
{
    struct memtrack_python_allocator raw;
    get_allocator(DOMAIN_RAW, &raw);
    set_allocator(DOMAIN_MEM, &raw);
    set_allocator(DOMAIN_OBJ, &raw);
}

/* A library's constructor may have started the interpreter before ours ran. Then it is wrapped all the same, where nobody
 * else can be in its allocator, and that is pymalloc. What it has made by then is counted, and in no other figure. */
static bool is_wrappable_late(void)
{
    const char *name = holds_gil && allocator_name && holds_gil() ? allocator_name() : NULL;
    if (!name || __builtin_strcmp(name, "pymalloc") != 0)
        return false;
    int64_t blocks = memtrack_python_allocated_blocks();
    if (blocks < 0)
        return false;
    memtrack_python_is_late = true;
    MEMTRACK_STORE(&memtrack_rt.region->python_before, (uint64_t)blocks);
    return true;
}

void memtrack_python_wrap(void)
{
    if (memtrack_rt.stopped || !memtrack_rt.region || !memtrack_python_is_there())
        return;
    uint32_t minor = minor_version(), version = 3u << 8 | minor, mode = MEMTRACK_PYTHON_UNKNOWN;
    bool is_known = minor >= 8 && minor <= 13;
    if (is_known)
        memtrack_python_resolve();
    if (is_initialized())
        mode = is_known && is_wrappable_late() ? MEMTRACK_PYTHON_WRAPPED : MEMTRACK_PYTHON_UNKNOWN;
    else if (minor >= 6) /* the first with PYTHONMALLOC: what is done here is known to work there */
        mode = is_known ? MEMTRACK_PYTHON_WRAPPED : MEMTRACK_PYTHON_MALLOC;
    MEMTRACK_STORE(&memtrack_rt.region->python, version << 16 | mode);
    if (mode == MEMTRACK_PYTHON_MALLOC)
        use_malloc();
    if (mode != MEMTRACK_PYTHON_WRAPPED)
        return;
    memtrack_python_stacks(minor);
    memtrack_python_waits = true;
    for (int domain = DOMAIN_MEM; domain <= DOMAIN_OBJ; domain++) {
        get_allocator(domain, &pymalloc[domain]);
        struct memtrack_python_allocator ours = memtrack_python_hooks[minor - MEMTRACK_PYTHON_FIRST];
        ours.context = &pymalloc[domain];
        set_allocator(domain, &ours);
    }
}
