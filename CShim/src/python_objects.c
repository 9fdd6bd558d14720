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
 * then the region says WRAPPED and never READY, and malloc's blocks are what there is to see.
 */
#define _GNU_SOURCE
#include "python.h"

#include "hooks.h"
#include "record.h"
#include "shortway.h"

#include <dlfcn.h>

#define MEMTRACK_PYMALLOC_MOST 512u

/* PyMemAllocatorEx */
struct allocator {
    void *context;
    void *(*malloc)(void *context, size_t size);
    void *(*calloc)(void *context, size_t count, size_t size);
    void *(*realloc)(void *context, void *block, size_t size);
    void (*free)(void *context, void *block);
};
enum { DOMAIN_MEM = 1, DOMAIN_OBJ = 2 }; /* PyMemAllocatorDomain */

static void (*get_allocator)(int domain, struct allocator *allocator);
static void (*set_allocator)(int domain, struct allocator *allocator);
static const char *(*get_version)(void);
static int (*is_initialized)(void);
static struct allocator pymalloc[3]; /* by domain; never changes once it is wrapped */
static bool is_waiting;              /* for the interpreter to be up */

__thread uintptr_t memtrack_python_freeing __attribute__((tls_model("initial-exec")));
__thread uint32_t memtrack_python_calling __attribute__((tls_model("initial-exec")));

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
    *(void **)&get_allocator = dlsym(RTLD_DEFAULT, "PyMem_GetAllocator");
    *(void **)&set_allocator = dlsym(RTLD_DEFAULT, "PyMem_SetAllocator");
    *(void **)&get_version = dlsym(RTLD_DEFAULT, "Py_GetVersion");
    *(void **)&is_initialized = dlsym(RTLD_DEFAULT, "Py_IsInitialized");
}

bool memtrack_python_is_there(void)
{
    return get_allocator && set_allocator && get_version && is_initialized;
}

/* A block of pymalloc's arenas is never in there before it is put in. Tiny blocks stand in the side table. */
static bool is_counted(uintptr_t block, uint64_t size)
{
    if (size > MEMTRACK_TINY_LIMIT) {
        uint32_t half, *slot = memtrack_plain_slot(block, size, &half);
        uint32_t low = slot ? MEMTRACK_LOAD(slot) : 0;
        return low && ((low >> 1) & 1) == half;
    }
    return false;
}

static MEMTRACK_COLD void wait_no_longer(void)
{
    if (!is_initialized())
        return;
    is_waiting = false;
    memtrack_python_schedule();
}

/* Until memtrack_python_calling is 0 again; malloc's hooks look at it only on their long way. */
MEMTRACK_INLINE void begin_call(void)
{
    struct memtrack_thread *thread = memtrack_self;
    memtrack_python_calling = 1;
    if (thread->ready == MEMTRACK_LOAD(&memtrack_rt.page->epoch))
        thread->ready |= MEMTRACK_EPOCH_NEVER;
}

MEMTRACK_INLINE void *allocate(const struct allocator *next, size_t size, const uintptr_t *frame)
{
    if (MEMTRACK_UNLIKELY(size > MEMTRACK_PYMALLOC_MOST)) {
        begin_call();
        void *large = next->malloc(next->context, size);
        memtrack_python_calling = 0;
        return large;
    }
    void *block = next->malloc(next->context, size ? size : 1);
    if (MEMTRACK_UNLIKELY(!block) || MEMTRACK_UNLIKELY(is_counted((uintptr_t)block, size)))
        return block;
    if (MEMTRACK_UNLIKELY(is_waiting))
        wait_no_longer();
    return memtrack_python_allocated(block, size, frame);
}

static void *python_malloc(void *context, size_t size)
{
    return allocate(context, size, MEMTRACK_FRAME());
}

static void *python_calloc(void *context, size_t count, size_t size)
{
    const struct allocator *next = context;
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes) || bytes > MEMTRACK_PYMALLOC_MOST) {
        begin_call();
        void *large = next->calloc(next->context, count, size);
        memtrack_python_calling = 0;
        return large;
    }
    void *block = bytes ? next->calloc(next->context, count, size) : next->calloc(next->context, 1, 1);
    if (!block || is_counted((uintptr_t)block, bytes))
        return block;
    return memtrack_python_allocated(block, bytes, MEMTRACK_FRAME());
}

static void *python_realloc(void *context, void *block, size_t size)
{
    const struct allocator *next = context;
    const uintptr_t *frame = MEMTRACK_FRAME();
    if (!block)
        return allocate(next, size, frame);
    struct memtrack_block found = memtrack_realloc_begin(block, frame);
    begin_call();
    void *fresh = next->realloc(next->context, block, size ? size : 1);
    /* malloc's hooks have counted the new block where it is malloc's, but not the end of the old one, which was taken out
     * before they could see it. */
    if (fresh && (size > MEMTRACK_PYMALLOC_MOST || is_counted((uintptr_t)fresh, size)))
        memtrack_realloc_freed(block, found, frame);
    else
        memtrack_realloc_end(block, found, fresh, size, frame);
    memtrack_python_calling = 0;
    return fresh;
}

static void python_free(void *context, void *block)
{
    const struct allocator *next = context;
    uint32_t half, *slot = memtrack_plain_slot((uintptr_t)block, UINT64_MAX, &half);
    uint32_t low = slot ? MEMTRACK_LOAD(slot) : 0;
    /* A code object has more than MEMTRACK_SMALL_LIMIT bytes: most blocks need not be looked for among them. */
    if (low & 1 || !low || ((low >> 1) & 1) != half)
        memtrack_python_forget(block);
    if (low & 1 && ((low >> 1) & 1) == half) {
        uint64_t word;
        __builtin_memcpy(&word, slot, 8);
        if (word >> 26 > MEMTRACK_PYMALLOC_MOST) {
            next->free(next->context, block); /* malloc's */
            return;
        }
    }
    memtrack_record_free(block, MEMTRACK_FRAME());
    memtrack_python_freeing = (uintptr_t)block;
    next->free(next->context, block);
    memtrack_python_freeing = 0;
}

static bool is_known_version(uint32_t *version)
{
    const char *text = get_version();
    uint32_t minor = 0;
    if (!text || text[0] != '3' || text[1] != '.')
        return false;
    for (text += 2; *text >= '0' && *text <= '9' && minor < 255; text++)
        minor = minor * 10 + (uint32_t)(*text - '0');
    *version = 3u << 8 | minor;
    for (const char *rest = text; *rest; rest++)
        if (__builtin_strncmp(rest, "free-threading", 14) == 0)
            return false;
    return minor >= 8 && minor <= 13;
}

void memtrack_python_wrap(void)
{
    uint32_t version = 0;
    if (memtrack_rt.stopped || !memtrack_rt.region || !memtrack_python_is_there())
        return;
    if (is_initialized() || !is_known_version(&version)) {
        MEMTRACK_STORE(&memtrack_rt.region->python, version << 16 | (uint32_t)MEMTRACK_PYTHON_UNKNOWN);
        return;
    }
    memtrack_python_resolve();
    memtrack_python_stacks(version & 255);
    is_waiting = true;
    MEMTRACK_STORE(&memtrack_rt.region->python, version << 16 | (uint32_t)MEMTRACK_PYTHON_WRAPPED);
    for (int domain = DOMAIN_MEM; domain <= DOMAIN_OBJ; domain++) {
        get_allocator(domain, &pymalloc[domain]);
        struct allocator ours = {&pymalloc[domain], python_malloc, python_calloc, python_realloc, python_free};
        set_allocator(domain, &ours);
    }
}
