/* SPDX-License-Identifier: Apache-2.0
 *
 * measure - runs one program and writes what it and all its descendants cost.
 *
 *   measure [-e NAME=VALUE]... RESULT STDOUT STDERR PROGRAM [ARGS...]
 *   measure --drain FIFO RESULT     reads FIFO to its end, writes the number of bytes read
 *
 * RESULT becomes one line: exit status (128 + n for signal n), wall seconds, user seconds, system seconds,
 * peak resident KiB of the largest process, number of descendants that outlived their parent.
 *
 * Why not from Python: a child's ru_maxrss starts at the peak of the image that called exec, so everything
 * started by an interpreter seems to need as much memory as the interpreter. Here that floor is one page or
 * three. And this process is the subreaper: descendants left behind by the program are waited for, and counted,
 * like the others. Wall time ends with the program itself.
 *
 * The program may use ADDRESS_SPACE bytes: heaptrack's interpreter takes all the memory of the machine on some
 * inputs (many sites with many sizes each), and should fail alone.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ADDRESS_SPACE (UINT64_C(4) << 30)

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void fail(const char *what)
{
    fprintf(stderr, "measure: %s: %s\n", what, strerror(errno));
    exit(125);
}

static void redirect(const char *path, int flags, int to)
{
    int fd = open(path, flags, 0600);
    if (fd < 0)
        fail(path);
    if (fd != to) {
        dup2(fd, to);
        close(fd);
    }
}

static int drain(const char *fifo, const char *result)
{
    static char buffer[1 << 17];
    unsigned long long total = 0;
    int fd = open(fifo, O_RDONLY);
    if (fd < 0)
        fail(fifo);
    for (;;) {
        ssize_t got = read(fd, buffer, sizeof buffer);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        total += (unsigned long long)got;
    }
    FILE *out = fopen(result, "w");
    if (!out)
        fail(result);
    fprintf(out, "%llu\n", total);
    return fclose(out) ? 125 : 0;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "--drain") == 0)
        return drain(argv[2], argv[3]);
    int first = 1;
    while (first + 1 < argc && strcmp(argv[first], "-e") == 0)
        first += 2;
    if (argc - first < 4) {
        fprintf(stderr, "usage: measure [-e NAME=VALUE]... RESULT STDOUT STDERR PROGRAM [ARGS...]\n");
        return 64;
    }
    char **program = argv + first + 3;
    if (prctl(PR_SET_CHILD_SUBREAPER, 1L, 0L, 0L, 0L) != 0)
        fail("PR_SET_CHILD_SUBREAPER");

    double start = now();
    pid_t child = fork();
    if (child < 0)
        fail("fork");
    if (child == 0) {
        redirect("/dev/null", O_RDONLY, 0);
        redirect(argv[first + 1], O_WRONLY | O_CREAT | O_TRUNC, 1);
        redirect(argv[first + 2], O_WRONLY | O_CREAT | O_TRUNC, 2);
        for (int i = 2; i < first; i += 2)
            putenv(argv[i]);
        struct rlimit limit;
        if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_max > ADDRESS_SPACE) {
            limit.rlim_cur = ADDRESS_SPACE;
            setrlimit(RLIMIT_AS, &limit);
        }
        execvp(program[0], program);
        fail(program[0]);
    }

    double wall = 0, user = 0, system = 0;
    long peak = 0;
    int status = 0, orphans = 0;
    for (;;) {
        int how;
        struct rusage usage;
        pid_t pid = wait4(-1, &how, 0, &usage);
        if (pid < 0 && errno == EINTR)
            continue;
        if (pid < 0)
            break; /* ECHILD: the tree is empty */
        user += seconds(usage.ru_utime);
        system += seconds(usage.ru_stime);
        if (usage.ru_maxrss > peak)
            peak = usage.ru_maxrss;
        if (pid == child) {
            wall = now() - start;
            status = WIFSIGNALED(how) ? 128 + WTERMSIG(how) : WEXITSTATUS(how);
        } else {
            orphans++;
        }
    }
    FILE *out = fopen(argv[first], "w");
    if (!out)
        fail(argv[first]);
    fprintf(out, "%d %.6f %.6f %.6f %ld %d\n", status, wall, user, system, peak, orphans);
    return fclose(out) ? 125 : 0;
}
