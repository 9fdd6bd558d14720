/* SPDX-License-Identifier: Apache-2.0
 *
 * Python call stacks of what CPython allocates: `handler (bot.py:42)` instead of the interpreter's C frames. The model is in
 * python_frames.h; here is what happens where no recent stack is the present one, and when code objects are freed.
 */
#include "python_frames.h"

#include "python.h"

#include <dlfcn.h>

static const char *no_thread(void)
{
    return NULL;
}

const char *(*memtrack_python_thread)(void) = no_thread;
static const char *no_state; /* stays NULL */
static const char *const *present_state; /* where the interpreter keeps it; NULL: only its function knows */
static const char *(*own_thread)(void); /* also without the GIL; NULL: unknown */
static const struct memtrack_python_layout *at; /* NULL: no stacks are taken */
static MEMTRACK_LARGE struct memtrack_python_cache *caches[MEMTRACK_BANKS];
static uint32_t caches_end; /* none from here on */

/* The word that a function returns which does nothing else, `mov word(%rip), %rax; ret` or with its address read first; NULL
 * where it is another function. A call costs the hook more than all the rest of finding the innermost frame. */
static const char *const *word_of(const void *function)
{
    const uint8_t *code = function;
    int32_t offset;
    if (code[0] == 0xf3 && code[1] == 0x0f && code[2] == 0x1e && code[3] == 0xfa) /* endbr64 */
        code += 4;
    if (code[0] != 0x48 || code[1] != 0x8b || code[2] != 0x05)
        return NULL;
    __builtin_memcpy(&offset, code + 3, 4);
    const char *word = (const char *)code + 7 + offset;
    if (code[7] == 0xc3)
        return (const char *const *)(const void *)word;
    if (code[7] != 0x48 || code[8] != 0x8b || code[9] != 0x80 || code[14] != 0xc3)
        return NULL;
    __builtin_memcpy(&offset, code + 10, 4);
    return (const char *const *)(const void *)(*(const char *const *)(const void *)word + offset);
}

void memtrack_python_stacks(uint32_t minor)
{
    const char *value = memtrack_config_value("MEMTRACK_PYTHON_STACKS");
    void *get_thread = dlsym(RTLD_DEFAULT, "_PyThreadState_UncheckedGet");
    if (!get_thread)
        get_thread = dlsym(RTLD_DEFAULT, "PyThreadState_GetUnchecked"); /* its name from 3.13 on */
    dlerror(); /* as in memtrack_resolve */
    if ((value && value[0] == '0') || !get_thread || memtrack_rt.special)
        return;
    at = &memtrack_python_layouts[minor - MEMTRACK_PYTHON_FIRST];
    *(void **)&memtrack_python_thread = get_thread;
    present_state = word_of(get_thread);
    *(void **)&own_thread = dlsym(RTLD_DEFAULT, "PyGILState_GetThisThreadState");
    memtrack_python_native();
}

void memtrack_python_adopt(struct memtrack_thread *thread)
{
    thread->python = NULL;
    thread->python_where = &no_state;
    thread->python_state = (const char *)&no_state;
    thread->python_chunk = UINT64_MAX;
}

static void forget_stacks(struct memtrack_python_cache *cache)
{
    __builtin_memset(cache->recent, 0, sizeof(cache->recent));
    cache->path.length = 0;
}

static void empty(struct memtrack_python_cache *cache)
{
    forget_stacks(cache);
    __builtin_memset(cache->heads, 0, sizeof(cache->heads));
    __builtin_memset(cache->code_heads, 0, sizeof(cache->code_heads));
    __builtin_memset(cache->lines, 0, sizeof(cache->lines));
    __builtin_memset(cache->decoders, 0, sizeof(cache->decoders));
    cache->used = 0;
    cache->frames_used = MEMTRACK_PYTHON_FRAME_CUT + 1;
}

static struct memtrack_python_cache *cache_of(struct memtrack_thread *thread)
{
    struct memtrack_python_cache *cache = caches[thread->bank_index];
    if (!cache) {
        cache = memtrack_map_private(sizeof(struct memtrack_python_cache));
        if (!cache)
            return NULL;
        cache->none.size_class = UINT32_MAX;
        cache->frames_used = MEMTRACK_PYTHON_FRAME_CUT + 1; /* new memory is empty: to write zeros would cost its pages */
        MEMTRACK_STORE(&caches[thread->bank_index], cache);
        uint32_t end = MEMTRACK_LOAD(&caches_end);
        while (end <= thread->bank_index &&
               !__atomic_compare_exchange_n(&caches_end, &end, thread->bank_index + 1, false, __ATOMIC_RELEASE,
                                            __ATOMIC_RELAXED)) {
        }
    }
    thread->python = cache;
    return cache;
}

/* The stack that is the path. The newest one stands at its place itself, the one before it beside. */
static void remember(struct memtrack_python_cache *cache, uint32_t place, uint32_t size_class, uint32_t cell,
                     struct memtrack_counters *counters)
{
    const struct memtrack_python_path *path = &cache->path;
    uint32_t bytes = (uint32_t)(sizeof(struct memtrack_python_stack) + (path->length + 1) * sizeof(uint64_t));
    uint32_t *recent = &cache->recent[place], *beside = &cache->recent[place ^ 1], offset = *beside;
    struct memtrack_python_stack *stack = (void *)((char *)cache + offset);
    *beside = *recent;
    *recent = 0; /* a handler may leave in the midst of this */
    MEMTRACK_SIGNAL_FENCE();
    if (!offset || stack->count < path->length) {
        if (cache->used + bytes > MEMTRACK_PYTHON_ARENA) {
            __builtin_memset(cache->recent, 0, sizeof(cache->recent));
            cache->used = 0;
        }
        stack = (void *)(cache->arena + cache->used);
        offset = (uint32_t)offsetof(struct memtrack_python_cache, arena) + cache->used;
        cache->used += bytes;
    }
    *stack = (struct memtrack_python_stack){
        .counters = counters,
        .in_slot = size_class < memtrack_size_class(MEMTRACK_SMALL_LIMIT) ? memtrack_livemap_small(0, cell, 0)
                                                                          : memtrack_livemap_large(0, cell, 0),
        .cell = cell,
        .size_class = size_class,
        .count = path->length,
    };
    for (uint32_t i = 0; i < path->length; i++)
        stack->word[i] = path->word[path->length - 1 - i];
    stack->word[path->length] = path->is_cut ? MEMTRACK_PYTHON_CUT : MEMTRACK_PYTHON_END;
    MEMTRACK_SIGNAL_FENCE();
    *recent = offset;
}

/* The counters of a Python stack, or of `native` on top of it; NULL where there are none. */
static struct memtrack_counters *charge(struct memtrack_thread *thread, struct memtrack_python_cache *cache,
                                        uint64_t innermost, uint32_t native, uint64_t size, uint32_t *cell)
{
    uint32_t size_class = memtrack_size_class(size), key = size_class | native << 8;
    uint64_t word = memtrack_python_word(at, innermost), back = MEMTRACK_PYTHON_WORD(innermost, at->back);
    uint64_t outer = back ? memtrack_python_word(at, back) : 0;
    uint32_t place = memtrack_python_place(word, outer, key);
    const struct memtrack_python_stack *stack = memtrack_python_recall(at, cache, place, word, back, outer, key);
    if (!stack)
        stack = memtrack_python_recall(at, cache, place ^ 1, word, back, outer, key);
    if (stack) {
        *cell = stack->cell;
        return stack->counters;
    }
    if (cache->frames_used + MEMTRACK_PYTHON_DEPTH > MEMTRACK_PYTHON_FRAMES)
        empty(cache);
    uint32_t known = cache->frames_used, found = memtrack_python_find_frame(at, thread, cache, innermost);
    uint32_t node = found ? cache->frames[found].node : 0;
    if (node && native)
        node = memtrack_python_on_top(thread, native, &cache->frames[found]);
    *cell = node ? memtrack_cell(node, size_class) : 0;
    struct memtrack_counters *counters = *cell >= MEMTRACK_FIRST_CELL ? memtrack_counters_for(thread, *cell, size) : NULL;
    /* Half of the stacks of an import come once: one is remembered when it comes the second time. */
    if (counters && found < known && !memtrack_counters_are_shared(counters))
        remember(cache, place, key, *cell, counters);
    return counters;
}

struct memtrack_counters *memtrack_python_charge(struct memtrack_thread *thread, const uintptr_t *frame, uint64_t size,
                                                 uint32_t *cell)
{
    const char *state = at ? memtrack_python_thread() : NULL;
    uint64_t innermost = state ? memtrack_python_frame(at, state) : 0;
    struct memtrack_python_cache *cache = innermost ? cache_of(thread) : NULL;
    struct memtrack_counters *counters = NULL;
    if (cache) {
        if (present_state && *present_state == state) {
            thread->python_where = present_state;
            thread->python_state = state;
        }
        cache->has_other_states |= cache->own_state && cache->own_state != state;
        cache->own_state = state;
        counters = charge(thread, cache, innermost, 0, size, cell);
    }
    return counters ? counters : memtrack_charge(thread, frame, size, cell);
}

/* A thread that runs without the GIL is not in the interpreter's word for the present state: that is another thread's, which may
 * end at any moment, and is not looked into. Its own stands still, but may be gone where the main thread is finalising the
 * interpreter: so only the main thread's is read then. */
static const char *state_of(const struct memtrack_thread *thread)
{
    const char *own = thread->python->own_state;
    if (memtrack_python_thread() == own)
        return own;
    bool may_ask = own_thread && thread->tid == memtrack_rt.pid && !thread->python->has_other_states;
    return may_ask && own_thread() == own ? own : NULL;
}

struct memtrack_counters *memtrack_python_merged(struct memtrack_thread *thread, uint32_t stack, uint64_t size,
                                                 uint32_t *cell)
{
    const char *state = stack >> 24 ? NULL : state_of(thread);
    uint64_t innermost = state ? memtrack_python_frame(at, state) : 0;
    return innermost ? charge(thread, thread->python, innermost, stack, size, cell) : NULL;
}

/* The frames of one code object die: whatever stands at its addresses later has other words, or other frames. */
static void forget_in(struct memtrack_python_cache *cache, uint64_t code, uint64_t size)
{
    uint64_t mask = at->first ? UINT64_MAX : (UINT64_C(1) << 48) - 1;
    uint32_t found = cache->code_heads[memtrack_python_hash(code >> 4, 0, MEMTRACK_PYTHON_CODE_HEADS)];
    for (; found; found = cache->frames[found].next_of_code)
        if ((cache->frames[found].word & mask) - code < size)
            MEMTRACK_STORE(&cache->frames[found].word, UINT64_C(0));
    forget_stacks(cache);
    memtrack_python_forget_lines(cache, code);
}

void memtrack_python_forget(uintptr_t block, uint64_t size)
{
    if (!at || !memtrack_python_is_known_code(block))
        return;
    memtrack_python_forget_code(block);
    for (uint32_t i = 0, end = MEMTRACK_LOAD_ACQUIRE(&caches_end); i < end; i++) {
        struct memtrack_python_cache *cache = MEMTRACK_LOAD(&caches[i]);
        if (cache)
            forget_in(cache, block, size);
    }
}

/* The region is another one now. A cache that a hook of this thread was filling when a handler forked is left to it. */
void memtrack_python_after_fork(void)
{
    if (!at)
        return;
    for (uint32_t i = 0; i < caches_end; i++) {
        if (!caches[i])
            continue;
        if (memtrack_threads[i])
            empty(caches[i]);
        else
            caches[i] = NULL;
    }
    memtrack_python_names_after_fork();
}
