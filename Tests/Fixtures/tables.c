/* SPDX-License-Identifier: Apache-2.0
 *
 * tables.c - fills the tables of the profiler that have a fixed size.
 *
 *   libraries DIR LIBRARY COUNT   loads as many copies of a library (tables.c with -DLIBRARY), each of which allocates once
 *   words                         1,000 marks and 1,000 gauges
 *   map                           blocks of 70 MB, the last two with no address space left for anything else
 */
#ifdef LIBRARY
#include <stdlib.h>

void *volatile tables_kept;

void tables_allocate(void)
{
    tables_kept = malloc(100);
}
#else
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../CShim/include/memtrack/memtrack.h"

#define LARGE ((size_t)70 << 20)

static int libraries(const char *directory, const char *library, int count)
{
    int from = open(library, O_RDONLY | O_CLOEXEC);
    off_t bytes = lseek(from, 0, SEEK_END);
    for (int i = 0; i < count; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/copy-%d.so", directory, i);
        int to = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
        off_t start = 0;
        if (to < 0 || sendfile(to, from, &start, (size_t)bytes) != bytes)
            return 2;
        close(to);
        void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        void (*allocate)(void);
        *(void **)&allocate = handle ? dlsym(handle, "tables_allocate") : NULL;
        unlink(path);
        if (!allocate)
            return 3;
        allocate();
    }
    return 0;
}

static int words(void)
{
    for (int i = 0; i < 1000; i++) {
        char name[32];
        snprintf(name, sizeof name, "word %d", i);
        memtrack_mark(name);
        memtrack_set_gauge(name, i);
    }
    return 0;
}

/* Bytes of address space in use. */
static size_t address_space(void)
{
    char text[64] = "";
    int file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t count = read(file, text, sizeof text - 1);
    close(file);
    return count > 0 ? strtoul(text, NULL, 10) * 4096 : 0;
}

static int map(void)
{
    void *block[8];
    for (int i = 0; i < 8; i++) {
        if (i >= 6) {
            size_t most = address_space() + LARGE + (1 << 20);
            /* By the call itself: through setrlimit the shim's part would come on top. */
            if (syscall(SYS_prlimit64, 0, RLIMIT_AS, &(struct rlimit){most, RLIM_INFINITY}, NULL) != 0)
                return 2;
        }
        block[i] = malloc(LARGE);
        if (!block[i])
            return 3;
    }
    for (int i = 0; i < 8; i++)
        free(block[i]);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "libraries") == 0)
        return libraries(argv[2], argv[3], atoi(argv[4]));
    if (argc == 2 && strcmp(argv[1], "words") == 0)
        return words();
    if (argc == 2 && strcmp(argv[1], "map") == 0)
        return map();
    return 64;
}
#endif
