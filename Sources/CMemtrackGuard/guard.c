/* SPDX-License-Identifier: Apache-2.0
 *
 * Data model: one guarded range a thread, in thread-local storage, and one SIGBUS action for the
 * process, installed at the first use. The handler calls mmap and sigaction only: it neither
 * locks nor allocates.
 */
#define _GNU_SOURCE
#include "memtrack_guard.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/vfs.h>

#define TMPFS_MAGIC 0x01021994 /* linux/magic.h */

struct guarded_range {
    uintptr_t base;
    uintptr_t end;
    unsigned faults;
};

/* initial-exec: a lazily made thread-local block would mean malloc inside the handler. */
static __thread volatile struct guarded_range range __attribute__((tls_model("initial-exec")));

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct sigaction previous;
static int install_error;

static void on_bus_error(int signal, siginfo_t *info, void *context)
{
    int saved = errno;
    uintptr_t fault = (uintptr_t)info->si_addr & ~(uintptr_t)4095;
    /* si_code > 0: raised by the kernel for an access, not sent by somebody. */
    if (info->si_code > 0 && fault >= range.base && fault < range.end) {
        /* All that follows lies past the end of the file as well. */
        void *zeros = mmap((void *)fault, range.end - fault, PROT_READ,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
        if (zeros != MAP_FAILED) {
            range.faults += 1;
            errno = saved;
            return;
        }
    }
    if (previous.sa_flags & SA_SIGINFO) {
        previous.sa_sigaction(signal, info, context);
    } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
        previous.sa_handler(signal);
    } else {
        /* The access is repeated on return, or the signal sent again, under the old action. */
        sigaction(SIGBUS, &previous, NULL);
        if (info->si_code <= 0)
            raise(SIGBUS);
    }
    errno = saved;
}

static void install(void)
{
    struct sigaction action = {0};
    action.sa_sigaction = on_bus_error;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGBUS, NULL, &previous) != 0 || sigaction(SIGBUS, &action, NULL) != 0)
        install_error = errno;
}

int memtrack_guard_begin(const void *base, size_t bytes)
{
    pthread_once(&once, install);
    if (install_error != 0)
        return install_error;
    range.faults = 0;
    range.base = (uintptr_t)base;
    range.end = (uintptr_t)base + bytes;
    return 0;
}

unsigned memtrack_guard_end(void)
{
    range.base = 0;
    range.end = 0;
    return range.faults;
}

int memtrack_guard_is_tmpfs(int descriptor)
{
    struct statfs status;
    return fstatfs(descriptor, &status) == 0 && status.f_type == TMPFS_MAGIC;
}
