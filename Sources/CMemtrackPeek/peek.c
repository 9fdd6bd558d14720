/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "memtrack_peek.h"

#include <errno.h>
#include <sys/uio.h>

long memtrack_peek(int pid, uint64_t address, void *buffer, size_t bytes)
{
    struct iovec local = {buffer, bytes};
    struct iovec remote = {(void *)(uintptr_t)address, bytes};
    ssize_t got = process_vm_readv(pid, &local, 1, &remote, 1, 0);
    if (got >= 0)
        return got;
    return errno == EFAULT ? 0 : -(long)errno;
}
