/* SPDX-License-Identifier: Apache-2.0
 *
 * `reuse SIZE COUNT`: one block of SIZE bytes is allocated and freed COUNT times, at the same address as a rule.
 */
#include <stdlib.h>

__attribute__((noinline)) static void again(size_t size)
{
    void *volatile block = malloc(size);
    free(block);
}

int main(int count, char **arguments)
{
    if (count != 3)
        return 64;
    for (int left = atoi(arguments[2]); left > 0; left--)
        again((size_t)atol(arguments[1]));
}
