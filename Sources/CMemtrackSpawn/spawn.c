/* SPDX-License-Identifier: Apache-2.0
 *
 * spawn.c - fork and exec with the signal state of the launcher's own start. See memtrack_spawn.h.
 *
 * Between fork and exec the child calls async-signal-safe functions only: the launcher may have threads,
 * and any of them may have held a lock. All signals are blocked from before the fork until the child has put
 * the dispositions back, so that no handler of the launcher ever runs in the child.
 */
#define _GNU_SOURCE
#include "memtrack_spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static sigset_t start_mask;
static sigset_t start_ignored;

static int start_argc;
static char **start_argv;

/* glibc hands main's arguments to constructors as well. */
__attribute__((constructor)) static void save_start(int argc, char **argv)
{
    start_argc = argc;
    start_argv = argv;
    sigprocmask(SIG_SETMASK, NULL, &start_mask);
    sigemptyset(&start_ignored);
    for (int number = 1; number < NSIG; number++) {
        struct sigaction action;
        if (sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
            sigaddset(&start_ignored, number);
    }
}

bool memtrack_spawn_was_ignored(int number)
{
    return sigismember(&start_ignored, number) == 1;
}

/* A pipe with both ends close-on-exec and above 2. */
static int make_pipe(int ends[2])
{
    if (pipe2(ends, O_CLOEXEC) != 0)
        return errno;
    for (int end = 0; end < 2; end++) {
        if (ends[end] > 2)
            continue;
        int moved = fcntl(ends[end], F_DUPFD_CLOEXEC, 3);
        if (moved < 0) {
            int error = errno;
            close(ends[0]);
            close(ends[1]);
            return error;
        }
        close(ends[end]);
        ends[end] = moved;
    }
    return 0;
}

static void restore_signals(void)
{
    for (int number = 1; number < NSIG; number++) {
        struct sigaction action = {.sa_handler = SIG_DFL};
        if (sigismember(&start_ignored, number) == 1)
            action.sa_handler = SIG_IGN;
        sigaction(number, &action, NULL); /* fails for SIGKILL, SIGSTOP and libc's own: nothing to restore */
    }
    sigprocmask(SIG_SETMASK, &start_mask, NULL);
}

_Noreturn static void run_child(const char *path, char *const argv[], char *const envp[],
                                char *const shell_argv[], int report)
{
    restore_signals();
    execve(path, argv, envp);
    if (errno == ENOEXEC)
        execve("/bin/sh", shell_argv, envp);
    int error = errno;
    while (write(report, &error, sizeof error) < 0 && errno == EINTR)
        ;
    _exit(127);
}

int memtrack_spawn_start(const char *path, char *const argv[], char *const envp[], pid_t *pid)
{
    size_t count = 0;
    while (argv[count] != NULL)
        count++;
    /* sh, path, argv[1]..., NULL */
    char **shell_argv = calloc(count + 3, sizeof *shell_argv);
    if (shell_argv == NULL)
        return ENOMEM;
    shell_argv[0] = (char *)"/bin/sh";
    shell_argv[1] = (char *)path;
    for (size_t i = 1; i < count; i++)
        shell_argv[i + 1] = argv[i];

    int ends[2];
    int error = make_pipe(ends);
    if (error != 0) {
        free(shell_argv);
        return error;
    }
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t child = fork();
    if (child == 0)
        run_child(path, argv, envp, shell_argv, ends[1]);
    int fork_error = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    close(ends[1]);
    free(shell_argv);
    if (child < 0) {
        close(ends[0]);
        return fork_error;
    }
    /* End of file says that exec has closed the pipe. */
    ssize_t got;
    do
        got = read(ends[0], &error, sizeof error);
    while (got < 0 && errno == EINTR);
    close(ends[0]);
    if (got == (ssize_t)sizeof error) {
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
            ;
        return error;
    }
    *pid = child;
    return 0;
}

int memtrack_spawn_take_status(pid_t pid, struct memtrack_spawn_status *status)
{
    memset(status, 0, sizeof *status);
    int raw;
    struct rusage usage;
    pid_t got;
    do
        got = wait4(pid, &raw, WNOHANG | WUNTRACED | WCONTINUED, &usage);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return errno;
    if (got == 0)
        return 0;
    if (WIFSTOPPED(raw)) {
        status->change = MEMTRACK_SPAWN_STOPPED;
        status->value = WSTOPSIG(raw);
        return 0;
    }
    if (WIFCONTINUED(raw)) {
        status->change = MEMTRACK_SPAWN_CONTINUED;
        return 0;
    }
    if (WIFSIGNALED(raw)) {
        status->change = MEMTRACK_SPAWN_SIGNALED;
        status->value = WTERMSIG(raw);
        status->core_dumped = WCOREDUMP(raw) ? 1 : 0;
    } else {
        status->change = MEMTRACK_SPAWN_EXITED;
        status->value = WEXITSTATUS(raw);
    }
    status->max_rss_bytes = (int64_t)usage.ru_maxrss * 1024;
    status->user_microseconds = (int64_t)usage.ru_utime.tv_sec * 1000000 + usage.ru_utime.tv_usec;
    status->system_microseconds = (int64_t)usage.ru_stime.tv_sec * 1000000 + usage.ru_stime.tv_usec;
    return 0;
}

bool memtrack_spawn_was_continued(pid_t pid)
{
    siginfo_t info = {0};
    /* WSTOPPED: the stop that was seen is taken; one that still waits came after a continue, and hides it. */
    int what = WCONTINUED | WSTOPPED | WEXITED | WNOHANG | WNOWAIT;
    return waitid(P_PID, (id_t)pid, &info, what) == 0 && info.si_pid == pid;
}

_Noreturn void memtrack_spawn_die(int number)
{
    fflush(NULL);
    /* Both are needed: a core_pattern that is a pipe ignores the limit. */
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_DUMPABLE, 0);
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigaction(number, &action, NULL);
    sigset_t only;
    sigemptyset(&only);
    sigaddset(&only, number);
    pthread_sigmask(SIG_UNBLOCK, &only, NULL);
    raise(number); /* to this thread, so that it is delivered before the call returns */
    _exit(128 + number);
}

bool memtrack_spawn_no_new_privileges(void)
{
    return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
}

bool memtrack_spawn_has_capabilities(int descriptor)
{
    return fgetxattr(descriptor, "security.capability", NULL, 0) > 0;
}

char **memtrack_spawn_arguments(int *count)
{
    *count = start_argc;
    return start_argv;
}

const char *memtrack_spawn_executable(void)
{
    return (const char *)getauxval(AT_EXECFN);
}

char **memtrack_spawn_environment(void)
{
    return environ;
}
