/* SPDX-License-Identifier: Apache-2.0
 *
 * `destructors N`: N threads in turn, whose thread-specific data have destructors that free the value, allocate
 * another and set that, so that they run again: also after the shim's own. Each thread makes 4 blocks of 90 bytes and,
 * in its destructors, 4 of 110 a round; the last round's are not freed. Prints how often a destructor ran.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define SITE __attribute__((noinline, noclone))
#define KEEP(block) __asm__ volatile("" : : "r"(block) : "memory")
#define KEYS 4

static pthread_key_t key[KEYS];
static unsigned rounds;

SITE static void *make_value(size_t size)
{
    void *block = malloc(size);
    KEEP(block);
    return block;
}

SITE static void *make_late(size_t size)
{
    void *block = malloc(size);
    KEEP(block);
    return block;
}

/* glibc runs these PTHREAD_DESTRUCTOR_ITERATIONS times, as long as a value is set. */
static void destroy(void *value)
{
    void **chain = value;
    unsigned which = *(unsigned *)chain;
    __atomic_fetch_add(&rounds, 1, __ATOMIC_RELAXED);
    free(chain);
    unsigned *again = make_late(110);
    *again = which;
    pthread_setspecific(key[which], again);
}

static void *work(void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < KEYS; i++) {
        unsigned *value = make_value(90);
        *value = i;
        pthread_setspecific(key[i], value);
    }
    return NULL;
}

int main(int count, char **arguments)
{
    int threads = count > 1 ? atoi(arguments[1]) : 100;
    for (int i = 0; i < KEYS; i++)
        pthread_key_create(&key[i], destroy);
    for (int i = 0; i < threads; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, work, NULL))
            return 77;
        pthread_join(thread, NULL);
    }
    printf("%u\n", rounds);
    return 0;
}
