/* SPDX-License-Identifier: Apache-2.0
 *
 * jemalloc's own interface, mixed with malloc's. Links against jemalloc, or finds the functions by dlsym where BY_NAME is
 * defined. Makes 100 blocks of 72 bytes by mallocx, resizes all to 90, and frees all but
 * 10; and 50 of 33 bytes by malloc, of which dallocx and sdallocx free 49.
 */
#ifdef BY_NAME
#define _GNU_SOURCE
#include <dlfcn.h>
#endif
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef BY_NAME
#define FUNCTION(result, name, ...) static result (*name)(__VA_ARGS__)
#else
#define FUNCTION(result, name, ...) result name(__VA_ARGS__)
#endif
FUNCTION(void *, mallocx, size_t, int);
FUNCTION(void *, rallocx, void *, size_t, int);
FUNCTION(size_t, xallocx, void *, size_t, size_t, int);
FUNCTION(void, dallocx, void *, int);
FUNCTION(void, sdallocx, void *, size_t, int);

#define SITE __attribute__((noinline, noclone))

SITE static void *make(size_t size)
{
    void *block = mallocx(size, 0x40);
    for (size_t i = 0; block && i < size; i++)
        if (((char *)block)[i])
            abort();
    return block;
}

int main(void)
{
#ifdef BY_NAME
    *(void **)&mallocx = dlsym(RTLD_DEFAULT, "mallocx");
    *(void **)&rallocx = dlsym(RTLD_DEFAULT, "rallocx");
    *(void **)&xallocx = dlsym(RTLD_DEFAULT, "xallocx");
    *(void **)&dallocx = dlsym(RTLD_DEFAULT, "dallocx");
    *(void **)&sdallocx = dlsym(RTLD_DEFAULT, "sdallocx");
#endif
    void *block[100];
    for (int i = 0; i < 100; i++) {
        block[i] = make(72);
        block[i] = rallocx(block[i], 90, 0);
        memset(block[i], i, 90);
    }
    size_t real = xallocx(block[0], 91, 0, 0);
    if (real < 90)
        return 2;
    for (int i = 10; i < 100; i++) {
        if (((char *)block[i])[89] != i)
            return 3;
        if (i % 3 == 0)
            free(block[i]);
        else if (i % 3 == 1)
            dallocx(block[i], 0);
        else
            sdallocx(block[i], 90, 0);
    }
    for (int i = 0; i < 50; i++) {
        void *plain = malloc(33);
        if ((uintptr_t)plain % 8)
            return 4;
        if (i == 0)
            continue;
        if (i % 2)
            dallocx(plain, 0);
        else
            sdallocx(plain, 33, 0);
    }
    return 0;
}
