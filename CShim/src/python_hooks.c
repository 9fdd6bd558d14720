/* SPDX-License-Identifier: Apache-2.0
 *
 * CPython's allocator, as the interpreter sees it: what python_objects.c puts in front of pymalloc.
 *
 * THE SHORT WAY. As in shortway.h: what needs nothing new is one stretch of code, here with one call in it, to the interpreter's
 * allocator. Each hook is made for one version of the interpreter, whose offsets are then constants. Functions that may stand
 * on a native stack are called memtrack_python_*: the reader takes them for allocation wrappers.
 *
 * A block of pymalloc is in no slot of the live map before it is put there: one that is came from malloc, and is counted.
 */
#include "hooks.h"
#include "python.h"
#include "python_frames.h"
#include "record.h"
#include "shortway.h"

#define MEMTRACK_PYMALLOC_MOST 512u

__thread uintptr_t memtrack_python_freeing __attribute__((tls_model("initial-exec")));
__thread uint32_t memtrack_python_calling __attribute__((tls_model("initial-exec")));

/* From here to end_call malloc's hooks go their long way: only there do they look at memtrack_python_calling. */
MEMTRACK_INLINE void begin_call(void)
{
    struct memtrack_thread *thread = memtrack_self;
    memtrack_python_calling = 1;
    if (thread->ready == MEMTRACK_LOAD(&memtrack_rt.page->epoch))
        thread->ready |= MEMTRACK_EPOCH_NEVER;
}

MEMTRACK_INLINE void end_call(void)
{
    struct memtrack_thread *thread = memtrack_self;
    if (thread->ready == (thread->epoch | MEMTRACK_EPOCH_NEVER))
        thread->ready = thread->epoch;
    memtrack_python_calling = 0;
}

MEMTRACK_INLINE uint32_t *slot_in_table(struct memtrack_thread *thread, uintptr_t block)
{
    uintptr_t index = block >> MEMTRACK_LIVEMAP_CHUNK_SHIFT;
    if (MEMTRACK_UNLIKELY(index >= MEMTRACK_LIVEMAP_ROOT_ENTRIES))
        return NULL;
    uint32_t *chunk = MEMTRACK_LOAD(&memtrack_livemap_root[index]);
    if (MEMTRACK_UNLIKELY(!chunk))
        return NULL;
    uintptr_t slots = (uintptr_t)chunk - (index << (MEMTRACK_LIVEMAP_CHUNK_SHIFT - 2));
    if (thread != &memtrack_no_thread && index) { /* no chunk in which NULL lies */
        thread->python_chunk = index;
        thread->python_slots = slots;
    }
    return (uint32_t *)slots + (block >> 4);
}

/* The slot of a block that pymalloc may have made, all of which start at multiples of 16: in a unit of its own, also
 * where it is tiny. NULL: no slots there yet. */
MEMTRACK_INLINE uint32_t *slot_of(struct memtrack_thread *thread, const void *block)
{
    uintptr_t address = (uintptr_t)block;
    if (MEMTRACK_UNLIKELY(address >> MEMTRACK_LIVEMAP_CHUNK_SHIFT != thread->python_chunk))
        return slot_in_table(thread, address);
    return (uint32_t *)thread->python_slots + (address >> 4);
}

MEMTRACK_INLINE struct memtrack_block read_slot(const uint32_t *slot)
{
    uint32_t low = MEMTRACK_LOAD(slot);
    if (!(low & 1))
        return (struct memtrack_block){low >> 8, low >> 2 & 63};
    uint64_t word;
    __builtin_memcpy(&word, slot, 8);
    return (struct memtrack_block){(uint32_t)(word >> 2) & MEMTRACK_CELL_LIMIT, word >> 26};
}

MEMTRACK_INLINE void fill_slot(uint32_t *slot, struct memtrack_block block)
{
    if (block.size < MEMTRACK_SMALL_LIMIT) {
        MEMTRACK_STORE(slot, memtrack_livemap_small(block.size, block.cell, 0));
    } else {
        uint64_t word = memtrack_livemap_large(block.size, block.cell, 0);
        __builtin_memcpy(slot, &word, 8);
    }
}

MEMTRACK_INLINE void clear_slot(uint32_t *slot, uint64_t size)
{
    uint64_t nothing = 0;
    if (size < MEMTRACK_SMALL_LIMIT)
        MEMTRACK_STORE(slot, 0u);
    else
        __builtin_memcpy(slot, &nothing, 8);
}

static MEMTRACK_LONG void *allocated_long(void *block, uint64_t size, const uintptr_t *frame)
{
    uint32_t *slot = slot_in_table(memtrack_self, (uintptr_t)block);
    if (slot && MEMTRACK_LOAD(slot))
        return block; /* malloc's, counted there: pymalloc had no memory for an arena */
    if (MEMTRACK_UNLIKELY(memtrack_python_waits))
        memtrack_python_look();
    memtrack_python_calling = 1;
    memtrack_allocated_other(block, size, frame);
    memtrack_python_calling = 0;
    return block;
}

MEMTRACK_INLINE void *count_allocated(struct memtrack_thread *thread, const struct memtrack_python_stack *stack,
                                      uint32_t *slot, void *block, uint64_t size)
{
    struct memtrack_counters *counters = stack->counters;
    uint64_t mark;
    memtrack_set_busy(thread, &mark);
    memtrack_counters_peak(counters, MEMTRACK_LOAD(&memtrack_rt.region->peak_epoch));
    MEMTRACK_BUMP(&counters->allocated_bytes, size);
    MEMTRACK_BUMP(&counters->allocations, 1);
    if (size < MEMTRACK_SMALL_LIMIT) {
        MEMTRACK_STORE(slot, (uint32_t)stack->in_slot + (uint32_t)(size * 4));
    } else {
        uint64_t word = stack->in_slot + (size << 26);
        __builtin_memcpy(slot, &word, 8);
    }
    thread->last_block = (uintptr_t)block;
    thread->delta += (int64_t)size;
    memtrack_leave(thread);
    return block;
}

/* The same as allocated_long where nothing is new, but the stack stands beside its place, or the interpreter's present thread
 * state is known to its own function alone. */
MEMTRACK_INLINE void *allocated_again(const struct memtrack_python_layout *at, void *block, uint64_t size,
                                      const uintptr_t *frame)
{
    if (!block)
        return NULL;
    const char *state = memtrack_python_thread(); /* a call, while there is least to keep */
    struct memtrack_thread *thread = memtrack_self;
    uint32_t *slot = slot_in_table(thread, (uintptr_t)block);
    struct memtrack_python_cache *cache = thread->python;
    uint64_t innermost;
    if (MEMTRACK_UNLIKELY(thread->ready != MEMTRACK_LOAD(&memtrack_rt.page->epoch)) ||
        MEMTRACK_UNLIKELY(!cache) || MEMTRACK_UNLIKELY(!slot) ||
        MEMTRACK_UNLIKELY(MEMTRACK_LOAD(slot)) ||
        MEMTRACK_UNLIKELY(thread->delta + (int64_t)size >= (int64_t)MEMTRACK_FLUSH_BYTES) ||
        MEMTRACK_UNLIKELY(!(innermost = memtrack_python_frame(at, state))))
        return allocated_long(block, size, frame);
    uint32_t size_class = memtrack_class_table[size];
    uint64_t word = memtrack_python_word(at, innermost), back = MEMTRACK_PYTHON_WORD(innermost, at->back);
    uint64_t outer = back ? memtrack_python_word(at, back) : 0;
    uint32_t place = memtrack_python_place(word, outer, size_class);
    const struct memtrack_python_stack *stack = memtrack_python_recall(at, cache, place, word, back, outer, size_class);
    if (!stack)
        stack = memtrack_python_recall(at, cache, place ^ 1, word, back, outer, size_class);
    return MEMTRACK_LIKELY(stack != NULL) ? count_allocated(thread, stack, slot, block, size)
                                          : allocated_long(block, size, frame);
}

typedef void *again_function(void *block, uint64_t size);

/* A block that pymalloc may have made, of at most MEMTRACK_PYMALLOC_MOST bytes, or NULL. No call, as in shortway.h: what does not
 * fit starts `again`, at the end of the hook, whose frame is then its own. */
MEMTRACK_INLINE void *allocated(const struct memtrack_python_layout *at, again_function *again, void *block, uint64_t size)
{
    struct memtrack_thread *thread = memtrack_self;
    const char *state;
    uint64_t innermost, back;
    if (at->minor >= 12) /* the present thread state is thread-local there: only a call gets it */
        return again(block, size);
    if (MEMTRACK_UNLIKELY(thread->ready != MEMTRACK_LOAD(&memtrack_rt.page->epoch)) ||
        MEMTRACK_UNLIKELY((state = MEMTRACK_LOAD(thread->python_where)) != thread->python_state) ||
        MEMTRACK_UNLIKELY(!(innermost = memtrack_python_known_frame(at, state))))
        return again(block, size);
    const struct memtrack_python_cache *cache = thread->python;
    const struct memtrack_python_stack *stack;
    uint32_t size_class = memtrack_class_table[size];
    uint64_t word = memtrack_python_word(at, innermost);
    if (MEMTRACK_LIKELY((back = MEMTRACK_PYTHON_WORD(innermost, at->back)) != 0)) {
        uint64_t outer = memtrack_python_word(at, back);
        uint32_t place = memtrack_python_place(word, outer, size_class);
        stack = memtrack_python_recall(at, cache, place, word, back, outer, size_class);
    } else {
        uint32_t place = memtrack_python_place(word, 0, size_class);
        stack = memtrack_python_recall(at, cache, place, word, 0, 0, size_class);
    }
    if (MEMTRACK_UNLIKELY(!stack))
        return again(block, size);
    uint32_t *slot;
    if (MEMTRACK_LIKELY((uintptr_t)block >> MEMTRACK_LIVEMAP_CHUNK_SHIFT == thread->python_chunk))
        slot = (uint32_t *)(thread->python_slots + ((uintptr_t)block >> 2)); /* a multiple of 16, as all of malloc's */
    else if (!block || !(slot = slot_in_table(thread, (uintptr_t)block)))
        return again(block, size);
    if (MEMTRACK_UNLIKELY(MEMTRACK_LOAD(slot)) ||
        MEMTRACK_UNLIKELY(thread->delta + (int64_t)size >= (int64_t)MEMTRACK_FLUSH_BYTES))
        return again(block, size);
    return count_allocated(thread, stack, slot, block, size);
}

static __attribute__((noinline)) void *memtrack_python_allocate(const struct memtrack_python_allocator *next, size_t size)
{
    void *block;
    if (!size) {
        block = next->malloc(next->context, 1);
        return block ? allocated_long(block, 0, MEMTRACK_FRAME()) : NULL;
    }
    begin_call();
    block = next->malloc(next->context, size);
    end_call();
    return block;
}

static __attribute__((noinline)) void *memtrack_python_allocate_zeroed(const struct memtrack_python_allocator *next,
                                                                       size_t count, size_t size)
{
    void *block;
    if (!count || !size) {
        block = next->calloc(next->context, 1, 1);
        return block ? allocated_long(block, 0, MEMTRACK_FRAME()) : NULL;
    }
    begin_call();
    block = next->calloc(next->context, count, size);
    end_call();
    return block;
}

MEMTRACK_INLINE void *allocate(const struct memtrack_python_layout *at, again_function *again,
                               const struct memtrack_python_allocator *next, size_t size)
{
    if (MEMTRACK_UNLIKELY(size - 1 >= MEMTRACK_PYMALLOC_MOST))
        return memtrack_python_allocate(next, size);
    return allocated(at, again, next->malloc(next->context, size), size);
}

MEMTRACK_INLINE void *allocate_zeroed(const struct memtrack_python_layout *at, again_function *again,
                                      const struct memtrack_python_allocator *next, size_t count, size_t size)
{
    size_t bytes;
    if (MEMTRACK_UNLIKELY(__builtin_mul_overflow(count, size, &bytes)) ||
        MEMTRACK_UNLIKELY(bytes - 1 >= MEMTRACK_PYMALLOC_MOST))
        return memtrack_python_allocate_zeroed(next, count, size);
    return allocated(at, again, next->calloc(next->context, count, size), bytes);
}

/* The counters of a block in the present thread, where its end needs nothing but to be counted; else NULL. */
MEMTRACK_INLINE struct memtrack_counters *counters_of(struct memtrack_thread *thread, struct memtrack_block found)
{
    uint32_t index = found.cell - thread->cell_bias; /* out of range where there is no cell */
    if (MEMTRACK_UNLIKELY(thread->ready != MEMTRACK_LOAD(&memtrack_rt.page->epoch)) ||
        MEMTRACK_UNLIKELY(index - MEMTRACK_FIRST_CELL >= MEMTRACK_MAX_COUNTER_INDEX - MEMTRACK_FIRST_CELL) ||
        MEMTRACK_UNLIKELY(thread->delta > thread->headroom) ||
        MEMTRACK_UNLIKELY(thread->delta - (int64_t)found.size <= -(int64_t)MEMTRACK_FLUSH_BYTES))
        return NULL;
    struct memtrack_counters *chunk = thread->chunks[index / MEMTRACK_COUNTERS_PER_CHUNK];
    return MEMTRACK_LIKELY(chunk != NULL) ? chunk + index % MEMTRACK_COUNTERS_PER_CHUNK : NULL;
}

/* Of a block that is free()d it clears the slot. */
MEMTRACK_INLINE void count_end(struct memtrack_thread *thread, struct memtrack_counters *counters, uint64_t size, bool is_free,
                               const void *block, uint32_t *slot)
{
    uint64_t mark;
    memtrack_set_busy(thread, &mark);
    if (is_free)
        clear_slot(slot, size);
    memtrack_counters_peak(counters, MEMTRACK_LOAD(&memtrack_rt.region->peak_epoch));
    MEMTRACK_BUMP(&counters->freed_bytes, size);
    MEMTRACK_BUMP(&counters->frees, 1);
    if (is_free && thread->last_block == (uintptr_t)block)
        MEMTRACK_BUMP(&counters->temporary, 1);
    thread->delta -= (int64_t)size;
    memtrack_leave(thread);
}

/* The block is taken out of the live map before the call, and put back if that fails. */
static __attribute__((noinline)) void *memtrack_python_reallocate(const struct memtrack_python_allocator *next, void *block,
                                                                  size_t size)
{
    const uintptr_t *frame = MEMTRACK_FRAME();
    uint32_t *slot = slot_in_table(memtrack_self, (uintptr_t)block);
    struct memtrack_block found = slot ? read_slot(slot) : (struct memtrack_block){0, 0};
    if (found.size >= MEMTRACK_PYTHON_CODE_LEAST)
        memtrack_python_forget((uintptr_t)block, found.size);
    found = memtrack_realloc_begin(block, frame);
    begin_call();
    void *fresh = next->realloc(next->context, block, size ? size : 1);
    end_call();
    if (!fresh) {
        memtrack_realloc_end(block, found, NULL, 0, frame);
        return NULL;
    }
    /* malloc's hooks have counted the new block where it is malloc's, but not the end of the old one, which was taken out
     * before they could see it. */
    memtrack_realloc_freed(found, frame);
    return size > MEMTRACK_PYMALLOC_MOST ? fresh : allocated_long(fresh, size, frame);
}

static __attribute__((noinline)) void *memtrack_python_reallocated(struct memtrack_block found, void *fresh, size_t size)
{
    memtrack_realloc_freed(found, MEMTRACK_FRAME());
    return allocated_long(fresh, size, MEMTRACK_FRAME());
}

/* Where both the old and the new block are pymalloc's: the same. */
MEMTRACK_INLINE void *reallocate(const struct memtrack_python_layout *at, again_function *again,
                                 const struct memtrack_python_allocator *next, void *block, size_t size)
{
    if (!block)
        return allocate(at, again, next, size);
    struct memtrack_thread *thread = memtrack_self;
    uint32_t *slot = slot_of(thread, block);
    struct memtrack_block found = slot ? read_slot(slot) : (struct memtrack_block){0, 0};
    struct memtrack_counters *counters = counters_of(thread, found);
    if (MEMTRACK_UNLIKELY(!counters) || MEMTRACK_UNLIKELY(size - 1 >= MEMTRACK_PYMALLOC_MOST) ||
        found.size > MEMTRACK_PYMALLOC_MOST ||
        (found.size >= MEMTRACK_PYTHON_CODE_LEAST && memtrack_python_may_be_code((uintptr_t)block)))
        return memtrack_python_reallocate(next, block, size);
    clear_slot(slot, found.size);
    begin_call();
    void *fresh = next->realloc(next->context, block, size);
    end_call();
    if (MEMTRACK_UNLIKELY(!fresh)) {
        fill_slot(slot, found);
        return NULL;
    }
    thread = memtrack_self;
    counters = counters_of(thread, found);
    if (MEMTRACK_UNLIKELY(!counters))
        return memtrack_python_reallocated(found, fresh, size);
    count_end(thread, counters, found.size, false, NULL, NULL);
    return allocated(at, again, fresh, size);
}

#define MEMTRACK_PYTHON_VERSIONS(X) X(8) X(9) X(10) X(11) X(12) X(13)
#define MEMTRACK_PYTHON_LAYOUT(minor) (&memtrack_python_layouts[minor - MEMTRACK_PYTHON_FIRST])
#define MEMTRACK_PYTHON_HOOKS(minor) \
    static __attribute__((noinline)) void *memtrack_python_again_##minor(void *block, uint64_t size) \
    { \
        block = allocated_again(MEMTRACK_PYTHON_LAYOUT(minor), block, size, MEMTRACK_FRAME()); \
        MEMTRACK_STAY(); \
        return block; \
    } \
    static void *memtrack_python_malloc_##minor(void *context, size_t size) \
    { \
        return allocate(MEMTRACK_PYTHON_LAYOUT(minor), memtrack_python_again_##minor, context, size); \
    } \
    static void *memtrack_python_realloc_##minor(void *context, void *block, size_t size) \
    { \
        return reallocate(MEMTRACK_PYTHON_LAYOUT(minor), memtrack_python_again_##minor, context, block, size); \
    } \
    static void *memtrack_python_calloc_##minor(void *context, size_t count, size_t size) \
    { \
        return allocate_zeroed(MEMTRACK_PYTHON_LAYOUT(minor), memtrack_python_again_##minor, context, count, size); \
    }
MEMTRACK_PYTHON_VERSIONS(MEMTRACK_PYTHON_HOOKS)

static __attribute__((noinline)) void free_long(const struct memtrack_python_allocator *next, void *block)
{
    if (MEMTRACK_UNLIKELY(memtrack_python_is_late) && memtrack_python_may_be_code((uintptr_t)block))
        memtrack_python_forget((uintptr_t)block, UINT64_MAX); /* perhaps made before we came: in no slot, of any size */
    memtrack_record_free(block, MEMTRACK_FRAME());
    memtrack_python_freeing = (uintptr_t)block;
    next->free(next->context, block);
}

/* `found` is what stands in the slot. */
MEMTRACK_INLINE void free_found(const struct memtrack_python_allocator *next, struct memtrack_thread *thread, void *block,
                                uint32_t *slot, struct memtrack_block found)
{
    struct memtrack_counters *counters = counters_of(thread, found);
    if (MEMTRACK_UNLIKELY(!counters)) {
        free_long(next, block);
        return;
    }
    count_end(thread, counters, found.size, true, block, slot);
    memtrack_python_freeing = (uintptr_t)block;
    next->free(next->context, block);
}

static __attribute__((noinline)) void free_code(const struct memtrack_python_allocator *next, void *block, uint32_t *slot)
{
    struct memtrack_block found = read_slot(slot);
    memtrack_python_forget((uintptr_t)block, found.size);
    if (found.size > MEMTRACK_PYMALLOC_MOST)
        next->free(next->context, block); /* malloc's */
    else
        free_found(next, memtrack_self, block, slot, found);
}

MEMTRACK_INLINE void free_at(const struct memtrack_python_allocator *next, struct memtrack_thread *thread, void *block,
                             uint32_t *slot)
{
    uint32_t low = MEMTRACK_LOAD(slot);
    if (MEMTRACK_LIKELY(!(low & 1))) {
        free_found(next, thread, block, slot, (struct memtrack_block){low >> 8, low >> 2 & 63});
        return;
    }
    uint64_t word;
    __builtin_memcpy(&word, slot, 8);
    struct memtrack_block found = {(uint32_t)(word >> 2) & MEMTRACK_CELL_LIMIT, word >> 26};
    if (found.size >= MEMTRACK_PYTHON_CODE_LEAST && memtrack_python_may_be_code((uintptr_t)block))
        free_code(next, block, slot);
    else if (MEMTRACK_UNLIKELY(found.size > MEMTRACK_PYMALLOC_MOST))
        next->free(next->context, block); /* malloc's */
    else
        free_found(next, thread, block, slot, found);
}

/* The slots of another chunk than the one before. */
static __attribute__((noinline)) void free_elsewhere(const struct memtrack_python_allocator *next, void *block)
{
    struct memtrack_thread *thread = memtrack_self;
    uint32_t *slot = slot_in_table(thread, (uintptr_t)block);
    if (slot)
        free_at(next, thread, block, slot);
    else
        free_long(next, block);
}

/* All calls stand at an end: no frame is made. */
static void memtrack_python_free(void *context, void *block)
{
    struct memtrack_thread *thread = memtrack_self;
    if (MEMTRACK_LIKELY((uintptr_t)block >> MEMTRACK_LIVEMAP_CHUNK_SHIFT == thread->python_chunk))
        free_at(context, thread, block, (uint32_t *)thread->python_slots + ((uintptr_t)block >> 4));
    else
        free_elsewhere(context, block);
}

#define MEMTRACK_PYTHON_ROW(minor) \
    {NULL, memtrack_python_malloc_##minor, memtrack_python_calloc_##minor, memtrack_python_realloc_##minor, \
     memtrack_python_free},
const struct memtrack_python_allocator memtrack_python_hooks[] = {MEMTRACK_PYTHON_VERSIONS(MEMTRACK_PYTHON_ROW)};
