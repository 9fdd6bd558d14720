/* SPDX-License-Identifier: Apache-2.0
 *
 * A program that locks its memory. `locked MODE [KILOBYTES [UID]]`: MODE is current, future, both, or threads: both, and then
 * 14 threads allocate at once, each in an arena of its own; KILOBYTES is the limit (RLIMIT_MEMLOCK) under which, as UID, it asks. Prints "RESIDENT LOCKED" in KB at the end.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

static long figure(const char *name)
{
    char line[256];
    long value = -1;
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof(line), status))
        if (strncmp(line, name, strlen(name)) == 0)
            value = atol(line + strlen(name) + 1);
    if (status)
        fclose(status);
    return value;
}

enum { THREADS = 14 };
static pthread_barrier_t all_have_allocated;

static void *allocate(void *argument)
{
    void *volatile block = malloc(1000);
    pthread_barrier_wait(&all_have_allocated);
    free(block);
    return argument;
}

static int run_threads(void)
{
    pthread_attr_t small;
    pthread_t ids[THREADS];
    if (pthread_barrier_init(&all_have_allocated, NULL, THREADS) || pthread_attr_init(&small) ||
        pthread_attr_setstacksize(&small, 64 << 10))
        return 2;
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&ids[i], &small, allocate, NULL))
            return 2;
    for (int i = 0; i < THREADS; i++)
        pthread_join(ids[i], NULL);
    return 0;
}

int main(int count, char **arguments)
{
    const char *mode = count > 1 ? arguments[1] : "both";
    int flags = strcmp(mode, "current") == 0 ? MCL_CURRENT : strcmp(mode, "future") == 0 ? MCL_FUTURE
                                                                                         : MCL_CURRENT | MCL_FUTURE;
    struct rlimit limit = {(rlim_t)(count > 2 ? atol(arguments[2]) * 1024 : 0), 0};
    limit.rlim_max = limit.rlim_cur;
    if (count > 2 && setrlimit(RLIMIT_MEMLOCK, &limit))
        return 77;
    if (count > 3 && setuid((uid_t)atoi(arguments[3])))
        return 77;
    free(malloc(100));
    if (mlockall(flags))
        return 1;
    if (strcmp(mode, "threads") == 0 && run_threads())
        return 2;
    char **block = calloc(1000, sizeof(*block));
    for (int i = 0; i < 1000; i++)
        block[i] = malloc(1000);
    for (int i = 0; i < 1000; i++)
        free(block[i]);
    free(block);
    printf("%ld %ld\n", figure("VmRSS:"), figure("VmLck:"));
    return 0;
}
