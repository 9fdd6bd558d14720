/* SPDX-License-Identifier: Apache-2.0
 *
 * Makes 1,000 blocks of 50 bytes, frees 400, does something drastic, makes 1,000 more and ends in the way named.
 * `endings ENDING [DEED [DIRECTORY]]`
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define SITE __attribute__((noinline, noclone))

static void *kept[2000];

SITE static void make(int first, int count)
{
    for (int i = first; i < first + count; i++) {
        kept[i] = malloc(50);
        if (kept[i])
            memset(kept[i], i & 0xff, 50);
    }
}

static int drastic(const char *deed, const char *where)
{
    struct rlimit limit = {65536, 65536};
    if (strcmp(deed, "closefrom") == 0) {
        closefrom(3);
        return 0;
    }
    if (strcmp(deed, "chdir") == 0)
        return chdir("/");
    if (strcmp(deed, "chroot") == 0)
        return chroot(where) || chdir("/");
    if (strcmp(deed, "setuid") == 0)
        return setgid(65534) || setuid(65534);
    if (strcmp(deed, "fsize") == 0)
        return setrlimit(RLIMIT_FSIZE, &limit);
    if (strcmp(deed, "nofile") == 0) {
        limit.rlim_cur = limit.rlim_max = 3;
        return setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (strcmp(deed, "environment") == 0)
        return clearenv();
    return strcmp(deed, "none");
}

int main(int count, char **arguments)
{
    const char *ending = count > 1 ? arguments[1] : "return";
    make(0, 1000);
    for (int i = 0; i < 400; i++)
        free(kept[i]);
    if (count > 2 && drastic(arguments[2], count > 3 ? arguments[3] : "/"))
        return 77;
    make(1000, 1000);
    if (strcmp(ending, "fork") == 0) {
        make(0, 100); /* the child gets a region of its own where it can */
        if (fork() == 0) {
            make(0, 100);
            _exit(0);
        }
        return 0;
    }
    if (strcmp(ending, "_exit") == 0)
        _exit(3);
    if (strcmp(ending, "quick_exit") == 0)
        quick_exit(4);
    if (strcmp(ending, "exit") == 0)
        exit(5);
    if (strcmp(ending, "abort") == 0)
        abort();
    if (strcmp(ending, "kill") == 0)
        kill(getpid(), SIGKILL);
    if (strcmp(ending, "segv") == 0)
        raise(SIGSEGV);
    return 0;
}
