/* SPDX-License-Identifier: Apache-2.0
 *
 * Starts itself again with an environment made from scratch, in the way named: `cleaned WAY`. The second image makes 7
 * blocks of 123 bytes and prints its environment, which is ONLY=this and whatever somebody put there.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static int wait_for(pid_t pid)
{
    int status;
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 99;
}

int main(int count, char **arguments)
{
    const char *way = count > 1 ? arguments[1] : "second";
    char self[4096] = "";
    if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
        return 2;
    char *again[] = {self, "second", NULL}, *only[] = {"ONLY=this", NULL};
    pid_t pid;
    if (strcmp(way, "second") == 0) {
        for (volatile int i = 0; i < 7; i = i + 1) {
            void *volatile block = malloc(123);
            (void)block;
        }
        for (char **variable = environ; *variable; variable++)
            puts(*variable);
        return 0;
    }
    if (strcmp(way, "execve") == 0)
        return execve(self, again, only);
    if (strcmp(way, "execle") == 0)
        return execle(self, self, "second", (char *)NULL, only);
    if (strcmp(way, "execvpe") == 0)
        return execvpe(self, again, only);
    if (strcmp(way, "fexecve") == 0)
        return fexecve(open(self, O_RDONLY), again, only);
    if (strcmp(way, "posix_spawn") == 0)
        return posix_spawn(&pid, self, NULL, NULL, again, only) || wait_for(pid);
    if (strcmp(way, "posix_spawnp") == 0)
        return posix_spawnp(&pid, self, NULL, NULL, again, only) || wait_for(pid);
    if (strcmp(way, "vfork") == 0) {
        pid = vfork();
        if (pid == 0) {
            execle(self, self, "second", (char *)NULL, only);
            _exit(127);
        }
        return wait_for(pid);
    }
    clearenv();
    putenv("ONLY=this");
    if (strcmp(way, "execv") == 0)
        return execv(self, again);
    if (strcmp(way, "execvp") == 0)
        return execvp(self, again);
    if (strcmp(way, "execl") == 0)
        return execl(self, self, "second", (char *)NULL);
    if (strcmp(way, "execlp") == 0)
        return execlp(self, self, "second", (char *)NULL);
    return 64;
}
