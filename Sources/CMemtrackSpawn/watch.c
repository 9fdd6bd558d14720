/* SPDX-License-Identifier: Apache-2.0
 *
 * watch.c - signals of the launcher as records in a pipe, and the end of a process that is not its child. See
 * memtrack_spawn.h.
 *
 * Handlers and not signalfd: signalfd needs the signals blocked in every thread, and a program cannot do
 * that to the threads that a runtime made before it. A handler may run on any thread; it writes one record
 * and returns. Where the pipe is full the record is lost, which is harmless: thousands wait to be read.
 */
#define _GNU_SOURCE
#include "memtrack_spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

static const int handled[] = {SIGCHLD, SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGTSTP};
/* Ignored: a write of the launcher to the terminal from the background (stty tostop) would otherwise make the
 * kernel stop its whole process group, and that includes the program it watches. */
static const int ignored[] = {SIGTTIN, SIGTTOU};
#define COUNT(array) (sizeof(array) / sizeof *(array))

static int pipe_ends[2] = {-1, -1};
static struct sigaction before_handled[COUNT(handled)];
static struct sigaction before_ignored[COUNT(ignored)];
static sigset_t before_mask;

static void note(int number, siginfo_t *info, void *context)
{
    (void)context;
    int saved = errno;
    struct memtrack_spawn_signal record = {
        .number = number,
        /* SI_USER, SI_QUEUE and SI_TKILL are 0 and below, what the kernel sends is above. */
        .from_process = info->si_code <= 0,
    };
    ssize_t ignored_result = write(pipe_ends[1], &record, sizeof record);
    (void)ignored_result;
    errno = saved;
}

/* Moves a descriptor above 2. The copy shares the non-blocking flag. */
static int settle(int *descriptor)
{
    if (*descriptor <= 2) {
        int moved = fcntl(*descriptor, F_DUPFD_CLOEXEC, 3);
        if (moved < 0)
            return errno;
        close(*descriptor);
        *descriptor = moved;
    }
    return 0;
}

int memtrack_spawn_open_process(pid_t pid, int *descriptor)
{
    *descriptor = (int)syscall(SYS_pidfd_open, pid, 0);
    if (*descriptor < 0)
        return errno;
    fcntl(*descriptor, F_SETFD, FD_CLOEXEC);
    int error = settle(descriptor);
    if (error != 0)
        close(*descriptor);
    return error;
}

int memtrack_spawn_watch(int *descriptor)
{
    if (pipe_ends[0] >= 0)
        return EBUSY;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
        return errno;
    int error = settle(&ends[0]);
    if (error == 0)
        error = settle(&ends[1]);
    if (error != 0) {
        close(ends[0]);
        close(ends[1]);
        return error;
    }
    pipe_ends[0] = ends[0];
    pipe_ends[1] = ends[1];

    sigset_t wanted;
    sigemptyset(&wanted);
    for (size_t i = 0; i < COUNT(handled); i++) {
        struct sigaction action = {.sa_sigaction = note, .sa_flags = SA_SIGINFO | SA_RESTART};
        sigfillset(&action.sa_mask);
        sigaction(handled[i], &action, &before_handled[i]);
        sigaddset(&wanted, handled[i]);
    }
    for (size_t i = 0; i < COUNT(ignored); i++) {
        struct sigaction action = {.sa_handler = SIG_IGN};
        sigaction(ignored[i], &action, &before_ignored[i]);
        sigaddset(&wanted, ignored[i]);
    }
    pthread_sigmask(SIG_UNBLOCK, &wanted, &before_mask);
    *descriptor = ends[0];
    return 0;
}

void memtrack_spawn_unwatch(void)
{
    if (pipe_ends[0] < 0)
        return;
    for (size_t i = 0; i < COUNT(handled); i++)
        sigaction(handled[i], &before_handled[i], NULL);
    for (size_t i = 0; i < COUNT(ignored); i++)
        sigaction(ignored[i], &before_ignored[i], NULL);
    pthread_sigmask(SIG_SETMASK, &before_mask, NULL);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
    pipe_ends[0] = pipe_ends[1] = -1;
}

void memtrack_spawn_stop_self(int number)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    struct sigaction before;
    sigset_t only, mask;
    sigemptyset(&only);
    sigaddset(&only, number);
    sigaction(number, &action, &before); /* fails for SIGSTOP, which needs none of this */
    pthread_sigmask(SIG_UNBLOCK, &only, &mask);
    raise(number);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    if (number != SIGSTOP)
        sigaction(number, &before, NULL);
}
