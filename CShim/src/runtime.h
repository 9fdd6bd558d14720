/* SPDX-License-Identifier: Apache-2.0
 *
 * DATA MODEL of the running shim
 *
 *   memtrack_rt     one per process: configuration, the mapped region, the intern tables. Plain memory,
 *                   so a forked child starts with its parent's values (and repairs them, see fork.c).
 *   memtrack_page   one page with MADV_WIPEONFORK. Its epoch is a multiple of 4 while all is well, and
 *                   reads 0 in a forked child: that is how the child finds out, at its next allocation.
 *                   dlclose raises the epoch by MEMTRACK_EPOCH_STEP, so that every thread drops its memo.
 *   memtrack_thread one per bank, owned by one thread at a time, never freed. memtrack_self names it.
 *                   `ready` equals the page's epoch between hooks and is odd inside a hook; so one compare tells
 *                   apart: normal / re-entered from a signal handler / forked / modules changed / new thread.
 *
 * RULES. Nothing here allocates from the heap, locks, enters the loader or calls stdio. The exceptions
 * are memtrack_boot (the first call, before any thread) and the constructor.
 */
#ifndef MEMTRACK_RUNTIME_H
#define MEMTRACK_RUNTIME_H

#include "memtrack/region.h"
#include "sys.h"
#include "unwind.h"

#include <dlfcn.h>

#define MEMTRACK_MAX_DEPTH 256u
#define MEMTRACK_DEFAULT_DEPTH 64u
#define MEMTRACK_MAX_COUNTER_INDEX (MEMTRACK_BANK_DIRECTORIES * MEMTRACK_CHUNKS_PER_DIRECTORY * \
                                    MEMTRACK_COUNTERS_PER_CHUNK)
#define MEMTRACK_EPOCH_STEP 4u
#define MEMTRACK_EPOCH_FIRST MEMTRACK_EPOCH_STEP
#define MEMTRACK_EPOCH_NEVER 2u  /* in memtrack_thread.epoch: no hook takes the short way */
#define MEMTRACK_READY_BUSY 1u   /* in memtrack_thread.ready: inside a hook; the other bits are the address of its mark */
#define MEMTRACK_MARK 0x6d74726bu /* what a running hook has in its mark, a word of its own frame */

enum memtrack_follow_exec {
    MEMTRACK_EXEC_INHERIT = 0, /* programs that get our environment are counted */
    MEMTRACK_EXEC_FORCE = 1,   /* those that do not, too: see exec.c */
    MEMTRACK_EXEC_OFF = 2      /* none but the launcher's own child, and what it forks */
};

struct memtrack_page {
    uint64_t epoch;
    uint32_t child_claim; /* set by the thread of a forked child that repairs the state */
};

struct memtrack_memo; /* memo.h */
struct memtrack_walk; /* stacks.h */
struct memtrack_python_cache; /* python_frames.h */

struct memtrack_thread {
    uint64_t ready;       /* see above */
    uint64_t epoch;       /* the page's epoch that `ready` returns to; 0: the thread is not set up yet */
    uintptr_t last_block; /* the newest block of this thread, for the temporary count */
    int64_t delta;        /* change of the live total since the last flush */
    int64_t headroom;     /* delta above which a free starts to come down from a new peak */
    struct memtrack_counters **chunks; /* counter index / 64 -> counters in the region, NULL if not made */
    uint8_t *visits;      /* by counter index / 64: how often one was asked for while there were none, see threads.c */
    uint32_t cell_bias;   /* id of a cell minus its counter index */
    uint32_t bank_index;
    struct memtrack_python_cache *python; /* NULL: none yet */
    struct memtrack_bank *bank;
    struct memtrack_memo *memo;
    struct memtrack_walk *walk;      /* scratch space */
    struct memtrack_walk *last_walk; /* the last one that was finished; the two change places */
    struct memtrack_walk *walks[2];  /* these two */
    uintptr_t stack_low;  /* [stack_low, stack_top) is known to be readable stack */
    uintptr_t stack_top;  /* 0: not known yet, the thread has only been seen on other stacks */
    uintptr_t stack_hole; /* an address below stack_low that is known not to belong to the stack */
    uint32_t tid;
    uint64_t sample_chance; /* state of the thread's random numbers, see sampling.c */
    int64_t sample_left;  /* bytes up to the next sample point */
    uint32_t multi;       /* this thread has seen that the process has several threads */
    /* CPython, see python_frames.h and python_hooks.c: */
    const char *const *python_where; /* where the interpreter keeps its present thread state; never NULL */
    const char *python_state;        /* the one that is this thread's */
    uintptr_t python_chunk;          /* index of the live map's chunk that a block was in last */
    uintptr_t python_slots;          /* that chunk's slots, less those of all addresses before it */
} __attribute__((aligned(128))); /* no two share a cache line, nor a pair of them */

struct memtrack_runtime {
    struct memtrack_page *page;      /* never NULL: a static page until boot */
    struct memtrack_header *region;  /* NULL before boot and where no region could be made */
    uint32_t cell_bias;              /* header.cell_base - MEMTRACK_FIRST_CELL */
    uint32_t stack_depth;
    uint32_t unwinder;               /* enum memtrack_unwinder */
    uint32_t allocator_unit_shift;   /* live map: 5 for glibc (32 bytes), 4 otherwise */
    uint64_t sample_bytes;           /* mean distance of two samples; 0: every allocation is counted with its stack */
    uint32_t special;                /* stacks are not taken by memo and rules alone: depth 1, libunwind, verification */
    uint32_t never_ready;            /* MEMTRACK_EPOCH_NEVER where each call must go the long way: special,
                                        pid_check, sampling */
    uint32_t is_sampling;            /* and a call whose block is not sampled may do without looking at the pid */
    uint32_t verify_stacks;
    uint32_t follow_children;
    uint32_t follow_exec;            /* enum memtrack_follow_exec */
    uint32_t pid;
    uint32_t stopped;
    uint32_t pid_check;              /* no MADV_WIPEONFORK: compare pids on every call */
    uint32_t region_backoff;         /* page requests to refuse before the kernel is asked again */
    uint64_t region_bytes;           /* capacity wished for; 0: the default */
    uint64_t region_pages;           /* capacity */
    uint64_t reserved_pages;         /* pages from the start that are known to be reserved */
    uint32_t locks_future;           /* the program has called mlockall(MCL_FUTURE) */
    uint64_t populate_missing;       /* the kernel has no MADV_POPULATE_WRITE */
    struct memtrack_counters **shared_chunks;        /* of bank 0 */
    uint32_t reclaim_hint;
    uint32_t acquire_backoff;        /* calls that do without a bank before one is looked for again */
    uint32_t threads_seen;
    uint64_t early_allocations;      /* of a forked child that could make no region yet */
    uint64_t early_bytes;
    uint32_t is_bare;                /* no launcher: `session` is the common directory of the user */
    char session[256];               /* directory of the region files */
    char region_name[64];
    char executable[512];
};

extern struct memtrack_runtime memtrack_rt __attribute__((visibility("hidden")));
/* By bank index; [0] is never used. */
extern struct memtrack_thread *memtrack_threads[MEMTRACK_BANKS] __attribute__((visibility("hidden")));
extern __thread struct memtrack_thread *memtrack_self
    __attribute__((visibility("hidden"), tls_model("initial-exec")));
extern struct memtrack_thread memtrack_no_thread __attribute__((visibility("hidden"))); /* of a thread without a bank */

/* runtime.c */
void memtrack_boot(void);                             /* once, at the first call of any hook */
/* NULL: handle as re-entrant or uncounted. For frame and mark see memtrack_enter. */
struct memtrack_thread *memtrack_enter_slow(const uintptr_t *frame, uint64_t *mark);
bool memtrack_enter_is_reentrant(void);
void memtrack_flush(struct memtrack_thread *thread);  /* hand delta to the process totals */
void memtrack_modules_changed(void);                  /* after dlclose */

/* fork.c */
void memtrack_resolve_fork(void);
bool memtrack_fork_prepare(void);                     /* where there is no MADV_WIPEONFORK; false: forks go unnoticed */
bool memtrack_is_forked_child(void);                  /* which has not been repaired yet */
void memtrack_fork_changed_modules(void);             /* in such a child */
bool memtrack_fork_repair(void);                      /* by its first allocation; false: not counted */

/* guard.c: false while the hook that the thread is BUSY with may be running */
bool memtrack_hook_is_abandoned(struct memtrack_thread *thread, const uintptr_t *frame);

/* altstack.c: is there too little room for a walk? And enough for making a region? */
bool memtrack_is_cramped(struct memtrack_thread *thread, const uintptr_t *frame);
bool memtrack_has_room_for_region(void);

/* region_file.c: creating the region and taking pages from it */
bool memtrack_region_create(const struct memtrack_header *parent, uint32_t cell_base); /* parent: NULL after exec */
uint32_t memtrack_region_take(uint32_t pages);        /* page index of zeroed, reserved pages; 0 if refused */
static inline void *memtrack_page_of(struct memtrack_header *region, uint32_t page)
{
    return (char *)region + (uint64_t)page * MEMTRACK_PAGE;
}
static inline void *memtrack_region_at(uint32_t page)
{
    return memtrack_page_of(memtrack_rt.region, page);
}

/* Entry `index` of the region's directory. Its page is there if something is named by an entry on it, or
 * memtrack_directory_reserve said so. */
static inline struct memtrack_directory_entry *memtrack_directory(struct memtrack_header *region, uint32_t index)
{
    return (struct memtrack_directory_entry *)(void *)((char *)region + MEMTRACK_DIRECTORY_OFFSET) + index;
}
bool memtrack_directory_reserve(struct memtrack_header *region, uint32_t index);
#define MEMTRACK_ENTRY(field) (offsetof(struct memtrack_directory_entry, field) / sizeof(uint32_t))
/* The page that a word of the region names, and that which an entry names; taken if there is none yet, NULL if refused. */
void *memtrack_page_named(struct memtrack_header *region, uint32_t *place);
void *memtrack_region_chunk(struct memtrack_header *region, uint32_t index, size_t field);

void memtrack_region_give_up(void);                   /* no region was even tried: leave a trace of this process */
long memtrack_read_file(const char *path, char *to, size_t size); /* bytes read, -1 where it cannot be opened */

/* identity.c: the header of a new region */
void memtrack_identity_write(struct memtrack_header *header, const struct memtrack_header *parent, uint32_t cell_base,
                             uint64_t created);

/* private.c */
void *memtrack_private_start(void);
/* Bytes of private memory that the process may have: the least of RLIMIT_AS and RLIMIT_DATA, which counts what is reserved
 * and never touched as well. */
uint64_t memtrack_private_limit(void);
uint64_t memtrack_private_reserved(void); /* what is mapped of it, in bytes */
void memtrack_private_publish(struct memtrack_header *header); /* lists it all in a new region */
void memtrack_private_after_fork(bool interrupted);
void memtrack_private_keep_on_fork(bool keep);        /* scratch memory too, or not */
struct memtrack_mapping memtrack_own_mapping(uint64_t start, uint64_t end); /* the first of the shim's in there */
void memtrack_unlock_own(void);                       /* munlock all of the shim's */

/* census.c: at the end of a program whose objects somebody wants to see: waits, bounded, until they have been looked at */
void memtrack_last_census(void);

/* reap.c: removes the oldest regions of ended processes from a directory that nobody looks after */
void memtrack_reap(long directory);

/* exec.c: our variables, for programs that are started without them */
void memtrack_exec_keep(const char *const *variables);

/* config.c */
void memtrack_configure(void);
const char *memtrack_config_value(const char *name);
size_t memtrack_config_arguments(char *to, size_t size);
const char *const *memtrack_config_variables(void);

/* threads.c: banks and their owners */
struct memtrack_thread *memtrack_thread_acquire(uint64_t *mark);
struct memtrack_counters *memtrack_counters_make(struct memtrack_thread *thread, uint32_t index);
struct memtrack_counters *memtrack_shared_counters(uint32_t index); /* bank 0 */
uintptr_t memtrack_stack_top(uintptr_t here);  /* where the thread's stack ends; 0: `here` is not on it */
void memtrack_threads_after_fork(uint32_t banks, bool interrupted);

/* nodes.c, cells.c: from (parent, frame) to node and from (stack, class) to cell; intern.c */
uint32_t memtrack_nodes(struct memtrack_walk *walk, uint32_t from, uint32_t end);
const struct memtrack_node *memtrack_node(uint32_t id); /* of an id that was handed out */
uint32_t memtrack_cell(uint32_t stack, uint32_t size_class); /* a cell id, never 0 */
void memtrack_intern_after_fork(void);

/* symbol.c: a function that an object itself defines; `dynamic` is its dynamic section, whose pointers lack
 * `pointer_bias`. NULL where there is none. */
void *memtrack_symbol(const void *dynamic, uintptr_t bias, uintptr_t pointer_bias, const char *name);
/* dlsym of RTLD_NEXT or RTLD_DEFAULT for a name that may be nobody's, without the message of a failure, which takes memory of
 * the program's malloc. For memtrack_resolve. */
void *memtrack_dlsym(void *where, const char *name);
/* Is this library the first in the program's scope that defines a function? In the constructor only. */
bool memtrack_is_first_definition(const char *name);
/* Not through the PLT: where a library of LD_AUDIT looks at calls, the loader would stand for the caller that dlsym asks for. */
extern __typeof__(dlsym) dlsym __attribute__((noplt));
void memtrack_clock_find(void);

/* A cell of a fork parent: what is freed of it was never in this process's live total, and does not leave it. */
MEMTRACK_INLINE bool memtrack_is_inherited(uint32_t cell)
{
    return cell >= MEMTRACK_FIRST_CELL && cell < memtrack_rt.cell_bias + MEMTRACK_FIRST_CELL;
}

/* modules.c */
uint16_t memtrack_module_index(const struct memtrack_object *object);
void memtrack_modules_after_fork(struct memtrack_header *parent); /* with the child's region in place */
uint16_t memtrack_module_of_text(const char *text, uint32_t most);
bool memtrack_module_has_text(uint16_t index, const char *text);

/* What `ready` is between hooks. It may never equal the page's epoch: with pid_check, every call looks at the pid. */
static inline uint64_t memtrack_epoch_for_threads(void)
{
    return MEMTRACK_LOAD_ACQUIRE(&memtrack_rt.page->epoch) | memtrack_rt.never_ready;
}

static inline bool memtrack_is_busy(const struct memtrack_thread *thread)
{
    return thread->ready & MEMTRACK_READY_BUSY;
}

/* The thread is inside a hook from now on. One store says so and says where, so that a handler finds all or nothing; the
 * mark tells a hook that is running from one that a handler left by longjmp, whose frame is something else by now. */
MEMTRACK_INLINE void memtrack_set_busy(struct memtrack_thread *thread, uint64_t *mark)
{
    *(volatile uint64_t *)mark = MEMTRACK_MARK;
    MEMTRACK_SIGNAL_FENCE();
    thread->ready = (uintptr_t)mark + MEMTRACK_READY_BUSY; /* one instruction with the address, unlike | */
    MEMTRACK_SIGNAL_FENCE();
}

static inline uint32_t memtrack_builtin_cell(enum memtrack_cell_kind kind, uint64_t size)
{
    return (uint32_t)kind * MEMTRACK_CLASSES + memtrack_size_class(size);
}

#define MEMTRACK_HEALTH(field, n) \
    do { \
        if (memtrack_rt.region) \
            MEMTRACK_ADD(&memtrack_rt.region->health.field, (uint64_t)(n)); \
    } while (0)

#endif
