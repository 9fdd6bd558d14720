/* SPDX-License-Identifier: Apache-2.0
 *
 * `peak THREADS BLOCKS`: each thread makes so many blocks of 1,000 bytes; when all have, all free them.
 */
#include <pthread.h>
#include <stdlib.h>

static pthread_barrier_t all_made;
static int blocks;

static void *climb(void *unused)
{
    (void)unused;
    void *chain = NULL;
    for (int i = 0; i < blocks; i++) {
        void **block = malloc(1000);
        *block = chain;
        chain = block;
    }
    pthread_barrier_wait(&all_made);
    while (chain) {
        void *next = *(void **)chain;
        free(chain);
        chain = next;
    }
    return NULL;
}

int main(int count, char **arguments)
{
    pthread_t thread[64];
    int threads = count > 2 ? atoi(arguments[1]) : 4;
    blocks = count > 2 ? atoi(arguments[2]) : 1000;
    pthread_barrier_init(&all_made, NULL, (unsigned)threads);
    for (int i = 0; i < threads; i++)
        if (pthread_create(&thread[i], NULL, climb, NULL))
            return 1;
    for (int i = 0; i < threads; i++)
        pthread_join(thread[i], NULL);
    return 0;
}
