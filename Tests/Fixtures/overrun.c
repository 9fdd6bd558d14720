/* SPDX-License-Identifier: Apache-2.0
 *
 * Writes one byte past a block: glibc's debugging allocator (libc_malloc_debug.so, MALLOC_CHECK_=3) ends the program
 * for that, any other lets it pass.
 */
#include <stdlib.h>

int main(void)
{
    char *volatile block = malloc(10);
    block[10] = 1;
    free(block);
    return 0;
}
