/* SPDX-License-Identifier: Apache-2.0
 *
 * A handler that forks, as one for crashes does, and whose child allocates, on an alternate signal stack with little room:
 * what the kernel needs and 900 bytes. The child goes on on its own stack and allocates there, too. 1 where what lies below
 * the alternate stack was written to.
 */
#include "signal_frame.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEEP(block) __asm__ volatile("" : : "r"(block) : "memory")
#define BELOW 8192
#define PAINT 0x5a

static volatile pid_t child;

static void handle(int signal)
{
    (void)signal;
    child = fork();
    if (child != 0)
        return;
    void *block = malloc(77);
    block = realloc(block, 78);
    KEEP(block);
    free(block);
}

int main(void)
{
    size_t kernels = signal_frame_bytes();
    size_t size = (kernels + 900 + 15) & ~(size_t)15;
    char *low = mmap(NULL, BELOW + size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (low == MAP_FAILED)
        return 77;
    memset(low, PAINT, BELOW + size);
    stack_t alternate = {.ss_sp = low + BELOW, .ss_size = size};
    struct sigaction action = {.sa_handler = handle, .sa_flags = SA_ONSTACK};
    if (sigaltstack(&alternate, NULL) || sigaction(SIGUSR1, &action, NULL))
        return 77;
    void *block = realloc(malloc(77), 78); /* the allocator has what it needs, and the loader has bound the names */
    KEEP(block);
    free(block);
    raise(SIGUSR1);
    if (child == 0) {
        for (int i = 0; i < 10; i++) {
            block = malloc(555);
            KEEP(block);
        }
        for (size_t i = 0; i < BELOW; i++)
            if (low[i] != PAINT)
                _exit(1);
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return status != 0;
}
