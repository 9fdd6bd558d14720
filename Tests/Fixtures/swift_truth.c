// SPDX-License-Identifier: Apache-2.0
/*
 * swift_truth.c - an independent list of the Swift objects of a program: preloaded, it stands in front of swift_allocObject
 * and of free. On SIGUSR1 it writes to the file that SWIFT_TRUTH names how many objects of each class live, a count and a
 * name a line. What the runtime's own library allocates does not pass here: arrays, strings, dictionaries.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define PLACES (1u << 21)
#define SHIFT 43
#define EXPORT __attribute__((visibility("default")))

struct name {
    const char *text;
    uintptr_t length;
};

/* Of each address that was ever an object, what it is now: the metadata, or NULL once it was freed. Open addressing;
 * an address keeps its place. */
static struct {
    uintptr_t address;
    const uint64_t *metadata;
} places[PLACES];
static const uint64_t *all[PLACES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static unsigned find(uintptr_t address)
{
    unsigned place = (unsigned)((address * 0x9e3779b97f4a7c15u) >> SHIFT);
    while (places[place].address && places[place].address != address)
        place = (place + 1) % PLACES;
    return place;
}

EXPORT void *swift_allocObject(const void *metadata, size_t size, size_t mask)
{
    static void *(*next)(const void *, size_t, size_t);
    if (!next)
        next = (void *(*)(const void *, size_t, size_t))dlsym(RTLD_NEXT, "swift_allocObject");
    void *object = next(metadata, size, mask);
    pthread_mutex_lock(&lock);
    unsigned place = find((uintptr_t)object);
    places[place].address = (uintptr_t)object;
    places[place].metadata = metadata;
    pthread_mutex_unlock(&lock);
    return object;
}

EXPORT void free(void *block)
{
    static void (*next)(void *);
    static __thread volatile int is_looking;
    if (!next) {
        if (is_looking)
            return; /* dlsym gives back the text of an error: it stays */
        is_looking = 1;
        next = (void (*)(void *))dlsym(RTLD_NEXT, "free");
        is_looking = 0;
    }
    pthread_mutex_lock(&lock);
    unsigned place = find((uintptr_t)block);
    if (places[place].address)
        places[place].metadata = NULL;
    pthread_mutex_unlock(&lock);
    next(block);
}

static int compare(const void *left, const void *right)
{
    uintptr_t a = *(const uintptr_t *)left, b = *(const uintptr_t *)right;
    return a < b ? -1 : a > b;
}

static void tell(int number)
{
    (void)number;
    struct name (*type_name)(const void *, int) =
        (struct name (*)(const void *, int))dlsym(RTLD_DEFAULT, "swift_getTypeName");
    FILE *out = fopen(getenv("SWIFT_TRUTH"), "w");
    if (!out || !type_name)
        return;
    size_t count = 0;
    for (unsigned place = 0; place < PLACES; place++)
        if (places[place].metadata && *places[place].metadata == 0) /* kind 0: a class */
            all[count++] = places[place].metadata;
    qsort(all, count, sizeof all[0], compare);
    for (size_t start = 0, end; start < count; start = end) {
        for (end = start; end < count && all[end] == all[start];)
            end++;
        struct name name = type_name(all[start], 1);
        fprintf(out, "%zu %.*s\n", end - start, (int)name.length, name.text);
    }
    fputs("end\n", out);
    fclose(out);
}

__attribute__((constructor)) static void begin(void)
{
    if (!getenv("SWIFT_TRUTH"))
        return;
    struct sigaction action = {.sa_handler = tell, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &action, NULL);
}
