/* SPDX-License-Identifier: Apache-2.0
 *
 * `unwinding lock LIBRARY`   while one thread holds the loader's lock, another allocates from 4,096 stacks never seen, and
 *                            from a library never seen; 3 if that does not end
 * `unwinding deep N`         a block of 77 bytes at the end of N calls of a function to itself
 * `unwinding files PATH`     closes descriptors 3 to 63, opens a file six times instead, and allocates on pages of the stack
 *                            that nobody has seen; 4 if any of them is not that file then, or it is not empty
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SITE __attribute__((noinline, noclone))

static volatile int is_locked, is_done;
static void *(*plugin_make)(size_t);

/* The bits of `path` choose which of two call sites each level goes through. */
SITE static void *descend(int depth, unsigned path, size_t size)
{
    void *block;
    if (depth == 0) {
        block = malloc(size);
    } else if (path & 1) {
        block = descend(depth - 1, path >> 1, size);
        __asm__ volatile("# odd"); /* else the compiler makes one call of the two */
    } else {
        block = descend(depth - 1, path >> 1, size);
        __asm__ volatile("# even");
    }
    __asm__ volatile("" : : "r"(block) : "memory");
    return block;
}

static void *allocate(void *unused)
{
    (void)unused;
    while (!is_locked)
        usleep(1000);
    for (unsigned path = 0; path < 4096; path++)
        free(descend(12, path, 40));
    free(plugin_make(60));
    is_done = 1;
    return NULL;
}

static int hold(struct dl_phdr_info *info, size_t size, void *unused)
{
    (void)info, (void)size, (void)unused;
    is_locked = 1;
    for (int i = 0; i < 20000 && !is_done; i++)
        usleep(1000);
    return is_done ? 1 : 2;
}

SITE static void *deep(int depth)
{
    void *block = depth > 1 ? deep(depth - 1) : malloc(77);
    __asm__ volatile("" : : "r"(block) : "memory");
    return block;
}

SITE static void *far_down(int depth)
{
    _Alignas(64) volatile char room[5000]; /* a realigned frame: no shortcut for libunwind */
    room[0] = room[sizeof(room) - 1] = 0;
    void *block = depth ? far_down(depth - 1) : malloc(78);
    free(malloc((size_t)depth + 1));
    return room[0] ? NULL : block;
}

static int files(const char *path)
{
    for (int i = 3; i < 64; i++)
        close(i);
    int file[6];
    for (int i = 0; i < 6; i++)
        file[i] = open(path, O_RDWR | O_CREAT, 0600);
    free(far_down(100));
    for (int i = 0; i < 6; i++) {
        struct stat status;
        if (fstat(file[i], &status) != 0 || !S_ISREG(status.st_mode) || status.st_size != 0)
            return 4;
    }
    return 0;
}

int main(int count, char **arguments)
{
    if (count != 3)
        return 64;
    if (strcmp(arguments[1], "deep") == 0) {
        free(deep(atoi(arguments[2])));
        return 0;
    }
    if (strcmp(arguments[1], "files") == 0)
        return files(arguments[2]);
    void *library = dlopen(arguments[2], RTLD_NOW | RTLD_LOCAL);
    if (library)
        *(void **)&plugin_make = dlsym(library, "plugin_make");
    pthread_t thread;
    if (!plugin_make || pthread_create(&thread, NULL, allocate, NULL))
        return 1;
    if (dl_iterate_phdr(hold, NULL) != 1)
        _exit(3);
    pthread_join(thread, NULL);
    return 0;
}
