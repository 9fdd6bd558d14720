/* SPDX-License-Identifier: Apache-2.0
 *
 * Fills a block and one byte more: glibc's debugging allocator (libc_malloc_debug.so, MALLOC_CHECK_=3) ends the program
 * for that, any other lets it pass.
 */
#include <stdlib.h>

int main(void)
{
    char *volatile block = malloc(10);
    for (int i = 0; i <= 10; i++)
        block[i] = 1; /* never its own mark, which depends on the address */
    free(block);
    return 0;
}
