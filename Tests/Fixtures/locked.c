/* SPDX-License-Identifier: Apache-2.0
 *
 * A program that locks its memory. `locked MODE [KILOBYTES [UID]]`: MODE is current, future or both; KILOBYTES is the
 * limit (RLIMIT_MEMLOCK) under which, as UID, it asks. Prints "RESIDENT LOCKED" in KB at the end.
 */
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
    char **block = calloc(1000, sizeof(*block));
    for (int i = 0; i < 1000; i++)
        block[i] = malloc(1000);
    for (int i = 0; i < 1000; i++)
        free(block[i]);
    free(block);
    printf("%ld %ld\n", figure("VmRSS:"), figure("VmLck:"));
    return 0;
}
