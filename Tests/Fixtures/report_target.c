/* SPDX-License-Identifier: Apache-2.0
 *
 * report_target.c - what the tests of launcher and reader look at: one site with 1,000 blocks of 100 bytes, 400 of
 * them freed, and then what the first argument says:
 *
 *   exit            end
 *   kill            die by SIGKILL
 *   wait            run until standard input ends
 *   children        fork 2 children that allocate 10 and 20 blocks at a site of their own, and wait for them
 *   marks           say so with a marker and a gauge (memtrack.h)
 *   daemon|late FILE  leave a daemon that writes its PID to FILE and runs on (late: allocates nothing for 1.5 s)
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../CShim/include/memtrack/memtrack.h"

static void *blocks[1000];

__attribute__((noinline)) static void allocate_here(void)
{
    for (int i = 0; i < 1000; i++)
        blocks[i] = malloc(100);
}

__attribute__((noinline)) static void *child_site(void)
{
    return malloc(300);
}

static void free_some(void)
{
    for (int i = 0; i < 400; i++)
        free(blocks[i]);
}

static void child(int count)
{
    void *volatile kept;
    for (int i = 0; i < count; i++)
        kept = child_site();
    (void)kept;
    _exit(count);
}

static void children(void)
{
    for (int count = 10; count <= 20; count += 10)
        if (fork() == 0)
            child(count);
    while (wait(NULL) > 0)
        ;
}

static void leave_daemon(const char *path, int milliseconds)
{
    if (fork() != 0)
        return;
    setsid();
    if (fork() != 0)
        _exit(0);
    usleep((useconds_t)milliseconds * 1000);
    allocate_here();
    FILE *file = fopen(path, "w");
    fprintf(file, "%d\n", (int)getpid());
    fclose(file);
    for (int second = 0; second < 60; second++)
        sleep(1);
    _exit(0);
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "exit";
    allocate_here();
    free_some();
    if (strcmp(mode, "kill") == 0)
        raise(SIGKILL);
    if (strcmp(mode, "wait") == 0) {
        puts("ready");
        fflush(stdout);
        while (getchar() != EOF)
            ;
    }
    if (strcmp(mode, "children") == 0)
        children();
    if (strcmp(mode, "marks") == 0) {
        memtrack_mark("blocks freed");
        memtrack_set_gauge("blocks.live", 600);
    }
    if (strcmp(mode, "daemon") == 0)
        leave_daemon(argv[2], 0);
    if (strcmp(mode, "late") == 0 && argc > 2)
        leave_daemon(argv[2], 1500);
    return 0;
}
