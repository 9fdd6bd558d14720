/* SPDX-License-Identifier: Apache-2.0
 *
 * Many threads. `threads short N`: N of them, eight at a time; `threads live N`: N at once, all alive until each has
 * made and freed its blocks. Each makes 10 blocks of 70 bytes and frees 7.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define SITE __attribute__((noinline, noclone))
#define KEEP(block) __asm__ volatile("" : : "r"(block) : "memory")

static pthread_barrier_t all_here;
static int at_once;

SITE static void *make(size_t size)
{
    void *block = malloc(size);
    KEEP(block);
    return block;
}

static void *work(void *unused)
{
    (void)unused;
    void *block[10];
    for (int i = 0; i < 10; i++)
        block[i] = make(70);
    if (at_once)
        pthread_barrier_wait(&all_here);
    for (int i = 0; i < 7; i++)
        free(block[i]);
    if (at_once)
        pthread_barrier_wait(&all_here);
    return NULL;
}

int main(int count, char **arguments)
{
    int threads = count > 2 ? atoi(arguments[2]) : 100;
    at_once = count > 1 && strcmp(arguments[1], "live") == 0;
    int group = at_once ? threads : 8;
    pthread_t *thread = calloc((size_t)group + 100, sizeof(*thread));
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 65536);
    pthread_barrier_init(&all_here, NULL, (unsigned)threads);
    for (int made = 0; made < threads; made += group) {
        for (int i = 0; i < group; i++)
            if (pthread_create(&thread[i], &attributes, work, NULL))
                return 77;
        for (int i = 0; i < group; i++)
            pthread_join(thread[i], NULL);
    }
    free(thread);
    return 0;
}
