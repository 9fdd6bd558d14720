/* SPDX-License-Identifier: Apache-2.0
 *
 * A library that allocates. Compiled twice, -DPLUGIN=one and -DPLUGIN=two: the same layout, so that the two are loaded
 * at the same address in turn, with another name at the same place. The second has a larger frame.
 */
#include <stdlib.h>

#define NAME2(prefix, name) prefix##name
#define NAME(prefix, name) NAME2(prefix, name)

__attribute__((noinline, noclone)) static void *NAME(inner_, PLUGIN)(size_t size)
{
    volatile char room[ROOM];
    room[0] = 1;
    void *block = malloc(size + (size_t)room[0] - 1);
    __asm__ volatile("" : : "r"(block) : "memory");
    return block;
}

void *plugin_make(size_t size);
void *plugin_make(size_t size)
{
    void *block = NAME(inner_, PLUGIN)(size);
    __asm__ volatile("" : : "r"(block) : "memory");
    return block;
}
