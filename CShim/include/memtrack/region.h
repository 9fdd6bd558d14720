/* SPDX-License-Identifier: Apache-2.0
 *
 * memtrack/region.h - the shared-memory region: the one contract between the
 * preloaded library (writer, C) and every reader (Swift, or yours).
 *
 * DATA MODEL
 *
 *   One process image owns one region: one sparse file of `file_bytes`, mapped
 *   MAP_SHARED by its writer. The file is a set of 4096-byte pages. Everything
 *   that refers to another part of the file does so by PAGE INDEX (u32, offset
 *   divided by 4096; 0 means "absent", because page 0 is the header). A page that
 *   no directory names holds nothing and must not be read: reading a hole of a
 *   tmpfs file through a mapping allocates memory.
 *
 *     header            page 0                  struct memtrack_header
 *     directory         from page 0, byte 3584  memtrack_directory_entry[8192]; entry n names
 *                                               -> chunk n of the nodes,   256 memtrack_node
 *                                               -> chunk n of the cells,   512 memtrack_cell
 *                                               -> chunk n of the modules, 8 memtrack_module
 *                                               -> bank n,                 memtrack_bank
 *     bank.chunks       u32[992]                -> pages of 64 memtrack_counters: the first 992
 *     bank.directories  u32[8]                  -> pages of u32[1024]
 *                                               -> pages of 64 memtrack_counters: all others
 *     gauges, markers   one page each, on first use
 *
 *   A chunk is a page. What a small program needs is on six pages. The directory's first 32 entries
 *   are on page 0; its other pages, 1 to 32, are there if their bit in header.directory_pages is set.
 *
 *   A NODE is one frame of a call stack: (parent node, return address, module).
 *   Stacks are paths in that trie; a stack is named by its innermost node.
 *   A CELL is (stack, size class). Counters are kept by cell, once per BANK; a
 *   bank belongs to one thread at a time, so that counting needs no atomic
 *   read-modify-write. The figure for a cell is the sum over all banks.
 *
 * HOW TO READ CONSISTENTLY
 *
 *   * Integers are little-endian and naturally aligned. Load words with acquire
 *     order (memtrack_load_u64); the writer publishes with release order.
 *   * Publication order: a chunk is filled before its directory entry is set; a
 *     node, cell or module is filled before the `*_next` count covers it... except
 *     that slots are handed out before they are filled, so a record whose `state`
 *     (node.module_index == MEMTRACK_MODULE_UNPUBLISHED, cell.stack == 0,
 *     module.state == 0) says "empty" is skipped.
 *   * Sum the frees of ALL banks first and the allocations of all banks after that:
 *     a live figure is then never negative through racing alone.
 *   * A peak pair is read under its sequence count, see memtrack_counters.
 *   * Every value in the file may be hostile: check each index and offset against
 *     the capacity constants below and against the size of the file.
 *
 * UNITS: bytes, blocks, nanoseconds. Sizes are the sizes requested by the program.
 */
#ifndef MEMTRACK_REGION_H
#define MEMTRACK_REGION_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MEMTRACK_MAGIC UINT64_C(0x314b52544d454d00) /* bytes: \0 M E M T R K 1 */
#define MEMTRACK_ABI_VERSION 3u
#define MEMTRACK_PAGE 4096u

/* Capacities. Each limit has an overflow cell and a health counter. */
#define MEMTRACK_NODE_CHUNKS 8192u
#define MEMTRACK_NODES_PER_CHUNK 256u
#define MEMTRACK_CELL_CHUNKS 1024u
#define MEMTRACK_CELLS_PER_CHUNK 512u
#define MEMTRACK_MODULE_CHUNKS 4096u /* each function of Python is a record, too */
#define MEMTRACK_MODULES_PER_CHUNK 8u
#define MEMTRACK_MODULES (MEMTRACK_MODULE_CHUNKS * MEMTRACK_MODULES_PER_CHUNK)
#define MEMTRACK_BANKS 1024u
#define MEMTRACK_BANK_CHUNKS 992u      /* pages of counters that a bank names itself */
#define MEMTRACK_BANK_DIRECTORIES 8u
#define MEMTRACK_CHUNKS_PER_DIRECTORY 1024u
#define MEMTRACK_COUNTERS_PER_CHUNK 64u

/* The directory: entry n is at byte MEMTRACK_DIRECTORY_OFFSET + 16 * n of the file. Each field is a page
 * index, 0 for none. */
struct memtrack_directory_entry {
    uint32_t nodes;
    uint32_t cells;
    uint32_t modules;
    uint32_t bank;
};
#define MEMTRACK_DIRECTORY_OFFSET 3584u
#define MEMTRACK_DIRECTORY_ENTRIES MEMTRACK_NODE_CHUNKS
#define MEMTRACK_FIRST_FREE_PAGE 33u

/* ---- size classes --------------------------------------------------------
 * Four a power of two, by the size requested. Class c holds the sizes from
 * memtrack_class_minimum(c) up to memtrack_class_minimum(c + 1) - 1:
 * 0, 1, 2, 3, 4, 5, 6, 7, 8-9, 10-11, 12-13, 14-15, 16-19, 20-23, ... */
#define MEMTRACK_CLASSES 192u

static inline uint32_t memtrack_size_class(uint64_t size)
{
    if (size < 4)
        return (uint32_t)size;
    uint32_t log2 = 63u - (uint32_t)__builtin_clzll(size);
    if (log2 > 48)
        return MEMTRACK_CLASSES - 1;
    return ((log2 - 1) << 2) | (uint32_t)((size >> (log2 - 2)) & 3);
}

static inline uint64_t memtrack_class_minimum(uint32_t size_class)
{
    if (size_class < 4)
        return size_class;
    uint32_t log2 = (size_class >> 2) + 1;
    return (UINT64_C(4) | (size_class & 3)) << (log2 - 2);
}

/* ---- cell ids -------------------------------------------------------------
 * 0 is no cell. Ids below MEMTRACK_FIRST_CELL are built in and have no record:
 * id = kind * MEMTRACK_CLASSES + size class. All other ids are numbered from
 * header.cell_base (MEMTRACK_FIRST_CELL, or in a forked child the parent's next
 * id), so that a child tells its own blocks from those it inherited.
 * The record of cell `id` is number id - cell_base of the cell table. The COUNTER INDEX of a cell is its id if
 * built in, else id - cell_base + MEMTRACK_FIRST_CELL; counters end at index 524,287. */
enum memtrack_cell_kind {
    MEMTRACK_KIND_NONE = 0,
    MEMTRACK_KIND_OVERFLOW = 1,  /* a table was full: site unknown, class exact      */
    MEMTRACK_KIND_REENTRANT = 2, /* a signal handler allocated inside a hook         */
    MEMTRACK_KIND_INHERITED = 3, /* frees of blocks that a fork parent had allocated */
    MEMTRACK_KIND_NO_STACK = 4,  /* stack could not be taken (no bank, stopped)      */
    MEMTRACK_KIND_COUNT = 5
};
#define MEMTRACK_FIRST_CELL 1024u
#define MEMTRACK_CELL_LIMIT 0x00ffffffu /* ids are 24 bits wide */

/* ---- records -------------------------------------------------------------- */

/* One frame. Node ids: 0 is the root (no frame). 16 bytes. */
struct memtrack_node {
    uint64_t address;      /* return address; for a frame of MEMTRACK_NODE_SIGNAL the exact pc */
    uint32_t parent;       /* node id of the caller, 0 at the outermost frame; always < own id,
                              a reader that meets parent >= id has met corruption            */
    uint16_t module_index; /* into modules; see the two values below                         */
    uint16_t flags;        /* MEMTRACK_NODE_*                                                 */
};
#define MEMTRACK_MODULE_UNPUBLISHED 0u /* record not filled yet; real indexes start at 1 */
#define MEMTRACK_MODULE_NONE 0xffffu   /* no module there: code made at run time (JIT)  */
#define MEMTRACK_NODE_SIGNAL 1u    /* frame interrupted by a signal: address is exact, do not subtract 1   */
#define MEMTRACK_NODE_TRUNCATED 2u /* outermost frame kept: the depth limit cut the callers off            */
#define MEMTRACK_NODE_INCOMPLETE 4u /* outermost frame: the unwinder could not go on (no unwind information) */

/* 8 bytes. */
struct memtrack_cell {
    uint32_t stack;      /* innermost node id; 0 = record not filled yet */
    uint32_t size_class; /* < MEMTRACK_CLASSES */
};

/* One loaded object. The same file mapped again at the same place keeps its index. 512 bytes. */
struct memtrack_module {
    uint32_t state;        /* 0 not filled yet, 1 filled */
    uint32_t flags;        /* MEMTRACK_MODULE_PATH_CUT */
    uint64_t start;        /* first address of the mapping  */
    uint64_t end;          /* first address after it        */
    uint64_t bias;         /* run-time address minus address in the file (l_addr) */
    uint32_t generation;   /* number of dlclose calls before this module was first seen */
    uint32_t build_id_bytes;
    uint8_t build_id[32];
    char path[440];        /* NUL-terminated; the main program's is its resolved path */
};
#define MEMTRACK_MODULE_PATH_CUT 1u
#define MEMTRACK_MODULE_PYTHON 2u /* no loaded object but code of CPython: start, end and bias are 0, `path` is
                                     "function\nfile", and the address of a node of it is the line, 0 if unknown */

/* Counters of one cell in one bank. One cache line, 64 bytes.
 *
 * A realloc counts as one free of the old block and one allocation of the new.
 * `temporary`: blocks freed with no other allocation by that thread in between.
 *
 * PEAK. header.peak_epoch goes up each time the process-wide live total passes its
 * last maximum. A bank that is about to change a cell whose peak_epoch is older first
 * stores the cell's signed live value of that moment. So this bank's share of the peak is
 * (peak_blocks, peak_bytes) where peak_epoch equals the header's, else the current value.
 * peak_sequence is odd while the pair is being written: read it, the three fields,
 * then it again, and repeat while odd or changed (give up after some tries). */
struct memtrack_counters {
    uint64_t allocations;
    uint64_t allocated_bytes;
    uint64_t frees;
    uint64_t freed_bytes;
    uint64_t temporary;
    uint32_t peak_sequence;
    uint32_t peak_epoch;
    int64_t peak_blocks;
    int64_t peak_bytes;
};

/* One bank: the counters of one thread at a time. Bank 0 is shared, and written with atomic instructions: by threads
 * that have counted little in a page of cells, or that found no free bank, and by re-entrant calls. */
struct memtrack_bank {
    uint32_t owner;          /* thread id that owns it, 0 free (bank 0: always 0)               */
    uint32_t flags;
    uint64_t owners;         /* threads that have owned it so far                              */
    uint64_t walks;          /* stacks that had to be unwound; the rest were answered by the memo */
    uint64_t full_walks;     /* of these, how many needed the full unwinder                      */
    uint64_t reserved0;
    uint32_t directories[MEMTRACK_BANK_DIRECTORIES]; /* page indexes; pages of u32[1024], which name those of the
                                                        counters from index 992 * 64 on: counter index =
                                                        ((directory * 1024 + entry) + 992) * 64 + place */
    uint32_t chunks[MEMTRACK_BANK_CHUNKS]; /* pages of 64 memtrack_counters: counter index = entry * 64 + place */
    uint8_t reserved[4096 - 72 - 4 * MEMTRACK_BANK_CHUNKS];
};

/* A labelled moment set by the program itself (memtrack_checkpoint). 64 bytes. */
struct memtrack_marker {
    uint64_t state;        /* 0 empty, 1 filled */
    uint64_t monotonic_ns; /* CLOCK_MONOTONIC */
    char label[48];        /* NUL-terminated; untrusted text */
};
#define MEMTRACK_MARKERS 64u /* one page, a ring: marker n is at n % 64 */

/* A named figure set by the program itself (memtrack_gauge). 64 bytes. */
struct memtrack_gauge_record {
    uint64_t state; /* 0 empty, 1 filled */
    double value;
    char name[48];  /* NUL-terminated; untrusted text */
};
#define MEMTRACK_GAUGES 64u /* one page */

/* What went wrong or was lost. All counts since the start of the image. */
struct memtrack_health {
    uint64_t overflow_nodes;     /* stacks not recorded because the trie was full          */
    uint64_t overflow_cells;     /* allocations counted in the overflow cells              */
    uint64_t reentrant;          /* allocations and frees by signal handlers inside a hook */
    uint64_t truncated_stacks;   /* distinct stacks cut by the depth limit                 */
    uint64_t incomplete_stacks;  /* distinct stacks that ended without reaching the start  */
    uint64_t foreign_stacks;     /* allocations made on a stack that is not the thread's own (coroutines) */
    uint64_t untracked_blocks;   /* blocks that could not be entered in the live map: counted as */
    uint64_t untracked_bytes;    /*   allocated and freed at once                            */
    uint64_t unknown_frees;      /* frees of blocks never seen (made before counting began)  */
    uint64_t early_blocks;       /* blocks from the bootstrap arena, not counted             */
    uint64_t region_refusals;    /* pages that the file system or a limit refused            */
    uint64_t shared_bank_calls;  /* allocations counted in bank 0 for want of a free bank    */
    uint64_t lost_markers;
    uint64_t lost_gauges;
    uint64_t children_lost;      /* forked children that could not make a region             */
    uint64_t verified_stacks;    /* --verify-stacks: stacks compared with libunwind          */
    uint64_t verify_mismatches;  /*   of these, different                                    */
    uint64_t verify_skipped;     /*   of these, not comparable (code without unwind information) */
    uint64_t uncounted_allocations; /* allocations for which not even an overflow counter could be had: */
    uint64_t uncounted_bytes;       /*   they are in no other figure                              */
    uint64_t confined;           /* seccomp filters of the program that forbid system calls of the shim */
    uint64_t lost_modules;       /* places in code whose module found no room in the table: no names for them */
    uint64_t lost_python_stacks; /* allocations by Python functions that found no room there: C frames stand for them */
    uint64_t foreign_malloc;     /* 1: the program calls another malloc than the shim's; what that does not pass on is not counted */
};

/* One private mapping of the shim in the target: where to look (/proc/PID/pagemap) for what the
 * profiler itself costs. */
struct memtrack_mapping {
    uint64_t start; /* address, page-aligned; 0 = unused entry */
    uint64_t bytes;
};
#define MEMTRACK_MAPPINGS 127u

enum memtrack_state {
    MEMTRACK_STATE_STARTING = 0,
    MEMTRACK_STATE_COUNTING = 1,
    MEMTRACK_STATE_STOPPED = 2
};
enum memtrack_stop_reason {
    MEMTRACK_STOP_NONE = 0,
    MEMTRACK_STOP_NO_MEMORY = 1,
    MEMTRACK_STOP_REQUESTED = 2
};
enum memtrack_origin {
    MEMTRACK_ORIGIN_EXEC = 0, /* a program that was started (or replaced itself by exec) */
    MEMTRACK_ORIGIN_FORK = 1  /* a forked child that went on without exec */
};
enum memtrack_unwinder {
    MEMTRACK_UNWINDER_RULES = 0,     /* pre-decoded call frame information and memo */
    MEMTRACK_UNWINDER_LIBUNWIND = 1,
    MEMTRACK_UNWINDER_CALL_SITE = 2  /* depth 1, or no other unwinder available */
};
/* header.python, low 16 bits: what MEMTRACK_OBJECTS=1 came to in a program with a Python interpreter */
enum memtrack_python {
    MEMTRACK_PYTHON_NONE = 0,    /* not asked for, or no CPython in the program's scope at its start */
    MEMTRACK_PYTHON_WRAPPED = 1, /* its allocator is wrapped. Still so when the program runs: it was told to use another
                                    one (PYTHONMALLOC, -X dev), whose blocks are those of malloc                  */
    MEMTRACK_PYTHON_READY = 2,   /* the interpreter is up, each object of its own is counted: the live map has a
                                    slot for 16 bytes, and small objects of pymalloc stand in it as blocks         */
    MEMTRACK_PYTHON_UNKNOWN = 3, /* without the GIL, older than 3.6, or up already and not to be touched: only what malloc
                                    sees is counted */
    MEMTRACK_PYTHON_MALLOC = 4   /* 3.6, 3.7, 3.14 or newer: all its blocks are malloc's, as with PYTHONMALLOC=malloc */
};
/* header.census. The one word that a reader writes: into the file, where the writer waits for it. */
enum memtrack_census {
    MEMTRACK_CENSUS_NONE = 0,    /* the program runs, has ended without one, or nobody is there to take it */
    MEMTRACK_CENSUS_WAITING = 1, /* it is about to end; the reader has been told through the session's FIFO `census`: a
                                    record of 8 bytes, header.created_monotonic_ns */
    MEMTRACK_CENSUS_BEGUN = 2,   /* by the reader: it looks                        */
    MEMTRACK_CENSUS_DONE = 3     /* by the reader: the program may go on           */
};
/* header.capabilities */
#define MEMTRACK_CAP_WIPE_ON_FORK 1u  /* forks are detected by the kernel; else by comparing pids */
#define MEMTRACK_CAP_GLIBC_MALLOC 2u  /* the next allocator is glibc's: live map unit 32, else 16  */
#define MEMTRACK_CAP_POPULATE 4u      /* pages are reserved through MADV_POPULATE_WRITE            */
#define MEMTRACK_CAP_FIND_OBJECT 8u   /* _dl_find_object exists                                    */
#define MEMTRACK_CAP_LIBUNWIND 16u    /* libunwind was loaded (verification or fallback)           */

/* Page 0. Text fields are NUL-terminated, cut where too long, and untrusted. */
struct memtrack_header {
    uint64_t magic;               /* MEMTRACK_MAGIC, written last: a file without it is not ready */
    uint32_t abi_version;         /* MEMTRACK_ABI_VERSION                                 */
    uint32_t header_bytes;        /* sizeof(struct memtrack_header)                       */
    uint64_t file_bytes;          /* capacity of the file                                 */
    uint64_t used_pages;          /* pages handed out so far, from the start of the file  */

    /* identity */
    uint32_t pid;                 /* in the writer's own PID namespace                    */
    uint32_t parent_pid;
    uint64_t created_boottime_ns; /* CLOCK_BOOTTIME: a process of this pid that started later is another */
    uint64_t pid_namespace;       /* inode of /proc/self/ns/pid; 0 if unreadable           */
    uint64_t created_realtime_ns; /* CLOCK_REALTIME                                       */
    uint64_t created_monotonic_ns; /* CLOCK_MONOTONIC                                     */
    uint64_t parent_created_monotonic_ns; /* of the region of the fork parent; 0 if origin is exec */
    uint8_t boot_id[40];          /* text of /proc/sys/kernel/random/boot_id; empty below /dev/shm, which ends with it */
    uint32_t uid;
    uint32_t origin;              /* enum memtrack_origin */
    uint8_t shim_build_id[32];
    uint32_t shim_build_id_bytes;
    uint32_t capabilities;        /* MEMTRACK_CAP_* */
    char executable[512];         /* resolved path of the program                          */
    char command_line[512];       /* arguments, separated by NUL; command_line_bytes long  */
    uint32_t command_line_bytes;

    /* configuration */
    uint32_t stack_depth;         /* most frames kept for a stack                          */
    uint32_t unwinder;            /* enum memtrack_unwinder */
    uint32_t census;              /* enum memtrack_census */
    uint64_t sample_bytes;        /* 0: every allocation is counted                        */

    /* state */
    uint32_t state;               /* enum memtrack_state */
    uint32_t stop_reason;         /* enum memtrack_stop_reason */
    uint32_t module_generation;   /* dlclose calls so far                                  */
    uint32_t threads_seen_shared; /* 0 while only one bank has ever been used              */

    /* tables: records handed out so far */
    uint32_t node_next;           /* next node id (first is 1)                             */
    uint32_t cell_base;           /* first own cell id                                     */
    uint32_t cell_next;           /* next own cell id                                      */
    uint32_t module_next;         /* next module index (first is 1)                        */
    uint32_t bank_next;           /* bank indexes handed out so far, bank 0 included        */
    uint32_t marker_page;         /* page index or 0 */
    uint32_t gauge_page;          /* page index or 0 */
    uint32_t marker_next;         /* markers set so far */

    /* process totals, flushed by each thread every MEMTRACK_FLUSH_BYTES of change */
    int64_t live_bytes;           /* without the unflushed parts of the banks              */
    int64_t peak_bytes;           /* highest value that live_bytes has had                 */
    uint64_t peak_monotonic_ns;   /* when, CLOCK_MONOTONIC_COARSE                          */
    uint32_t peak_epoch;          /* goes up with every new peak; 0: none yet, the present is the peak */
    uint32_t flush_bytes;         /* MEMTRACK_FLUSH_BYTES: the slack of peak_bytes for each thread
                                     of a multi-threaded process; it is 0 with one thread */

    /* the live map, in the target's private memory (process_vm_readv), see livemap.h */
    uint64_t livemap_root;        /* address of u64[1 << 21], each 0 or the address of a chunk */
    uint32_t livemap_unit;        /* bytes of address space for each 4-byte slot: 32 or 16 */
    uint32_t livemap_chunk_shift; /* 26: a root entry covers 64 MiB */

    /* what the shim itself costs the target */
    uint64_t own_private_bytes;   /* private memory mapped by the shim (address space)     */
    uint64_t own_reserved_bytes;  /* address space reserved in all, region included        */

    struct memtrack_health health;

    uint32_t mapping_next;        /* entries of mappings that have been used, freed ones included    */
    uint32_t python;              /* MEMTRACK_PYTHON_*, and 3 << 24 | minor version << 16; 0: not asked for */
    uint32_t directory_pages;     /* bit n - 1: page n of the directory is there             */
    uint32_t weight_shift;        /* blocks in the counters of cells are multiples of 2^-weight_shift: 0, or with sampling 8 */
    struct memtrack_mapping mappings[MEMTRACK_MAPPINGS];

    uint64_t livemap_side;        /* address of struct memtrack_side_entry[MEMTRACK_SIDE_SLOTS]: the blocks that stand in
                                     no slot of the live map; 0 where the unit is 32, and all stand there */
    uint64_t python_before;       /* small blocks of an interpreter that was up before its allocator was wrapped, as many as
                                     there were then: in no other figure, and their frees in unknown_frees */
};

#define MEMTRACK_FLUSH_BYTES 65536u

/* A live block of at most 8 bytes, in the target's private memory as the live map is. */
struct memtrack_side_entry {
    uint64_t address; /* 0 never used, 1 free again */
    uint64_t block;   /* cell << 8 | size; written after the address */
};
#define MEMTRACK_SIDE_SLOTS (UINT64_C(1) << 20)

/* ---- accessors, for both sides --------------------------------------------- */
static inline uint64_t memtrack_load_u64(const void *p)
{
    return __atomic_load_n((const uint64_t *)p, __ATOMIC_ACQUIRE);
}
static inline int64_t memtrack_load_i64(const void *p)
{
    return __atomic_load_n((const int64_t *)p, __ATOMIC_ACQUIRE);
}
static inline uint32_t memtrack_load_u32(const void *p)
{
    return __atomic_load_n((const uint32_t *)p, __ATOMIC_ACQUIRE);
}
/* Soon to be read: for readers that go through a page of each bank, which no hardware foresees. */
static inline void memtrack_prefetch(const void *p)
{
    __builtin_prefetch(p);
}
static inline uint16_t memtrack_load_u16(const void *p)
{
    return __atomic_load_n((const uint16_t *)p, __ATOMIC_ACQUIRE);
}

#if defined(__cplusplus)
#define MEMTRACK_ASSERT_SIZE(type, bytes) static_assert(sizeof(struct type) == (bytes), #type)
#else
#define MEMTRACK_ASSERT_SIZE(type, bytes) _Static_assert(sizeof(struct type) == (bytes), #type)
#endif
MEMTRACK_ASSERT_SIZE(memtrack_node, 16);
MEMTRACK_ASSERT_SIZE(memtrack_cell, 8);
MEMTRACK_ASSERT_SIZE(memtrack_module, 512);
MEMTRACK_ASSERT_SIZE(memtrack_counters, 64);
MEMTRACK_ASSERT_SIZE(memtrack_bank, 4096);
MEMTRACK_ASSERT_SIZE(memtrack_marker, 64);
MEMTRACK_ASSERT_SIZE(memtrack_gauge_record, 64);
MEMTRACK_ASSERT_SIZE(memtrack_health, 192);
MEMTRACK_ASSERT_SIZE(memtrack_side_entry, 16);
MEMTRACK_ASSERT_SIZE(memtrack_header, MEMTRACK_DIRECTORY_OFFSET);
MEMTRACK_ASSERT_SIZE(memtrack_directory_entry, 16);

#ifdef __cplusplus
}
#endif
#endif
