/* SPDX-License-Identifier: Apache-2.0
 *
 * memtrack/memtrack.h - what a program may say to the profiler, if it wants to.
 *
 * Include this header; link nothing. Where the profiler is not preloaded the weak
 * references are null and every call below does nothing.
 *
 *     memtrack_mark("cache warmed up");         // shows between two checkpoints
 *     memtrack_set_gauge("queue.length", n);    // shows in each process block
 *
 * Labels and names are cut after 47 bytes. All calls are async-signal-safe.
 */
#ifndef MEMTRACK_MEMTRACK_H
#define MEMTRACK_MEMTRACK_H

#ifdef __cplusplus
extern "C" {
#endif

/* Exported by libmemtrack_preload.so. */
extern void memtrack_checkpoint(const char *label) __attribute__((weak));
extern void memtrack_gauge(const char *name, double value) __attribute__((weak));

static inline void memtrack_mark(const char *label)
{
    if (memtrack_checkpoint)
        memtrack_checkpoint(label);
}

static inline void memtrack_set_gauge(const char *name, double value)
{
    if (memtrack_gauge)
        memtrack_gauge(name, value);
}

#ifdef __cplusplus
}
#endif
#endif
