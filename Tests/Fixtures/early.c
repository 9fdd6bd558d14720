/* SPDX-License-Identifier: Apache-2.0
 *
 * A library that allocates before main and after it.
 */
#include <stdlib.h>

static void some(void)
{
    for (int i = 0; i < 3; i++) {
        void *block = malloc(700);
        __asm__ volatile("" : : "r"(block) : "memory");
        free(block);
    }
}

__attribute__((constructor)) static void before(void)
{
    some();
}

__attribute__((destructor)) static void after(void)
{
    some();
}
