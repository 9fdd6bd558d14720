/* SPDX-License-Identifier: Apache-2.0
 *
 * The shim's shared tables, used by many threads at once, in a program of their own: the sources of CShim/src as they are,
 * without the hooks. Built with ThreadSanitizer and run plainly under valgrind (make check-threads).
 *
 * Each thread interns the same stacks, in an order of its own, and a cell for each; meanwhile one takes private memory and
 * gives it back. At the end every id must lead back to the very stack it was given for, and be in the region.
 */
#define _GNU_SOURCE
#include "walk.h"

#include "intern.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define THREADS 6
#define STACKS 6000
#define DEPTH 12

/* What the files under test take from those that are not here. */
static struct memtrack_page page = {.epoch = MEMTRACK_EPOCH_FIRST};
struct memtrack_runtime memtrack_rt = {.page = &page};
uint8_t memtrack_denied[MEMTRACK_SYSCALLS];
struct memtrack_counters *memtrack_shared_counters(uint32_t index)
{
    (void)index; /* those of (region full): there are no counters here */
    return NULL;
}
void memtrack_python_after_fork(void)
{
}

static pthread_barrier_t start;
static unsigned long unsure[THREADS];
static uint32_t node_of[THREADS][STACKS], cell_of[THREADS][STACKS];

static struct memtrack_walk *make_walk(void)
{
    struct memtrack_walk *walk = calloc(1, sizeof(*walk));
    walk->frame = calloc(DEPTH, sizeof(*walk->frame));
    return walk;
}

/* Stack n: shares its outer frames with its neighbours. */
static void fill(struct memtrack_walk *walk, uint32_t n)
{
    walk->count = DEPTH;
    for (uint32_t i = 0; i < DEPTH; i++)
        walk->frame[i] = (struct memtrack_frame){
            .ip = 0x400000 + ((uint64_t)(n >> i) * 64 + i) * 16, .module = (uint16_t)(1 + n % 3 * (i == 0))};
}

/* Nobody else has it, and it was zeroed. Not told to ThreadSanitizer: it knows nothing of munmap by a raw system call. */
__attribute__((no_sanitize("thread"), noinline)) static bool is_ours(volatile char *piece, size_t bytes, char mark)
{
    bool good = true;
    for (size_t i = 0; i < bytes; i += 64) {
        good = good && piece[i] == 0;
        piece[i] = mark;
    }
    for (size_t i = 0; i < bytes; i += 64)
        good = good && piece[i] == mark;
    return good;
}

static void *work(void *argument)
{
    uint32_t self = (uint32_t)(uintptr_t)argument;
    struct memtrack_walk *walk = make_walk();
    pthread_barrier_wait(&start);
    for (uint32_t i = 0; i < STACKS; i++) {
        uint32_t n = (i * 7919 + self * 1009) % STACKS;
        fill(walk, n);
        node_of[self][n] = memtrack_nodes(walk, DEPTH, 0);
        cell_of[self][n] = memtrack_cell(node_of[self][n], n % 64);
        if (i % 64 == 0) {
            size_t bytes = (size_t)(1 + n % 5) * MEMTRACK_PAGE;
            char *piece = i % 128 ? memtrack_map_scratch(bytes) : memtrack_map_private(bytes);
            if (piece) {
                unsure[self] += !is_ours(piece, bytes, (char)(self + 1));
                memtrack_unmap_private(piece, bytes);
            }
        }
    }
    free(walk->frame);
    free(walk);
    return NULL;
}

static const struct memtrack_node *node_at(uint32_t id)
{
    uint32_t chunk = memtrack_directory(memtrack_rt.region, id / MEMTRACK_NODES_PER_CHUNK)->nodes;
    return chunk ? (const struct memtrack_node *)memtrack_region_at(chunk) + id % MEMTRACK_NODES_PER_CHUNK : NULL;
}

static bool is_stack(uint32_t id, uint32_t n, struct memtrack_walk *walk)
{
    fill(walk, n);
    for (uint32_t i = 0; i < DEPTH; i++) {
        const struct memtrack_node *node = id ? node_at(id) : NULL;
        if (!node || node->address != walk->frame[i].ip || node->module_index != walk->frame[i].module)
            return false;
        id = node->parent;
    }
    return id == 0;
}

static bool is_cell(uint32_t id, uint32_t stack, uint32_t size_class)
{
    uint32_t number = id - MEMTRACK_FIRST_CELL;
    uint32_t chunk = memtrack_directory(memtrack_rt.region, number / MEMTRACK_CELLS_PER_CHUNK)->cells;
    const struct memtrack_cell *cell =
        (const struct memtrack_cell *)memtrack_region_at(chunk) + number % MEMTRACK_CELLS_PER_CHUNK;
    return cell->stack == stack && cell->size_class == size_class;
}

static void remove_session(void)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", memtrack_rt.session, memtrack_rt.region_name);
    unlink(path);
    rmdir(memtrack_rt.session);
}

/* Since Linux 5.14; before, pages of the region are reserved by its path. */
static bool needs_no_path(void)
{
    char *piece = mmap(NULL, MEMTRACK_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return madvise(piece, MEMTRACK_PAGE, MADV_POPULATE_WRITE) == 0;
}

int main(void)
{
    strcpy(memtrack_rt.session, "/dev/shm/memtrack-tables-XXXXXX");
    if (!mkdtemp(memtrack_rt.session))
        return 77;
    memtrack_rt.stack_depth = MEMTRACK_DEFAULT_DEPTH;
    memtrack_rt.allocator_unit_shift = 5;
    memtrack_clock_find();
    memtrack_private_start();
    unsigned long failed = 0, passed = 0;
    bool is_made = memtrack_region_create(NULL, MEMTRACK_FIRST_CELL);
    if (needs_no_path())
        remove_session(); /* it stays mapped, and nothing is left however this program ends */
    if (is_made) {
        pthread_t thread[THREADS];
        pthread_barrier_init(&start, NULL, THREADS);
        for (uintptr_t i = 0; i < THREADS; i++)
            pthread_create(&thread[i], NULL, work, (void *)i);
        for (int i = 0; i < THREADS; i++)
            pthread_join(thread[i], NULL);
        struct memtrack_walk *walk = make_walk();
        for (uint32_t i = 0; i < THREADS; i++) {
            failed += unsure[i];
            for (uint32_t n = 0; n < STACKS; n++) {
                bool good = is_stack(node_of[i][n], n, walk) && is_cell(cell_of[i][n], node_of[i][n], n % 64);
                passed += good;
                failed += !good;
            }
        }
        free(walk->frame);
        free(walk);
        /* Two threads may make two ids for a stack that both find new; that is rare. */
        uint32_t made = memtrack_rt.region->cell_next - MEMTRACK_FIRST_CELL;
        bool few = made >= STACKS && made < STACKS * 2;
        passed += few;
        failed += !few;
        printf("  %u cells for %u stacks, of %u threads\n", made, (unsigned)STACKS, (unsigned)THREADS);
    } else {
        failed++;
    }
    remove_session();
    printf("tables: %lu passed, %lu failed\n", passed, failed);
    return failed != 0;
}
