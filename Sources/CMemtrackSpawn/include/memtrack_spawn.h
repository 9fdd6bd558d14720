/* SPDX-License-Identifier: Apache-2.0
 *
 * memtrack_spawn.h - starts one program and listens to signals, for the launcher.
 *
 * Swift cannot run between fork and exec, nor in a signal handler: this is the C for those two places and
 * nothing else. What to do about an event is decided in Swift (TargetProcess).
 *
 * RULES
 *   * A constructor saves the signal mask and the ignored signals before anybody can change them. The
 *     program started gets exactly these, whatever the launcher does to its own.
 *   * Signal state belongs to the whole process: one watch at a time, no locks. Call from one thread.
 *   * Functions return 0 or an errno value and leave errno unspecified.
 *   * Every descriptor made here is close-on-exec and above 2, so that a program started with a closed
 *     standard descriptor finds it closed.
 */
#ifndef MEMTRACK_SPAWN_H
#define MEMTRACK_SPAWN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* One signal that arrived, as written to the pipe of memtrack_spawn_watch. Writes of this size are atomic. */
struct memtrack_spawn_signal {
    int32_t number;
    int32_t from_process; /* 1: sent by a process (kill, sigqueue); 0: by the kernel, such as a terminal */
};

enum memtrack_spawn_change {
    MEMTRACK_SPAWN_NONE = 0,      /* nothing has changed                        */
    MEMTRACK_SPAWN_EXITED = 1,    /* value: exit status, 0 to 255               */
    MEMTRACK_SPAWN_SIGNALED = 2,  /* value: signal number; it is dead           */
    MEMTRACK_SPAWN_STOPPED = 3,   /* value: signal number; SIGCONT continues it */
    MEMTRACK_SPAWN_CONTINUED = 4
};

/* A change of state of the child. The usage fields are filled for EXITED and SIGNALED, and cover the
 * child and those of its descendants that were waited for, see getrusage(2). */
struct memtrack_spawn_status {
    int32_t change; /* enum memtrack_spawn_change */
    int32_t value;
    int32_t core_dumped;
    int32_t reserved;
    int64_t max_rss_bytes;
    int64_t user_microseconds;
    int64_t system_microseconds;
};

/* Installs handlers for SIGCHLD, SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2 and SIGTSTP, each of
 * which writes a memtrack_spawn_signal to a pipe; ignores SIGTTIN and SIGTTOU; and unblocks all of these in
 * the calling thread. *descriptor: the reading end, non-blocking. EBUSY where a watch is on already. */
int memtrack_spawn_watch(int *descriptor);

/* Whether signal `number` was ignored when the calling process started, as nohup(1) does it. */
bool memtrack_spawn_was_ignored(int number);

/* *descriptor: readable once process `pid`, any process of the machine, has ended (pidfd_open(2)). ESRCH where there is
 * none; ENOSYS before Linux 5.3. */
int memtrack_spawn_open_process(pid_t pid, int *descriptor);

/* Undoes memtrack_spawn_watch: dispositions and mask are again as they were when it was called. */
void memtrack_spawn_unwatch(void);

/* Starts `path` in a child process, in the same process group and session, with the standard descriptors as
 * they are, and with the saved signal state. A file that the kernel cannot execute (ENOEXEC) is given to
 * /bin/sh, as execvp(3) does. Returns 0 once the program runs, with its process id in *pid; else the errno
 * of fork or exec, and no child is left. */
int memtrack_spawn_start(const char *path, char *const argv[], char *const envp[], pid_t *pid);

/* Takes the next change of state of child `pid`, without waiting. ECHILD where there is no such child. */
int memtrack_spawn_take_status(pid_t pid, struct memtrack_spawn_status *status);

/* Whether child `pid`, whose stop has been taken, has been continued (and may have ended or stopped again)
 * since. Takes nothing away. */
bool memtrack_spawn_was_continued(pid_t pid);

/* Stops the calling process by the default action of `number` (SIGSTOP, SIGTSTP, SIGTTIN or SIGTTOU) and
 * returns when it is continued, or at once where the kernel does not stop it (orphaned process group). */
void memtrack_spawn_stop_self(int number);

/* Ends the calling process by the default action of signal `number`, without a core file of its own.
 * Where that does not end it, exits with status 128 + number. */
_Noreturn void memtrack_spawn_die(int number);

/* Whether exec can no longer gain privileges (prctl(2), PR_SET_NO_NEW_PRIVS). */
bool memtrack_spawn_no_new_privileges(void);

/* Whether the open file has file capabilities (capabilities(7)); fgetxattr is not in Swift's Glibc module. */
bool memtrack_spawn_has_capabilities(int descriptor);

/* The arguments of the calling process, as main gets them. Swift's own CommandLine reads /proc/self/cmdline:
 * where /proc is not mounted it is empty. */
char **memtrack_spawn_arguments(int *count);

/* The path that the calling process was started by (AT_EXECFN of getauxval(3)); NULL where not known. */
const char *memtrack_spawn_executable(void);

/* The environment of the calling process (environ(7)), NULL-terminated; NULL where cleared. Not a copy. */
char **memtrack_spawn_environment(void);

#endif
