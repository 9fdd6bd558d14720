/* SPDX-License-Identifier: Apache-2.0
 *
 * What the target may say to the profiler (memtrack/memtrack.h), the constructor, and dlclose.
 *
 * Markers and gauges go straight into the region. A record is claimed by an atomic addition or compare-and-swap,
 * filled, then published by its state.
 */
#define _GNU_SOURCE
#include "hooks.h"
#include "next.h"
#include "python.h"

#include <dlfcn.h>

#define MEMTRACK_EXPORT __attribute__((visibility("default"), used))

static int (*next_dlclose)(void *);

void memtrack_resolve_dlclose(void)
{
    *(void **)&next_dlclose = dlsym(RTLD_NEXT, "dlclose");
}

/* dlopen is not interposed: the loader looks at its caller, for RUNPATH. dlclose is indifferent. */
MEMTRACK_EXPORT int dlclose(void *handle)
{
    memtrack_resolve();
    memtrack_modules_changed();
    int result = next_dlclose ? next_dlclose(handle) : -1;
    memtrack_modules_changed();
    return result;
}

static void *page_for(uint32_t *place)
{
    uint32_t page = MEMTRACK_LOAD_ACQUIRE(place);
    if (!page) {
        uint32_t fresh = memtrack_region_take(1);
        if (!fresh)
            return NULL;
        if (__atomic_compare_exchange_n(place, &page, fresh, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
            page = fresh;
    }
    return memtrack_region_at(page);
}

static void copy_label(char to[48], const char *from)
{
    int i = 0;
    for (; i < 47 && from && from[i]; i++)
        to[i] = from[i];
    for (; i < 48; i++)
        to[i] = 0;
}

/* A child that has not allocated since the fork must not write into its parent's region. */
static struct memtrack_header *own_region(void)
{
    const uintptr_t *frame = MEMTRACK_FRAME();
    uint64_t mark;
    struct memtrack_thread *thread = memtrack_enter(frame, &mark);
    if (thread)
        memtrack_leave(thread);
    return memtrack_rt.stopped || memtrack_is_forked_child() ? NULL : memtrack_rt.region;
}

void memtrack_checkpoint(const char *label);
MEMTRACK_EXPORT void memtrack_checkpoint(const char *label)
{
    struct memtrack_header *region = own_region();
    if (!region)
        return;
    struct memtrack_marker *markers = page_for(&region->marker_page);
    if (!markers) {
        MEMTRACK_HEALTH(lost_markers, 1);
        return;
    }
    struct memtrack_marker *marker = &markers[MEMTRACK_ADD(&region->marker_next, 1) % MEMTRACK_MARKERS];
    MEMTRACK_STORE_RELEASE(&marker->state, UINT64_C(0));
    marker->monotonic_ns = memtrack_clock_ns(CLOCK_MONOTONIC);
    copy_label(marker->label, label);
    MEMTRACK_STORE_RELEASE(&marker->state, UINT64_C(1));
}

static bool same_name(const char stored[48], const char *name)
{
    for (int i = 0; i < 47; i++) {
        if (stored[i] != name[i])
            return false;
        if (!name[i])
            return true;
    }
    return true;
}

void memtrack_gauge(const char *name, double value);
MEMTRACK_EXPORT void memtrack_gauge(const char *name, double value)
{
    struct memtrack_header *region = own_region();
    struct memtrack_gauge_record *gauges = region && name ? page_for(&region->gauge_page) : NULL;
    for (uint32_t i = 0; gauges && i < MEMTRACK_GAUGES; i++) {
        uint64_t state = MEMTRACK_LOAD_ACQUIRE(&gauges[i].state);
        if (state == 1 && same_name(gauges[i].name, name)) {
            __atomic_store(&gauges[i].value, &value, __ATOMIC_RELAXED);
            return;
        }
        if (state == 0 && __atomic_compare_exchange_n(&gauges[i].state, &state, UINT64_C(2), false, __ATOMIC_ACQ_REL,
                                                      __ATOMIC_RELAXED)) {
            copy_label(gauges[i].name, name);
            __atomic_store(&gauges[i].value, &value, __ATOMIC_RELAXED);
            MEMTRACK_STORE_RELEASE(&gauges[i].state, UINT64_C(1));
            return;
        }
    }
    if (region)
        MEMTRACK_HEALTH(lost_gauges, 1);
}

__attribute__((constructor)) static void memtrack_start(void)
{
    memtrack_resolve();
    if (memtrack_rt.verify_stacks || memtrack_rt.unwinder == MEMTRACK_UNWINDER_LIBUNWIND)
        memtrack_libunwind_load();
    memtrack_python_wrap();
}
